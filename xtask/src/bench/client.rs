//! The clients: wrk, which is the fastest in the clear, and h2load.
//!
//! wrk stops in the middle of requests when its time is over; h2load sends so many, and all are answered.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use harness::process::{Process, command};
use harness::wait;
use tempfile::NamedTempFile;

use super::setting::Protocol;

/// Connections that are kept busy with HTTP/1.1.
const CONNECTIONS: u64 = 16;
/// Connections that are kept busy with HTTP/2, and streams on each.
const CONNECTIONS_OF_STREAMS: u64 = 4;
const STREAMS: u64 = 100;
const SPARE: Duration = Duration::from_secs(30);
/// With h2load it is not known how long it will take.
const LIMIT: Duration = Duration::from_secs(180);

/// Whom to ask, and how.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) protocol: Protocol,
    pub(super) host: &'a str,
    pub(super) address: SocketAddr,
}

/// Keeps the connections busy for so long, in the clear; gives how many requests were answered, and how many a second.
pub(super) fn busy(target: Target<'_>, seconds: u32) -> Result<(u64, f64)> {
    let mut wrk = command("wrk", None);
    wrk.args(["--threads", "1", "--connections", &CONNECTIONS.to_string()]);
    wrk.args(["--duration", &format!("{seconds}s"), "--header", &format!("Host: {}", target.host)]);
    wrk.arg(format!("http://{}/", target.address));
    let text = run("wrk", &mut wrk, Duration::from_secs(u64::from(seconds)) + SPARE)?;
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        bail!("wrk met errors: {text}");
    }
    parse_wrk(&text).with_context(|| format!("wrk said: {text}"))
}

/// Sends so many requests over connections that are kept busy; gives how many were answered, and how many a second.
pub(super) fn requests(target: Target<'_>, count: u64) -> Result<(u64, f64)> {
    let mut load = h2load(target);
    let (connections, streams) = match target.protocol {
        Protocol::Http1 | Protocol::Https1 => (CONNECTIONS, 1),
        Protocol::Https2 => (CONNECTIONS_OF_STREAMS, STREAMS),
    };
    load.args(["--requests", &count.to_string(), "--clients", &connections.to_string()]);
    load.args(["--max-concurrent-streams", &streams.to_string()]);
    finish(&mut load, count)
}

/// Opens so many connections, so many a second, with one request on each; gives what [`requests`] does.
pub(super) fn connections(target: Target<'_>, count: u64, rate: u32) -> Result<(u64, f64)> {
    let mut load = h2load(target);
    load.args(["--requests", &count.to_string(), "--clients", &count.to_string()]);
    load.args(["--rate", &rate.to_string()]);
    finish(&mut load, count)
}

fn h2load(target: Target<'_>) -> Command {
    let mut load = command("h2load", None);
    if target.protocol != Protocol::Https2 {
        load.arg("--h1");
    }
    let scheme = if target.protocol.tls() { "https" } else { "http" };
    load.arg(format!("--connect-to={}", target.address)).arg(format!("{scheme}://{}/", target.host));
    load
}

fn finish(load: &mut Command, count: u64) -> Result<(u64, f64)> {
    let text = run("h2load", load, LIMIT)?;
    if !text.contains(&format!("{count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout")) {
        bail!("h2load met errors: {text}");
    }
    Ok((count, parse_h2load(&text).with_context(|| format!("h2load said: {text}"))?))
}

fn run(name: &str, command: &mut Command, limit: Duration) -> Result<String> {
    let output = NamedTempFile::new()?;
    command.stdout(output.reopen()?).stderr(Stdio::inherit());
    let mut process = Process::spawn_as_is(name, command)?;
    let status = wait::until(&format!("{name} to end"), limit, || process.try_wait())?;
    let text = fs::read_to_string(output.path())?;
    if !status.success() {
        bail!("{name} ended with {status}: {text}");
    }
    Ok(text)
}

/// `  81234 requests in 2.00s, 20.1MB read` and `Requests/sec:  40617.00`.
fn parse_wrk(text: &str) -> Option<(u64, f64)> {
    let count = text.lines().find(|line| line.contains(" requests in "))?.split_whitespace().next()?;
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"))?;
    Some((count.parse().ok()?, rate.trim().parse().ok()?))
}

/// `finished in 2.44s, 61476.06 req/s, 15.42MB/s`.
fn parse_h2load(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("finished in "))?;
    line.split(", ").find_map(|part| part.strip_suffix(" req/s"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_wrk_says() {
        let text = "  2 threads\n  81234 requests in 2.00s, 20.1MB read\nRequests/sec:  40617.00\nTransfer/sec: 1MB\n";
        assert_eq!(parse_wrk(text), Some((81_234, 40_617.0)));
        assert_eq!(parse_wrk("nothing"), None);
    }

    #[test]
    fn reads_what_h2load_says() {
        let text = "progress: 100% done\n\nfinished in 2.44s, 61476.06 req/s, 15.42MB/s\nrequests: 1 total\n";
        assert_eq!(parse_h2load(text), Some(61_476.06));
        assert_eq!(parse_h2load("nothing"), None);
    }
}
