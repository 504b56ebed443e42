//! The auditor's memory while many connections are open and idle.

use anyhow::{Context, Result, bail};
use harness::auditor::{AuditorProcess, Options};
use harness::raw::RawClient;
use harness::wait;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::load::Bed;
use super::measure::memory_mib;
use crate::commands::say;

/// Descriptors that we need besides the connections.
const SPARE: u64 = 200;

/// Opens so many connections through the ingress, one request on each, and shows the auditor's memory.
pub(super) fn run(connections: usize) -> Result<()> {
    let needed = u64::try_from(connections)? + SPARE;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if hard < needed {
        bail!("{connections} connections need {needed} descriptors, the limit is {hard} (ulimit -Hn)");
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let bed = Bed::start(false)?;
    let options = Options { count_only: true, ..Options::default() };
    let auditor = AuditorProcess::start(bed.cgroup(), bed.manifests(), options)?;
    bed.try_once()?;
    let before = memory_mib(&auditor, "VmRSS:")?;
    let request = Bed::request();
    let mut clients = Vec::new();
    for number in 0..connections {
        wait::check_interrupted()?;
        let mut client = RawClient::connect(bed.address()).with_context(|| format!("connection {number}"))?;
        client.send(request.as_bytes())?;
        client.read_until(b"x\n").with_context(|| format!("answer on connection {number}"))?;
        clients.push(client);
    }
    say(&format!("{} connections are open and idle", clients.len()));
    let (open, peak) = (memory_mib(&auditor, "VmRSS:")?, memory_mib(&auditor, "VmHWM:")?);
    println!("connections {connections}: resident {open:.1} MiB (before {before:.1}), peak {peak:.1} MiB");
    drop(clients);
    let handled = bed.handled()?;
    let output = auditor.stop()?;
    println!("requests {handled}, events {}", output.request_count);
    Ok(())
}
