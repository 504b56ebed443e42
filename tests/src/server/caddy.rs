//! Caddy, with the site blocks of the caller.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde::Deserialize;
use tempfile::TempDir;

use super::Running;
use crate::cgroup::Cgroup;
use crate::entry::LogEntry;
use crate::process::command;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// `http`, or `https` with a `tls` directive among the others.
    pub scheme: &'a str,
    /// What stands in each site.
    pub directives: &'a str,
    /// Addresses, with a site for each.
    pub listens: &'a [SocketAddr],
    /// Whether it writes an access log.
    pub access_log: bool,
}

/// A running Caddy.
#[derive(Debug)]
pub struct Caddy(Running);

/// The access log, in its directory.
const LOG: &str = "access.log";

/// A line of Caddy's access log, the parts we want.
#[derive(Deserialize)]
struct Line {
    request: LoggedRequest,
    status: u16,
    size: u64,
    resp_headers: Headers,
}

#[derive(Deserialize)]
struct LoggedRequest {
    method: String,
    uri: String,
    headers: Headers,
}

#[derive(Deserialize)]
struct Headers {
    #[serde(rename = "X-Request-Id", default)]
    request_id: Vec<String>,
    #[serde(rename = "Content-Length", default)]
    length: Vec<String>,
}

impl Caddy {
    /// Starts Caddy and waits until it listens.
    ///
    /// # Errors
    /// It is not installed, refuses the configuration (the error holds what it said), or does not listen in time.
    pub fn start(cgroup: &Cgroup, config: &Config<'_>) -> Result<Self> {
        let Config { scheme, directives, listens, access_log } = *config;
        let directory = TempDir::new()?;
        let log = if access_log {
            let file = directory.path().join(LOG);
            format!("\tlog {{\n\t\toutput file {}\n\t\tformat json\n\t}}\n", file.display())
        } else {
            String::new()
        };
        // Without HTTP/3, which is not over TCP.
        let mut text = String::from(
            "{\n\tadmin off\n\tauto_https off\n\tgrace_period 10s\n\tservers {\n\t\tprotocols h1 h2\n\t}\n}\n",
        );
        for listen in listens {
            let (port, ip) = (listen.port(), listen.ip());
            text += &format!("{scheme}://:{port} {{\n\tbind {ip}\n{log}{directives}\n}}\n");
        }
        let path = directory.path().join("Caddyfile");
        fs::write(&path, text)?;
        let mut caddy = command("caddy", Some(cgroup));
        caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(&path);
        for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            caddy.env(name, directory.path());
        }
        Running::start("caddy", directory, &mut caddy, listens).map(Self)
    }

    /// Ends it in order and reads its access log.
    ///
    /// # Errors
    /// It does not end in time, or the log cannot be read.
    pub fn stop(mut self) -> Result<Vec<LogEntry>> {
        self.0.end(Signal::SIGTERM)?;
        read(&self.0.path(LOG))
    }
}

fn read(path: &Path) -> Result<Vec<LogEntry>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    text.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<LogEntry> {
    let line: Line = serde_json::from_str(line).with_context(|| format!("log line {line}"))?;
    // `size` is what the handler wrote: for HEAD, or for a client that left, not what went out.
    let whole = line.resp_headers.length.first().is_none_or(|length| *length == line.size.to_string());
    let body_bytes = if line.request.method == "HEAD" { Some(0) } else { Some(line.size).filter(|_| whole) };
    Ok(LogEntry {
        request_id: line.request.headers.request_id.into_iter().next(),
        method: Some(line.request.method),
        uri: line.request.uri,
        // Caddy logs 0 if no response was begun.
        status: Some(line.status).filter(|status| *status != 0),
        body_bytes,
    })
}
