//! What a certificate says of its holder (RFC 5280). Nothing is verified here: the ends of the connection did that.

mod name;

use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use super::wire::Wire;

/// How many alternative names are kept.
const MAX_NAMES: usize = 64;

/// How long a name may be; longer ones are cut at a character.
const MAX_NAME: usize = 1024;

/// A certificate. What could not be read is empty or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of its DER form.
    pub sha256: [u8; 32],
    /// Subject (RFC 4514).
    pub subject: Option<Box<str>>,
    /// Issuer (RFC 4514).
    pub issuer: Option<Box<str>>,
    /// Serial number, big endian, as in the certificate.
    pub serial: Option<Box<[u8]>>,
    /// Alternative names of the subject, as many as are kept, in their order.
    pub names: Vec<AlternativeName>,
    /// How many alternative names there are.
    pub names_total: usize,
    /// Start of its validity, seconds since the Unix epoch.
    pub not_before: Option<i64>,
    /// End of its validity, seconds since the Unix epoch.
    pub not_after: Option<i64>,
}

/// A name of a subject (RFC 5280, 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// A host, possibly with a wildcard.
    Dns(Box<str>),
    /// An address.
    Ip(std::net::IpAddr),
    /// A mailbox.
    Email(Box<str>),
    /// A URI; SPIFFE identities are.
    Uri(Box<str>),
}

impl Certificate {
    /// Reads a certificate's DER form. What is malformed has a hash only.
    #[must_use]
    pub fn read(der: &[u8]) -> Self {
        let mut read = Self { sha256: Sha256::digest(der).into(), ..Self::default() };
        let Ok((_, parsed)) = X509Certificate::from_der(der) else { return read };
        let cut = |text: String| cut(&text).into();
        read.subject = Some(cut(name::rfc4514(parsed.subject())));
        read.issuer = Some(cut(name::rfc4514(parsed.issuer())));
        // RFC 5280, 4.1.2.2: at most 20 octets; some have one more for the sign.
        read.serial = parsed.raw_serial().get(..parsed.raw_serial().len().min(64)).map(Into::into);
        read.not_before = Some(parsed.validity().not_before.timestamp());
        read.not_after = Some(parsed.validity().not_after.timestamp());
        let alternative =
            parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            });
        for name in alternative.into_iter().flatten() {
            read.names_total += 1;
            if read.names.len() < MAX_NAMES {
                read.names.extend(AlternativeName::read(name));
            }
        }
        read
    }
}

impl AlternativeName {
    fn read(name: &GeneralName<'_>) -> Option<Self> {
        Some(match name {
            GeneralName::DNSName(text) => Self::Dns(cut(text).into()),
            GeneralName::RFC822Name(text) => Self::Email(cut(text).into()),
            GeneralName::URI(text) => Self::Uri(cut(text).into()),
            GeneralName::IPAddress(bytes) => match **bytes {
                [a, b, c, d] => Self::Ip([a, b, c, d].into()),
                _ => Self::Ip(<[u8; 16]>::try_from(*bytes).ok()?.into()),
            },
            _ => return None,
        })
    }
}

/// The first certificate of a `Certificate` message of TLS 1.2 (RFC 5246, 7.4.2). None: malformed, or there is none.
pub(super) fn leaf_tls12(body: &[u8]) -> Option<&[u8]> {
    let mut wire = Wire(body);
    wire.vector24()?.vector24().map(|der| der.0)
}

/// The same of TLS 1.3 (RFC 8446, 4.4.2).
pub(super) fn leaf_tls13(body: &[u8]) -> Option<&[u8]> {
    let mut wire = Wire(body);
    wire.vector8()?;
    wire.vector24()?.vector24().map(|der| der.0)
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_NAME)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
