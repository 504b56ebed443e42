//! The process with rights: finds cgroups, attaches programs, reads files, supervises the decoding process.
//!
//! It never looks at traffic. All it takes from the other process is `Answer`s.

mod pods;

use std::fs;
use std::iter;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tracing::{error, info, warn};

use super::channel::{Answer, Channel, DetachReason, Order, Target as Named};
use super::error::{Refusal, RunError, system};
use super::files;
use super::node::Node;
use super::taps::Taps;
use crate::attribute::controllers::Controller;
use crate::attribute::manifests::{self, Fingerprint};
use crate::capture::kernel::attach::{Attachment, attach};
use crate::capture::sockets;
use crate::config::Config;
use crate::target::{Cgroup, Host, Target};

/// Between two looks at cgroups and manifests.
const LOOK: Duration = Duration::from_secs(1);
/// How long the decoding process may take to end.
const END: Duration = Duration::from_secs(30);
/// So many failures of the decoding process within [`FAILING`] are the end.
const MAX_FAILURES: usize = 5;
const FAILING: Duration = Duration::from_secs(60);

/// Audits the configured targets until told to stop.
///
/// # Errors
/// [`RunError`]; nothing stays attached then.
pub fn run(config: Config, object: &[u8]) -> Result<ExitCode, RunError> {
    let host = Host::default();
    let targets = config.require_targets().map_err(|_| RunError::OutOfTurn)?;
    let targets = targets
        .iter()
        .map(|(target, _)| {
            let cgroup = host.resolve(target)?;
            Ok(Watched { cgroup, sought: Sought::Target(target.clone()), attached: None })
        })
        .collect::<Result<Vec<_>, RunError>>()?;
    let directories: Vec<&Path> = targets.iter().map(|watched| watched.cgroup.directory.as_path()).collect();
    check_apart(&directories)?;
    audit(config, object, host, targets, None)
}

/// Audits the ingress controllers among this node's pods until told to stop.
///
/// # Errors
/// [`RunError`]; nothing stays attached then.
pub fn run_node(config: Config, object: &[u8]) -> Result<ExitCode, RunError> {
    let host = Host::default();
    let node = Node::new(&host)?;
    audit(config, object, host, Vec::new(), Some(node))
}

fn audit(
    config: Config,
    object: &[u8],
    host: Host,
    targets: Vec<Watched>,
    node: Option<Node>,
) -> Result<ExitCode, RunError> {
    let mut mask = SigSet::empty();
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD]
        .into_iter()
        .for_each(|signal| mask.add(signal));
    mask.thread_block().map_err(system("block signals"))?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(system("receive signals"))?;
    let mut attacher =
        Attacher { config, object, host, targets, node, number: 0, manifests: None, failures: Vec::new() };
    loop {
        let mut decoder = attacher.start()?;
        match attacher.supervise(&signals, &mut decoder) {
            Ok(Ended::Asked) => return attacher.stop(decoder),
            // A message that cannot be sent is how a death shows between two looks at the process.
            Ok(Ended::Failed) | Err(RunError::Channel(_)) => attacher.note_failure(decoder)?,
            Err(error) => return Err(error),
        }
    }
}

struct Attacher<'a> {
    config: Config,
    object: &'a [u8],
    host: Host,
    targets: Vec<Watched>,
    /// Where the targets are pods.
    node: Option<Node>,
    /// Of the last attachment.
    number: u32,
    manifests: Option<Fingerprint>,
    failures: Vec<Instant>,
}

/// A target and the cgroup that it is at present.
struct Watched {
    sought: Sought,
    cgroup: Cgroup,
    attached: Option<(Named, Attachment, Taps)>,
}

/// How a target was named.
enum Sought {
    /// By a person: it is waited for when it is gone.
    Target(Target),
    /// By the API server: another cgroup is another target.
    Pod(Box<Controller>),
}

struct Decoder {
    channel: Channel,
    process: Child,
}

enum Ended {
    Asked,
    Failed,
}

impl Attacher<'_> {
    /// Starts the decoding process, and attaches once it is ready for traffic.
    fn start(&mut self) -> Result<Decoder, RunError> {
        let (channel, theirs) = Channel::pair()?;
        // Named, or it would show as "exe".
        let process = Command::new("/proc/self/exe")
            .arg0("auditor")
            .arg("decode")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .map_err(RunError::Spawn)?;
        let mut decoder = Decoder { channel, process };
        match self.prepare(&decoder) {
            Ok(()) => Ok(decoder),
            Err(error) => {
                // It ends when the channel does; it must not outlive this process.
                let _ = decoder.process.kill();
                let _ = decoder.process.wait();
                Err(error)
            }
        }
    }

    fn prepare(&mut self, decoder: &Decoder) -> Result<(), RunError> {
        decoder.channel.send(&Order::Configure(Box::new(self.config.clone())), &[])?;
        match self.config.manifests.clone() {
            Some(directory) => self.send_manifests(decoder, &directory)?,
            None => decoder.channel.send(&Order::Manifests, &[])?,
        }
        match decoder.channel.receive()? {
            Some((Answer::Ready, _)) => {}
            Some((Answer::Refused { reason }, _)) => return Err(RunError::Refused(Refusal(reason.into()))),
            None => return Err(RunError::OutOfTurn),
        }
        if !self.failures.is_empty() {
            decoder.channel.send(&Order::Resumed, &[])?;
        }
        // Pods are found anew.
        self.targets.retain(|watched| matches!(watched.sought, Sought::Target(_)));
        for place in 0..self.targets.len() {
            self.attach(decoder, place)?;
        }
        match &mut self.node {
            Some(node) => node.start(&self.config, &decoder.channel),
            None => Ok(()),
        }
    }

    fn send_manifests(&mut self, decoder: &Decoder, directory: &Path) -> Result<(), RunError> {
        let read = manifests::read(directory)?;
        self.manifests = Some(read.fingerprint);
        let memory = files::pack(&read.files).map_err(RunError::Spawn)?;
        Ok(decoder.channel.send(&Order::Manifests, &[memory.as_fd()])?)
    }

    fn attach(&mut self, decoder: &Decoder, place: usize) -> Result<(), RunError> {
        let Some(watched) = self.targets.get_mut(place) else { return Ok(()) };
        let mut attachment = attach(self.object, &watched.cgroup.directory, self.config.attach_options())?;
        let handles = attachment.handles()?;
        self.number += 1;
        let controller = match &watched.sought {
            Sought::Target(_) => None,
            Sought::Pod(controller) => Some(controller.clone()),
        };
        let cgroup = watched.cgroup.path.to_string_lossy().into_owned();
        let name = Named { controller, cgroup, number: self.number };
        // Before anyone is told that the cgroup is seen: from then on the secrets of each handshake are read.
        let mut taps = Taps::new(&mut attachment);
        let coverage = taps.look(&mut attachment);
        // Asked after attaching: what opens in between is seen from its start, and found open as well, which does no harm.
        let sockets = match sockets::learn(&watched.cgroup.directory) {
            Ok(sockets) => Some(sockets),
            Err(error) => {
                warn!(%error, "The sockets that are open already are not known");
                None
            }
        };
        let (ring_bytes, cpus) = (handles.ring_bytes, handles.cpus);
        let order = Order::Attached { target: name.clone(), ring_bytes, cpus, sockets };
        let descriptors = [handles.ring.as_fd(), handles.wants.as_fd(), handles.counters.as_fd()];
        decoder.channel.send(&order, &descriptors)?;
        watched.attached = Some((name.clone(), attachment, taps));
        match coverage {
            Some(coverage) => Ok(decoder.channel.send(&Order::Taps { target: name, coverage }, &[])?),
            None => Ok(()),
        }
    }

    /// Taps what the target's processes run now, and says so if it is news.
    fn tap(&mut self, decoder: &Decoder, place: usize) -> Result<(), RunError> {
        let attached = self.targets.get_mut(place).and_then(|watched| watched.attached.as_mut());
        let Some((target, attachment, taps)) = attached else { return Ok(()) };
        match taps.look(attachment) {
            Some(coverage) => {
                Ok(decoder.channel.send(&Order::Taps { target: target.clone(), coverage }, &[])?)
            }
            None => Ok(()),
        }
    }

    /// Looks after everything until told to stop, or the decoding process is gone.
    fn supervise(&mut self, signals: &SignalFd, decoder: &mut Decoder) -> Result<Ended, RunError> {
        let mut looked = Instant::now();
        loop {
            let closed = self.wait(signals, decoder, looked + LOOK)?;
            // First of all: until then each new process of what was changed is broken.
            let attached = self.targets.iter_mut().filter_map(|watched| watched.attached.as_mut());
            attached.for_each(|(_, attachment, taps)| taps.heed(attachment));
            while let Some(signal) = signals.read_signal().map_err(system("receive signals"))? {
                match i32::try_from(signal.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()) {
                    Some(Signal::SIGTERM | Signal::SIGINT) => return Ok(Ended::Asked),
                    Some(Signal::SIGHUP) => self.look_at_manifests(decoder)?,
                    _ => {}
                }
            }
            if closed || decoder.process.try_wait().map_err(RunError::Spawn)?.is_some() {
                return Ok(Ended::Failed);
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.look_at_manifests(decoder)?;
                self.look_at_cgroups(decoder)?;
                self.look_at_pods(decoder)?;
            }
            if let Some(node) = &mut self.node {
                let found = node.heed();
                self.attach_pods(decoder, found)?;
            }
            for place in 0..self.targets.len() {
                let watched = self.targets.get_mut(place).and_then(|watched| watched.attached.as_mut());
                if watched.is_some_and(|(_, _, taps)| taps.is_due(Instant::now())) {
                    self.tap(decoder, place)?;
                }
            }
        }
    }

    /// Waits until something is to be done, at `end` at the latest; gives whether the decoding process has closed the channel.
    fn wait(&self, signals: &SignalFd, decoder: &Decoder, end: Instant) -> Result<bool, RunError> {
        let taps = || self.targets.iter().filter_map(|watched| watched.attached.as_ref());
        let node = self.node.iter().flat_map(Node::descriptors);
        let readable =
            iter::once(signals.as_fd()).chain(node).chain(taps().flat_map(|(_, _, taps)| taps.descriptors()));
        // Only for its end: one that sends what nobody reads must not keep this process awake.
        let mut polled = vec![PollFd::new(decoder.channel.as_fd(), PollFlags::empty())];
        polled.extend(readable.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let end = taps().filter_map(|(_, _, taps)| taps.due()).fold(end, Instant::min);
        poll(&mut polled, until(end.saturating_duration_since(Instant::now()))).map_err(system("wait"))?;
        Ok(polled.first().is_some_and(|channel| channel.any().unwrap_or_default()))
    }

    fn look_at_manifests(&mut self, decoder: &Decoder) -> Result<(), RunError> {
        let Some(directory) = self.config.manifests.clone() else { return Ok(()) };
        let unreadable = match manifests::fingerprint(&directory) {
            Ok(now) if self.manifests.as_ref() == Some(&now) => return Ok(()),
            Ok(_) => match self.send_manifests(decoder, &directory) {
                Err(RunError::Manifests(error)) => error,
                other => return other,
            },
            // Told once, until it can be read again.
            Err(_) if self.manifests.is_none() => return Ok(()),
            Err(error) => error,
        };
        self.manifests = None;
        Ok(decoder.channel.send(&Order::ManifestsUnreadable { reason: unreadable.to_string() }, &[])?)
    }

    /// Detaches from cgroups that are gone, and attaches to what has come in their place.
    fn look_at_cgroups(&mut self, decoder: &Decoder) -> Result<(), RunError> {
        for place in 0..self.targets.len() {
            let Some(watched) = self.targets.get_mut(place) else { continue };
            if exists(&watched.cgroup.directory, watched.cgroup.id)
                && let Some((_, _, taps)) = &mut watched.attached
            {
                taps.renew();
                self.tap(decoder, place)?;
                continue;
            }
            if let Some((target, attachment, _)) = watched.attached.take() {
                drop(attachment);
                info!(cgroup = %target.cgroup, "The cgroup is gone");
                decoder.channel.send(&Order::Detached { target, reason: DetachReason::CgroupGone }, &[])?;
            }
            let Sought::Target(target) = &watched.sought else { continue };
            let Ok(cgroup) = self.host.resolve(target) else { continue };
            watched.cgroup = cgroup;
            if let Err(error) = self.attach(decoder, place) {
                // It may have gone again meanwhile: the next look tells.
                error!(%error, "Cannot attach to a cgroup that has come back");
            }
        }
        self.targets
            .retain(|watched| matches!(watched.sought, Sought::Target(_)) || watched.attached.is_some());
        Ok(())
    }

    /// Detaches, lets the decoding process empty the rings, and waits for its end.
    fn stop(&mut self, mut decoder: Decoder) -> Result<ExitCode, RunError> {
        info!("Stopping");
        self.targets.iter_mut().for_each(|watched| watched.attached = None);
        decoder.channel.send(&Order::Stop, &[])?;
        let asked = Instant::now();
        while asked.elapsed() < END {
            if let Some(status) = decoder.process.try_wait().map_err(RunError::Spawn)? {
                return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            // The channel ends with the process.
            let mut polled = [PollFd::new(decoder.channel.as_fd(), PollFlags::empty())];
            poll(&mut polled, PollTimeout::from(100_u16)).map_err(system("wait"))?;
        }
        error!("The decoding process does not end; it is killed, and what it held is lost");
        let _ = decoder.process.kill();
        let _ = decoder.process.wait();
        Ok(ExitCode::FAILURE)
    }

    /// The decoding process is gone without being asked: what it knew is lost, so everything is attached anew.
    fn note_failure(&mut self, mut decoder: Decoder) -> Result<(), RunError> {
        // Already gone, unless it closed the channel and hangs. A failure to kill means that it is gone.
        let _ = decoder.process.kill();
        let status = decoder.process.wait().map_err(RunError::Spawn)?;
        error!(%status, "The decoding process failed; starting another. What was in flight is lost");
        self.targets.iter_mut().for_each(|watched| watched.attached = None);
        self.failures.retain(|failure| failure.elapsed() < FAILING);
        self.failures.push(Instant::now());
        if self.failures.len() >= MAX_FAILURES {
            return Err(RunError::Failing(self.failures.len(), FAILING));
        }
        Ok(())
    }
}

/// At least as long: what is due is not asked for over and over within the last millisecond.
fn until(left: Duration) -> PollTimeout {
    let up = left.saturating_add(Duration::from_nanos(999_999));
    PollTimeout::try_from(up).unwrap_or(PollTimeout::MAX)
}

/// An error if two cgroups have sockets in common.
fn check_apart(directories: &[&Path]) -> Result<(), RunError> {
    for (place, inner) in directories.iter().enumerate() {
        let mut others = directories.iter().enumerate().filter(|(other, _)| *other != place);
        if let Some((_, outer)) = others.find(|(_, outer)| inner.starts_with(outer)) {
            return Err(RunError::Overlap { outer: outer.to_path_buf(), inner: inner.to_path_buf() });
        }
    }
    Ok(())
}

/// Whether the directory is still the same cgroup.
fn exists(directory: &PathBuf, id: u64) -> bool {
    fs::metadata(directory).is_ok_and(|metadata| metadata.ino() == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_shorter_than_asked_for() {
        for (micros, millis) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2), (4_999_999, 5000)] {
            assert_eq!(until(Duration::from_micros(micros)).as_millis(), Some(millis), "{micros}");
        }
    }

    #[test]
    fn targets_have_no_sockets_in_common() {
        for (directories, apart) in [
            (&["/a", "/b"][..], true),
            (&["/a/b", "/a/bc"], true),
            (&["/a", "/a"], false),
            (&["/a", "/c", "/a/b"], false),
            (&["/a/b", "/a"], false),
        ] {
            let directories: Vec<&Path> = directories.iter().map(Path::new).collect();
            assert_eq!(check_apart(&directories).is_ok(), apart, "{directories:?}");
        }
    }
}
