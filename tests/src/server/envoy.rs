//! Envoy, terminating TLS in front of one backend.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Running;
use crate::cgroup::Cgroup;
use crate::entry::LogEntry;
use crate::identity::Identity;
use crate::process::command;

/// How Envoy speaks to its backend.
#[derive(Clone, Copy, Debug)]
pub enum Upstream {
    /// HTTP/1.1 in the clear.
    Http1,
    /// HTTP/2 in the clear, by prior knowledge.
    Http2,
    /// HTTP/1.1 over TLS.
    Http1OverTls,
    /// HTTP/2 over TLS.
    Http2OverTls,
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its certificate and key.
    pub identity: &'a Identity,
    /// The one version of TLS that clients may speak: `1.2` or `1.3`.
    pub tls: &'a str,
    /// Where all but `/own` goes, which it answers itself with 404.
    pub backend: SocketAddr,
    /// What is spoken there.
    pub upstream: Upstream,
    /// Whether it writes an access log.
    pub access_log: bool,
    /// Worker threads.
    pub workers: u32,
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy(Running);

/// The access log, in its directory.
const LOG: &str = "access.log";

/// A line of the access log. What there is none of is null.
#[derive(Deserialize)]
struct Line {
    method: Option<String>,
    uri: Option<String>,
    status: u16,
    body_bytes: u64,
    request_id: Option<String>,
    /// Why the response was not an ordinary one.
    flags: Option<String>,
}

impl Envoy {
    /// Starts `program` and waits until it listens.
    ///
    /// # Errors
    /// It cannot be started, refuses the configuration (the error holds what it said), or does not listen in time.
    pub fn start(program: &Path, cgroup: &Cgroup, config: &Config<'_>) -> Result<Self> {
        let directory = TempDir::new()?;
        let path = directory.path().join("envoy.json");
        fs::write(&path, render(config, &directory.path().join(LOG)).to_string())?;
        let mut envoy = command(program, Some(cgroup));
        envoy.arg("--config-path").arg(&path);
        envoy.args(["--concurrency", &config.workers.to_string()]);
        envoy.args(["--disable-hot-restart", "--log-level", "warning"]);
        Running::start("envoy", directory, &mut envoy, &[config.listen]).map(Self)
    }

    /// Ends it and reads its access log, which it writes at its end at the latest.
    ///
    /// # Errors
    /// It does not end in time, or the log cannot be read.
    pub fn stop(mut self) -> Result<Vec<LogEntry>> {
        self.0.end(Signal::SIGTERM)?;
        read(&self.0.path(LOG))
    }
}

fn render(config: &Config<'_>, log: &Path) -> Value {
    let api = |name: &str| format!("type.googleapis.com/envoy.{name}");
    let version = format!("TLSv1_{}", config.tls.trim_start_matches("1."));
    let tls = json!({"name": "tls", "typed_config": {
        "@type": api("extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": version, "tls_maximum_protocol_version": version},
            "tls_certificates": [{
                "certificate_chain": {"filename": config.identity.certificate()},
                "private_key": {"filename": config.identity.key()},
            }],
        },
    }});
    let access_log = json!({"name": "file", "typed_config": {
        "@type": api("extensions.access_loggers.file.v3.FileAccessLog"),
        "path": log,
        "log_format": {"json_format": {
            "method": "%REQ(:METHOD)%",
            "uri": "%REQ(:PATH)%",
            "status": "%RESPONSE_CODE%",
            "body_bytes": "%BYTES_SENT%",
            "request_id": "%REQ(X-REQUEST-ID)%",
            "flags": "%RESPONSE_FLAGS%",
        }},
    }});
    // The request's id is the client's, and nothing where it sent none.
    let http = json!({"name": "http", "typed_config": {
        "@type": api("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "http",
        "generate_request_id": false,
        "preserve_external_request_id": true,
        "access_log": if config.access_log { json!([access_log]) } else { json!([]) },
        "http_filters": [{"name": "router", "typed_config": {"@type": api("extensions.filters.http.router.v3.Router")}}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"path": "/own"}, "direct_response": {"status": 404, "body": {"inline_string": "not here"}}},
            {"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}},
        ]}]},
    }});
    let (ip, port) = (config.listen.ip(), config.listen.port());
    json!({"static_resources": {
        "listeners": [{
            "address": {"socket_address": {"address": ip, "port_value": port}},
            "filter_chains": [{"transport_socket": tls, "filters": [http]}],
        }],
        "clusters": [cluster(config)],
    }})
}

fn cluster(config: &Config<'_>) -> Value {
    let (ip, port) = (config.backend.ip(), config.backend.port());
    let endpoint = json!({"endpoint": {"address": {"socket_address": {"address": ip, "port_value": port}}}});
    let (http2, tls) = match config.upstream {
        Upstream::Http1 => (false, false),
        Upstream::Http2 => (true, false),
        Upstream::Http1OverTls => (false, true),
        Upstream::Http2OverTls => (true, true),
    };
    let version = if http2 { "http2_protocol_options" } else { "http_protocol_options" };
    let mut cluster = json!({
        "name": "backend",
        "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {version: {}},
        }},
    });
    if let (true, Some(cluster)) = (tls, cluster.as_object_mut()) {
        let socket = json!({"name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": "backend.test",
            "common_tls_context": {"alpn_protocols": [if http2 { "h2" } else { "http/1.1" }]},
        }});
        cluster.insert("transport_socket".to_owned(), socket);
    }
    cluster
}

fn read(path: &Path) -> Result<Vec<LogEntry>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    text.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<LogEntry> {
    let line: Line = serde_json::from_str(line).with_context(|| format!("log line {line}"))?;
    Ok(LogEntry {
        request_id: line.request_id,
        method: line.method,
        uri: line.uri.unwrap_or_default(),
        // Envoy logs 0 if no response was begun.
        status: Some(line.status).filter(|status| *status != 0),
        body_bytes: Some(line.body_bytes).filter(|_| line.flags.is_none()),
    })
}
