//! Whether a connection starts with TLS, told by its first bytes.

/// What the first bytes of a client are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plausible {
    /// A record with the start of a `ClientHello`.
    Tls,
    /// Something else.
    NotTls,
    /// Too few to tell.
    Unknown,
}

/// Looks at the first bytes that the client sent: a handshake record (RFC 8446, 5.1) whose message is a `ClientHello`
/// (4.1.2). Six bytes are enough. No text starts like this.
#[must_use]
pub fn plausible(bytes: &[u8]) -> Plausible {
    for (at, byte) in bytes.iter().take(6).enumerate() {
        let fits = match at {
            0 => *byte == 22,
            1 => *byte == 3,
            2 => *byte <= 4,
            // At most 2^14 bytes.
            3 => *byte <= 0x40,
            4 => bytes
                .get(3)
                .is_some_and(|high| if *high == 0x40 { *byte == 0 } else { *high > 0 || *byte > 0 }),
            _ => *byte == 1,
        };
        if !fits {
            return Plausible::NotTls;
        }
    }
    if bytes.len() >= 6 { Plausible::Tls } else { Plausible::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Plausible) {
        assert_eq!(plausible(bytes), expected, "{bytes:02x?}");
    }

    #[test]
    fn first_bytes() {
        check(b"", Plausible::Unknown);
        check(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Plausible::Tls);
        check(b"\x16\x03\x01\x02\x00\x01", Plausible::Tls);
        check(b"\x16\x03\x01\x02\x00", Plausible::Unknown);
        check(b"\x16\x03\x01\x02\x00\x02", Plausible::NotTls);
        check(b"\x16\x03\x01\x40\x01\x01", Plausible::NotTls);
        check(b"\x16\x03\x01\x00\x00\x01", Plausible::NotTls);
        check(b"\x16\x03\x05", Plausible::NotTls);
        check(b"\x17\x03\x03", Plausible::NotTls);
        check(b"GET / HTTP/1.1\r\n", Plausible::NotTls);
        check(b"PROXY TCP4", Plausible::NotTls);
        check(b"\r\n\r\n\0\r\nQUIT\n", Plausible::NotTls);
    }
}
