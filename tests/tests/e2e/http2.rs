//! HTTP/2 in the clear, by prior knowledge: nginx as the ingress, curl and h2load as clients.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::auditor::Output;
use harness::curl::{self, Transfer};
use harness::process::{Process, command};
use tempfile::NamedTempFile;

use crate::bed::{HOST, body_bytes, judge, judge_backend};
use crate::nginx::{bed, start};

const H2LOAD_LIMIT: Duration = Duration::from_secs(60);

/// One nginx that speaks HTTP/2, one auditor, one kind of traffic, and the judgement.
fn check(traffic: impl FnOnce(SocketAddr) -> Result<()>) -> Result<Output> {
    let bed = bed()?;
    let server = start(&bed, &[(bed.server(), "http2")])?;
    let auditor = bed.audit()?;
    traffic(bed.server())?;
    let log = server.stop()?;
    let output = auditor.stop()?;
    ensure!(!log.is_empty(), "nginx logged nothing");
    judge(&output, &log)?;
    for event in output.requests()? {
        ensure!(event.http.version.as_deref() == Some("2"), "version of {event:?}");
        ensure!(event.http.stream.is_some_and(|stream| stream % 2 == 1), "stream of {event:?}");
    }
    Ok(output)
}

fn get(path: &str, id: &str) -> Transfer {
    Transfer::get(format!("http://{HOST}{path}"), id).with(&["--http2-prior-knowledge"])
}

/// All the usual methods and kinds of answers on one connection.
#[test]
fn ordinary_requests() -> Result<()> {
    let mut body = NamedTempFile::new()?;
    body.write_all(&vec![b'b'; 200_000])?;
    let upload = format!("@{}", body.path().display());
    let mut origin = None;
    let output = {
        let bed = bed()?;
        origin.replace(bed.origin.address());
        let server = start(&bed, &[(bed.server(), "http2")])?;
        let auditor = bed.audit()?;
        let transfers = [
            get("/hello", "get"),
            get("/bytes/5000?secret=1", "query"),
            get("/bytes/700", "head").with(&["--head"]),
            get("/form", "post").with(&["--data-binary", "a=1&b=2"]),
            get("/upload", "upload").with(&["--data-binary", &upload]),
            get("/thing", "put").with(&["--request", "PUT", "--data-binary", "thing"]),
            get("/thing", "delete").with(&["--request", "DELETE"]),
            get("/chunked/2500", "chunked"),
            get("/status/204", "s204"),
            get("/status/304", "s304"),
            get("/status/404", "s404"),
            get("/status/500", "s500"),
            get("/own", "own"),
            get("/moved", "moved"),
            get("/cookies", "cookies").with(&["--cookie", "a=1; b=2", "--user-agent", "e2e/2"]),
            get("/bytes/0", "last"),
        ];
        let responses = curl::run(bed.server(), &transfers)?;
        let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
        ensure!(
            statuses == [200, 200, 200, 200, 200, 200, 200, 200, 204, 304, 404, 500, 404, 302, 200, 200],
            "statuses {statuses:?}"
        );
        ensure!(responses.last().is_some_and(|last| last.connects == 0), "the connection was not kept");
        let log = server.stop()?;
        let output = auditor.stop()?;
        judge(&output, &log)?;
        output
    };
    for (id, expected) in [
        ("get", (Some(0), Some(2))),
        ("post", (Some(7), Some(2))),
        ("upload", (Some(200_000), Some(2))),
        ("chunked", (Some(0), Some(2500))),
        ("head", (Some(0), Some(0))),
    ] {
        let seen = body_bytes(&output, id)?;
        ensure!(seen == expected, "body bytes of {id}: {seen:?}, expected {expected:?}");
    }
    for id in ["get", "upload", "chunked", "s404", "s500", "last"] {
        judge_backend(&output, origin.unwrap_or(([0, 0, 0, 0], 0).into()), id)?;
    }
    Ok(())
}

/// Many streams at once, each told apart by its id.
#[test]
fn requests_at_once() -> Result<()> {
    check(|server| {
        let mut transfers = Vec::new();
        for number in 0..200 {
            let path = format!("/bytes/{}", number * 37 % 3000);
            let transfer = get(&path, &format!("multi-{number}"));
            transfers.push(if number == 0 {
                transfer.with(&["--parallel", "--parallel-max", "50"])
            } else {
                transfer
            });
        }
        let responses = curl::run(server, &transfers)?;
        ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
        Ok(())
    })
    .map(drop)
}

/// A download that no buffer holds, and a request behind it.
#[test]
fn large_download() -> Result<()> {
    const LARGE: u64 = 100 << 20;
    check(|server| {
        let path = format!("/bytes/{LARGE}");
        let responses = curl::run(server, &[get(&path, "large"), get("/after", "after")])?;
        ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
        ensure!(responses.first().is_some_and(|first| first.body_bytes == LARGE), "{responses:?}");
        Ok(())
    })
    .map(drop)
}

/// h2load: several connections, 100 streams on each, several paths.
#[test]
fn concurrent_load() -> Result<()> {
    check(|server| {
        let mut load = command("h2load", None);
        load.args(["--requests", "20000", "--clients", "4", "--max-concurrent-streams", "100", "--header"]);
        load.arg(format!(":authority: {HOST}"));
        for path in ["/bytes/100", "/bytes/0", "/chunked/2500", "/own", "/status/404"] {
            load.arg(format!("http://{server}{path}"));
        }
        let mut load = Process::spawn("h2load", &mut load, &File::create("/dev/null")?)?;
        ensure!(load.wait(H2LOAD_LIMIT)?.success(), "h2load failed");
        Ok(())
    })
    .map(drop)
}

/// A client that leaves in the middle of an answer.
#[test]
fn aborted_by_the_client() -> Result<()> {
    let bed = bed()?;
    let server = start(&bed, &[(bed.server(), "http2")])?;
    let auditor = bed.audit()?;
    let transfers = [get("/bytes/100000000", "abort").with(&["--limit-rate", "100000", "--max-time", "1"])];
    curl::run(bed.server(), &transfers)?;
    server.stop()?;
    let output = auditor.stop()?;
    let events = output.requests()?;
    ensure!(events.len() == 1, "{events:?}");
    ensure!(events.iter().all(|event| event.outcome.as_deref() == Some("reset_by_client")), "{events:?}");
    Ok(())
}
