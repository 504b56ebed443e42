//! A server and a client of gRPC: Python's `grpc` (Debian's `python3-grpcio`), which is the C core that most languages use.
//!
//! Consumes addresses; produces a running server, and what a client saw of one call of each kind. The calls are in `grpc.py`.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::net::wait_listening;
use crate::process::{Process, command};

/// The service that is called.
pub const SERVICE: &str = "shop.v1.Cart";
/// The one that Debian's modules are for, whatever else is first on the path.
pub const PYTHON: &str = "/usr/bin/python3";
const PROGRAM: &str = include_str!("grpc.py");
const LIMIT: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub struct Server {
    _process: Process,
    _directory: TempDir,
}

/// What the client saw of a call.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// Its `x-request-id`.
    pub id: String,
    /// The method.
    pub method: String,
    /// The status, as the client's library has it: that of the server, or its own.
    pub code: u32,
    /// Bytes of messages received.
    pub bytes: u64,
}

fn program() -> Result<(TempDir, PathBuf)> {
    let directory = TempDir::new()?;
    let path = directory.path().join("grpc_peer.py");
    std::fs::write(&path, PROGRAM)?;
    Ok((directory, path))
}

impl Server {
    /// Starts one, outside of any cgroup under test, and waits until it listens.
    ///
    /// # Errors
    /// python3-grpcio is not installed, or it does not listen in time.
    pub fn start(address: SocketAddr) -> Result<Self> {
        let (directory, path) = program()?;
        let said = directory.path().join("output");
        let mut python = command(PYTHON, None);
        python.arg(path).args(["server", &address.to_string()]);
        let mut process = Process::spawn("a gRPC server", &mut python, &File::create(&said)?)?;
        wait_listening(address, || process.check_running())
            .with_context(|| std::fs::read_to_string(&said).unwrap_or_default())?;
        Ok(Self { _process: process, _directory: directory })
    }
}

/// Makes the calls, through what listens at `server`, for `authority`; over TLS if there is an authority to trust.
///
/// # Errors
/// The client does not end in time, or fails otherwise than a call may.
pub fn call(server: SocketAddr, authority: &str, trusted: Option<&Path>) -> Result<Vec<Call>> {
    let (directory, path) = program()?;
    let said = directory.path().join("output");
    let mut python = command(PYTHON, None);
    python.arg(path).args(["client", &server.to_string(), authority]);
    python.arg(trusted.unwrap_or(Path::new("-")));
    let mut process = Process::spawn("a gRPC client", &mut python, &File::create(&said)?)?;
    let status = process.wait(LIMIT)?;
    let said = std::fs::read_to_string(&said)?;
    ensure!(status.success(), "the gRPC client: {status}: {said}");
    let lines = said.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).with_context(|| said.clone())).collect()
}
