//! nginx with the system's OpenSSL, shared.

use std::path::Path;

use anyhow::{Result, ensure};
use harness::curl;
use harness::entry::LogEntry;
use harness::identity::Identity;

use super::{Http, Tls, audit, each_version, get};
use crate::bed::Bed;

/// nginx that serves TLS of one version, and HTTP/2 to those who ask for it.
pub(super) fn start(
    bed: &Bed,
    identity: &Identity,
    tls: Tls,
) -> Result<impl FnOnce() -> Result<Vec<LogEntry>> + use<>> {
    let how = listen(&identity.certificate(), &identity.key(), tls);
    let server = crate::nginx::start(bed, &[(bed.server(), &how)])?;
    Ok(move || server.stop())
}

/// The parameters of its `listen`, and what belongs to them.
pub(super) fn listen(certificate: &Path, key: &Path, tls: Tls) -> String {
    format!(
        "ssl http2;\n    ssl_certificate {};\n    ssl_certificate_key {};\n    ssl_protocols {}",
        certificate.display(),
        key.display(),
        tls.name()
    )
}

fn check(tls: Tls, http: Http) -> Result<()> {
    super::check(crate::nginx::bed(), start, (tls, http))
}

each_version!(check);

/// Bodies longer than the ring, and what follows them on their connection.
fn long(tls: Tls) -> Result<()> {
    let traffic = |server| {
        let with = |path: &str, id: &str| get(path, id).with(&[Http::V1.argument()]);
        let transfers = [
            with("/hello", "get"),
            with("/bytes/104857600", "long"),
            with("/upload", "upload").with(&["--data-binary", "a=1"]),
            with("/bytes/50000000", "longer"),
            with("/own", "own"),
        ];
        let responses = curl::run(server, &transfers)?;
        let bodies: Vec<u64> = responses.iter().map(|response| response.body_bytes).collect();
        ensure!(
            bodies.get(1) == Some(&104_857_600) && bodies.get(3) == Some(&50_000_000),
            "bodies {bodies:?}"
        );
        let connects: u32 = responses.iter().map(|response| response.connects).sum();
        ensure!(connects == 1, "{connects} connections");
        Ok(())
    };
    audit(crate::nginx::bed(), start, (tls, Http::V1), traffic).map(drop)
}

#[test]
fn long_bodies_over_tls_1_2() -> Result<()> {
    long(Tls::V12)
}

#[test]
fn long_bodies_over_tls_1_3() -> Result<()> {
    long(Tls::V13)
}
