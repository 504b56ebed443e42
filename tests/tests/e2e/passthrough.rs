//! TLS that the controller passes on without ending it (nginx's `stream` with `ssl_preread`): one event for each connection, with
//! what the client asked for, the route that declares it and where it went; no request, and the reason.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use harness::cgroup::Cgroup;
use harness::curl::{self, Transfer};
use harness::event::Event;
use harness::manifests::{Manifests, Route};
use harness::pki::Pki;
use harness::server::nginx::{Config, Nginx};

use crate::bed::HOST;
use crate::nginx::{CONTROLLER, bed};

/// Another host, whose TLS is passed on as well and for which no rule says so.
const UNDECLARED: &str = "undeclared.test";

/// The Ingress of [`HOST`] with ingress-nginx's annotation.
fn declare(manifests: &Manifests, backend: SocketAddr) -> Result<()> {
    let route = |host, service| Route { host, path: "/", service, backend };
    manifests.replace(CONTROLLER, &[route(HOST, "vault")])?;
    let path = manifests.path().join("objects.yaml");
    let yaml = std::fs::read_to_string(&path)?;
    let annotation = "annotations: {nginx.ingress.kubernetes.io/ssl-passthrough: \"true\"}";
    let annotated = yaml.replace(
        "metadata: {name: test, namespace: test}",
        &format!("metadata: {{name: test, namespace: test, {annotation}}}"),
    );
    ensure!(annotated != yaml, "no Ingress in {yaml}");
    manifests.replace_by(&annotated)
}

/// The `connection` events of a leg, in order of time.
fn connections(events: &[Event], leg: &str) -> Vec<Event> {
    let mut events: Vec<_> = events.iter().filter(|event| event.text("/leg") == Some(leg)).cloned().collect();
    events.sort_by_key(|event| event.text("/time").map(str::to_owned));
    events
}

#[test]
fn tls_passed_on() -> Result<()> {
    let (bed, pki) = (bed()?, Pki::new("Test Authority")?);
    pki.issue("server", &format!("/CN={HOST}"), &format!("DNS:{HOST},DNS:{UNDECLARED}"))?;
    // The backend ends TLS, in a cgroup of its own, which nobody looks at.
    let outside = Cgroup::create("backend")?;
    let backend = SocketAddr::new(bed.address(4), 8443);
    let http = format!(
        "  server {{\n    listen {backend} ssl http2;\n    ssl_protocols TLSv1.2 TLSv1.3;\n    ssl_certificate {};\n    ssl_certificate_key {};\n    \
         location / {{ return 200 hello; }}\n  }}\n",
        pki.certificate("server").display(),
        pki.key("server").display(),
    );
    let vault =
        Nginx::start(&outside, &Config { http: &http, listens: &[backend], access_log: true, workers: 1 })?;
    let stream = format!(
        "  map $ssl_preread_server_name $to {{ {HOST} {backend}; {UNDECLARED} {backend}; }}\n  \
         server {{ listen {}; ssl_preread on; proxy_pass $to; }}\n",
        bed.server()
    );
    let server = Nginx::start_stream(&bed.cgroup, &stream, &[bed.server()])?;
    declare(&bed.manifests, backend)?;
    let auditor = bed.audit()?;
    let authority = pki.authority().display().to_string();
    let asked = [
        (HOST, "--tlsv1.3", "--http2"),
        (HOST, "--tlsv1.2", "--http1.1"),
        (UNDECLARED, "--tlsv1.3", "--http2"),
    ];
    for (host, version, http) in asked {
        let highest = version.trim_start_matches("--tlsv");
        let transfer = Transfer::get(format!("https://{host}/secret"), "passed");
        let transfer = transfer.with(&["--cacert", &authority, version, "--tls-max", highest, http]);
        let responses = curl::run(bed.server(), &[transfer])?;
        ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    }
    let served = vault.stop()?;
    ensure!(served.len() == asked.len(), "{} requests served", served.len());
    server.stop()?;
    let output = auditor.stop()?;

    ensure!(
        output.requests()?.is_empty() && output.upstream()?.is_empty(),
        "requests that nobody can have read"
    );
    let events = output.of_kind("connection")?;
    let (clients, backends) = (connections(&events, "client"), connections(&events, "backend"));
    ensure!(clients.len() == asked.len(), "{} connections: {clients:?}", clients.len());
    ensure!(backends.len() == asked.len(), "{} connections: {backends:?}", backends.len());
    for (event, (host, version, _)) in clients.iter().zip(asked) {
        ensure!(event.text("/protocol") == Some("tls"), "{event:?}");
        ensure!(event.text("/tls/sni") == Some(host), "{event:?}");
        ensure!(event.text("/tls/version") == version.strip_prefix("--tlsv"), "{event:?}");
        ensure!(event.text("/tls/ja4").is_some_and(|ja4| ja4.starts_with('t')), "{event:?}");
        let passed = event.value.pointer("/passthrough").context("no passthrough")?;
        let text = |pointer: &str| passed.pointer(pointer).and_then(|value| value.as_str());
        ensure!(text("/backend/address") == Some(&backend.ip().to_string()), "{passed}");
        ensure!(passed.pointer("/backend/port") == Some(&backend.port().into()), "{passed}");
        ensure!(text("/backend/service") == Some("vault"), "{passed}");
        let expected = if host == HOST { ["passthrough", "yes"] } else { ["none", "unknown"] };
        ensure!([text("/route/matched"), text("/agrees")] == expected.map(Some), "{passed}");
        ensure!(text("/route/service") == (host == HOST).then_some("vault"), "{passed}");
        // Certificates are in the clear before TLS 1.3 only.
        let certificate = event.text("/tls/certificate/subject");
        let expected = (version == "--tlsv1.2").then(|| format!("CN={HOST}"));
        ensure!(certificate == expected.as_deref(), "{event:?}");
    }
    let coverage = output.of_kind("coverage")?;
    let told = |reason: &str| coverage.iter().filter(|event| event.text("/reason") == Some(reason)).count();
    // Each way of both legs, and of each again what came later.
    ensure!(told("passed_through") >= 4 * asked.len(), "coverage:\n  {}", output.coverage()?);
    ensure!(told("no_key") == 0, "coverage:\n  {}", output.coverage()?);
    Ok(())
}
