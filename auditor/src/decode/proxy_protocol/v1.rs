//! Version 1: one line of at most 107 bytes (section 2.1).
//!
//! The bounds of what is a header are nginx's, which are the widest: the tokens of an address line may hold whatever
//! characters addresses are made of, and a port may have leading zeros. An HTTP request with a method `PROXY` is no header.

use std::net::{IpAddr, SocketAddr};

use memchr::memmem;

use super::parser::{Judged, Refused};
use super::{Addresses, Command, Defect, Header, Tlvs, Version};

/// The longest line with its end.
pub(super) const MAX_LINE: usize = 107;
/// How a line may begin.
const STARTS: [&[u8]; 3] = [b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN"];

/// Judges what is there of a line. Bytes behind its end do not matter.
pub(super) fn judge(bytes: &[u8]) -> Result<Judged, Refused> {
    if !STARTS.iter().any(|start| start.iter().zip(bytes).all(|(expected, byte)| expected == byte)) {
        return Err(Refused::Absent);
    }
    let line = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(end) = memmem::find(line, b"\r\n") else {
        return if bytes.len() < MAX_LINE { Ok(Judged::More(MAX_LINE)) } else { Err(Refused::Malformed) };
    };
    let (addresses, defect) = addresses(line.get(..end).unwrap_or_default())?;
    Ok(Judged::Whole(Header {
        version: Version::One,
        command: Command::Proxy,
        addresses,
        tlvs: Tlvs::default(),
        len: u32::try_from(end + 2).unwrap_or(u32::MAX),
        defect,
    }))
}

fn addresses(line: &[u8]) -> Result<(Addresses, Option<Defect>), Refused> {
    let rest = line.strip_prefix(b"PROXY ").ok_or(Refused::Malformed)?;
    if rest.starts_with(b"UNKNOWN") {
        // "The receiver must ignore anything presented before the CRLF is found."
        return Ok((Addresses::Unspecified, None));
    }
    let mut tokens = rest.split(|byte| *byte == b' ');
    let (Some(family), Some(source), Some(destination), Some(from), Some(to), None) =
        (tokens.next(), tokens.next(), tokens.next(), tokens.next(), tokens.next(), tokens.next())
    else {
        return Err(Refused::Malformed);
    };
    let (from, to) = (port(from)?, port(to)?);
    let (source, destination) = (address(source)?, address(destination)?);
    let of_family = |address: &IpAddr| address.is_ipv4() == (family == b"TCP4");
    match (source.filter(of_family), destination.filter(of_family)) {
        (Some(source), Some(destination)) => {
            let (source, destination) = (SocketAddr::new(source, from), SocketAddr::new(destination, to));
            Ok((Addresses::Inet { source, destination }, None))
        }
        _ => Ok((Addresses::Unspecified, Some(Defect::Address))),
    }
}

/// An address, or none where it is only made of the same characters.
fn address(token: &[u8]) -> Result<Option<IpAddr>, Refused> {
    if token.is_empty() || !token.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':')) {
        return Err(Refused::Malformed);
    }
    Ok(str::from_utf8(token).ok().and_then(|token| token.parse().ok()))
}

fn port(token: &[u8]) -> Result<u16, Refused> {
    // Not left to the number's parser, which takes a sign.
    if !token.iter().all(u8::is_ascii_digit) {
        return Err(Refused::Malformed);
    }
    str::from_utf8(token).ok().and_then(|token| token.parse().ok()).ok_or(Refused::Malformed)
}
