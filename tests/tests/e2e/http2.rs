//! HTTP/2 in the clear, by prior knowledge: nginx as the ingress, curl and h2load as clients.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::auditor::Output;
use harness::curl::{self, Response, Transfer};
use harness::event::Request;
use harness::process::{Process, command};
use tempfile::NamedTempFile;

use crate::bed::{HOST, body_bytes, judge, judge_backend};
use crate::nginx::{bed, start};

const CLIENT_LIMIT: Duration = Duration::from_secs(60);

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

/// A connection for each: curl 7.88 sends no second request on one that it knew to be HTTP/2 before.
fn run(server: SocketAddr, transfers: &[Transfer]) -> Result<Vec<Response>> {
    let run = |transfer| curl::run(server, std::slice::from_ref(transfer));
    Ok(transfers.iter().map(run).collect::<Result<Vec<_>>>()?.concat())
}

/// All the usual methods and kinds of answers.
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
        let responses = run(bed.server(), &transfers)?;
        let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
        ensure!(
            statuses == [200, 200, 200, 200, 200, 200, 200, 200, 204, 304, 404, 500, 404, 302, 200, 200],
            "statuses {statuses:?}"
        );
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

/// Requests for many paths, all at once on one connection, with a body and without.
#[test]
fn requests_at_once() -> Result<()> {
    let mut body = NamedTempFile::new()?;
    body.write_all(&vec![b'b'; 30_000])?;
    let output = check(|server| {
        for data in [None, Some(body.path())] {
            let mut client = command("nghttp", None);
            client.args(["--null-out", "--no-dep", "--header", "user-agent: at-once"]);
            client.arg("--header").arg(format!(":authority: {HOST}"));
            if let Some(data) = data {
                client.arg("--data").arg(data);
            }
            client.args((0..100).map(|number| format!("http://{server}/bytes/{}", number * 37)));
            let mut client = Process::spawn("nghttp", &mut client, &File::create("/dev/null")?)?;
            ensure!(client.wait(CLIENT_LIMIT)?.success(), "nghttp failed");
        }
        Ok(())
    })?;
    let uploads =
        output.requests()?.into_iter().filter(|event| event.http.request.body_bytes == Some(30_000));
    ensure!(uploads.count() == 100, "uploads");
    let connections = output.of_kind("connection")?;
    let clients = connections.iter().filter(|event| event.text("/protocol") == Some("http/2")).count();
    ensure!(clients == 2, "{clients} connections of HTTP/2");
    Ok(())
}

/// A download that no buffer holds.
#[test]
fn large_download() -> Result<()> {
    const LARGE: u64 = 100 << 20;
    check(|server| {
        let path = format!("/bytes/{LARGE}");
        let responses = run(server, &[get(&path, "large"), get("/after", "after")])?;
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
        ensure!(load.wait(CLIENT_LIMIT)?.success(), "h2load failed");
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
    // Of an answer that comes no further: no buffer holds the rest, and it does not depend on who is faster.
    let responses = curl::run(bed.server(), &[get("/stall/100000", "abort").with(&["--max-time", "1"])])?;
    let got = responses.first().map(|first| first.body_bytes);
    ensure!(got.is_some_and(|bytes| bytes > 0), "{responses:?}");
    server.stop()?;
    let output = auditor.stop()?;
    let events = output.requests()?;
    ensure!(events.len() == 1, "{events:?}");
    ensure!(events.iter().all(|event| event.outcome.as_deref() == Some("reset_by_client")), "{events:?}");
    let body = |event: &Request| event.http.response.as_ref()?.body_bytes;
    ensure!(events.iter().all(|event| body(event) == got), "{events:?}, the client got {got:?}");
    Ok(())
}
