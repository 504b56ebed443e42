//! Files that a process may have open: each connection is one, of ours and of the servers, who inherit the limit.

use anyhow::{Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that are needed besides the connections.
const SPARE: u64 = 200;

/// Allows so many connections.
pub(super) fn allow(connections: u64) -> Result<()> {
    let needed = connections + SPARE;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(
        hard >= needed,
        "{connections} connections need {needed} descriptors, the limit is {hard} (ulimit -Hn)"
    );
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
