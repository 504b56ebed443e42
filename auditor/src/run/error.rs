//! Why `auditor run` failed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;

use super::channel::ChannelError;
use super::privileges::PrivilegeError;
use crate::attribute::manifests::ManifestError;
use crate::capture::kernel::attach::AttachError;
use crate::emit::writer::WriteError;
use crate::target::TargetError;

/// Why `auditor run` failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A target is no cgroup.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Two targets have sockets in common: each of their requests would be told of twice.
    #[error("the cgroup {} lies in {}, which is audited as well: name one of them", inner.display(), outer.display())]
    Overlap {
        /// The one.
        outer: PathBuf,
        /// In it, or the same.
        inner: PathBuf,
    },
    /// The manifests could not be read.
    #[error(transparent)]
    Manifests(#[from] ManifestError),
    /// The programs could not be attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The two processes could not talk.
    #[error(transparent)]
    Channel(#[from] ChannelFailure),
    /// The other process spoke out of turn.
    #[error("the two processes do not understand each other: both must be the same program")]
    OutOfTurn,
    /// A process could not be started.
    #[error("cannot start another process")]
    Spawn(#[source] io::Error),
    /// It could not begin its work.
    #[error("{0}")]
    Refused(Refusal),
    /// The process that watches the API server did not begin its work in time.
    #[error("the process that watches the API server does not answer")]
    Silent,
    /// It failed again and again.
    #[error("the decoding process failed {0} times within {1:?}")]
    Failing(usize, Duration),
    /// The system refused something.
    #[error("cannot {what}")]
    System {
        /// What was asked.
        what: &'static str,
        /// Why not.
        #[source]
        source: Errno,
    },
    /// Events could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Rights could not be given up.
    #[error(transparent)]
    Privileges(#[from] Unrelieved),
}

/// What the decoding process said when it could not begin.
#[derive(Debug)]
pub struct Refusal(pub(super) Box<str>);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The channel between the processes failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ChannelFailure(#[from] ChannelError);

/// Rights could not be given up.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Unrelieved(#[from] PrivilegeError);

impl From<ChannelError> for RunError {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error.into())
    }
}

impl From<PrivilegeError> for RunError {
    fn from(error: PrivilegeError) -> Self {
        Self::Privileges(error.into())
    }
}

/// Says what the system was asked for when it refused.
pub(super) fn system(what: &'static str) -> impl Fn(Errno) -> RunError {
    move |source| RunError::System { what, source }
}
