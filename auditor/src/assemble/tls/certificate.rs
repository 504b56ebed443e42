//! What a certificate says of its holder (RFC 5280). Nothing is verified here: the ends of the connection did that.

mod name;

use sha2::{Digest, Sha256};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use super::wire::Wire;

/// How many alternative names are kept.
const MAX_NAMES: usize = 32;

/// How many bytes of alternative names are kept, all together: a client's are in the events of each of its requests.
const MAX_NAMES_BYTES: usize = 4096;

/// How long a name may be; longer ones are cut at a character.
const MAX_NAME: usize = 1024;

/// How long a serial number may be. RFC 5280, 4.1.2.2: at most 20 octets; some have one more for the sign.
const MAX_SERIAL: usize = 32;

/// A certificate. What could not be read is empty or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of its DER form.
    pub sha256: [u8; 32],
    /// Subject (RFC 4514).
    pub subject: Option<Name>,
    /// Issuer (RFC 4514).
    pub issuer: Option<Name>,
    /// Serial number, big endian, as in the certificate. One that is longer than the bound is none.
    pub serial: Option<Box<[u8]>>,
    /// Alternative names of the subject, as many as are kept, in their order.
    pub names: Vec<AlternativeName>,
    /// How many more there are: beyond the bounds, or of kinds that are not read. One where they are malformed.
    pub names_left_out: usize,
    /// Start of its validity, seconds since the Unix epoch.
    pub not_before: Option<i64>,
    /// End of its validity, seconds since the Unix epoch.
    pub not_after: Option<i64>,
}

/// A text of a certificate's, at most 1,024 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its beginning, or all of it.
    pub text: Box<str>,
    /// How many bytes follow that were not kept.
    pub left_out: usize,
}

impl Name {
    fn new(text: &str) -> Self {
        let kept = text.get(..text.floor_char_boundary(MAX_NAME)).unwrap_or_default();
        Self { text: kept.into(), left_out: text.len() - kept.len() }
    }
}

/// A name of a subject (RFC 5280, 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// A host, possibly with a wildcard.
    Dns(Name),
    /// An address.
    Ip(std::net::IpAddr),
    /// A mailbox.
    Email(Name),
    /// A URI; SPIFFE identities are.
    Uri(Name),
}

impl Certificate {
    /// Reads a certificate's DER form. What is malformed has a hash only.
    #[must_use]
    pub fn read(der: &[u8]) -> Self {
        Self::read_hashed(der, Sha256::digest(der).into())
    }

    /// The same, where the hash is known.
    pub(super) fn read_hashed(der: &[u8], sha256: [u8; 32]) -> Self {
        let mut read = Self { sha256, ..Self::default() };
        let Ok((_, parsed)) = X509Certificate::from_der(der) else { return read };
        read.subject = Some(Name::new(&name::rfc4514(parsed.subject())));
        read.issuer = Some(Name::new(&name::rfc4514(parsed.issuer())));
        let serial = parsed.raw_serial();
        read.serial = (serial.len() <= MAX_SERIAL).then(|| serial.into());
        read.not_before = Some(parsed.validity().not_before.timestamp());
        read.not_after = Some(parsed.validity().not_after.timestamp());
        let named = parsed.extensions().iter().find(|it| it.oid == OID_X509_EXT_SUBJECT_ALT_NAME);
        let alternative = match named.map(|extension| extension.parsed_extension()) {
            Some(ParsedExtension::SubjectAlternativeName(names)) => Some(&names.general_names),
            Some(_) => {
                // It has names, and nobody knows how many.
                read.names_left_out = 1;
                None
            }
            None => None,
        };
        let mut room = MAX_NAMES_BYTES;
        for name in alternative.into_iter().flatten() {
            let kept =
                AlternativeName::read(name).filter(|name| read.names.len() < MAX_NAMES && name.len() <= room);
            room -= kept.as_ref().map_or(0, AlternativeName::len);
            read.names_left_out += usize::from(kept.is_none());
            read.names.extend(kept);
        }
        read
    }
}

impl AlternativeName {
    fn read(name: &GeneralName<'_>) -> Option<Self> {
        Some(match name {
            GeneralName::DNSName(text) => Self::Dns(Name::new(text)),
            GeneralName::RFC822Name(text) => Self::Email(Name::new(text)),
            GeneralName::URI(text) => Self::Uri(Name::new(text)),
            GeneralName::IPAddress(bytes) => match **bytes {
                [a, b, c, d] => Self::Ip([a, b, c, d].into()),
                _ => Self::Ip(<[u8; 16]>::try_from(*bytes).ok()?.into()),
            },
            _ => return None,
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Dns(name) | Self::Email(name) | Self::Uri(name) => name.text.len(),
            Self::Ip(_) => size_of::<std::net::IpAddr>(),
        }
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

#[cfg(test)]
mod tests;
