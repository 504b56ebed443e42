//! The pods of a node that are to be audited, in the process with rights.
//!
//! Consumes what the watching process sees (uids and names, no more) and the node's cgroup tree; produces the cgroups to
//! attach to. Once a pod is found, its cgroup is looked for as soon as it is told of and as soon as it is made.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::{info, warn};

use super::channel::{Channel, NotAudited, Order, Sighting};
use super::error::{Refusal, RunError, system};
use crate::attribute::controllers::Controller;
use crate::attribute::watch::MAX_CONTROLLERS;
use crate::config::Config;
use crate::target::{Cgroup, Host, Pods, TargetError};

/// How long the watching process may take to begin.
const BEGIN: Duration = Duration::from_secs(60);
/// Between two of them.
const AGAIN: Duration = Duration::from_secs(10);
/// Sightings that are taken at once.
const AT_ONCE: usize = 64;
/// After so long a pod's cgroup is missing. The kubelet makes it before it does anything else for the pod.
const MISSING: Duration = Duration::from_secs(30);

/// The pods of this node.
pub(super) struct Node {
    pods: Pods,
    wanted: BTreeMap<String, Wanted>,
    watcher: Option<Watcher>,
    /// When the last one was started.
    started: Option<Instant>,
}

/// A pod that is to be audited.
struct Wanted {
    controller: Controller,
    since: Instant,
    /// It was told that it is not audited.
    told: bool,
    /// The present watching process has seen it.
    seen: bool,
}

/// The process that watches. Ends with its guard.
struct Watcher {
    channel: Channel,
    process: Child,
}

/// A pod's cgroup.
pub(super) type Found = (Controller, Cgroup);

impl Node {
    pub(super) fn new(host: &Host) -> Result<Self, TargetError> {
        Ok(Self { pods: Pods::new(host)?, wanted: BTreeMap::new(), watcher: None, started: None })
    }

    /// Starts the watching process, and hands the decoding process its end of the channel between the two.
    pub(super) fn start(&mut self, config: &Config, decoder: &Channel) -> Result<(), RunError> {
        self.watcher = None;
        self.started = Some(Instant::now());
        self.wanted.values_mut().for_each(|wanted| wanted.seen = false);
        let (channel, theirs) = Channel::pair()?;
        let process = Command::new("/proc/self/exe")
            .arg0("auditor")
            .arg("watch")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // Events are the decoding process's alone.
            .stdout(Stdio::null())
            .spawn()
            .map_err(RunError::Spawn)?;
        let watcher = Watcher { channel, process };
        let (from, to) = Channel::pair()?;
        watcher.channel.send(&Order::Configure(Box::new(config.clone())), &[from.as_fd()])?;
        // Only theirs is left: its end is the end of the channel.
        drop(from);
        if !readable(&watcher.channel, BEGIN)? {
            return Err(RunError::Silent);
        }
        match watcher.channel.receive()? {
            Some((Sighting::Ready, _)) => {}
            Some((Sighting::Refused { reason }, _)) => return Err(RunError::Refused(Refusal(reason.into()))),
            _ => return Err(RunError::OutOfTurn),
        }
        decoder.send(&Order::Objects, &[to.as_fd()])?;
        self.watcher = Some(watcher);
        Ok(())
    }

    /// Starts another watching process where that has failed.
    pub(super) fn restart(&mut self, config: &Config, decoder: &Channel) -> Result<(), RunError> {
        let waits = self.started.is_some_and(|started| started.elapsed() < AGAIN);
        if self.watcher.is_some() || waits {
            return Ok(());
        }
        match self.start(config, decoder) {
            Err(RunError::Channel(error)) => Err(RunError::Channel(error)),
            Err(error) => {
                warn!(%error, "The API server is not watched; trying again");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// What is to be waited for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let watcher = self.watcher.as_ref().map(|watcher| watcher.channel.as_fd());
        watcher.into_iter().chain(self.pods.descriptor())
    }

    /// Takes what was seen, and gives the cgroups of the pods that are wanted and have one now.
    pub(super) fn heed(&mut self) -> Vec<Found> {
        let is_more = self.hear();
        let uids: BTreeSet<String> = self.wanted.keys().cloned().collect();
        let made = self.pods.made(&uids);
        let mut found = made.cgroups;
        if is_more || made.unsure {
            found.extend(self.look_for(&uids));
        }
        self.with_controllers(found)
    }

    /// Looks for the cgroups of pods of which none is `attached`.
    pub(super) fn look(&mut self, attached: &BTreeSet<&str>) -> Vec<Found> {
        let without = self.wanted.keys().filter(|uid| !attached.contains(uid.as_str()));
        let without: BTreeSet<String> = without.cloned().collect();
        if without.is_empty() {
            return Vec::new();
        }
        let found = self.look_for(&without);
        self.with_controllers(found)
    }

    /// Pods without a cgroup for long, each once.
    pub(super) fn missing(&mut self, attached: &BTreeSet<&str>) -> Vec<Order> {
        let late = self.wanted.iter_mut().filter(|(uid, wanted)| {
            !wanted.told && wanted.since.elapsed() >= MISSING && !attached.contains(uid.as_str())
        });
        let tell = |(_, wanted): (_, &mut Wanted)| {
            wanted.told = true;
            let message = "no cgroup of this pod is found on this node: run with the node's processes in view (hostPID)";
            not_audited(&wanted.controller, NotAudited::CgroupMissing, message.to_owned())
        };
        late.map(tell).collect()
    }

    /// What to tell of a pod that cannot be attached to, if that was not told before.
    pub(super) fn failed(&mut self, controller: &Controller, error: &RunError) -> Option<Order> {
        let wanted = self.wanted.get_mut(&controller.uid)?;
        let first = !std::mem::replace(&mut wanted.told, true);
        first.then(|| not_audited(controller, NotAudited::NotAttached, error.to_string()))
    }

    /// Takes sightings; gives whether there are more pods than before.
    fn hear(&mut self) -> bool {
        let mut is_more = false;
        for _ in 0..AT_ONCE {
            let Some(watcher) = &self.watcher else { break };
            match readable(&watcher.channel, Duration::ZERO) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    warn!(%error, "The process that watches the API server cannot be heard");
                    self.watcher = None;
                    break;
                }
            }
            match watcher.channel.receive() {
                Ok(Some((sighting, _))) => is_more |= self.see(sighting),
                Ok(None) => {
                    warn!("The process that watches the API server failed; starting another");
                    self.watcher = None;
                }
                Err(error) => {
                    warn!(%error, "The process that watches the API server is not understood; starting another");
                    self.watcher = None;
                }
            }
        }
        is_more
    }

    fn see(&mut self, sighting: Sighting) -> bool {
        match sighting {
            Sighting::Found(controller) => {
                let uid = controller.uid.clone();
                if let Some(wanted) = self.wanted.get_mut(&uid) {
                    wanted.controller = *controller;
                    wanted.seen = true;
                    return false;
                }
                // Its own bound is the same; this one holds whatever it says.
                if self.wanted.len() >= 2 * MAX_CONTROLLERS {
                    return false;
                }
                info!(kind = %controller.kind, namespace = %controller.namespace, pod = %controller.pod, "An ingress controller");
                let since = Instant::now();
                self.wanted.insert(uid, Wanted { controller: *controller, since, told: false, seen: true });
                true
            }
            Sighting::Lost { uid } => {
                self.wanted.remove(&uid);
                false
            }
            Sighting::Complete => {
                self.wanted.retain(|_, wanted| wanted.seen);
                false
            }
            Sighting::Ready | Sighting::Refused { .. } => false,
        }
    }

    fn look_for(&mut self, uids: &BTreeSet<String>) -> Vec<(String, Cgroup)> {
        self.pods.look(uids).unwrap_or_else(|error| {
            warn!(%error, "The cgroups of pods cannot be looked for");
            Vec::new()
        })
    }

    fn with_controllers(&self, found: Vec<(String, Cgroup)>) -> Vec<Found> {
        let with = |(uid, cgroup)| Some((self.wanted.get::<String>(&uid)?.controller.clone(), cgroup));
        found.into_iter().filter_map(with).collect()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It holds nothing that could be lost.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn not_audited(controller: &Controller, reason: NotAudited, message: String) -> Order {
    Order::NotAudited { controller: Box::new(controller.clone()), reason, message }
}

fn readable(channel: &Channel, limit: Duration) -> Result<bool, RunError> {
    let mut polled = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    Ok(poll(&mut polled, limit).map_err(system("wait"))? > 0)
}
