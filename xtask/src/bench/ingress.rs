//! The measured controllers, each as a proxy of all requests to one backend over kept connections.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use harness::cgroup::Cgroup;
use harness::identity::Identity;
use harness::peers;
use harness::server::caddy::{self, Caddy};
use harness::server::envoy::{self, Envoy, Upstream};
use harness::server::nginx::{self, Nginx};

use super::setting::{Server, Setting};

/// A running one.
pub(super) enum Ingress {
    Nginx(Nginx),
    Envoy { _guard: Envoy },
    Caddy { _guard: Caddy },
}

/// Where it stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) cgroup: &'a Cgroup,
    pub(super) host: &'a str,
    pub(super) listen: SocketAddr,
    pub(super) backend: SocketAddr,
    pub(super) identity: &'a Identity,
}

impl Ingress {
    /// Starts it; it writes an access log or not, and is otherwise the same.
    pub(super) fn start(setting: Setting, access_log: bool, place: Place<'_>) -> Result<Self> {
        match setting.server {
            Server::Nginx => start_nginx(setting, access_log, place).map(Self::Nginx),
            Server::Envoy => start_envoy(access_log, place).map(|guard| Self::Envoy { _guard: guard }),
            Server::Caddy => start_caddy(access_log, place).map(|guard| Self::Caddy { _guard: guard }),
        }
    }
}

fn start_nginx(setting: Setting, access_log: bool, place: Place<'_>) -> Result<Nginx> {
    let Place { cgroup, host, listen, backend, identity } = place;
    let tls = if setting.protocol.tls() {
        format!(
            " ssl http2;\n    ssl_protocols TLSv1.3;\n    ssl_certificate {};\n    ssl_certificate_key {}",
            identity.certificate().display(),
            identity.key().display()
        )
    } else {
        String::new()
    };
    let http = format!(
        "  keepalive_requests 100000000;\n  keepalive_timeout 600s;\n  \
         upstream bench {{ server {backend}; keepalive 512; keepalive_requests 100000000; }}\n  \
         server {{\n    listen {listen} backlog=4096{tls};\n    server_name {host};\n    \
         proxy_set_header Host $host;\n    proxy_http_version 1.1;\n    proxy_set_header Connection \"\";\n    \
         location / {{ proxy_pass http://bench; }}\n    location = /status {{ stub_status; }}\n  }}\n",
    );
    let config = nginx::Config { http: &http, listens: &[listen], access_log, workers: 1 };
    Nginx::start(cgroup, &config)
}

fn start_envoy(access_log: bool, place: Place<'_>) -> Result<Envoy> {
    let program = peers::envoy().context("without Envoy it cannot be measured")?;
    let config = envoy::Config {
        listen: place.listen,
        identity: place.identity,
        tls: "1.3",
        backend: place.backend,
        upstream: Upstream::Http1,
        access_log,
        workers: 1,
    };
    Envoy::start(program, place.cgroup, &config)
}

fn start_caddy(access_log: bool, place: Place<'_>) -> Result<Caddy> {
    let directives = format!(
        "\ttls {} {} {{\n\t\tprotocols tls1.3 tls1.3\n\t}}\n\treverse_proxy {} {{\n\t\ttransport http {{\n\t\t\t\
         keepalive_idle_conns_per_host 512\n\t\t}}\n\t}}",
        place.identity.certificate().display(),
        place.identity.key().display(),
        place.backend
    );
    let config =
        caddy::Config { scheme: "https", directives: &directives, listens: &[place.listen], access_log };
    Caddy::start(place.cgroup, &config)
}
