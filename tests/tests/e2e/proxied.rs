//! Behind another proxy: who the client is, by PROXY headers and by forwarding headers, against what nginx makes of the same.
//!
//! curl at `.20`, `HAProxy` as the load balancer at `.5`, nginx at `.1`, the backend at `.2`.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use harness::auditor::Output;
use harness::cgroup::Cgroup;
use harness::curl::{self, Transfer};
use harness::event::Event;
use harness::server::haproxy::HaProxy;
use harness::server::nginx::{Config, Nginx};
use serde::Deserialize;
use tempfile::TempDir;

use crate::bed::{Bed, HOST, judge};
use crate::nginx;

const SPOOFED: &str = "198.18.6.6";

/// What nginx says of the client of a request.
#[derive(Debug, Deserialize)]
struct Logged {
    id: String,
    /// The client, after all that nginx believes.
    address: String,
    /// The peer of the connection.
    peer: String,
    /// What the PROXY header says.
    source: String,
    source_port: String,
}

struct Place {
    bed: Bed,
    log: TempDir,
    balancer: Cgroup,
}

impl Place {
    fn new() -> Result<Self> {
        Ok(Self { bed: nginx::bed()?, log: TempDir::new()?, balancer: Cgroup::create("balancer")? })
    }

    /// nginx, which believes the load balancer in this header.
    fn nginx(&self, cgroup: &Cgroup, listen: &str, header: &str) -> Result<Nginx> {
        let http = format!(
            "  log_format client escape=json '{{\"id\":\"$http_x_request_id\",\"address\":\"$remote_addr\",\
             \"peer\":\"$realip_remote_addr\",\"source\":\"$proxy_protocol_addr\",\
             \"source_port\":\"$proxy_protocol_port\"}}';\n  server {{\n    listen {server} {listen};\n    \
             server_name {HOST};\n    access_log access.log audit;\n    access_log {log} client;\n    \
             set_real_ip_from {balancer};\n    real_ip_header {header};\n    real_ip_recursive on;\n    \
             proxy_set_header Host $http_host;\n    proxy_set_header X-Forwarded-For $remote_addr;\n    \
             location / {{ proxy_pass http://{origin}; }}\n  }}\n",
            server = self.bed.server(),
            log = self.log.path().join("client.log").display(),
            balancer = self.bed.address(5),
            origin = self.bed.origin.address(),
        );
        let listens = [self.bed.server()];
        Nginx::start(cgroup, &Config { http: &http, listens: &listens, access_log: true, workers: 1 })
    }

    fn front(&self) -> SocketAddr {
        SocketAddr::new(self.bed.address(5), 8081)
    }

    /// `HAProxy` in front of nginx, its server line ending so.
    fn haproxy(&self, cgroup: &Cgroup, frontend: &str, how: &str) -> Result<HaProxy> {
        let sections = format!(
            "frontend http\n  bind {front}\n  unique-id-format %ci:%cp\n{frontend}  default_backend nginx\n\
             backend nginx\n  server nginx {server} source {from} {how}\n",
            front = self.front(),
            server = self.bed.server(),
            from = self.bed.address(5),
        );
        HaProxy::start(cgroup, &sections, &[self.front()])
    }

    /// Requests on two connections, each with claims that nobody should believe.
    fn ask(&self) -> Result<()> {
        let client = self.bed.address(20).to_string();
        for connection in ["a", "b"] {
            let transfers = ["/bytes/10", "/bytes/200000", "/status/404"].map(|path| {
                let id = format!("{connection}{}", path.replace('/', "-"));
                Transfer::get(format!("http://{HOST}{path}"), id).with(&[
                    "--interface",
                    &client,
                    "--header",
                    &format!("X-Forwarded-For: {SPOOFED}"),
                    "--header",
                    &format!("Forwarded: for={SPOOFED};x=\""),
                ])
            });
            let responses = curl::run(self.front(), &transfers)?;
            let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
            ensure!(statuses == [200, 200, 404], "statuses {statuses:?}");
        }
        Ok(())
    }

    fn logged(&self) -> Result<Vec<Logged>> {
        let text = fs::read_to_string(self.log.path().join("client.log"))?;
        let lines: Vec<Logged> = text
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect::<Result<_>>()?;
        ensure!(lines.len() == 6, "nginx logged {lines:?}");
        Ok(lines)
    }
}

/// Each line of the log with its event.
fn pair<'a>(logged: &'a [Logged], events: &'a [Event]) -> Result<Vec<(&'a Logged, &'a Event)>> {
    let find = |line: &'a Logged| {
        let event = events.iter().find(|event| event.text("/http/request/id") == Some(&line.id));
        Ok((line, event.with_context(|| format!("no event for {line:?}"))?))
    };
    logged.iter().map(find).collect()
}

fn port(event: &Event, pointer: &str) -> Option<String> {
    Some(event.value.pointer(pointer)?.as_u64()?.to_string())
}

/// nginx audited, with what is between it and `HAProxy`.
fn check(
    listen: &str,
    header: &str,
    frontend: &str,
    how: &str,
    configuration: &str,
) -> Result<(Place, Output)> {
    let place = Place::new()?;
    let server = place.nginx(&place.bed.cgroup, listen, header)?;
    let balancer = place.haproxy(&place.balancer, frontend, how)?;
    let configuration = configuration.replace("BALANCER", &place.bed.address(5).to_string());
    let auditor = place.bed.audit_configured(&configuration)?;
    place.ask()?;
    balancer.stop()?;
    let log = server.stop()?;
    let output = auditor.stop()?;
    judge(&output, &log)?;
    Ok((place, output))
}

const TRUSTED: &str = "trusted: [BALANCER]\n";

fn check_header(how: &str) -> Result<Output> {
    let (place, output) = check("proxy_protocol", "proxy_protocol", "", how, TRUSTED)?;
    let (logged, events) = (place.logged()?, output.of_kind("http.request")?);
    for (line, event) in pair(&logged, &events)? {
        ensure!(
            line.address == place.bed.address(20).to_string(),
            "nginx was not told of the client: {line:?}"
        );
        ensure!(event.text("/client/determined_by") == Some("proxy_protocol"), "{event:?}");
        ensure!(event.text("/client/address") == Some(&line.address), "{line:?} {event:?}");
        ensure!(event.text("/client/peer/address") == Some(&line.peer), "{line:?} {event:?}");
        ensure!(
            event.text("/client/proxy_protocol/source/address") == Some(&line.source),
            "{line:?} {event:?}"
        );
        ensure!(port(event, "/client/port").as_ref() == Some(&line.source_port), "{line:?} {event:?}");
        // nginx tells the backend the same address: the join rests on it.
        ensure!(event.text("/backend/join") == Some("exact"), "{event:?}");
    }
    Ok(output)
}

#[test]
fn proxy_protocol_version_1() -> Result<()> {
    check_header("send-proxy").map(drop)
}

#[test]
fn proxy_protocol_version_2() -> Result<()> {
    let output = check_header("send-proxy-v2 proxy-v2-options crc32c,unique-id")?;
    for event in output.of_kind("http.request")? {
        let id = format!(
            "{}:{}",
            event.text("/client/address").unwrap_or_default(),
            port(&event, "/client/port").unwrap_or_default()
        );
        ensure!(event.text("/client/proxy_protocol/unique_id") == Some(&id), "{event:?}");
    }
    Ok(())
}

/// nginx believes it, for its configuration says so; the auditor's does not.
#[test]
fn proxy_protocol_of_who_is_not_trusted() -> Result<()> {
    let (place, output) = check("proxy_protocol", "proxy_protocol", "", "send-proxy-v2", "")?;
    let (logged, events) = (place.logged()?, output.of_kind("http.request")?);
    for (line, event) in pair(&logged, &events)? {
        ensure!(event.text("/client/determined_by") == Some("peer"), "{event:?}");
        ensure!(event.text("/client/address") == Some(&line.peer), "{line:?} {event:?}");
        ensure!(
            event.text("/client/proxy_protocol/source/address") == Some(&line.source),
            "{line:?} {event:?}"
        );
    }
    Ok(())
}

#[test]
fn x_forwarded_for() -> Result<()> {
    let (place, output) = check("", "X-Forwarded-For", "  option forwardfor\n", "", TRUSTED)?;
    let (logged, events) = (place.logged()?, output.of_kind("http.request")?);
    for (line, event) in pair(&logged, &events)? {
        ensure!(
            line.address == place.bed.address(20).to_string(),
            "nginx was not told of the client: {line:?}"
        );
        ensure!(event.text("/client/determined_by") == Some("x_forwarded_for"), "{event:?}");
        ensure!(event.text("/client/address") == Some(&line.address), "{line:?} {event:?}");
        ensure!(event.text("/client/peer/address") == Some(&line.peer), "{line:?} {event:?}");
        ensure!(event.text("/client/forwarded/0") == Some(SPOOFED), "{event:?}");
        let notes = event.value.pointer("/observation/notes").map(ToString::to_string).unwrap_or_default();
        ensure!(notes.contains("forwarding_headers_differ"), "{event:?}");
    }
    Ok(())
}

/// nginx cannot read this one: the client's own address is the oracle.
#[test]
fn forwarded() -> Result<()> {
    let frontend = "  http-request set-header Forwarded \"%[req.fhdr(forwarded)], for=%[src];proto=http\"\n";
    let configuration = format!("{TRUSTED}forwarding_headers: [Forwarded]\n");
    let (place, output) = check("", "X-Real-IP", frontend, "", &configuration)?;
    let (logged, events) = (place.logged()?, output.of_kind("http.request")?);
    let client = place.bed.address(20).to_string();
    for (_, event) in pair(&logged, &events)? {
        ensure!(event.text("/client/determined_by") == Some("forwarded"), "{event:?}");
        ensure!(event.text("/client/address") == Some(&client), "{event:?}");
    }
    Ok(())
}

/// `HAProxy` audited: what it says to the backend is what nginx there reads, and proves the join.
#[test]
fn sent_to_the_backend() -> Result<()> {
    for how in ["send-proxy", "send-proxy-v2"] {
        let place = Place::new()?;
        let server = place.nginx(&place.balancer, "proxy_protocol", "proxy_protocol")?;
        let balancer = place.haproxy(&place.bed.cgroup, "", how)?;
        let auditor = place.bed.audit_configured("")?;
        place.ask()?;
        balancer.stop()?;
        server.stop()?;
        let output = auditor.stop()?;
        let (logged, events) = (place.logged()?, output.of_kind("http.request")?);
        for (line, event) in pair(&logged, &events)? {
            ensure!(event.text("/client/address") == Some(&line.source), "{line:?} {event:?}");
            ensure!(port(event, "/client/port").as_ref() == Some(&line.source_port), "{line:?} {event:?}");
            ensure!(event.text("/backend/join") == Some("exact"), "{event:?}");
        }
        let mut named: Vec<String> = Vec::new();
        for event in output.of_kind("connection")? {
            if event.text("/leg") == Some("backend") {
                ensure!(event.text("/client/determined_by") == Some("proxy_protocol"), "{event:?}");
                named.extend(port(&event, "/client/port"));
            }
        }
        let mut expected: Vec<String> = logged.iter().map(|line| line.source_port.clone()).collect();
        for ports in [&mut named, &mut expected] {
            ports.sort_unstable();
            ports.dedup();
        }
        ensure!(named == expected, "{how}: connections for {named:?}, nginx was told {expected:?}");
    }
    Ok(())
}
