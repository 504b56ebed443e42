//! What a TLS handshake said, as events tell it.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::assemble::tls::certificate::{AlternativeName, Certificate, Name};
use crate::assemble::tls::facts::{Alert, Facts};
use crate::assemble::tls::{Version, names};
use crate::capture::record::Direction;
use crate::decode::http1::head::Head;
use crate::decode::legs::{Leg, Party};
use crate::emit::model::text::{MAX_NAME, MAX_VALUE};
use crate::emit::model::tls::{Tls, TlsAlert, TlsCertificate, TlsHandshake, TlsSide, TlsVersion};
use crate::emit::model::{Count, Digest, Text, Timestamp};

/// How many certificates are remembered in their event's form. Past it all are forgotten, and made anew.
const CERTIFICATES: usize = 1024;

/// Certificates in their event's form, made once: each request of a connection bears them.
#[derive(Debug, Default)]
pub(super) struct Certificates(foldhash::HashMap<[u8; 32], Arc<TlsCertificate>>);

impl Certificates {
    /// The facts of a connection; none without TLS.
    pub(super) fn facts(&mut self, party: &Party) -> Option<Box<Tls>> {
        let facts = party.tls.as_deref()?;
        let hello = facts.client_random.is_some();
        let asked = facts.certificate_requested;
        // With an earlier session's keys nobody is asked (RFC 8446, 4.3.2; RFC 5246, 7.3).
        let read = asked || facts.certificate_request_known || facts.resumed == Some(true);
        Some(Box::new(Tls {
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
            ech_offered: hello.then_some(facts.ech_offered),
            handshake: match facts.failure() {
                Some(_) => TlsHandshake::Failed,
                None if facts.completed => TlsHandshake::Completed,
                None => TlsHandshake::Unknown,
            },
            alerts: facts.alerts.iter().map(|alert| self::alert(alert, party.leg)).collect(),
            certificate: facts.server_certificate.as_deref().map(|it| self.get(it)),
            client_certificate_requested: read.then_some(asked),
            client_certificate: facts.client_certificate.as_deref().map(|it| self.get(it)),
        }))
    }

    fn get(&mut self, certificate: &Certificate) -> Arc<TlsCertificate> {
        if self.0.len() >= CERTIFICATES && !self.0.contains_key(&certificate.sha256) {
            self.0.clear();
        }
        let made =
            self.0.entry(certificate.sha256).or_insert_with(|| Arc::new(self::certificate(certificate)));
        Arc::clone(made)
    }
}

fn alert(alert: &Alert, leg: Leg) -> TlsAlert {
    let client = match leg {
        Leg::Client => Direction::Ingress,
        Leg::Backend => Direction::Egress,
    };
    TlsAlert {
        from: if alert.direction == client { TlsSide::Client } else { TlsSide::Server },
        fatal: alert.fatal,
        in_handshake: alert.in_handshake,
        description: match names::alert(alert.description) {
            Some(name) => Text::from_static(name),
            None => Text::new(&alert.description.to_string()),
        },
    }
}

fn certificate(certificate: &Certificate) -> TlsCertificate {
    let name = |name: &Name| Text::beginning(name.text.as_bytes(), name.left_out, MAX_VALUE);
    TlsCertificate {
        sha256: Digest(certificate.sha256),
        subject: certificate.subject.as_ref().map(name),
        alternative_names: certificate.names.iter().map(alternative_name).collect(),
        alternative_names_left_out: Count::new(certificate.names_left_out as u64),
        issuer: certificate.issuer.as_ref().map(name),
        serial_number: certificate.serial.as_deref().map(serial_number),
        not_before: certificate.not_before.and_then(timestamp),
        not_after: certificate.not_after.and_then(timestamp),
    }
}

fn alternative_name(name: &AlternativeName) -> Text {
    let named = |kind: &str, name: &Name| {
        Text::beginning(format!("{kind}:{}", name.text).as_bytes(), name.left_out, MAX_VALUE)
    };
    match name {
        AlternativeName::Dns(name) => named("DNS", name),
        AlternativeName::Email(name) => named("email", name),
        AlternativeName::Uri(name) => named("URI", name),
        AlternativeName::Ip(address) => Text::new(&format!("IP:{address}")),
    }
}

/// The number that two's complement stands for (X.690, 8.3.3), as `openssl x509 -serial` and others write it: without the
/// sign's octet. A negative one breaks RFC 5280, 4.1.2.2, and has a sign.
fn serial_number(bytes: &[u8]) -> Text {
    let mut magnitude = bytes.to_vec();
    let mut digits = String::with_capacity(2 * bytes.len() + 1);
    if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
        digits.push('-');
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    while let [0, _, ..] = magnitude.as_slice() {
        magnitude.remove(0);
    }
    for byte in magnitude {
        // Writing to a String cannot fail.
        let _: std::fmt::Result = write!(digits, "{byte:02x}");
    }
    Text::new(&digits)
}

fn timestamp(seconds: i64) -> Option<Timestamp> {
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000).map(Timestamp)
}

/// A note where a request names another host than the one that TLS was asked for (RFC 9110, 7.4).
pub(super) fn sni_differs(facts: Option<&Facts>, head: Option<&Head>) -> Option<Text> {
    let name = facts?.server_name.as_deref()?;
    let host = head?.host_lowercase()?;
    (!host.as_bytes().eq_ignore_ascii_case(name)).then(|| Text::from_static("sni_differs_from_host"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_written_as_numbers() {
        // By `openssl asn1parse` of `02 LEN BYTES`.
        let cases: [(&[u8], &str); 7] = [
            (&[0x04, 0xa1], "04a1"),
            (&[0x00, 0xc7, 0x89], "c789"),
            (&[0x00], "00"),
            (&[0xc7, 0x89], "-3877"),
            (&[0x80], "-80"),
            (&[0xff, 0x00], "-0100"),
            (&[0xff], "-01"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(&*serial_number(bytes), expected, "{bytes:02x?}");
        }
    }
}
