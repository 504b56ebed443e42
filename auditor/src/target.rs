//! From what a person can name (a cgroup, a systemd unit, a process, a listening port) to one cgroup v2 directory.
//!
//! Consumes `/proc` and the cgroup tree; produces a [`Cgroup`]. Nothing is guessed: two answers are an error that names
//! both, and the root of the tree is refused. Reads are bounded, and what cannot be parsed in `/proc` is passed over.

mod host;
mod parse;
mod pods;

use std::fmt;
use std::io;
use std::path::PathBuf;

pub use host::Host;
pub use parse::CgroupMount;
pub(crate) use parse::socket_inode;
pub use pods::{Made, Pods};

/// What a person names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A directory of the cgroup v2 tree, absolute, or as `/proc/PID/cgroup` writes it.
    Cgroup(PathBuf),
    /// A systemd unit, with its suffix: `nginx.service`.
    Unit(String),
    /// A process, by its number in this pid namespace.
    Pid(u32),
    /// A listening TCP port: the cgroup of the processes that hold its sockets.
    Port(u16),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cgroup(path) => write!(f, "cgroup {}", path.display()),
            Self::Unit(name) => write!(f, "unit {name}"),
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::Port(port) => write!(f, "port {port}"),
        }
    }
}

/// A directory of the cgroup v2 tree, not its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// The directory, absolute, without symbolic links.
    pub directory: PathBuf,
    /// Its path from the mounted root, with a leading slash: as `/proc/PID/cgroup` writes it.
    pub path: PathBuf,
    /// The kernel's number of it (`bpf_get_current_cgroup_id`): the directory's inode.
    pub id: u64,
}

/// A process that holds a listening socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The cgroup, as `/proc/PID/cgroup` writes it.
    pub cgroup: PathBuf,
    /// The process.
    pub pid: u32,
    /// Its command, as the kernel shows it (at most 15 bytes, set by the process itself).
    pub command: String,
}

/// Several of something, for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl fmt::Display for List<Owner> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, owner) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{} (process {}, {:?})", owner.cgroup.display(), owner.pid, owner.command)?;
        }
        Ok(())
    }
}

impl fmt::Display for List<PathBuf> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, path) in self.0.iter().enumerate() {
            write!(f, "{}{}", if n == 0 { "" } else { ", " }, path.display())?;
        }
        Ok(())
    }
}

/// Why a target is no cgroup.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The tree is not mounted where this process can see it.
    #[error("no cgroup v2 tree is mounted here (none in {}): mount one, or run where it is visible", .0.display())]
    NoCgroup2(PathBuf),
    /// The kernel's older interface alone: programs cannot be attached to its cgroups.
    #[error(
        "this node has cgroup v1 only (no cgroup2 in {}): its pods cannot be audited; boot it with \
             systemd.unified_cgroup_hierarchy=1, or with a distribution of which cgroup v2 is the default", .0.display()
    )]
    OnlyCgroup1(PathBuf),
    /// The root holds every process of the host.
    #[error(
        "{0} is the root of the cgroup tree, which holds every process of this host, not only the controller: \
             give the controller a cgroup of its own (a systemd unit, a container) and name that"
    )]
    Root(Target),
    /// The directory does not exist, or is outside the tree.
    #[error("{} is not a directory of the cgroup v2 tree at {}", path.display(), mount.display())]
    NotACgroup {
        /// What was named.
        path: PathBuf,
        /// Where the tree is mounted.
        mount: PathBuf,
    },
    /// The process has a cgroup that is outside of what is mounted here.
    #[error("{target} is in the cgroup {}, which is outside of the part of the tree mounted at {}", cgroup.display(), mount.display())]
    OutOfView {
        /// What was named.
        target: Target,
        /// The cgroup, as the kernel writes it.
        cgroup: PathBuf,
        /// Where the tree is mounted.
        mount: PathBuf,
    },
    /// The process is in no cgroup v2.
    #[error("process {0} is in no cgroup v2")]
    NotInCgroup2(u32),
    /// There is no such process.
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// No such directory in the tree.
    #[error("no running unit {unit}: no directory of that name under {}", mount.display())]
    NoUnit {
        /// What was named.
        unit: String,
        /// Where the tree is mounted.
        mount: PathBuf,
    },
    /// Several directories have the name.
    #[error("several cgroups have the name {unit}: {found}: name one with a cgroup path")]
    SeveralUnits {
        /// What was named.
        unit: String,
        /// The directories.
        found: List<PathBuf>,
    },
    /// The search was given up.
    #[error("more than {0} cgroups: name the controller's with a cgroup path")]
    TreeTooLarge(usize),
    /// Nobody listens.
    #[error("nobody listens on TCP port {0}")]
    NotListening(u16),
    /// Somebody listens, and no process that can be seen here holds the socket.
    #[error(
        "TCP port {0} is listened on, but no process that can be seen here holds the socket: run as root, in the host's pid namespace"
    )]
    NoOwner(u16),
    /// The owners are in different cgroups.
    #[error("TCP port {port} is listened on from several cgroups: {owners}: name one with a cgroup path")]
    SeveralOwners {
        /// What was named.
        port: u16,
        /// One process for each cgroup.
        owners: List<Owner>,
    },
    /// A file of the system could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
