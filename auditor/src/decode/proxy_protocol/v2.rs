//! Version 2: a signature, four bytes that say how much follows, addresses, TLVs (section 2.2).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::parser::{Judged, Refused};
use super::{Addresses, Command, Defect, Header, Tlvs, Version};

/// What a header begins with: as a request of HTTP or SMTP it is invalid, on purpose.
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
pub(super) const FIXED: usize = 16;

/// Sizes of the address blocks.
const INET: usize = 12;
const INET6: usize = 36;
const UNIX: usize = 216;

/// The start of a header whose rest may come later.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// All but the TLVs.
    pub(super) header: Header,
    /// How much of it is behind the addresses.
    pub(super) left: u32,
    /// Whether that is TLVs, for all that is known.
    pub(super) tlvs: bool,
}

/// Judges what is there, up to and including the addresses.
pub(super) fn judge(bytes: &[u8]) -> Result<Judged, Refused> {
    if !SIGNATURE.iter().zip(bytes).all(|(expected, byte)| expected == byte) {
        return Err(Refused::Absent);
    }
    if bytes.get(SIGNATURE.len()).is_some_and(|byte| byte >> 4 != 2) {
        return Err(Refused::Malformed);
    }
    let Some(&[.., how, over, high, low]) = bytes.first_chunk::<FIXED>() else {
        return Ok(Judged::More(FIXED));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let command = match how & 0xf {
        0 => Command::Local,
        1 => Command::Proxy,
        _ => Command::Unknown,
    };
    // A local connection's addresses are to be ignored, with their family.
    let (size, known) = match over >> 4 {
        _ if command != Command::Proxy => (0, true),
        0 => (0, true),
        1 => (INET, true),
        2 => (INET6, true),
        3 => (UNIX, true),
        _ => (0, false),
    };
    if length < size {
        return Err(Refused::Malformed);
    }
    if bytes.len() < FIXED + size {
        return Ok(Judged::More(FIXED + size));
    }
    let stream = command != Command::Proxy || over >> 4 == 0 || over & 0xf == 1;
    let defect = match command {
        Command::Unknown => Some(Defect::Command),
        _ if !known || !stream => Some(Defect::Family),
        _ => None,
    };
    let block = bytes.get(FIXED..FIXED + size).unwrap_or_default();
    let header = Header {
        version: Version::Two,
        command,
        addresses: addresses(block),
        tlvs: Tlvs::default(),
        len: u32::try_from(FIXED + length).unwrap_or(u32::MAX),
        defect,
    };
    let left = u32::try_from(length - size).unwrap_or(u32::MAX);
    Ok(Judged::Start(Box::new(Start { header, left, tlvs: command == Command::Proxy && known })))
}

/// Source, destination, and their ports, in this order; the size tells the family.
fn addresses(block: &[u8]) -> Addresses {
    match block.len() {
        INET => pair(block, |bytes: [u8; 4]| Ipv4Addr::from(bytes).into()),
        INET6 => pair(block, |bytes: [u8; 16]| Ipv6Addr::from(bytes).into()),
        UNIX => Some(Addresses::Unix),
        _ => None,
    }
    .unwrap_or(Addresses::Unspecified)
}

fn pair<const N: usize>(block: &[u8], address: fn([u8; N]) -> std::net::IpAddr) -> Option<Addresses> {
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, ports) = rest.split_first_chunk::<N>()?;
    let &[a, b, c, d] = ports.first_chunk()?;
    Some(Addresses::Inet {
        source: SocketAddr::new(address(*source), u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(address(*destination), u16::from_be_bytes([c, d])),
    })
}
