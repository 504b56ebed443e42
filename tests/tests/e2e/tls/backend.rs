//! The other leg: backends that speak HTTP/2 or TLS, or both, to the ingress.

use std::net::SocketAddr;

use anyhow::{Result, bail, ensure};
use harness::auditor::Output;
use harness::cgroup::Cgroup;
use harness::entry::LogEntry;
use harness::identity::Identity;
use harness::manifests::Route;
use harness::peers;
use harness::server::envoy::{self, Envoy, Upstream};
use harness::server::nginx::{Config, Nginx};
use serde_json::Value;

use super::{Http, Tls, audit, ordinary};
use crate::bed::{Bed, HOST, judge_backend};

/// A server under test, a backend that listens with these parameters of nginx, and the usual traffic.
fn check<Stop: FnOnce() -> Result<Vec<LogEntry>>>(
    (name, controller): (&str, &str),
    listen: &str,
    start: impl FnOnce(&Bed, &Identity, SocketAddr) -> Result<Stop>,
) -> Result<()> {
    let bed = Bed::new(name, controller)?;
    let address = SocketAddr::new(bed.address(4), 8080);
    bed.manifests
        .replace(controller, &[Route { host: HOST, path: "/", service: "shop", backend: address }])?;
    let identity = Identity::new(&["backend.test"])?;
    let cgroup = Cgroup::create("backend")?;
    // It hands on, and so reads bodies whole: nginx resets a stream that it answers before.
    let http = format!(
        "  ssl_certificate {};\n  ssl_certificate_key {};\n  server {{\n    listen {address} {listen};\n    \
         location / {{ proxy_pass http://{}; }}\n  }}\n",
        identity.certificate().display(),
        identity.key().display(),
        bed.origin.address(),
    );
    let config = Config { http: &http, listens: &[address], access_log: true, workers: 1 };
    let backend = Nginx::start(&cgroup, &config)?;
    let start = |bed: &Bed, identity: &Identity, _| start(bed, identity, address);
    let (_, output) = audit(Ok(bed), start, (Tls::V13, Http::V2), |server| ordinary(server, Http::V2))?;
    for id in ["get", "upload", "head", "large", "s404", "last"] {
        judge_backend(&output, address, id)?;
    }
    judge_attempts(&output, &backend.stop()?)
}

/// What was asked of the backend, by its own log, and what the events say was: the same, request by request.
fn judge_attempts(output: &Output, log: &[LogEntry]) -> Result<()> {
    let mut attempts = Vec::new();
    for event in output.of_kind("http.request")? {
        let id = event.text("/http/request/id").map(str::to_owned);
        let of_event = event.value.pointer("/backend/attempts").and_then(Value::as_array);
        for attempt in of_event.into_iter().flatten() {
            let text = |name: &str| attempt.get(name).and_then(Value::as_str);
            let number = |name: &str| attempt.get(name).and_then(Value::as_u64);
            let status = number("status").and_then(|status| u16::try_from(status).ok());
            let path = text("path").unwrap_or_default().to_owned();
            attempts.push((id.clone(), text("method").map(str::to_owned), path, status, number("bytes")));
        }
    }
    for entry in log {
        let path = entry.uri.split('?').next().unwrap_or_default();
        let same = attempts.iter().position(|(id, method, seen, status, bytes)| {
            (id, method, status) == (&entry.request_id, &entry.method, &entry.status)
                && seen == path
                && (entry.body_bytes.is_none() || *bytes == entry.body_bytes)
        });
        let Some(same) = same else { bail!("no attempt for {entry:?} among {attempts:?}") };
        attempts.swap_remove(same);
    }
    ensure!(!log.is_empty() && attempts.is_empty(), "not in the backend's log: {attempts:?}");
    Ok(())
}

fn check_haproxy(listen: &str, how: &str) -> Result<()> {
    check(("haproxy", crate::haproxy::CONTROLLER), listen, |bed, identity, backend| {
        super::haproxy::start_for(bed, identity, Tls::V13, &format!("{backend} {how}"))
    })
}

fn check_envoy(listen: &str, upstream: Upstream) -> Result<()> {
    let Some(program) = peers::envoy() else { return Ok(()) };
    check(("envoy", super::envoy::CONTROLLER), listen, |bed, identity, backend| {
        let config = envoy::Config {
            listen: bed.server(),
            identity,
            tls: "1.3",
            backend,
            upstream,
            access_log: true,
            workers: 2,
        };
        let server = Envoy::start(program, &bed.cgroup, &config)?;
        Ok(move || server.stop())
    })
}

#[test]
fn haproxy_to_http2() -> Result<()> {
    check_haproxy("http2", "proto h2")
}

#[test]
fn haproxy_to_http1_over_tls() -> Result<()> {
    check_haproxy("ssl", "ssl verify none")
}

#[test]
fn haproxy_to_http2_over_tls() -> Result<()> {
    check_haproxy("ssl http2", "ssl verify none alpn h2")
}

#[test]
fn envoy_to_http2() -> Result<()> {
    check_envoy("http2", Upstream::Http2)
}

#[test]
fn envoy_to_http1_over_tls() -> Result<()> {
    check_envoy("ssl", Upstream::Http1OverTls)
}

#[test]
fn envoy_to_http2_over_tls() -> Result<()> {
    check_envoy("ssl http2", Upstream::Http2OverTls)
}
