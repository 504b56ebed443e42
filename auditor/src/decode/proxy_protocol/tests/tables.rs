//! What is a header, what is none, and what is wrong with one: from the specification's sections 2.1 and 2.2.

use proptest::prelude::*;

use super::super::{Addresses, Command, Defect, MAX_HELD, Parser, Progress, Refused, v1::MAX_LINE};
use super::{INET, in_every_split, read, tlv, two};

#[test]
fn lines_of_version_1() {
    let check = |line: &str, expected: Result<(Option<&str>, Option<Defect>), Option<Refused>>| {
        let bytes = [line, "GET / HTTP/1.1\r\n"].concat();
        let found = in_every_split(bytes.as_bytes()).map(|(header, rest)| {
            assert_eq!(rest, b"GET / HTTP/1.1\r\n", "{line}");
            (header.source(), header.defect)
        });
        let expected =
            expected.map(|(source, defect)| (source.map(|source| source.parse().unwrap()), defect));
        assert_eq!(found, expected, "{line}");
    };
    let (malformed, absent) = (Err(Some(Refused::Malformed)), Err(Some(Refused::Absent)));
    let address = Ok((None, Some(Defect::Address)));
    // The examples of the specification.
    check(
        "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        Ok((Some("255.255.255.255:65535"), None)),
    );
    let six = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    check(&format!("PROXY TCP6 {six} {six} 65535 65535\r\n"), Ok((Some(&format!("[{six}]:65535")), None)));
    check("PROXY UNKNOWN\r\n", Ok((None, None)));
    let longest = format!("PROXY UNKNOWN {six} {six} 65535 65535\r\n");
    assert_eq!(longest.len(), MAX_LINE);
    check(&longest, Ok((None, None)));
    check(&longest.replace("\r\n", "0\r\n"), malformed);
    // Taken by nginx as well.
    check("PROXY TCP4 192.0.2.1 192.0.2.2 0080 1\r\n", Ok((Some("192.0.2.1:80"), None)));
    check("PROXY TCP4 999.0.2.1 192.0.2.2 1 1\r\n", address);
    check("PROXY TCP4 192.0.2.01 192.0.2.2 1 1\r\n", address);
    check("PROXY TCP4 2001:db8::1 192.0.2.2 1 1\r\n", address);
    check("PROXY TCP6 192.0.2.1 ::1 1 1\r\n", address);
    // Refused by all.
    check("PROXY TCP4 192.0.2.1 192.0.2.2 65536 1\r\n", malformed);
    check("PROXY TCP4 192.0.2.1 192.0.2.2 -1 1\r\n", malformed);
    check("PROXY TCP4 192.0.2.1 192.0.2.2 +1 1\r\n", malformed);
    check("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", malformed);
    check("PROXY TCP4 192.0.2.1 192.0.2.2  1 1\r\n", malformed);
    check("PROXY TCP4 192.0.2.1 192.0.2.2 1 1 \r\n", malformed);
    check("PROXY TCP4 192.0.2.1 192.0.2.2 1 1\n", malformed);
    check("PROXY TCP4 fe80::1%1 192.0.2.2 1 1\r\n", malformed);
    check("PROXY TCP4 \r\n", malformed);
    // Something else.
    check("PROXY TCP5 192.0.2.1 192.0.2.2 1 1\r\n", absent);
    check("PROXY tcp4 192.0.2.1 192.0.2.2 1 1\r\n", absent);
    check("proxy TCP4 192.0.2.1 192.0.2.2 1 1\r\n", absent);
    check("PROXY  TCP4 192.0.2.1 192.0.2.2 1 1\r\n", absent);
    check("PROXY / HTTP/1.1\r\n", absent);
    check("PROXY TCP4 HTTP/1.1\r\n", malformed);
    check("POST / HTTP/1.1\r\n", absent);
    check("GET / HTTP/1.1\r\n", absent);
    check("\r\nGET / HTTP/1.1\r\n", absent);
}

#[test]
fn the_fixed_part_of_version_2() {
    let check = |bytes: &[u8], expected: Result<(Command, Addresses, Option<Defect>), Option<Refused>>| {
        let found = in_every_split(bytes).map(|(header, rest)| {
            assert!(rest.is_empty());
            (header.command, header.addresses, header.defect)
        });
        assert_eq!(found, expected, "{bytes:02x?}");
    };
    let ends = Addresses::Inet {
        source: "192.0.2.1:258".parse().unwrap(),
        destination: "198.51.100.2:443".parse().unwrap(),
    };
    let none = Addresses::Unspecified;
    check(&two(0x21, 0x11, &INET), Ok((Command::Proxy, ends, None)));
    check(&two(0x21, 0x31, &[b'/'; 216]), Ok((Command::Proxy, Addresses::Unix, None)));
    check(&two(0x21, 0x00, &[]), Ok((Command::Proxy, none, None)));
    // "Discard the protocol block including the family, which is ignored."
    check(&two(0x20, 0x11, &INET), Ok((Command::Local, none, None)));
    check(&two(0x20, 0xff, &[1, 2, 3]), Ok((Command::Local, none, None)));
    // What nginx skips, and HAProxy refuses.
    check(&two(0x22, 0x11, &INET), Ok((Command::Unknown, none, Some(Defect::Command))));
    check(&two(0x21, 0x12, &INET), Ok((Command::Proxy, ends, Some(Defect::Family))));
    check(&two(0x21, 0x10, &INET), Ok((Command::Proxy, ends, Some(Defect::Family))));
    check(&two(0x21, 0x41, &INET), Ok((Command::Proxy, none, Some(Defect::Family))));
    // Lengths that are lies: too short for the addresses.
    check(&two(0x21, 0x11, &INET[..11]), Err(Some(Refused::Malformed)));
    check(&two(0x21, 0x21, &[0; 35]), Err(Some(Refused::Malformed)));
    check(&two(0x21, 0x31, &[0; 215]), Err(Some(Refused::Malformed)));
    check(&two(0x21, 0x11, &[]), Err(Some(Refused::Malformed)));
    // Longer than what comes.
    check(&two(0x21, 0x11, &INET)[..27], Err(None));
    // Other versions.
    check(&two(0x11, 0x11, &INET), Err(Some(Refused::Malformed)));
    check(&two(0x31, 0x11, &INET), Err(Some(Refused::Malformed)));
    check(b"\r\n\r\n\0\r\nQUIT\r", Err(Some(Refused::Absent)));
    check(b"\r\n\r\n\0\r\nQUIT\n", Err(None));
}

#[test]
fn values() {
    let check = |tlvs: &[u8], expected: Option<Defect>| {
        let bytes = two(0x21, 0x11, &[&INET, tlvs].concat());
        let (header, rest) = in_every_split(&bytes).unwrap();
        assert_eq!((header.defect, rest), (expected, &b""[..]), "{tlvs:02x?}");
        header.tlvs
    };
    assert_eq!(check(&tlv(2, b"a.test"), None).authority.as_deref(), Some(&b"a.test"[..]));
    assert_eq!(check(&tlv(2, b""), None).authority.as_deref(), Some(&b""[..]));
    assert_eq!(check(&tlv(0x30, b"blue"), None).netns.as_deref(), Some(&b"blue"[..]));
    let twice = [tlv(1, b"h2"), tlv(1, b"http/1.1")].concat();
    assert_eq!(check(&twice, None).alpn.as_deref(), Some(&b"h2"[..]));
    // Padding, AWS's endpoint, Azure's link, Google's connection, what is free to be used.
    for kind in [4, 0xea, 0xee, 0xe0, 0xf0] {
        check(&tlv(kind, &[1; 300]), None);
    }
    check(&tlv(5, &[b'x'; 128]), None);
    check(&tlv(5, &[b'x'; 129]), Some(Defect::Tlv));
    check(&tlv(2, &[b'x'; 256]), Some(Defect::Tlv));
    check(&tlv(3, &[0; 3]), Some(Defect::Tlv));
    check(&tlv(3, &[0; 4]), Some(Defect::Checksum));
    // Lengths beyond the header, and a header that ends within a TLV's own head.
    check(&[2, 0, 2, b'a'], Some(Defect::Tlv));
    check(&[2, 0xff, 0xff], Some(Defect::Tlv));
    check(&[2, 0], Some(Defect::Tlv));
    check(&[2], Some(Defect::Tlv));
    // TLS: flags, verification, TLVs within.
    let ssl = check(&tlv(0x20, &[1, 0, 0, 0, 1]), None).ssl.unwrap();
    assert_eq!((ssl.spoken, ssl.certificate, ssl.verified), (true, false, false));
    let ssl = check(&tlv(0x20, &[3, 0, 0, 0, 1]), None).ssl.unwrap();
    assert_eq!((ssl.certificate, ssl.verified), (true, false));
    check(&tlv(0x20, &[1, 0, 0, 0]), Some(Defect::Tlv));
    check(&tlv(0x20, &[1, 0, 0, 0, 0, 0x22, 0, 2, b'a']), Some(Defect::Tlv));
    let certificate = [&[7, 0, 0, 0, 0][..], &tlv(0x22, b"bob"), &tlv(0x28, &[b'D'; 5000])].concat();
    let ssl = check(&tlv(0x20, &certificate), None).ssl.unwrap();
    assert_eq!(ssl.common_name.as_deref(), Some(&b"bob"[..]));
}

#[test]
fn the_longest_header_is_read_and_not_held() {
    let values = [tlv(0x20, &vec![1; 20_000]), tlv(0xf0, &vec![1; 45_000])].concat();
    let padding = tlv(4, &vec![0; 65_535 - 12 - values.len() - 3]);
    let bytes = two(0x21, 0x11, &[&INET[..], &values, &padding].concat());
    assert_eq!(bytes.len(), 65_551);
    let mut parser = Parser::default();
    let (last, before) = bytes.split_last().unwrap();
    for piece in before.chunks(1400) {
        assert_eq!(parser.push(piece), Ok(Progress::Incomplete));
        assert!(parser.weight() <= MAX_HELD, "{} bytes", parser.weight());
    }
    let Ok(Progress::Whole(header, 1)) = parser.push(&[*last]) else { panic!("not whole") };
    assert_eq!(header.len, 65_551);
}

#[test]
fn what_is_not_there() {
    let bytes = two(0x21, 0x11, &[&INET[..], &tlv(4, &[0; 100])].concat());
    let mut parser = Parser::default();
    assert_eq!(parser.skip(1), None);
    parser.push(&bytes[..20]).unwrap();
    assert_eq!(parser.skip(8), None, "addresses are needed");
    parser.push(&bytes[20..40]).unwrap();
    assert_eq!(parser.skip(50), Some(Progress::Incomplete));
    let Some(Progress::Whole(header, own)) = parser.skip(1000) else { panic!("not whole") };
    assert_eq!((own, header.defect, header.source()), (bytes.len() - 90, Some(Defect::Missing), None));
}

proptest! {
    #[test]
    fn any_bytes_in_any_split(bytes in proptest::collection::vec(any::<u8>(), 0..300), how in any::<u8>()) {
        let _ = in_every_split(&bytes);
        let _ = in_every_split(&two(how, 0x11, &bytes));
        let _ = in_every_split(&[b"PROXY TCP4 ", &bytes[..]].concat());
    }

    /// A header takes what it says, whatever follows.
    #[test]
    fn what_follows_does_not_matter(
        values in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
        rest in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let values: Vec<u8> = values.iter().flat_map(|(kind, value)| tlv(*kind, value)).collect();
        let header = two(0x21, 0x11, &[&INET, &values[..]].concat());
        let both = [&header[..], &rest].concat();
        let (alone, _) = read(&header).unwrap();
        let (with, behind) = in_every_split(&both).unwrap();
        prop_assert_eq!(alone, with);
        prop_assert_eq!(behind, &rest[..]);
    }
}
