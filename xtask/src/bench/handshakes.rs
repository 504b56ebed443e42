//! New connections over TLS, one request on each: whether the secrets of all of them were read.

use std::path::Path;

use anyhow::{Result, ensure};

use super::client;
use super::descriptors;
use super::load::Bed;
use super::measure::{drain, start};
use super::setting::Setting;

/// Opens `rate` connections a second for so long. A request whose connection's secrets were missed has no event.
pub(super) fn run(setting: Setting, rate: u32, seconds: u32, config: Option<&Path>) -> Result<()> {
    ensure!(
        setting.protocol.tls(),
        "there are no handshakes in the clear: ask for --protocol https/1.1 or https/2"
    );
    let count = u64::from(rate) * u64::from(seconds);
    descriptors::allow(count)?;
    let bed = Bed::start(setting, false)?;
    let auditor = start(&bed, config)?;
    bed.try_once()?;
    let (connections, reached) = client::connections(bed.target(), count, rate)?;
    let requests = connections + 1;
    drain(&auditor, requests)?;
    let output = auditor.stop()?;
    println!(
        "{}: {connections} new connections, {reached:.0} a second; requests {requests}, events {}\n{}",
        setting.name(),
        output.request_count,
        output.coverage()?
    );
    Ok(())
}
