//! The reverse proxy of `tests/peers/proxy.go`: Go's standard library, in front of one backend.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde::Deserialize;
use tempfile::TempDir;

use super::STOP_LIMIT;
use crate::cgroup::Cgroup;
use crate::entry::LogEntry;
use crate::identity::Identity;
use crate::net::wait_listening;
use crate::process::{Process, command};

/// A running proxy.
#[derive(Debug)]
pub struct GoProxy {
    process: Process,
    directory: TempDir,
}

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
        let output = fs::File::create(directory.path().join("output"))?;
        let mut proxy = command(program, Some(cgroup));
        proxy.args([listen, backend].map(|address| address.to_string()));
        proxy.args([identity.certificate(), identity.key()]).arg(tls).arg(log_path(&directory));
        let process = Process::spawn("proxy", &mut proxy, &output)?;
        let mut server = Self { process, directory };
        let ready = wait_listening(listen, || server.process.check_running());
        ready.with_context(|| format!("the proxy said: {}", server.said()))?;
        Ok(server)
    }

    /// What it wrote about itself.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(self.directory.path().join("output")).unwrap_or_default()
    }

    /// Ends it in order and reads its log.
    ///
    /// # Errors
    /// It does not end in time, or not in order, or the log cannot be read.
    pub fn stop(mut self) -> Result<Vec<LogEntry>> {
        self.process.signal(Signal::SIGTERM)?;
        let status = self.process.wait(STOP_LIMIT)?;
        ensure!(status.success(), "the proxy ended with {status} and said: {}", self.said());
        let path = log_path(&self.directory);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        text.lines().map(parse_line).collect()
    }
}

fn log_path(directory: &TempDir) -> PathBuf {
    directory.path().join("access.log")
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
