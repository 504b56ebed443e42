//! The auditor's memory while many connections are open and idle.

use std::path::Path;

use anyhow::{Context as _, Result};
use harness::wait;

use super::descriptors;
use super::held::Opener;
use super::load::Bed;
use super::measure::{drain, memory_mib, start};
use super::setting::Setting;
use crate::commands::say;

/// Opens so many connections through the ingress, one request on each, and shows the auditor's memory.
pub(super) fn run(setting: Setting, connections: u64, config: Option<&Path>) -> Result<()> {
    descriptors::allow(connections)?;
    let bed = Bed::start(setting, false)?;
    let auditor = start(&bed, config)?;
    bed.try_once()?;
    // The ring is memory of the auditor's once it was written.
    bed.load(2)?;
    let requests = bed.handled()?;
    drain(&auditor, requests)?;
    let before = memory_mib(&auditor, "VmRSS:")?;
    say(&format!("opening {connections} connections"));
    let opener = Opener::new(setting.protocol)?;
    let mut clients = Vec::new();
    for number in 0..connections {
        wait::check_interrupted()?;
        clients.push(opener.open(bed.target()).with_context(|| format!("connection {number}"))?);
    }
    let requests = requests + connections;
    drain(&auditor, requests)?;
    let (open, peak) = (memory_mib(&auditor, "VmRSS:")?, memory_mib(&auditor, "VmHWM:")?);
    let events = auditor.request_count();
    drop(clients);
    let output = auditor.stop()?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 connections")]
    let each = (open - before) * 1024.0 / connections as f64;
    println!(
        "{}, {connections} connections: resident {open:.1} MiB (before {before:.1}, {each:.2} KiB for each), peak \
         {peak:.1} MiB; requests {requests}, events {events} then, {} at the end",
        setting.name(),
        output.request_count
    );
    Ok(())
}
