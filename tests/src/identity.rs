//! Who a server of TLS says that it is: a key, and a certificate that signs itself.
//!
//! Consumes names of hosts; produces PEM files, removed with their guard.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::pki;

/// A key and its certificate.
#[derive(Debug)]
pub struct Identity(TempDir);

impl Identity {
    /// Makes them for these hosts; the first is also the common name.
    ///
    /// # Errors
    /// No host is given, openssl is not there, or it fails.
    pub fn new(hosts: &[&str]) -> Result<Self> {
        let identity = Self(TempDir::new()?);
        let first = hosts.first().context("no host")?;
        let names: Vec<String> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
        let names = format!("subjectAltName={}", names.join(","));
        let arguments = ["-subj", &format!("/CN={first}"), "-addext", &names];
        pki::make(&identity.key(), &identity.certificate(), &arguments)?;
        // HAProxy wants both in one file.
        let read = |path| std::fs::read_to_string(path);
        std::fs::write(identity.both(), read(identity.certificate())? + &read(identity.key())?)?;
        Ok(identity)
    }

    /// Where they are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("certificate.pem")
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    /// The certificate and the key in one file.
    #[must_use]
    pub fn both(&self) -> PathBuf {
        self.0.path().join("both.pem")
    }
}
