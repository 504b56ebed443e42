//! Connections that are older than the auditor.

use anyhow::{Context, Result, ensure};
use harness::compare::same_requests;
use harness::raw::RawClient;

use crate::bed::HOST;
use crate::nginx;

fn request(id: &str) -> String {
    format!("GET /bytes/1 HTTP/1.1\r\nHost: {HOST}\r\nX-Request-ID: {id}\r\n\r\n")
}

/// What was asked before is no event; what is asked later is one as soon as the framing is certain, and never invented.
#[test]
fn opened_before_the_auditor() -> Result<()> {
    let bed = nginx::bed()?;
    let server = nginx::start(&bed, &[(bed.server(), "")])?;
    let mut client = RawClient::connect(bed.server())?;
    let mut ask = |id: &str| -> Result<()> {
        client.send(request(id).as_bytes())?;
        client.read_until(b"\r\n\r\nx").map(drop)
    };
    ask("before")?;
    let auditor = bed.audit()?;
    for id in ["after-1", "after-2", "after-3"] {
        ask(id)?;
    }
    let log = server.stop()?;
    let output = auditor.stop()?;
    let events = output.requests()?;
    let seen: Vec<_> = events.iter().filter_map(|event| event.http.request.id.clone()).collect();
    let logged: Vec<_> = log
        .into_iter()
        .filter(|entry| entry.request_id.as_ref().is_some_and(|id| seen.contains(id)))
        .collect();
    same_requests(&events, &logged)?;
    ensure!(!seen.iter().any(|id| id == "before"), "an event from before the start");
    ensure!(
        seen.iter().any(|id| id == "after-3"),
        "the framing was never certain: {seen:?}, coverage:\n  {}",
        output.coverage()?
    );
    if seen.len() < 3 {
        let coverage = output.of_kind("coverage")?;
        let said = coverage.iter().filter_map(|event| event.coverage());
        let mut beyond = said.filter(|what| !matches!(*what, "start" | "attach" | "detach" | "stop"));
        beyond.next_back().context("requests were left out and no coverage event says so")?;
    }
    Ok(())
}

/// An answer that is half sent when the auditor comes: the rest of its body is no message.
#[test]
fn attached_in_the_middle_of_a_body() -> Result<()> {
    let bed = nginx::bed()?;
    let server = nginx::start(&bed, &[(bed.server(), "")])?;
    let mut client = RawClient::connect(bed.server())?;
    let size = 30 << 20;
    client.send(request("middle").replace("/bytes/1", &format!("/bytes/{size}")).as_bytes())?;
    client.read_until(b"\r\n\r\n")?;
    client.read_exactly(100_000)?;
    let auditor = bed.audit()?;
    client.read_exactly(size - 100_000)?;
    for id in ["next-1", "next-2", "next-3"] {
        client.send(request(id).as_bytes())?;
        client.read_until(b"\r\n\r\nx")?;
    }
    let log = server.stop()?;
    let output = auditor.stop()?;
    for event in output.requests()? {
        let id = event.http.request.id.clone();
        ensure!(
            log.iter().any(|entry| entry.request_id == id && entry.status == event.status()),
            "invented: {event:?}"
        );
        ensure!(id.as_deref() != Some("middle"), "an event for a request that was never seen");
    }
    Ok(())
}
