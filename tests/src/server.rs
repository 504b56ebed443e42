//! Real servers, each with a configuration, a directory and a log of its own.
//!
//! A server is started inside a cgroup and is ready when its guard exists. `stop` ends it in the server's own orderly
//! way and then reads its access log, which is complete by then.

pub mod caddy;
pub mod envoy;
pub mod go_proxy;
pub mod haproxy;
pub mod nginx;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::net::wait_listening;
use crate::process::Process;

/// How long a server may take to end in order: connections that are idle are closed, others are served.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// What a server prints, in its directory.
const OUTPUT: &str = "output";
/// Where nginx writes about errors, in its directory.
const ERRORS: &str = "error.log";

/// What all servers are: a process and its directory.
#[derive(Debug)]
struct Running {
    process: Process,
    directory: TempDir,
}

impl Running {
    /// Starts `command` and waits until it listens. `directory` is the server's own.
    fn start(name: &str, directory: TempDir, command: &mut Command, listens: &[SocketAddr]) -> Result<Self> {
        let output = File::create(directory.path().join(OUTPUT))?;
        let process = Process::spawn(name, command, &output)?;
        let mut server = Self { process, directory };
        for listen in listens {
            let ready = wait_listening(*listen, || server.process.check_running());
            ready.with_context(|| format!("{name} said: {}", server.said()))?;
        }
        Ok(server)
    }

    /// A file in its directory.
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What it told of itself.
    fn said(&self) -> String {
        [OUTPUT, ERRORS].map(|name| fs::read_to_string(self.path(name)).unwrap_or_default()).concat()
    }

    /// Ends it with the signal that asks it to end in order. The auditor puts breakpoints into servers: one that broke is an
    /// error, and so is a worker of nginx that did.
    fn end(&mut self, signal: Signal) -> Result<()> {
        self.process.signal(signal)?;
        let status = self.process.wait(STOP_LIMIT)?;
        let said = self.said();
        ensure!(
            status.success() && !said.contains("exited on signal"),
            "it ended with {status} and said: {said}"
        );
        Ok(())
    }
}
