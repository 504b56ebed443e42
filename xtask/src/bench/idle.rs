//! The auditor's memory while many connections are open and idle.

use std::time::Duration;

use anyhow::Result;
use harness::auditor::{AuditorProcess, Options};
use harness::wait;

use super::load::Bed;
use super::measure::{drain, memory_mib};
use super::setting::Setting;
use super::{client, descriptors};
use crate::commands::say;

/// Connections that are opened a second: handshakes take the controller about a millisecond each.
const RATE: u32 = 400;

/// Opens so many connections through the ingress, one request on each, and shows the auditor's memory.
pub(super) fn run(setting: Setting, connections: u64) -> Result<()> {
    descriptors::allow(connections)?;
    let bed = Bed::start(setting, false)?;
    let options = Options { count_only: true, ..Options::default() };
    let auditor = AuditorProcess::start(bed.cgroup(), bed.manifests(), options)?;
    bed.try_once()?;
    // The ring is memory of the auditor's once it was written.
    bed.load(2)?;
    let requests = bed.handled()?;
    drain(&auditor, requests)?;
    let before = memory_mib(&auditor, "VmRSS:")?;
    say(&format!("opening {connections} connections"));
    // All are open when the first of them asks, and all have asked when it asks again.
    let period = Duration::from_secs(10 + 2 * connections / u64::from(RATE));
    let clients = client::idle(bed.target(), connections, RATE, period)?;
    let requests = requests + connections;
    wait::until("an event for each connection", 2 * period, || {
        Ok((auditor.request_count() >= requests).then_some(()))
    })?;
    let (open, peak) = (memory_mib(&auditor, "VmRSS:")?, memory_mib(&auditor, "VmHWM:")?);
    let events = auditor.request_count();
    drop(clients);
    auditor.stop()?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 connections")]
    let each = (open - before) * 1024.0 / connections as f64;
    println!(
        "{}, {connections} connections: resident {open:.1} MiB (before {before:.1}, {each:.2} KiB for each), peak \
         {peak:.1} MiB; requests {requests}, events {events}",
        setting.name()
    );
    Ok(())
}
