//! gRPC through nginx (`grpc_pass`): service, method and status of each call, with a real client and server.

use anyhow::{Context, Result, ensure};
use harness::grpc::{self, SERVICE, Server};
use harness::manifests::Route;
use harness::pki::Pki;
use harness::server::nginx::{Config, Nginx};
use serde_json::{Value, json};

use crate::bed::{HOST, judge};
use crate::nginx::{CONTROLLER, bed};

/// Calls that the client ends: what the server says then, it does not hear.
const ENDED_BY_CLIENT: [&str; 2] = ["deadline", "cancelled"];

fn check(pki: Option<&Pki>) -> Result<()> {
    let bed = bed()?;
    let backend = std::net::SocketAddr::new(bed.address(4), 8080);
    let _backend = Server::start(backend)?;
    bed.manifests.replace(CONTROLLER, &[Route { host: HOST, path: "/", service: "shop", backend }])?;
    let tls = match pki {
        None => String::new(),
        Some(pki) => format!(
            " ssl;\n    ssl_certificate {};\n    ssl_certificate_key {}",
            pki.certificate("server").display(),
            pki.key("server").display()
        ),
    };
    let listen = bed.server();
    // The server is not told of the deadline: both ends would give the call up at once, and who is first would be chance.
    let http = format!(
        "  server {{\n    listen {listen} http2{tls};\n    server_name {HOST};\n    \
         grpc_set_header grpc-timeout \"\";\n    location / {{ grpc_pass grpc://{backend}; }}\n  }}\n"
    );
    let server =
        Nginx::start(&bed.cgroup, &Config { http: &http, listens: &[listen], access_log: true, workers: 1 })?;
    let auditor = bed.audit()?;
    let calls = grpc::call(listen, HOST, pki.map(Pki::authority).as_deref())?;
    let log = server.stop()?;
    let output = auditor.stop()?;

    // The codes of gRPC's `statuscodes`.
    let codes: Vec<(&str, u32)> = calls.iter().map(|call| (call.id.as_str(), call.code)).collect();
    let expected = [
        ("unary", 0),
        ("stream", 0),
        ("gather", 0),
        ("talk", 0),
        ("fail", 5),
        ("fail-late", 8),
        ("unknown", 12),
        ("deadline", 4),
        ("cancelled", 1),
        ("after", 0),
    ];
    ensure!(codes == expected, "the client saw {codes:?}");
    judge(&output, &log)?;
    let events = output.of_kind("http.request")?;
    ensure!(events.len() == calls.len(), "{} events of {} calls", events.len(), calls.len());
    for call in calls {
        let event = events.iter().find(|event| event.text("/http/request/id") == Some(&call.id));
        let event = event.with_context(|| format!("no event of {}", call.id))?;
        let status = if ENDED_BY_CLIENT.contains(&call.id.as_str()) { Value::Null } else { call.code.into() };
        let expected = json!({"service": SERVICE, "method": call.method, "status": status});
        let told = event.value.pointer("/http/grpc");
        ensure!(told == Some(&expected), "{}: told {told:?}, expected {expected}", call.id);
        let outcome = if status.is_null() { "reset_by_client" } else { "completed" };
        ensure!(event.text("/outcome") == Some(outcome), "outcome of {:?}", event.value);
        let is_secure = event.value.pointer("/tls").is_some_and(|tls| !tls.is_null());
        ensure!(is_secure == pki.is_some(), "TLS of {:?}", event.value);
        ensure!(event.text("/backend/join") == Some("exact"), "join of {:?}", event.value);
    }
    Ok(())
}

#[test]
fn in_the_clear() -> Result<()> {
    check(None)
}

#[test]
fn over_tls() -> Result<()> {
    let pki = Pki::new("Test Authority")?;
    pki.issue("server", &format!("/CN={HOST}"), &format!("DNS:{HOST}"))?;
    check(Some(&pki))
}
