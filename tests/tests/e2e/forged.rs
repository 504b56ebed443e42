//! Segments that the server's TCP drops, on connections of real clients to a real nginx.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::auditor::{AuditorProcess, Output};
use harness::entry::LogEntry;
use harness::event::Request;
use harness::forge::{self, FIN, Fault, Forgery, RST};
use harness::raw::RawClient;

use crate::bed::HOST;
use crate::nginx;

fn request(path: &str) -> String {
    // Long enough that a forged one is seen before its checksum is (see `harness::forge`).
    format!("GET /own/{path} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: a-client-of-some-length\r\n\r\n")
}

fn ask(client: &mut RawClient, path: &str) -> Result<()> {
    client.send(request(path).as_bytes())?;
    client.read_until(b"</html>\r\n").map(drop)
}

fn forge(client: &RawClient, payload: &[u8], fault: Fault, flags: u8, ahead: u32) -> Result<()> {
    forge::send(client, &Forgery { ahead, flags, payload, fault })
}

/// What shows that the auditor has read all that was sent before: a request on a connection of its own comes after it in the
/// ring, and its event is out.
struct Witness<'a> {
    auditor: &'a mut AuditorProcess,
    server: SocketAddr,
    number: usize,
}

impl Witness<'_> {
    fn wait(&mut self) -> Result<()> {
        self.number += 1;
        let name = format!("witness-{}", self.number);
        ask(&mut RawClient::connect(self.server)?, &name)?;
        let path = format!("/own/{name}");
        self.auditor.wait_for_event("what was sent to be read", Duration::from_secs(20), |event| {
            event.text("/http/request/path") == Some(&path)
        })?;
        Ok(())
    }
}

/// A server, an auditor, what one client does, and what both say of it.
fn run(act: impl FnOnce(&mut RawClient) -> Result<()>) -> Result<(Output, Vec<LogEntry>)> {
    run_beside(|client, _| act(client))
}

/// The same with a witness.
fn run_beside(
    act: impl FnOnce(&mut RawClient, &mut Witness<'_>) -> Result<()>,
) -> Result<(Output, Vec<LogEntry>)> {
    let bed = nginx::bed()?;
    let server = nginx::start(&bed, &[(bed.server(), "")])?;
    let mut auditor = bed.audit()?;
    let mut client = RawClient::connect(bed.server())?;
    act(&mut client, &mut Witness { auditor: &mut auditor, server: bed.server(), number: 0 })?;
    let rest = client.finish()?;
    ensure!(rest.is_empty(), "nginx answered what nobody asked: {}", String::from_utf8_lossy(&rest));
    let log = server.stop()?;
    Ok((auditor.stop()?, log))
}

fn paths(output: &Output) -> Result<Vec<(String, bool)>> {
    let path = |event: &Request| event.http.request.path.clone().unwrap_or_default();
    Ok(output.requests()?.iter().map(|event| (path(event), event.observation.complete)).collect())
}

fn logged(log: &[LogEntry]) -> Vec<&str> {
    log.iter().map(|entry| entry.uri.as_str()).collect()
}

fn sure(path: &str) -> (String, bool) {
    (format!("/own/{path}"), true)
}

fn notes(output: &Output, path: &str) -> Result<String> {
    let events = output.of_kind("http.request")?;
    let event = events.iter().find(|event| event.text("/http/request/path") == Some(path));
    let notes = event.and_then(|event| event.value.pointer("/observation/notes"));
    Ok(notes.with_context(|| format!("no event for {path}"))?.to_string())
}

/// The auditor reads the first copy; it must not claim that the server did.
#[test]
fn another_request_in_the_place_of_the_real_one() -> Result<()> {
    for fault in [Fault::Checksum, Fault::OldTimestamp] {
        let (output, log) = run(|client| {
            ask(client, "first")?;
            forge(client, request("forged").as_bytes(), fault, 0, 0)?;
            for path in ["really", "next", "last"] {
                ask(client, path)?;
            }
            Ok(())
        })?;
        ensure!(
            logged(&log) == ["/own/first", "/own/really", "/own/next", "/own/last"],
            "{:?}",
            logged(&log)
        );
        let expected = [sure("first"), ("/own/forged".into(), false), sure("next"), sure("last")];
        let seen = paths(&output)?;
        ensure!(seen == expected, "{fault:?}: {seen:?}\n  {}", output.coverage()?);
        let notes = notes(&output, "/own/forged")?;
        ensure!(notes.contains("contradicted"), "{fault:?}: {notes}");
        let coverage = output.of_kind("coverage")?;
        let mut told = coverage.iter().filter(|event| event.text("/reason") == Some("segment_contradicts"));
        ensure!(
            told.any(|event| event.value.pointer("/subject/connection/remote").is_some()),
            "no event names the connection: {}",
            output.coverage()?
        );
    }
    Ok(())
}

/// A forged head whose body would hide all that follows.
#[test]
fn a_forged_body_hides_nothing_for_long() -> Result<()> {
    let forged = request("forged").replace("\r\n\r\n", "\r\nContent-Length: 1000000000\r\n\r\n");
    let (output, log) = run_beside(|client, witness| {
        ask(client, "first")?;
        forge(client, forged.replace("GET", "POST").as_bytes(), Fault::Checksum, 0, 0)?;
        // The auditor must have read it, and said that no more is needed.
        witness.wait()?;
        for path in ["really", "second", "third", "last"] {
            ask(client, path)?;
            witness.wait()?;
        }
        Ok(())
    })?;
    let is_witness = |path: &str| path.starts_with("/own/witness-");
    ensure!(logged(&log).iter().filter(|path| !is_witness(path)).count() == 5, "{:?}", logged(&log));
    let mut seen = paths(&output)?;
    seen.retain(|(path, _)| !is_witness(path));
    ensure!(seen.contains(&("/own/forged".into(), false)), "{seen:?}");
    ensure!(seen.ends_with(&[sure("third"), sure("last")]), "{seen:?}\n  {}", output.coverage()?);
    Ok(())
}

#[test]
fn forged_ends() -> Result<()> {
    let far = 1 << 29;
    for (fault, flags, ahead, payload) in [
        (Fault::OldTimestamp, FIN, 0, 0),
        (Fault::OldTimestamp, FIN, 10, 0),
        (Fault::Checksum, RST, 0, 100),
        (Fault::Checksum, RST, 10, 100),
        (Fault::Checksum, RST, far, 100),
        (Fault::Checksum, 0, far, 600),
    ] {
        let (output, log) = run(|client| {
            ask(client, "first")?;
            forge(client, &vec![b'x'; payload], fault, flags, ahead)?;
            ["second", "third", "last"].iter().try_for_each(|path| ask(client, path))
        })?;
        let case = format!("{fault:?} {flags} {ahead}");
        ensure!(log.len() == 4, "{case}: {:?}", logged(&log));
        let seen = paths(&output)?;
        ensure!(
            seen == ["first", "second", "third", "last"].map(sure),
            "{case}: {seen:?}\n  {}",
            output.coverage()?
        );
    }
    Ok(())
}

/// Nothing real follows: the client closes, in order or with a reset.
#[test]
fn a_request_that_tcp_never_took() -> Result<()> {
    for reset in [false, true] {
        let bed = nginx::bed()?;
        let server = nginx::start(&bed, &[(bed.server(), "")])?;
        let auditor = bed.audit()?;
        let mut client = RawClient::connect(bed.server())?;
        ask(&mut client, "first")?;
        forge(&client, request("forged").as_bytes(), Fault::Checksum, 0, 0)?;
        if reset {
            client.reset()?;
        } else {
            client.finish()?;
        }
        let log = server.stop()?;
        let output = auditor.stop()?;
        ensure!(logged(&log) == ["/own/first"], "{:?}", logged(&log));
        let seen: BTreeMap<String, bool> = paths(&output)?.into_iter().collect();
        let expected = [sure("first"), ("/own/forged".into(), false)].into();
        ensure!(seen == expected, "reset {reset}: {seen:?}");
        let notes = notes(&output, "/own/forged")?;
        ensure!(notes.contains("refused_by_tcp"), "reset {reset}: {notes}");
    }
    Ok(())
}
