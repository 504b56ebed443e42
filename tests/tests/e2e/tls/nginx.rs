//! nginx with the system's OpenSSL, shared.

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
    let how = format!(
        "ssl http2;\n    ssl_certificate {};\n    ssl_certificate_key {};\n    ssl_protocols {}",
        identity.certificate().display(),
        identity.key().display(),
        tls.name()
    );
    let server = crate::nginx::start(bed, &[(bed.server(), &how)])?;
    Ok(move || server.stop())
}

fn check(tls: Tls, http: Http) -> Result<()> {
    super::check(crate::nginx::bed(), start, (tls, http))
}

each_version!(check);
