//! A client: curl.
//!
//! Consumes a list of transfers, run by one curl one after the other on kept connections; produces what curl saw of each.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{Process, command};
use crate::wait;

/// curl's own limit for each transfer, seconds.
const TRANSFER_LIMIT: &str = "120";
const LIMIT: Duration = Duration::from_secs(300);

/// One request to make.
#[derive(Clone, Debug, Default)]
pub struct Transfer {
    /// The URL; what it names as host is the Host header, the connection goes to the server under test.
    pub url: String,
    /// Sent as X-Request-ID.
    pub id: String,
    /// More arguments of curl, for this transfer only.
    pub arguments: Vec<String>,
}

/// What curl saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status; 0 if there was no response.
    pub status: u16,
    /// Bytes of the body, decoded.
    pub body_bytes: u64,
    /// Connections that were opened for it: 0 on a kept one.
    pub connects: u32,
}

impl Transfer {
    /// A GET.
    #[must_use]
    pub fn get(url: impl Into<String>, id: impl Into<String>) -> Self {
        Self { url: url.into(), id: id.into(), arguments: Vec::new() }
    }

    /// The same with more arguments of curl.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }
}

/// Makes the requests, one after the other, connecting to `server` whatever the URLs say.
///
/// # Errors
/// curl cannot be started or does not end in time. A transfer that fails is no error: its [`Response`] shows it.
pub fn run(server: SocketAddr, transfers: &[Transfer]) -> Result<Vec<Response>> {
    run_in(command("curl", None), server, transfers)
}

/// The same; curl adds the secrets of its TLS connections to the key log `keys`.
///
/// # Errors
/// As for [`run`].
pub fn run_logging_keys(server: SocketAddr, transfers: &[Transfer], keys: &Path) -> Result<Vec<Response>> {
    let mut curl = command("curl", None);
    curl.env("SSLKEYLOGFILE", keys);
    run_in(curl, server, transfers)
}

fn run_in(mut curl: Command, server: SocketAddr, transfers: &[Transfer]) -> Result<Vec<Response>> {
    for (index, transfer) in transfers.iter().enumerate() {
        if index > 0 {
            curl.arg("--next");
        }
        curl.args([
            "--silent",
            "--output",
            "/dev/null",
            "--max-time",
            TRANSFER_LIMIT,
            "--http1.1",
            "--noproxy",
            "*",
        ]);
        curl.args(["--write-out", "%{http_code} %{size_download} %{num_connects}\n"]);
        curl.args([
            "--connect-to",
            &format!("::{server}"),
            "--header",
            &format!("X-Request-ID: {}", transfer.id),
        ]);
        curl.args(&transfer.arguments).arg(&transfer.url);
    }
    let output = tempfile::NamedTempFile::new()?;
    curl.stdout(output.reopen()?).stderr(Stdio::inherit());
    let mut process = Process::spawn_as_is("curl", &mut curl)?;
    wait::until("curl to end", LIMIT, || process.try_wait())?;
    let text = std::fs::read_to_string(output.path())?;
    let responses = text.lines().map(parse).collect::<Result<Vec<_>>>()?;
    if responses.len() != transfers.len() {
        bail!("curl reported {} of {} transfers", responses.len(), transfers.len());
    }
    Ok(responses)
}

fn parse(line: &str) -> Result<Response> {
    let mut words = line.split(' ');
    let mut next = || words.next().context("curl's report is too short");
    Ok(Response { status: next()?.parse()?, body_bytes: next()?.parse()?, connects: next()?.parse()? })
}
