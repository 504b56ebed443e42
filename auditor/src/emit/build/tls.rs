//! What a TLS handshake said, as events tell it.

use crate::assemble::tls::Version;
use crate::assemble::tls::certificate::Certificate;
use crate::assemble::tls::facts::Facts;
use crate::decode::http1::head::Head;
use crate::emit::model::text::{MAX_NAME, MAX_VALUE};
use crate::emit::model::tls::{Tls, TlsCertificate, TlsVersion};
use crate::emit::model::{Digest, Text, Timestamp};

/// The facts of a connection.
pub(super) fn facts(facts: &Facts) -> Box<Tls> {
    Box::new(Tls {
        version: facts.version.and_then(|version| match version {
            // The schema knows no SSL.
            Version::Ssl30 => None,
            Version::Tls10 => Some(TlsVersion::Tls10),
            Version::Tls11 => Some(TlsVersion::Tls11),
            Version::Tls12 => Some(TlsVersion::Tls12),
            Version::Tls13 => Some(TlsVersion::Tls13),
        }),
        cipher: facts.suite_name().map(Text::from_static),
        group: facts.group_name().map(Text::from_static),
        sni: facts.server_name.as_deref().map(|name| Text::wire(name, MAX_NAME)),
        alpn: facts.protocol.as_deref().map(|name| Text::wire(name, MAX_NAME)),
        ja4: facts.ja4.as_ref().map(|ja4| Text::new(ja4.as_str())),
        resumed: facts.resumed,
        certificate: facts.server_certificate.as_deref().map(certificate),
        client_certificate: facts.client_certificate.as_deref().map(certificate),
    })
}

fn certificate(certificate: &Certificate) -> TlsCertificate {
    TlsCertificate {
        sha256: Digest(certificate.sha256),
        subject: certificate.subject.as_deref().map(|subject| Text::wire(subject.as_bytes(), MAX_VALUE)),
        not_after: certificate
            .not_after
            .and_then(|seconds| u64::try_from(seconds).ok()?.checked_mul(1_000_000_000).map(Timestamp)),
    }
}

/// A note where a request names another host than the one that TLS was asked for (RFC 9110, 7.4).
pub(super) fn sni_differs(facts: Option<&Facts>, head: Option<&Head>) -> Option<Text> {
    let name = facts?.server_name.as_deref()?;
    let host = head?.host_lowercase()?;
    (!host.as_bytes().eq_ignore_ascii_case(name)).then(|| Text::from_static("sni_differs_from_host"))
}
