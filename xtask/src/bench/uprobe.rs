//! What it costs to trap each read and write of the TLS library, as tools do that read TLS there: bpftrace, with three
//! probes that do nothing but count.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::process::{Process, command};
use harness::server::nginx::Nginx;
use nix::sys::signal::Signal;
use tempfile::NamedTempFile;

const PROGRAM: &str = "bpftrace";
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running bpftrace.
pub(super) struct Tracer {
    process: Process,
    output: NamedTempFile,
}

/// Whether bpftrace is there.
pub(super) fn is_there() -> bool {
    crate::commands::find(PROGRAM).is_some()
}

impl Tracer {
    /// Starts it on the libssl of `server`.
    pub(super) fn start(server: &Nginx) -> Result<Self> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", server.pid()))?;
        let library =
            maps.split_whitespace().find(|word| word.starts_with('/') && word.contains("/libssl.so"));
        let library = library.context("nginx has no libssl")?;
        let script = format!(
            "uprobe:{library}:SSL_read {{ @reads = count(); }} uretprobe:{library}:SSL_read {{ @returns = count(); }} \
             uprobe:{library}:SSL_write {{ @writes = count(); }}"
        );
        let output = NamedTempFile::new()?;
        let mut bpftrace = command(PROGRAM, None);
        bpftrace.args(["-e", &script]).stdout(output.reopen()?).stderr(Stdio::inherit());
        Ok(Self { process: Process::spawn_as_is(PROGRAM, &mut bpftrace)?, output })
    }

    /// Ends it. An error if it did not see the writes of so many requests: then it was not what was measured.
    pub(super) fn stop(mut self, requests: u64) -> Result<()> {
        self.process.signal(Signal::SIGINT)?;
        self.process.wait(STOP_LIMIT)?;
        let text = fs::read_to_string(self.output.path())?;
        let writes = text.lines().find_map(|line| line.strip_prefix("@writes: ")?.parse::<u64>().ok());
        ensure!(
            writes.is_some_and(|writes| writes >= requests),
            "bpftrace saw the writes of fewer than {requests} requests: {text}"
        );
        Ok(())
    }
}
