//! Which sockets a controller has, and which of them the programs on its cgroup will not see.
//!
//! Consumes a cgroup directory, `/proc`, and the kernel's own list (`sock_diag(7)`). Produces [`Sockets`]. A socket belongs
//! to the cgroup it was *created* in, for its whole life: one that was passed on (socket activation, an inherited
//! listener) or whose process was moved is not seen by programs on the process's cgroup, and must be named in a coverage
//! event. Sockets are told apart by the inode in `/proc/PID/fd` and by the cgroup's number in `INET_DIAG_CGROUP_ID`
//! (Linux 5.8); a kernel without it leaves the number unknown.
//!
//! A snapshot: what opens or closes while it is taken may be in it or not. The list of the network namespace that the caller
//! lives in needs no right; that of another needs `CAP_SYS_ADMIN`, and descriptors of other users' processes need
//! `CAP_SYS_PTRACE`: what could not be looked at is counted.

mod diag;
pub(super) mod processes;

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use diag::{Socket, State};
use processes::Holdings;

/// A TCP socket that listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Listener {
    /// Where. An unspecified IPv6 address may take IPv4 connections too.
    pub address: SocketAddr,
    /// Its inode, as in `socket:[INODE]`.
    pub inode: u64,
    /// The cgroup it was created in; none if the kernel does not say.
    pub cgroup_id: Option<u64>,
}

/// A listener that the controller holds, but whose traffic the programs on the controller's cgroup do not see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Foreign {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its inode, as in `socket:[INODE]`.
    pub inode: u64,
    /// The cgroup it was created in: the inode of that cgroup's directory, if it still has one.
    pub cgroup_id: u64,
}

/// The sockets of a controller at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sockets {
    /// Listeners that the programs see, by address.
    pub listeners: Vec<Listener>,
    /// Listeners that they do not see, by address.
    pub foreign: Vec<Foreign>,
    /// Open connections that the programs see from now on, not from their start.
    pub established: u64,
    /// Open connections that they do not see.
    pub foreign_established: u64,
    /// Processes of the cgroup whose descriptors could not be looked at.
    pub unreadable_processes: u64,
    /// Network namespaces whose sockets could not be listed.
    pub unreadable_namespaces: u64,
}

/// Why the sockets are not known.
#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    /// The cgroup could not be read.
    #[error("cannot read the cgroup {}", path.display())]
    Cgroup {
        /// The file or directory in question.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The cgroup holds more cgroups than are looked at.
    #[error("there are more than {most} cgroups below {}", path.display())]
    TreeTooLarge {
        /// The directory in question.
        path: PathBuf,
        /// The bound.
        most: usize,
    },
    /// The kernel could not be asked.
    #[error("cannot ask the kernel for its sockets (sock_diag)")]
    Ask(#[source] io::Error),
    /// The kernel's answer makes no sense.
    #[error("the kernel's list of sockets cannot be read")]
    Answer(#[from] netlink_packet_core::DecodeError),
    /// The kernel's answer is cut off.
    #[error("the kernel's list of sockets is cut off")]
    CutOff,
}

/// The sockets of the processes in `cgroup`, a cgroup v2 directory, and in those below it.
///
/// # Errors
///
/// [`SocketsError`]. A process or a namespace that cannot be looked at is no error: it is counted.
pub fn learn(cgroup: &Path) -> Result<Sockets, SocketsError> {
    let subtree = processes::subtree(cgroup)?;
    let holdings = processes::holdings(&subtree)?;
    let mut sockets = diag::list()?;
    let mut unreadable_namespaces = 0;
    for namespace in holdings.other_namespaces.values() {
        match diag::list_in(namespace) {
            Ok(more) => sockets.extend(more),
            Err(_) => unreadable_namespaces += 1,
        }
    }
    let cgroups = subtree.into_iter().map(|cgroup| cgroup.id).collect();
    Ok(Sockets { unreadable_namespaces, ..classify(&sockets, &cgroups, &holdings) })
}

fn classify(sockets: &[Socket], cgroups: &HashSet<u64>, holdings: &Holdings) -> Sockets {
    let mut out = Sockets { unreadable_processes: holdings.unreadable, ..Sockets::default() };
    for &Socket { state, address, inode, cgroup_id } in sockets {
        // A connection that waits to be accepted has no inode yet.
        let held = inode != 0 && holdings.inodes.contains(&inode);
        let created_in = cgroup_id.map(|id| (id, cgroups.contains(&id)));
        match (state, created_in) {
            (State::Listening, Some((id, false))) if held => {
                out.foreign.push(Foreign { address, inode, cgroup_id: id });
            }
            (State::Open, Some((_, false))) if held => out.foreign_established += 1,
            (_, Some((_, false))) => {}
            (_, None) if !held => {}
            (State::Listening, _) => out.listeners.push(Listener { address, inode, cgroup_id }),
            (State::Open, _) => out.established += 1,
        }
    }
    out.listeners.sort();
    out.foreign.sort();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_whose_cgroup_it_was_created_in() {
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let holdings = Holdings { inodes: [11, 12, 13].into(), unreadable: 2, ..Holdings::default() };
        let check = |state, inode, cgroup_id| {
            let socket = Socket { state, address, inode, cgroup_id };
            classify(&[socket], &[7, 8].into(), &holdings)
        };
        let nothing = Sockets { unreadable_processes: 2, ..Sockets::default() };
        let listener = |inode, cgroup_id| Sockets {
            listeners: vec![Listener { address, inode, cgroup_id }],
            ..nothing.clone()
        };
        let listening = |inode, cgroup_id| check(State::Listening, inode, cgroup_id);
        assert_eq!(listening(11, Some(7)), listener(11, Some(7)));
        assert_eq!(listening(99, Some(8)), listener(99, Some(8)), "its process has left");
        let foreign = Foreign { address, inode: 12, cgroup_id: 9 };
        assert_eq!(listening(12, Some(9)), Sockets { foreign: vec![foreign], ..nothing.clone() });
        assert_eq!(listening(99, Some(9)), nothing, "another's");
        assert_eq!(listening(13, None), listener(13, None), "a kernel that does not say");
        assert_eq!(listening(99, None), nothing);

        let open = |inode, cgroup_id| check(State::Open, inode, cgroup_id);
        let established = Sockets { established: 1, ..nothing.clone() };
        assert_eq!(open(0, Some(7)), established, "not accepted yet");
        assert_eq!(open(13, None), established);
        assert_eq!(open(12, Some(9)), Sockets { foreign_established: 1, ..nothing.clone() });
        assert_eq!(open(0, Some(9)), nothing);
        assert_eq!(open(0, None), nothing);
    }
}
