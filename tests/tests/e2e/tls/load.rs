//! h2load against each server: many streams of HTTP/2 at once over TLS, none missing and none extra.

use std::fs::read_to_string;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::entry::LogEntry;
use harness::identity::Identity;
use harness::peers;
use harness::process::{Process, command};
use tempfile::NamedTempFile;

use super::{Http, Tls, audit};
use crate::bed::{Bed, HOST};

/// With these paths all packets of both legs fit in half of the ring: past that, long answers over TLS are not copied whole,
/// and then it would depend on when the auditor runs whether there is anything to compare.
const REQUESTS: usize = 3000;
const PATHS: [&str; 4] = ["/bytes/100", "/bytes/0", "/chunked/300", "/bytes/700"];
const LIMIT: Duration = Duration::from_secs(60);

/// Four connections, each with fifty streams at once.
fn load(server: SocketAddr) -> Result<()> {
    let mut load = command("h2load", None);
    load.args(["--requests", &REQUESTS.to_string(), "--clients", "4", "--max-concurrent-streams", "50"]);
    load.arg(format!("--connect-to={server}"));
    load.args(PATHS.map(|path| format!("https://{HOST}{path}")));
    let output = NamedTempFile::new()?;
    let mut process = Process::spawn("h2load", &mut load, output.as_file())?;
    let status = process.wait(LIMIT)?;
    let said = read_to_string(output.path())?;
    ensure!(status.success(), "h2load: {status}: {said}");
    let expected = format!("{REQUESTS} done, {REQUESTS} succeeded, 0 failed");
    ensure!(said.contains(&expected), "h2load: {said}");
    Ok(())
}

fn check<Stop: FnOnce() -> Result<Vec<LogEntry>>>(
    bed: Result<Bed>,
    start: impl FnOnce(&Bed, &Identity, Tls) -> Result<Stop>,
) -> Result<()> {
    let (_, output) = audit(bed, start, (Tls::V13, Http::V2), load)?;
    let events = output.requests()?.len();
    ensure!(events == REQUESTS, "{events} events");
    Ok(())
}

#[test]
fn nginx() -> Result<()> {
    check(crate::nginx::bed(), super::nginx::start)
}

#[test]
fn haproxy() -> Result<()> {
    check(Bed::new("haproxy", crate::haproxy::CONTROLLER), super::haproxy::start)
}

#[test]
fn caddy() -> Result<()> {
    check(Bed::new("caddy", crate::caddy::CONTROLLER), super::caddy::start)
}

#[test]
fn envoy() -> Result<()> {
    use super::envoy::{CONTROLLER, start};
    let Some(program) = peers::envoy() else { return Ok(()) };
    check(Bed::new("envoy", CONTROLLER), |bed, identity, tls| start(program, bed, identity, tls))
}

#[test]
fn go() -> Result<()> {
    use super::go::{CONTROLLER, start};
    let Some(program) = peers::go_proxy() else { return Ok(()) };
    check(Bed::new("go", CONTROLLER), |bed, identity, tls| start(program, bed, identity, tls))
}
