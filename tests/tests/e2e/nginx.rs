//! nginx as the ingress.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use harness::curl::{self, Transfer};
use harness::process::{Process, command};
use harness::raw::RawClient;
use harness::server::nginx::{Config, Nginx};
use std::fs::File;
use std::time::Duration;

use crate::bed::{Bed, HOST, judge, judge_backend, judge_garbage};
use crate::traffic;

pub(crate) const CONTROLLER: &str = "k8s.io/ingress-nginx";
const WRK_LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn bed() -> Result<Bed> {
    Bed::new("nginx", CONTROLLER)
}

/// nginx proxying to the bed's backend, listening with these `listen` parameters.
pub(crate) fn start(bed: &Bed, listens: &[(SocketAddr, &str)]) -> Result<Nginx> {
    start_with(bed, listens, |config| Nginx::start(&bed.cgroup, config))
}

/// The same, started by the caller.
pub(crate) fn start_with(
    bed: &Bed,
    listens: &[(SocketAddr, &str)],
    start: impl FnOnce(&Config<'_>) -> Result<Nginx>,
) -> Result<Nginx> {
    let listen =
        listens.iter().map(|(address, how)| format!("    listen {address} {how};\n")).collect::<String>();
    let http = format!(
        "  upstream shop {{ server {origin}; keepalive 16; }}\n  server {{\n{listen}    server_name {HOST};\n    \
         keepalive_requests 1000000;\n    \
         proxy_set_header Host $http_host;\n    proxy_set_header Connection \"\";\n    \
         proxy_set_header X-Request-ID $http_x_request_id;\n    proxy_next_upstream off;\n    \
         proxy_request_buffering off;\n    location / {{ proxy_pass http://shop; }}\n    \
         location /dead {{ proxy_pass http://{dead}; }}\n    location /own {{ return 404; }}\n    \
         location /moved {{ return 302 http://{HOST}/; }}\n  }}\n",
        origin = bed.origin.address(),
        dead = bed.dead(),
    );
    let addresses: Vec<SocketAddr> = listens.iter().map(|(address, _)| *address).collect();
    start(&Config { http: &http, listens: &addresses, access_log: true, workers: 1 })
}

/// One server, one auditor, one kind of traffic, and the judgement.
fn check(traffic: impl FnOnce(SocketAddr) -> Result<()>) -> Result<harness::auditor::Output> {
    let bed = bed()?;
    let server = start(&bed, &[(bed.server(), "")])?;
    let auditor = bed.audit()?;
    traffic(bed.server())?;
    let log = server.stop()?;
    let output = auditor.stop()?;
    ensure!(!log.is_empty(), "nginx logged nothing");
    judge(&output, &log)?;
    Ok(output)
}

#[test]
fn ordinary_requests() -> Result<()> {
    let bed = bed()?;
    let server = start(&bed, &[(bed.server(), "")])?;
    let auditor = bed.audit()?;
    traffic::ordinary(bed.server())?;
    let log = server.stop()?;
    let output = auditor.stop()?;
    judge(&output, &log)?;
    traffic::check_ordinary(&output)?;
    for id in ["get", "upload", "chunked", "s404", "s500", "last"] {
        judge_backend(&output, bed.origin.address(), id)?;
    }
    Ok(())
}

#[test]
fn large_download() -> Result<()> {
    check(traffic::large).map(drop)
}

#[test]
fn pipelined_requests() -> Result<()> {
    check(traffic::pipelined).map(drop)
}

#[test]
fn bodies_that_hold_requests() -> Result<()> {
    check(traffic::smuggled).map(drop)
}

#[test]
fn garbage() -> Result<()> {
    let bed = bed()?;
    let server = start(&bed, &[(bed.server(), "")])?;
    let auditor = bed.audit()?;
    traffic::garbage(bed.server())?;
    let log = server.stop()?;
    let output = auditor.stop()?;
    judge_garbage(&output, &log)?;
    judge_backend(&output, bed.origin.address(), "after-garbage")
}

#[test]
fn strange_backends() -> Result<()> {
    check(traffic::strange_backends).map(drop)
}

#[test]
fn aborted_by_the_client() -> Result<()> {
    let output = check(traffic::aborted)?;
    let events = output.requests()?;
    for event in events {
        ensure!(event.outcome.as_deref() == Some("reset_by_client"), "outcome of {event:?}");
    }
    Ok(())
}

#[test]
fn answered_by_nginx_itself() -> Result<()> {
    let output = check(|server| {
        let transfers = ["/own", "/moved", "/dead", "/dead/x"]
            .map(|path| Transfer::get(format!("http://{HOST}{path}"), path.replace('/', "-")));
        let responses = curl::run(server, &transfers)?;
        let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
        ensure!(statuses == [404, 302, 502, 502], "statuses {statuses:?}");
        Ok(())
    })?;
    for event in output.requests()? {
        ensure!(event.answered_by.as_deref() == Some("controller"), "answered by: {event:?}");
    }
    Ok(())
}

#[test]
fn concurrent_load() -> Result<()> {
    check(|server| {
        let mut wrk = command("wrk", None);
        wrk.args(["--threads", "1", "--connections", "16", "--duration", "3s", "--header"]);
        wrk.arg(format!("Host: {HOST}")).arg(format!("http://{server}/bytes/100"));
        let mut wrk = Process::spawn("wrk", &mut wrk, &File::create("/dev/null")?)?;
        ensure!(wrk.wait(WRK_LIMIT)?.success(), "wrk failed");
        Ok(())
    })
    .map(drop)
}

#[test]
fn ipv6() -> Result<()> {
    let bed = bed()?;
    let address = harness::net::free_ipv6()?;
    let server = start(&bed, &[(address, "")])?;
    let auditor = bed.audit()?;
    traffic::ordinary(address)?;
    let log = server.stop()?;
    let output = auditor.stop()?;
    judge(&output, &log)?;
    traffic::check_ordinary(&output)?;
    judge_backend(&output, bed.origin.address(), "get")
}

#[test]
fn deferred_accept() -> Result<()> {
    let bed = bed()?;
    let server = start(&bed, &[(bed.server(), "deferred")])?;
    let auditor = bed.audit()?;
    traffic::ordinary(bed.server())?;
    traffic::pipelined(bed.server())?;
    let log = server.stop()?;
    let output = auditor.stop()?;
    judge(&output, &log)?;
    judge_backend(&output, bed.origin.address(), "get")
}

/// The first payload comes with the ACK that ends the handshake, and is handled under the listening socket.
#[test]
fn data_on_the_last_ack_of_the_handshake() -> Result<()> {
    check(|server| {
        for number in 0..20 {
            let mut client = RawClient::connect_silently(server)?;
            let request =
                format!("GET /bytes/1 HTTP/1.1\r\nHost: {HOST}\r\nX-Request-ID: ack-{number}\r\nConnection: close\r\n\r\n");
            client.send(request.as_bytes())?;
            let answer = client.read_to_close()?;
            ensure!(answer.starts_with(b"HTTP/1.1 200"), "no answer to request {number}");
        }
        Ok(())
    })
    .map(drop)
}

#[test]
fn chunked_bodies() -> Result<()> {
    traffic::check_chunked(&check(traffic::chunked)?)
}
