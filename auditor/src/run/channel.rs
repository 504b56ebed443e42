//! The narrow, typed channel between the process that attaches and the process that decodes.
//!
//! A Unix socket of type `SOCK_SEQPACKET`: one packet is one message, JSON, with file descriptors beside it. Either side
//! notices the other's death as the end of the channel. What is large (manifests) travels as a memory file.

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

use crate::capture::sockets::Sockets;

/// Largest message. The configuration is the largest thing sent.
const MAX_MESSAGE: usize = 128 << 10;
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
    /// Programs are detached: what is in the ring is all there will be.
    Detached { target: Target, reason: DetachReason },
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

/// A cgroup that is audited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Target {
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
    /// A message that this version does not know, or too large a one.
    #[error("a message between the two processes is not understood")]
    Message(#[from] serde_json::Error),
}

/// One end.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

impl Channel {
    /// Both ends. Neither survives `exec` unless its owner says so.
    pub(super) fn pair() -> Result<(Self, Self), ChannelError> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self(a), Self(b)))
    }

    /// Sends a message with descriptors beside it.
    pub(super) fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ChannelError> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MAX_MESSAGE || descriptors.len() > MAX_DESCRIPTORS {
            return Err(Errno::EMSGSIZE.into());
        }
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights[..] };
        sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(&bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
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
            match recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut control), flags) {
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
        Ok(Some((serde_json::from_slice(bytes.get(..len).unwrap_or_default())?, descriptors)))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Channel {
    fn from(end: OwnedFd) -> Self {
        Self(end)
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}
