//! `HAProxy`, with the `frontend` and `backend` sections of the caller.

use std::fs;
use std::net::SocketAddr;

use anyhow::Result;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{OUTPUT, Running};
use crate::cgroup::Cgroup;
use crate::entry::{LogEntry, read_lines};
use crate::process::command;

/// Belongs into each frontend. `pathq` and not `url`: in HTTP/2 that begins with scheme and authority. `%B` counts heads too, in `HAProxy`'s own form of them: so the number of body bytes is the
/// declared one, which is what was sent where the session ended normally.
pub const FRONTEND_LOG: &str = r#"  http-request set-var(txn.id) req.hdr(x-request-id)
  http-request set-var(txn.uri) pathq
  http-after-response set-var(txn.length) res.hdr(content-length)
  http-after-response set-var(txn.encoding) res.hdr(transfer-encoding)
  log-format '{"method":"%HM","uri":"%[var(txn.uri),json]","status":%ST,"body_bytes":"%[var(txn.length)]","request_id":"%[var(txn.id),json]","ended":"%ts","encoding":"%[var(txn.encoding)]"}'
"#;

/// A running `HAProxy`.
#[derive(Debug)]
pub struct HaProxy(Running);

impl HaProxy {
    /// Starts `HAProxy` with these sections and waits until it listens at all of `listens`.
    ///
    /// # Errors
    /// It is not installed, refuses the configuration (the error holds what it said), or does not listen in time.
    pub fn start(cgroup: &Cgroup, sections: &str, listens: &[SocketAddr]) -> Result<Self> {
        let directory = TempDir::new()?;
        let path = directory.path().join("haproxy.cfg");
        let config = format!(
            "global\n  log stdout format raw daemon\n  maxconn 2000\n  hard-stop-after 10s\ndefaults\n  mode http\n  log global\n  \
             option http-keep-alive\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n  \
             timeout http-request 10s\n{sections}"
        );
        fs::write(&path, config)?;
        let mut haproxy = command("haproxy", Some(cgroup));
        haproxy.arg("-db").arg("-f").arg(&path);
        Running::start("haproxy", directory, &mut haproxy, listens).map(Self)
    }

    /// Ends it in order and reads its log.
    ///
    /// # Errors
    /// It does not end in time, or the log cannot be read.
    pub fn stop(mut self) -> Result<Vec<LogEntry>> {
        self.0.end(Signal::SIGUSR1)?;
        // It logs to its output.
        let mut entries = read_lines(&self.0.path(OUTPUT))?;
        for entry in &mut entries {
            // A response to HEAD declares a length and has no body; a status without a body likewise.
            if entry.method.as_deref() == Some("HEAD") || matches!(entry.status, Some(204 | 304)) {
                entry.body_bytes = Some(0);
            }
        }
        Ok(entries)
    }
}
