//! The narrow, typed channels between the process that attaches, the one that decodes, and the one that watches the API server.
//!
//! A Unix socket of type `SOCK_SEQPACKET`: one packet is one message, JSON, with file descriptors beside it. Either side
//! notices the other's death as the end of the channel. What is large travels as a memory file: manifests, and messages
//! beyond the packet's bound (a controller may have thousands of listeners). Only the process without rights reads such
//! files: the other takes nothing from it but short answers.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::files;
use crate::attribute::controllers::Controller;
use crate::attribute::store::Change;
use crate::attribute::watch::Problem;
use crate::capture::sockets::Sockets;
use crate::capture::tap::watch::Coverage;

/// Largest message in a packet.
const MAX_MESSAGE: usize = 128 << 10;
/// Largest message in a memory file: some hundred thousand listeners.
const MAX_FILED: u64 = 64 << 20;
/// What a packet holds whose message is in the last descriptor. No JSON text.
const FILED: &[u8] = b"@";
/// Most descriptors beside a message.
const MAX_DESCRIPTORS: usize = 4;

/// What the privileged process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// First message: what to do.
    Configure(Box<crate::config::Config>),
    /// The manifests, as read from disk; beside it a memory file with them, in the form of [`super::files`].
    Manifests,
    /// The manifests could not be read.
    ManifestsUnreadable { reason: String },
    /// Programs are attached; beside it the ring, the wants, the counters.
    Attached { target: Target, ring_bytes: u32, cpus: u32, sockets: Option<Sockets> },
    /// What of the target's TLS code is tapped; again whenever that changes.
    Taps { target: Target, coverage: Coverage },
    /// Programs are detached: what is in the ring is all there will be.
    Detached { target: Target, reason: DetachReason },
    /// The objects of a cluster come from a process that watches them; beside it the end of a channel to that one, on which
    /// lists of [`Told`] come.
    Objects,
    /// A pod carries ingress traffic and is not audited, and why.
    NotAudited { controller: Box<Controller>, reason: NotAudited, message: String },
    /// The process before this one failed; what was in flight is lost.
    Resumed,
    /// Drain, report, end.
    Stop,
}

/// What the unprivileged process answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The manifests were understood; waiting for traffic.
    Ready,
    /// Cannot start, and why.
    Refused { reason: String },
}

/// Why a pod is not audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NotAudited {
    /// Its cgroup is not found.
    CgroupMissing,
    /// Programs cannot be attached to it.
    NotAttached,
}

/// What the process that watches the API server says to the one with rights: which pods, and no more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sighting {
    /// It watches.
    Ready,
    /// It cannot, and why.
    Refused { reason: String },
    /// A pod carries ingress traffic.
    Found(Box<Controller>),
    /// It is gone.
    Lost { uid: String },
    /// All that there are have been told.
    Complete,
}

/// What it says to the one that decodes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// An object has changed.
    Change(Change),
    /// A resource cannot be watched, or can again.
    State { resource: String, problem: Option<Problem> },
}

/// A cgroup that is audited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Target {
    /// The pod that it is of, as far as that is known.
    pub(super) controller: Option<Box<Controller>>,
    /// Its directory, as the host names it.
    pub(super) cgroup: String,
    /// Numbers the attachments of one run: a cgroup that is attached again is a new target.
    pub(super) number: u32,
}

/// Why programs were detached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DetachReason {
    /// The auditor is told to stop.
    Stopping,
    /// The cgroup is gone.
    CgroupGone,
}

/// Why the channel failed.
#[derive(Debug, Error)]
pub(super) enum ChannelError {
    /// The system refused.
    #[error("the channel between the two processes failed")]
    System(#[from] Errno),
    /// A message that is too large for a packet could not be put into a file, or read from it.
    #[error("a large message between the two processes cannot be handed over")]
    File(#[source] std::io::Error),
    /// A message that this version does not know, or too large a one.
    #[error("a message between the two processes is not understood")]
    Message(#[from] serde_json::Error),
}

/// One end.
#[derive(Debug)]
pub(super) struct Channel {
    socket: OwnedFd,
    /// The other end may be believed, and may send files.
    trusting: bool,
}

impl Channel {
    /// Both ends. Neither survives `exec` unless its owner says so.
    pub(super) fn pair() -> Result<(Self, Self), ChannelError> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self { socket: a, trusting: false }, Self { socket: b, trusting: true }))
    }

    /// Sends a message with descriptors beside it.
    pub(super) fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let mut bytes = serde_json::to_vec(message)?;
        let mut raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let filed = (bytes.len() > MAX_MESSAGE).then(|| files::file("auditor-message", &bytes));
        let filed = filed.transpose().map_err(ChannelError::File)?;
        if let Some(file) = &filed {
            bytes = FILED.to_vec();
            raw.push(file.as_raw_fd());
        }
        if raw.len() > MAX_DESCRIPTORS {
            return Err(Errno::EMSGSIZE.into());
        }
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights[..] };
        sendmsg::<()>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(&bytes)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        Ok(())
    }

    /// Receives a message; `None` when the other side is gone.
    #[expect(unsafe_code, reason = "received descriptors arrive as numbers")]
    pub(super) fn receive<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>, ChannelError> {
        let mut bytes = vec![0; MAX_MESSAGE];
        let mut control = cmsg_space!([RawFd; MAX_DESCRIPTORS]);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let received = loop {
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Ok(None),
                other => break other?,
            }
        };
        let mut descriptors = Vec::new();
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = message {
                // SAFETY: the kernel has just made these descriptors for this process.
                descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
            }
        }
        if received.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
            return Err(Errno::EMSGSIZE.into());
        }
        let len = received.bytes;
        if len == 0 {
            return Ok(None);
        }
        let bytes = bytes.get(..len).unwrap_or_default();
        if bytes == FILED
            && self.trusting
            && let Some(file) = descriptors.pop()
        {
            let bytes = files::content(file, MAX_FILED).map_err(ChannelError::File)?;
            return Ok(Some((serde_json::from_slice(&bytes)?, descriptors)));
        }
        Ok(Some((serde_json::from_slice(bytes)?, descriptors)))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<OwnedFd> for Channel {
    /// The end that was handed to the process without rights.
    fn from(socket: OwnedFd) -> Self {
        Self { socket, trusting: true }
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.socket
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::sockets::Listener;

    fn attached(listeners: u16) -> Order {
        let listener =
            |port| Listener { address: ([127, 0, 0, 1], port).into(), inode: 1, cgroup_id: Some(2) };
        let sockets = Sockets { listeners: (0..listeners).map(listener).collect(), ..Sockets::default() };
        let target = Target { controller: None, cgroup: "/ingress".to_owned(), number: 1 };
        Order::Attached { target, ring_bytes: 1, cpus: 1, sockets: Some(sockets) }
    }

    #[test]
    fn a_message_of_any_size_comes_with_its_descriptors() {
        let (ours, theirs) = Channel::pair().unwrap();
        let (file, _other) = nix::unistd::pipe().unwrap();
        for listeners in [1, 20_000] {
            ours.send(&attached(listeners), &[file.as_fd()]).unwrap();
            let (order, descriptors) = theirs.receive::<Order>().unwrap().unwrap();
            let Order::Attached { sockets: Some(sockets), .. } = order else { panic!("{order:?}") };
            assert_eq!((sockets.listeners.len(), descriptors.len()), (usize::from(listeners), 1));
        }
    }

    #[test]
    fn the_process_with_rights_reads_no_file_of_the_other() {
        let (ours, theirs) = Channel::pair().unwrap();
        let reason = "x".repeat(MAX_MESSAGE);
        theirs.send(&Answer::Refused { reason }, &[]).unwrap();
        assert!(ours.receive::<Answer>().is_err());
    }
}
