//! nginx with the system's OpenSSL, shared.

use std::path::Path;

use anyhow::Result;
use harness::entry::LogEntry;
use harness::identity::Identity;

use super::{Http, Tls, each_version};
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
