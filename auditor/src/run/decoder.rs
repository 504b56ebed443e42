//! The process without rights: decodes, attributes, emits.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auditor_ebpf::abi::COUNTER_NAMES;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{error, info, warn};

use super::channel::{Answer, Channel, DetachReason, NotAudited, Order, Target};
use super::error::{RunError, system};
use super::objects::Objects;
use super::worker::{Input, Worker};
use super::{files, privileges, taps};
use crate::attribute::controllers::Controller;
use crate::attribute::{Attribution, manifests};
use crate::capture::kernel::attach::Handles;
use crate::capture::kernel::clock::{Clock, present};
use crate::capture::kernel::memory::{Counters, Wants};
use crate::capture::kernel::ring::Ring;
use crate::capture::sockets::Sockets;
use crate::capture::tap::watch::Coverage;
use crate::config::Config;
use crate::emit::build::{Builder, Moment};
use crate::emit::id::Domain;
use crate::emit::model::coverage::{Mode, Program, Reason, Subject, What};
use crate::emit::model::{Kind, SCHEMA_VERSION, Text};
use crate::emit::writer::{self, Outlet, Writer};
use crate::pipeline::Pipeline;

/// How long the output may take nothing at the end before it is left behind.
const LAST_WRITE: Duration = Duration::from_secs(10);
/// Room in the output, if that is a pipe: what a busy ring gives in one look. With the usual 64 KiB each write of it waits
/// twice for the reader. 1 MiB is what Linux allows everyone (`/proc/sys/fs/pipe-max-size`).
const PIPE_BYTES: i32 = 1 << 20;
/// Between two looks at what the output could not take.
const REPORT: Duration = Duration::from_secs(1);

/// Works for the process on the other end of standard input until that is done.
///
/// # Errors
/// [`RunError`].
pub fn run(start_log: impl FnOnce(&Config)) -> Result<ExitCode, RunError> {
    let inherited: OwnedFd = io::stdin().as_fd().try_clone_to_owned().map_err(RunError::Spawn)?;
    let channel = Channel::from(inherited);
    let Some((Order::Configure(config), _)) = channel.receive()? else { return Err(RunError::OutOfTurn) };
    start_log(&config);
    privileges::give_up(config.user)?;
    let output = io::stdout().as_fd().try_clone_to_owned().map_err(RunError::Spawn)?;
    // Refused where it is no pipe, or the user has too many: then it stays as it is.
    let _ = fcntl(&output, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    let (outlet, writer) = writer::start(File::from(output), config.output_queue as usize)?;
    Decoder::new(*config, channel, outlet)?.work(writer)
}

struct Decoder {
    config: Config,
    channel: Channel,
    outlet: Outlet,
    clock: Clock,
    builder: Builder,
    program: Program,
    domain: Domain,
    /// By manifests.
    attribution: Arc<Attribution>,
    /// By the API server.
    objects: Objects,
    ready: bool,
    workers: Vec<(Target, Worker)>,
    /// What was last said of each target's TLS code.
    taps: Vec<(Target, Coverage)>,
}

impl Decoder {
    fn new(config: Config, channel: Channel, outlet: Outlet) -> Result<Self, RunError> {
        let clock = Clock::now().map_err(system("read the clocks"))?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let boot: uuid::Uuid = boot.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        let program = Program {
            version: Text::from_static(env!("CARGO_PKG_VERSION")),
            schema_version: SCHEMA_VERSION,
            kernel: release.map(|release| Text::new(release.trim())),
            boot_id: Some(Text::new(&boot.to_string())),
            mode: Mode::Live,
        };
        let domain = Domain::Boot(boot);
        let attribution = Arc::new(Attribution::none());
        let begun = present(&clock).map_err(system("read the clocks"))?;
        let builder = Builder::new(config.event_settings(domain, None), Arc::clone(&attribution), begun);
        Ok(Self {
            config,
            channel,
            outlet,
            clock,
            builder,
            program,
            domain,
            attribution,
            objects: Objects::new(),
            ready: false,
            workers: Vec::new(),
            taps: Vec::new(),
        })
    }

    fn work(mut self, writer: Writer) -> Result<ExitCode, RunError> {
        self.tell(What::Start, Moment { program: Some(self.program.clone()), ..Moment::default() });
        loop {
            let (ordered, told) = self.wait()?;
            self.report_dropped();
            // One message at a time: orders do not wait for a cluster's worth of objects.
            if told {
                let notices = self.objects.receive();
                notices.into_iter().for_each(|(what, moment)| self.tell(what, moment));
            }
            self.judge_anew();
            if !ordered {
                continue;
            }
            // The end of the channel is the end of the other process: nothing is attached any more.
            let order = self.channel.receive()?;
            let Some((order, descriptors)) = order else { break };
            if matches!(order, Order::Stop) {
                break;
            }
            self.obey(order, descriptors)?;
        }
        while let Some((target, worker)) = self.workers.pop() {
            self.detach(&target, worker, DetachReason::Stopping);
        }
        self.report_dropped();
        let books = self.outlet.meter().books();
        let counters = vec![("captured", books.captured), ("dropped", books.dropped)];
        let program = Some(self.program.clone());
        self.tell(
            What::Stop,
            Moment { reason: Some(Reason::Requested), program, counters, ..Moment::default() },
        );
        drop(self.outlet);
        writer.join(LAST_WRITE)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Waits until something is to be done; gives whether there is an order, and whether there is word of objects.
    fn wait(&self) -> Result<(bool, bool), RunError> {
        let mut polled = vec![PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
        polled.extend(self.objects.descriptor().map(|objects| PollFd::new(objects, PollFlags::POLLIN)));
        let due = self.objects.due().map(|due| due.saturating_duration_since(Instant::now()));
        let limit = due.map_or(REPORT, |due| due.min(REPORT) + Duration::from_millis(1));
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        poll(&mut polled, limit).map_err(system("wait for orders"))?;
        let ready = |which: usize| polled.get(which).and_then(PollFd::any).unwrap_or_default();
        Ok((ready(0), ready(1)))
    }

    /// Has requests judged by what the API server has told, if that is another.
    fn judge_anew(&mut self) {
        let Some(notices) = self.objects.make(&self.config) else { return };
        for (target, worker) in &self.workers {
            if let Some(controller) = &target.controller {
                worker.set_attribution(&self.objects.of(&self.config, &controller.classes));
            }
        }
        // Told when it is in force.
        notices.into_iter().for_each(|(what, moment)| self.tell(what, moment));
    }

    fn obey(&mut self, order: Order, descriptors: Vec<OwnedFd>) -> Result<(), RunError> {
        match order {
            Order::Manifests => self.read_manifests(descriptors),
            Order::ManifestsUnreadable { reason } => {
                warn!(%reason, "The manifests cannot be read; the ones before stay in force");
                self.reloaded(Some(reason));
                Ok(())
            }
            Order::Attached { target, ring_bytes, cpus, sockets } => {
                let handles = Handles::received(descriptors, ring_bytes, cpus).ok_or(RunError::OutOfTurn)?;
                self.attach(target, handles, sockets)
            }
            Order::Taps { target, coverage } => {
                self.tell_taps(&target, coverage);
                Ok(())
            }
            Order::Detached { target, reason } => {
                if let Some(place) = self.workers.iter().position(|(other, _)| *other == target) {
                    let (target, worker) = self.workers.swap_remove(place);
                    self.detach(&target, worker, reason);
                }
                Ok(())
            }
            Order::Objects => {
                self.objects.come_from(descriptors.into_iter().next().ok_or(RunError::OutOfTurn)?);
                Ok(())
            }
            Order::NotAudited { controller, reason, message } => {
                let reason = match reason {
                    NotAudited::CgroupMissing => Reason::CgroupMissing,
                    NotAudited::NotAttached => Reason::Failed,
                };
                warn!(namespace = %controller.namespace, pod = %controller.pod, %message, "A pod is not audited");
                let moment = Moment { reason: Some(reason), message: Some(message), ..Moment::default() };
                self.tell_of(Some(&controller), What::NotCovered, moment);
                Ok(())
            }
            Order::Resumed => {
                self.tell(What::Gap, Moment { reason: Some(Reason::Failed), ..Moment::default() });
                Ok(())
            }
            Order::Configure(_) | Order::Stop => Err(RunError::OutOfTurn),
        }
    }

    /// New manifests, or none at all for the first time.
    fn read_manifests(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), RunError> {
        let objects = match descriptors.into_iter().next() {
            Some(memory) => files::unpack(memory)
                .map_err(|error| error.to_string())
                .and_then(|files| manifests::parse_all(&files).map_err(|error| error.to_string()))
                .map(|objects| Attribution::new(&objects, &self.config.route_options())),
            None => Ok(Attribution::none()),
        };
        let first = !std::mem::replace(&mut self.ready, true);
        match objects {
            Ok(attribution) => {
                for problem in attribution.routes.problems() {
                    warn!(%problem, "A part of an object cannot be used");
                }
                self.attribution = Arc::new(attribution);
                self.workers.iter().for_each(|(_, worker)| worker.set_attribution(&self.attribution));
                if first {
                    self.channel.send(&Answer::Ready, &[])?;
                } else {
                    info!("The manifests have changed and are in force");
                    self.reloaded(None);
                }
            }
            Err(reason) if first => self.channel.send(&Answer::Refused { reason }, &[])?,
            Err(reason) => {
                warn!(%reason, "The changed manifests are invalid; the ones before stay in force");
                self.reloaded(Some(reason));
            }
        }
        Ok(())
    }

    fn reloaded(&mut self, error: Option<String>) {
        let reason = error.as_ref().map(|_| Reason::InvalidObject);
        self.tell(What::Reload, Moment { reason, message: error, ..Moment::default() });
    }

    fn attach(&mut self, target: Target, handles: Handles, sockets: Option<Sockets>) -> Result<(), RunError> {
        let map = system("map the kernel's memory");
        let input = Input {
            ring: Ring::new(handles.ring, handles.ring_bytes).map_err(&map)?,
            wants: Wants::new(&handles.wants).map_err(&map)?,
            counters: Counters::new(&handles.counters, handles.cpus).map_err(&map)?,
            clock: self.clock,
            pause: Duration::from_millis(self.config.poll_interval_ms.into()),
        };
        let controller = target.controller.as_deref();
        let settings = self.config.event_settings(self.domain, controller);
        let limits = self.config.pipeline_limits();
        let attribution = match controller {
            Some(controller) => self.objects.of(&self.config, &controller.classes),
            None => Arc::clone(&self.attribution),
        };
        let listeners: Vec<SocketAddr> =
            sockets.iter().flat_map(|sockets| &sockets.listeners).map(|listener| listener.address).collect();
        // Later than the decoder's own, and than any other target's.
        let begun = present(&self.clock).map_err(system("read the clocks"))?;
        let pipeline = move |wants| {
            let mut pipeline = Pipeline::new(limits, settings, attribution, begun, wants);
            pipeline.set_listeners(listeners);
            pipeline.set_tapped(0);
            pipeline
        };
        let name = format!("drain-{}", target.number);
        let worker = Worker::start(name, input, pipeline, self.outlet.another()).map_err(RunError::Spawn)?;
        info!(cgroup = %target.cgroup, "Attached");
        let moment = Moment { subject: Some(subject(&target)), ..Moment::default() };
        self.tell_of(target.controller.as_deref(), What::Attach, moment);
        self.tell_sockets(&target, sockets);
        self.workers.push((target, worker));
        Ok(())
    }

    /// Says which sockets of the controller are not seen, or not from their start.
    fn tell_sockets(&mut self, target: &Target, sockets: Option<Sockets>) {
        let not_covered = |decoder: &mut Self, reason, count, message: String| {
            let (subject, message) = (Some(subject(target)), Some(message));
            let moment = Moment { reason: Some(reason), subject, count, message, ..Moment::default() };
            decoder.tell_of(target.controller.as_deref(), What::NotCovered, moment);
        };
        let Some(sockets) = sockets else {
            let message = "the sockets that were open before are not known".to_owned();
            return not_covered(self, Reason::NotSupported, None, message);
        };
        for foreign in &sockets.foreign {
            let message = format!(
                "the listener {} was made in another cgroup: its traffic is not seen",
                foreign.address
            );
            warn!(listener = %foreign.address, "A listener was made in another cgroup; its traffic is not seen");
            not_covered(self, Reason::ForeignSocket, Some(1), message);
        }
        let unread = sockets.unreadable_processes + sockets.unreadable_namespaces;
        if unread > 0 {
            let message = "processes or network namespaces whose sockets could not be listed".to_owned();
            not_covered(self, Reason::NotSupported, Some(unread), message);
        }
        if sockets.foreign_established > 0 {
            let message = "connections on sockets that were made in another cgroup".to_owned();
            not_covered(self, Reason::ForeignSocket, Some(sockets.foreign_established), message);
        }
        if sockets.established > 0 {
            let message = "connections that were open before".to_owned();
            not_covered(self, Reason::JoinedInTheMiddle, Some(sockets.established), message);
        }
    }

    /// Says which TLS code of the controller is not covered.
    fn tell_taps(&mut self, target: &Target, coverage: Coverage) {
        let place = self.taps.iter().position(|(other, _)| other == target);
        let before = place.map(|place| self.taps.swap_remove(place).1).unwrap_or_default();
        let worker = self.workers.iter().find(|(other, _)| other == target);
        if let (Some((_, worker)), true) = (worker, taps::is_more(&coverage, &before)) {
            worker.tapped();
        }
        for message in taps::not_covered(&coverage, &before) {
            let (reason, subject) = (Some(Reason::NotSupported), Some(subject(target)));
            let moment = Moment { reason, subject, message: Some(message), ..Moment::default() };
            self.tell_of(target.controller.as_deref(), What::NotCovered, moment);
        }
        self.taps.push((target.clone(), coverage));
    }

    fn detach(&mut self, target: &Target, worker: Worker, reason: DetachReason) {
        self.taps.retain(|(other, _)| other != target);
        let counted = worker.finish();
        if counted.is_none() {
            error!(cgroup = %target.cgroup, "The thread that drains this cgroup's ring failed; what it held is lost");
        }
        let reason = match (reason, &counted) {
            (_, None) => Reason::Failed,
            (DetachReason::Stopping, _) => Reason::Requested,
            (DetachReason::CgroupGone, _) => Reason::CgroupGone,
        };
        let counters = COUNTER_NAMES.into_iter().zip(counted.unwrap_or_default()).collect();
        let subject = Some(subject(target));
        let moment = Moment { reason: Some(reason), subject, counters, ..Moment::default() };
        self.tell_of(target.controller.as_deref(), What::Detach, moment);
        let workers = &self.workers;
        let served =
            |target: &Target| target.controller.as_ref().map(|controller| controller.classes.clone());
        let served: BTreeSet<_> = workers.iter().filter_map(|(target, _)| served(target)).collect();
        self.objects.keep(|classes| served.contains(classes));
    }

    /// Says what the output could not take.
    fn report_dropped(&mut self) {
        let Some(dropped) = self.outlet.take_dropped() else { return };
        let reason = if dropped.closed { Reason::OutputClosed } else { Reason::OutputBlocked };
        let counters = Kind::ALL.iter().zip(dropped.by_kind).filter(|(_, count)| *count > 0);
        let counters = counters.map(|(kind, count)| (kind.name(), count)).collect();
        error!(
            ?reason,
            events = dropped.by_kind.iter().sum::<u64>(),
            "Events were dropped: the output does not take them"
        );
        let count = Some(dropped.by_kind.iter().sum());
        self.tell(What::Loss, Moment { reason: Some(reason), count, counters, ..Moment::default() });
    }

    fn tell(&mut self, what: What, moment: Moment) {
        self.tell_of(None, what, moment);
    }

    /// The same of a pod, where that is known.
    fn tell_of(&mut self, controller: Option<&Controller>, what: What, moment: Moment) {
        let now = present(&self.clock).unwrap_or_default();
        self.builder.set_shift(self.clock.drift().unwrap_or_default());
        let mut event = self.builder.moment(what, now, moment);
        if controller.is_some() {
            event.source = self.config.event_settings(self.domain, controller).source;
        }
        self.outlet.send(vec![event]);
    }
}

fn subject(target: &Target) -> Subject {
    Subject { cgroup: Some(Text::new(&target.cgroup)), ..Subject::default() }
}
