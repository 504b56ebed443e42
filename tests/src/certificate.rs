//! A certificate that signs itself, by openssl.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::process::{Process, command};
use crate::wait;

const LIMIT: Duration = Duration::from_secs(60);

/// A key and its certificate, in a directory that goes with it.
#[derive(Debug)]
pub struct SelfSigned(TempDir);

impl SelfSigned {
    /// Makes one for these hosts (ECDSA, P-256, two days); the first is also its common name.
    ///
    /// # Errors
    /// openssl is not there, or fails.
    pub fn new(hosts: &[&str]) -> Result<Self> {
        let directory = TempDir::new()?;
        let names: Vec<String> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
        let mut openssl = command("openssl", None);
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        openssl.args([
            "-subj",
            &format!("/CN={}", hosts.first().unwrap_or(&"localhost")),
            "-days",
            "2",
            "-batch",
        ]);
        openssl.args(["-addext", &format!("subjectAltName={}", names.join(","))]);
        openssl.args(["-keyout", "key.pem", "-out", "certificate.pem"]).current_dir(directory.path());
        let said = std::fs::File::create(directory.path().join("said"))?;
        let mut process = Process::spawn("openssl", &mut openssl, &said)?;
        let status = wait::until("openssl to end", LIMIT, || process.try_wait())?;
        let said = std::fs::read_to_string(directory.path().join("said"))?;
        ensure!(status.success(), "openssl: {status}: {said}");
        Ok(Self(directory))
    }

    /// Where `certificate.pem` and `key.pem` are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.0.path()
    }
}
