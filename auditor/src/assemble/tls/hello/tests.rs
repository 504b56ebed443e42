//! Hello messages: those of RFC 8448, and what is malformed.

use super::ja4::Ja4;
use super::*;

/// The first record of a side in the traces of RFC 8448, without the headers of the record and of the message.
fn body(section: &str, who: &str) -> Vec<u8> {
    let traces = include_str!("../tests/rfc8448.txt");
    let mut lines = traces.lines().skip_while(|line| *line != section);
    let hex = lines.find_map(|line| line.strip_prefix(who)).unwrap();
    let bytes = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
    bytes.skip(9).collect()
}

#[test]
fn a_client_hello() {
    let bytes = body("section 4", "client ");
    let hello = ClientHello::parse(&bytes).unwrap();
    assert_eq!(hello.random[..4], [0x1b, 0xc3, 0xce, 0xb6]);
    assert_eq!(hello.server_name, Some(&b"server"[..]));
    assert_eq!(hello.suites.u16s().collect::<Vec<_>>(), [0x1301, 0x1303, 0x1302]);
    assert!(hello.early_data && !hello.encrypted);
    assert_eq!(hello.protocols().count(), 0);
    assert!(Ja4::of(&hello).as_str().starts_with("t13d031100_"));
}

#[test]
fn a_server_hello_and_a_retry_request() {
    let bytes = body("section 4", "server ");
    let hello = ServerHello::parse(&bytes).unwrap();
    assert_eq!((hello.version, hello.suite, hello.group), (Version::Tls13, 0x1301, Some(29)));
    assert!(hello.pre_shared_key && !hello.is_retry_request());
    let bytes = body("section 5", "server ");
    let hello = ServerHello::parse(&bytes).unwrap();
    assert!(hello.is_retry_request());
    assert_eq!(hello.group, Some(23));
}

#[test]
fn what_is_cut_short_is_malformed() {
    let (client, server) = (body("section 4", "client "), body("section 4", "server "));
    for len in 0..client.len() {
        let cut = ClientHello::parse(&client[..len]);
        // Without extensions, it is a hello of TLS 1.2 (RFC 5246, 7.4.1.2).
        assert_eq!(cut.is_some(), len == 2 + 32 + 1 + 2 + 6 + 2, "{len}");
    }
    for len in 0..server.len() {
        assert_eq!(ServerHello::parse(&server[..len]).is_some(), len == 2 + 32 + 1 + 2 + 1, "{len}");
    }
    let longer = [&client[..], &[0]].concat();
    assert!(ClientHello::parse(&longer).is_none());
}

/// The technical details of JA4 have these examples of a first protocol.
#[test]
fn ja4_of_strange_protocols() {
    for (name, expected) in [
        (&b"h2"[..], "h2"),
        (b"http/1.1", "h1"),
        (b"h", "hh"),
        (&[0xab], "ab"),
        (&[0xab, 0xcd], "ad"),
        (&[0x30, 0xab], "3b"),
        (&[0x30, 0x31, 0xab, 0xcd], "3d"),
        (&[0x30, 0xab, 0xcd, 0x31], "01"),
        (b" ", "20"),
        (b"a ", "60"),
    ] {
        let list = [&[u8::try_from(name.len()).unwrap()], name].concat();
        let hello = ClientHello {
            legacy_version: 0x0303,
            random: [0; 32],
            suites: Wire(&[0x13, 0x01]),
            extensions: Extensions(Wire(&[])),
            server_name: None,
            protocols: Wire(&list),
            early_data: false,
            encrypted: false,
        };
        assert_eq!(Ja4::of(&hello).as_str()[..10], format!("t12i0100{expected}"), "{name:02x?}");
    }
}

#[test]
fn grease() {
    for code in [0x0a0a, 0x1a1a, 0xfafa] {
        assert!(is_grease(code));
    }
    for code in [0x0a1a, 0x1301, 0x0a0b, 0xaaab] {
        assert!(!is_grease(code));
    }
}

#[test]
fn a_named_curve() {
    assert_eq!(named_curve(&[3, 0, 29, 32]), Some(29));
    // Explicit curves (RFC 8422, 5.4: deprecated).
    assert_eq!(named_curve(&[1, 0, 29]), None);
    assert_eq!(named_curve(&[3, 0]), None);
}
