//! nginx reloads its configuration in the middle of TLS traffic: new workers, whose secrets must be read from their first
//! handshake on, beside old ones that end what they began.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::compare::same_requests;
use harness::curl::{self, Transfer};
use harness::pki::Pki;
use harness::server::nginx::Nginx;
use harness::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bed::HOST;
use crate::nginx::{bed, start};

const LIMIT: Duration = Duration::from_secs(60);
const RELOADS: usize = 6;
/// Clients at a time.
const CLIENTS: usize = 3;

/// The worker processes of a master.
fn workers(master: u32) -> Result<Vec<u32>> {
    let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
    Ok(children.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

/// Asks for a reload, and waits until workers serve that were not there before.
fn reload(server: &Nginx) -> Result<()> {
    let before = workers(server.pid())?;
    kill(Pid::from_raw(server.pid().try_into()?), Signal::SIGHUP)?;
    wait::until("new workers", LIMIT, || {
        let fresh = workers(server.pid())?.iter().any(|worker| !before.contains(worker));
        Ok(fresh.then_some(()))
    })
}

/// Requests without a pause, each on a connection of its own, until told to stop. Gives the ids of those that were answered
/// and of those that were not: a worker of nginx that is to end closes connections of HTTP/2 that it has just accepted
/// (GOAWAY with stream 0: RFC 9113, 6.8), and a client asks anew.
fn ask(
    server: SocketAddr,
    client: usize,
    arguments: &[&str],
    done: &AtomicUsize,
    stop: &AtomicBool,
) -> Result<[Vec<String>; 2]> {
    let [mut answered, mut refused] = [vec![], vec![]];
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let id = format!("{client}-{number}");
        let transfer = Transfer::get(format!("https://{HOST}/bytes/{number}"), &id);
        let responses = curl::run(server, &[transfer.with(arguments)])?;
        match responses.as_slice() {
            [response] if response.status == 200 => answered.push(id),
            [response] if response.status == 0 => refused.push(id),
            _ => anyhow::bail!("{responses:?}"),
        }
        done.fetch_add(1, Ordering::SeqCst);
    }
    Ok([answered, refused])
}

fn check(version: &str, http: &str) -> Result<()> {
    let (bed, pki) = (bed()?, Pki::new("Test Authority")?);
    pki.issue("server", &format!("/CN={HOST}"), &format!("DNS:{HOST}"))?;
    let how = format!(
        "ssl http2;\n    ssl_certificate {};\n    ssl_certificate_key {};\n    ssl_protocols {version}",
        pki.certificate("server").display(),
        pki.key("server").display(),
    );
    let server = start(&bed, &[(bed.server(), &how)])?;
    let auditor = bed.audit()?;
    let authority = pki.authority().display().to_string();
    let arguments = ["--cacert", authority.as_str(), http];
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let address = bed.server();
    let [answered, refused] = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (arguments, done, stop) = (&arguments, &done, &stop);
                scope.spawn(move || ask(address, client, arguments, done, stop))
            })
            .collect();
        // One that begins before the first reload and ends behind the last one.
        let slow = scope.spawn(move || {
            let transfer = Transfer::get(format!("https://{HOST}/bytes/3000000"), "slow");
            curl::run(address, &[transfer.with(&arguments).with(&["--limit-rate", "1M"])])
        });
        let reloaded = (0..RELOADS).try_for_each(|_| {
            // Traffic between any two.
            let before = done.load(Ordering::SeqCst);
            wait::until("requests between reloads", LIMIT, || {
                Ok((done.load(Ordering::SeqCst) >= before + 2 * CLIENTS).then_some(()))
            })?;
            reload(&server)
        });
        stop.store(true, Ordering::SeqCst);
        let [mut answered, mut refused] = [vec!["slow".to_owned()], vec![]];
        for client in clients {
            let [more, none] = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
            answered.extend(more);
            refused.extend(none);
        }
        let slow = slow.join().map_err(|_| anyhow::anyhow!("the slow client panicked"))??;
        ensure!(slow.first().is_some_and(|response| response.body_bytes == 3_000_000), "{slow:?}");
        reloaded.context("reload")?;
        Ok::<_, anyhow::Error>([answered, refused])
    })?;
    let log = server.stop()?;
    let output = auditor.stop()?;
    // Some were refused before they could be asked: there is no event of them, or one that says so.
    let most = if http == "--http2" { RELOADS * CLIENTS } else { 0 };
    ensure!(refused.len() <= most, "{refused:?} were not answered");
    ensure!(log.len() == answered.len(), "{} in the log, {} answered", log.len(), answered.len());
    let is_refused = |id: Option<&str>| id.is_some_and(|id| refused.iter().any(|refused| refused == id));
    let (unanswered, events): (Vec<_>, Vec<_>) =
        output.requests()?.into_iter().partition(|event| is_refused(event.http.request.id.as_deref()));
    same_requests(&events, &log)
        .with_context(|| format!("coverage:\n  {}", output.coverage().unwrap_or_default()))?;
    for event in &unanswered {
        ensure!(event.answered_by.as_deref() == Some("nobody"), "answered? {event:?}");
    }
    for event in &events {
        ensure!(event.observation.complete, "not whole: {event:?}");
        ensure!(event.answered_by.as_deref() == Some("backend"), "not joined: {event:?}");
    }
    ensure!(output.upstream()?.is_empty(), "requests that no client's request explains");
    for event in output.of_kind("http.request")? {
        ensure!(event.text("/tls/handshake") == Some("completed"), "TLS of {:?}", event.value);
    }
    Ok(())
}

#[test]
fn http1_over_tls_1_2() -> Result<()> {
    check("TLSv1.2", "--http1.1")
}

#[test]
fn http2_over_tls_1_3() -> Result<()> {
    check("TLSv1.3", "--http2")
}
