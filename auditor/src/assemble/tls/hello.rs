//! The two messages in which versions, suites, groups and extensions are agreed on (RFC 8446, 4.1; RFC 5246, 7.4.1).
//!
//! Read as far as they are well formed; what is broken makes the message unreadable, never a guess.

pub mod ja4;

use super::suite::Version;
use super::wire::{Extensions, Wire};

/// The random value by which a `ServerHello` is a `HelloRetryRequest` (RFC 8446, 4.1.3).
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2,
    0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// Extensions, by their numbers in the registry "TLS `ExtensionType` Values".
pub(super) mod extension {
    pub(in super::super) const SERVER_NAME: u16 = 0;
    pub(in super::super) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(in super::super) const ALPN: u16 = 16;
    pub(in super::super) const PRE_SHARED_KEY: u16 = 41;
    pub(in super::super) const EARLY_DATA: u16 = 42;
    pub(in super::super) const SUPPORTED_VERSIONS: u16 = 43;
    pub(in super::super) const KEY_SHARE: u16 = 51;
    pub(in super::super) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
}

/// Whether a number is one of those that clients send to keep servers tolerant (RFC 8701).
pub(super) fn is_grease(code: u16) -> bool {
    code & 0x0f0f == 0x0a0a && code >> 8 == code & 0xff
}

/// A `ClientHello`.
#[derive(Clone, Copy, Debug)]
pub struct ClientHello<'a> {
    pub(super) legacy_version: u16,
    /// The random value.
    pub random: [u8; 32],
    pub(super) suites: Wire<'a>,
    pub(super) extensions: Extensions<'a>,
    /// The host name that is asked for (RFC 6066, 3).
    pub server_name: Option<&'a [u8]>,
    pub(super) protocols: Wire<'a>,
    pub(super) early_data: bool,
    pub(super) encrypted: bool,
}

impl<'a> ClientHello<'a> {
    /// Reads a message's body. None: it is malformed.
    #[must_use]
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let mut wire = Wire(body);
        let legacy_version = wire.u16()?;
        let random = wire.array()?;
        wire.vector8().filter(|session| session.0.len() <= 32)?;
        let suites = wire.vector16().filter(|suites| suites.0.len() % 2 == 0)?;
        wire.vector8().filter(|compression| !compression.is_empty())?;
        let extensions = read_extensions(wire)?;
        let mut hello = Self {
            legacy_version,
            random,
            suites,
            extensions,
            server_name: None,
            protocols: Wire(&[]),
            early_data: false,
            encrypted: false,
        };
        for (code, mut data) in extensions {
            match code {
                extension::SERVER_NAME => hello.server_name = host_name(data),
                extension::ALPN => hello.protocols = data.vector16().unwrap_or(Wire(&[])),
                extension::EARLY_DATA => hello.early_data = true,
                extension::ENCRYPTED_CLIENT_HELLO => hello.encrypted = true,
                _ => {}
            }
        }
        Some(hello)
    }

    /// The application protocols offered (RFC 7301, 3.1), the most wanted first.
    pub fn protocols(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut wire = self.protocols;
        std::iter::from_fn(move || wire.vector8().map(|name| name.0))
    }
}

/// A `ServerHello` or `HelloRetryRequest`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerHello<'a> {
    pub(super) random: [u8; 32],
    pub(super) version: Version,
    pub(super) suite: u16,
    pub(super) group: Option<u16>,
    pub(super) pre_shared_key: bool,
    pub(super) protocol: Option<&'a [u8]>,
}

impl<'a> ServerHello<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut wire = Wire(body);
        let legacy_version = wire.u16()?;
        let random = wire.array()?;
        wire.vector8()?;
        let suite = wire.u16()?;
        wire.u8()?;
        let extensions = read_extensions(wire)?;
        let mut version = legacy_version;
        let (mut group, mut pre_shared_key, mut protocol) = (None, false, None);
        for (code, mut data) in extensions {
            match code {
                extension::SUPPORTED_VERSIONS => version = data.u16()?,
                extension::KEY_SHARE => group = data.u16(),
                extension::PRE_SHARED_KEY => pre_shared_key = true,
                extension::ALPN => protocol = chosen_protocol(data),
                _ => {}
            }
        }
        let version = Version::from_wire(version)?;
        Some(Self { random, version, suite, group, pre_shared_key, protocol })
    }

    pub(super) fn is_retry_request(&self) -> bool {
        self.random == HELLO_RETRY_REQUEST
    }
}

/// What `EncryptedExtensions` say (RFC 8446, 4.3.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct EncryptedExtensions<'a> {
    pub(super) protocol: Option<&'a [u8]>,
    pub(super) early_data: bool,
}

impl<'a> EncryptedExtensions<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut read = Self { protocol: None, early_data: false };
        for (code, data) in read_extensions(Wire(body))? {
            match code {
                extension::ALPN => read.protocol = chosen_protocol(data),
                extension::EARLY_DATA => read.early_data = true,
                _ => {}
            }
        }
        Some(read)
    }
}

/// The group of a `ServerKeyExchange` with a named curve (RFC 8422, 5.4).
pub(super) fn named_curve(body: &[u8]) -> Option<u16> {
    let mut wire = Wire(body);
    if wire.u8()? == 3 { wire.u16() } else { None }
}

/// The extensions at the end of a message; before TLS 1.3 they may be left out (RFC 5246, 7.4.1.2).
fn read_extensions(mut wire: Wire<'_>) -> Option<Extensions<'_>> {
    if wire.is_empty() {
        return Some(Extensions(wire));
    }
    let block = wire.vector16().filter(|_| wire.is_empty())?;
    let mut check = Extensions(block);
    while check.next().is_some() {}
    check.0.is_empty().then_some(Extensions(block))
}

fn host_name(mut data: Wire<'_>) -> Option<&[u8]> {
    let mut list = data.vector16()?;
    while !list.is_empty() {
        let (kind, name) = (list.u8()?, list.vector16()?);
        if kind == 0 {
            return Some(name.0);
        }
    }
    None
}

fn chosen_protocol(mut data: Wire<'_>) -> Option<&[u8]> {
    data.vector16()?.vector8().map(|name| name.0)
}

#[cfg(test)]
mod tests;
