//! Certificates, made and described by `openssl`.
//!
//! Consumes names; produces keys and certificates in a directory that goes with its guard, and what `openssl x509` says of
//! them: what events tell of a certificate is held against that.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::{Process, command};
use crate::wait;

const LIMIT: Duration = Duration::from_secs(60);
/// The files of the authority.
const AUTHORITY: &str = "authority";

/// An authority, and what it signed.
#[derive(Debug)]
pub struct Pki(TempDir);

/// What openssl says of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// SHA-256 of its DER form, lowercase hexadecimal.
    pub sha256: String,
    /// RFC 2253.
    pub subject: String,
    /// RFC 2253.
    pub issuer: String,
    /// Lowercase hexadecimal.
    pub serial: String,
    /// As events write it, with a fraction of zero.
    pub not_before: String,
    /// The same.
    pub not_after: String,
}

impl Pki {
    /// A new authority of this name.
    ///
    /// # Errors
    /// openssl is not there, or refuses.
    pub fn new(name: &str) -> Result<Self> {
        let pki = Self(TempDir::new()?);
        pki.make(AUTHORITY, &["-subj", &format!("/CN={name}")])?;
        Ok(pki)
    }

    /// Makes a certificate. `subject` in openssl's form (`/O=Acme/CN=alice`), `names` in that of its `subjectAltName`.
    ///
    /// # Errors
    /// openssl refuses.
    pub fn issue(&self, file: &str, subject: &str, names: &str) -> Result<()> {
        let (certificate, key) = (self.certificate(AUTHORITY), self.key(AUTHORITY));
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        let names = format!("subjectAltName={names}");
        let own = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", &names];
        self.make(file, &[&["-CA", &certificate, "-CAkey", &key, "-subj", subject][..], &own[..]].concat())?;
        // HAProxy wants both in one file.
        let both = [std::fs::read(self.key(file))?, std::fs::read(self.certificate(file))?].concat();
        Ok(std::fs::write(self.both(file), both)?)
    }

    /// The authority's certificate.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.certificate(AUTHORITY)
    }

    /// Where a certificate is.
    #[must_use]
    pub fn certificate(&self, file: &str) -> PathBuf {
        self.0.path().join(format!("{file}.pem"))
    }

    /// Where its key is.
    #[must_use]
    pub fn key(&self, file: &str) -> PathBuf {
        self.0.path().join(format!("{file}.key"))
    }

    /// Where both are, in one file.
    #[must_use]
    pub fn both(&self, file: &str) -> PathBuf {
        self.0.path().join(format!("{file}.both"))
    }

    /// What openssl says of a certificate.
    ///
    /// # Errors
    /// openssl refuses, or says something else than it did when this was written.
    pub fn describe(&self, file: &str) -> Result<Described> {
        let mut openssl = command("openssl", None);
        openssl.arg("x509").arg("-in").arg(self.certificate(file)).arg("-noout");
        openssl.args(["-fingerprint", "-sha256", "-serial", "-startdate", "-enddate"]);
        openssl.args(["-subject", "-issuer", "-nameopt", "RFC2253", "-dateopt", "iso_8601"]);
        let said = run(&mut openssl)?;
        let value = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(str::to_owned).with_context(|| format!("no {name} in {said}"))
        };
        let time = |name| Ok::<_, anyhow::Error>(value(name)?.replace(' ', "T").replace('Z', ".000000000Z"));
        Ok(Described {
            sha256: value("sha256 Fingerprint")?.replace(':', "").to_lowercase(),
            subject: value("subject")?,
            issuer: value("issuer")?,
            serial: value("serial")?.to_lowercase(),
            not_before: time("notBefore")?,
            not_after: time("notAfter")?,
        })
    }

    fn make(&self, file: &str, arguments: &[&str]) -> Result<()> {
        make(&self.key(file), &self.certificate(file), arguments)
    }
}

/// Makes a key and a certificate for it, which signs itself unless `arguments` name an authority. The key is on P-256: every
/// TLS library takes it, and TLS 1.2 then has forward secrecy by ECDHE.
pub(crate) fn make(key: &Path, certificate: &Path, arguments: &[&str]) -> Result<()> {
    let mut openssl = command("openssl", None);
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    openssl.args(["-days", "2", "-batch", "-keyout"]).arg(key).arg("-out").arg(certificate).args(arguments);
    run(&mut openssl).map(drop)
}

/// Runs openssl; gives what it wrote.
fn run(openssl: &mut std::process::Command) -> Result<String> {
    let output = tempfile::NamedTempFile::new()?;
    openssl.stdout(output.reopen()?).stderr(output.reopen()?).stdin(Stdio::null());
    let mut process = Process::spawn_as_is("openssl", openssl)?;
    let status = wait::until("openssl to end", LIMIT, || process.try_wait())?;
    let said = std::fs::read_to_string(output.path())?;
    ensure!(status.success(), "openssl: {status}: {said}");
    Ok(said)
}
