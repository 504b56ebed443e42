//! Giving up every right for good, before the first byte of traffic is looked at.

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};
use thiserror::Error;

/// What could not be given up.
#[derive(Debug, Error)]
pub(super) enum PrivilegeError {
    /// The system refused.
    #[error("cannot give up {what}")]
    System {
        /// Which right.
        what: &'static str,
        /// Why.
        #[source]
        source: Errno,
    },
    /// Capabilities could not be cleared.
    #[error("cannot give up the capabilities")]
    Capabilities(#[from] caps::errors::CapsError),
}

/// Drops capabilities, identity, core dumps and the way back to any of them.
///
/// Where the process is root without `CAP_SETUID` (a container with few capabilities) it keeps the number 0, without any
/// capability: there the container is the boundary.
pub(super) fn give_up(user: u32) -> Result<(), PrivilegeError> {
    let refused = |what| move |source| PrivilegeError::System { what, source };
    prctl::set_no_new_privs().map_err(refused("the right to gain rights"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(refused("core dumps"))?;
    for capability in caps::all() {
        // Not having CAP_SETPCAP is no failure: the bounding set only matters to those who may gain rights.
        if caps::drop(None, caps::CapSet::Bounding, capability).is_err() {
            break;
        }
    }
    if geteuid().is_root() && caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_SETUID)? {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(user));
        setgroups(&[]).map_err(refused("the supplementary groups"))?;
        setresgid(group, group, group).map_err(refused("the group"))?;
        setresuid(user, user, user).map_err(refused("the user"))?;
    }
    caps::clear(None, caps::CapSet::Ambient)?;
    caps::clear(None, caps::CapSet::Inheritable)?;
    caps::clear(None, caps::CapSet::Effective)?;
    caps::clear(None, caps::CapSet::Permitted)?;
    // Last: a change of user makes a process dumpable or not by itself.
    prctl::set_dumpable(false).map_err(refused("being read by a debugger"))
}
