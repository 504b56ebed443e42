//! The reverse proxy of `tests/peers/proxy.go`: Go's standard library, in front of one backend.

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
use crate::identity::Identity;
use crate::process::command;

/// A running proxy.
#[derive(Debug)]
pub struct GoProxy(Running);

/// The access log, in its directory.
const LOG: &str = "access.log";

/// A line of its log.
#[derive(Deserialize)]
struct Line {
    method: String,
    uri: String,
    status: u16,
    /// None where the client had gone.
    body_bytes: Option<u64>,
    request_id: String,
}

impl GoProxy {
    /// Starts `program` with one version of TLS (`1.2` or `1.3`) and waits until it listens.
    ///
    /// # Errors
    /// It cannot be started, or does not listen in time (the error holds what it said).
    pub fn start(
        program: &Path,
        cgroup: &Cgroup,
        (identity, tls): (&Identity, &str),
        listen: SocketAddr,
        backend: SocketAddr,
    ) -> Result<Self> {
        let directory = TempDir::new()?;
        let mut proxy = command(program, Some(cgroup));
        proxy.args([listen, backend].map(|address| address.to_string()));
        proxy.args([identity.certificate(), identity.key()]).arg(tls).arg(directory.path().join(LOG));
        Running::start("the proxy", directory, &mut proxy, &[listen]).map(Self)
    }

    /// Ends it in order and reads its log.
    ///
    /// # Errors
    /// It does not end in time, or not in order, or the log cannot be read.
    pub fn stop(mut self) -> Result<Vec<LogEntry>> {
        self.0.end(Signal::SIGTERM)?;
        let path = self.0.path(LOG);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        text.lines().map(parse_line).collect()
    }
}

fn parse_line(line: &str) -> Result<LogEntry> {
    let line: Line = serde_json::from_str(line).with_context(|| format!("log line {line}"))?;
    Ok(LogEntry {
        request_id: Some(line.request_id).filter(|id| !id.is_empty()),
        method: Some(line.method),
        uri: line.uri,
        status: Some(line.status).filter(|status| *status != 0),
        body_bytes: line.body_bytes,
    })
}
