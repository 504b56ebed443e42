//! Who a server of TLS says that it is: a key, and a certificate that signs itself.
//!
//! Consumes a host's name and openssl(1); produces PEM files, removed with their guard. The key is on P-256: every TLS
//! library takes it, and TLS 1.2 then has forward secrecy by ECDHE.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::process::{Process, command};
use crate::wait;

const LIMIT: Duration = Duration::from_secs(60);

/// A key and its certificate.
#[derive(Debug)]
pub struct Identity {
    directory: TempDir,
}

impl Identity {
    /// Makes them for `host`.
    ///
    /// # Errors
    /// openssl is not there, or fails.
    pub fn new(host: &str) -> Result<Self> {
        let identity = Self { directory: TempDir::new()? };
        let mut openssl = command("openssl", None);
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        openssl.args(["-subj", &format!("/CN={host}"), "-addext", &format!("subjectAltName=DNS:{host}")]);
        openssl.args(["-days", "2", "-batch"]).current_dir(identity.directory.path());
        openssl.args(["-keyout", "key.pem", "-out", "certificate.pem"]);
        let mut process = Process::spawn_as_is("openssl", &mut openssl)?;
        let status = wait::until("openssl to end", LIMIT, || process.try_wait())?;
        ensure!(status.success(), "openssl: {status}");
        // HAProxy wants both in one file.
        let read = |path| std::fs::read_to_string(path);
        std::fs::write(identity.both(), read(identity.certificate())? + &read(identity.key())?)?;
        Ok(identity)
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// The certificate and the key in one file.
    #[must_use]
    pub fn both(&self) -> PathBuf {
        self.directory.path().join("both.pem")
    }
}
