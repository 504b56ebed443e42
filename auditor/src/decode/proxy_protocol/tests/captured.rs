//! What `HAProxy` 2.6.12 sent, recorded on its servers' side; clients were curl on loopback addresses.

use super::super::{Addresses, Command, Header, Tlvs, Version};
use super::in_every_split;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n";

#[track_caller]
fn check(sent: &[u8]) -> Header {
    let bytes = [sent, REQUEST].concat();
    let (header, rest) = in_every_split(&bytes).unwrap();
    assert_eq!((rest, header.defect), (REQUEST, None));
    assert_eq!(header.len as usize, sent.len());
    header
}

fn inet(source: &str, destination: &str) -> Addresses {
    Addresses::Inet { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn send_proxy() {
    let header = check(b"PROXY TCP4 127.0.0.1 127.0.0.1 47926 19501\r\n");
    assert_eq!(header.addresses, inet("127.0.0.1:47926", "127.0.0.1:19501"));
    assert_eq!((header.version, header.command), (Version::One, Command::Proxy));
    let header = check(b"PROXY TCP6 ::1 ::1 34956 19502\r\n");
    assert_eq!(header.source(), Some("[::1]:34956".parse().unwrap()));
}

#[test]
fn send_proxy_v2() {
    let header = check(&bytes("0d0a0d0a000d0a515549540a2111000c7f0000017f000001bb424c2d"));
    assert_eq!(header.addresses, inet("127.0.0.1:47938", "127.0.0.1:19501"));
    assert_eq!((header.version, header.tlvs), (Version::Two, Tlvs::default()));
    let header = check(&bytes(
        "0d0a0d0a000d0a515549540a21210024
         0000000000000000000000000000000100000000000000000000000000000001 88884c2e",
    ));
    assert_eq!(header.addresses, inet("[::1]:34952", "[::1]:19502"));
}

#[test]
fn send_proxy_v2_with_checksum_and_unique_id() {
    let sent = bytes(
        "0d0a0d0a000d0a515549540a211100317f0000017f000001bb4a4c2d 030004b16f1e69
         05001b37463030303030313a424234415f37463030303030313a34433244",
    );
    let header = check(&sent);
    assert_eq!(header.tlvs.unique_id.as_deref(), Some(&b"7F000001:BB4A_7F000001:4C2D"[..]));
    // Any byte that is another is noticed; but for the type of the checksum, without which there is none.
    for at in (16..sent.len()).filter(|at| *at != 28) {
        let mut changed = [&sent[..], REQUEST].concat();
        changed[at] ^= 1;
        let defect = in_every_split(&changed).unwrap().0.defect;
        assert!(defect.is_some(), "byte {at} does not count");
    }
}

#[test]
fn send_proxy_v2_ssl_cn() {
    let header = check(&bytes(
        "0d0a0d0a000d0a515549540a2111008c7f0000017f000001ba4e4c2f 030004460ce74d 0100026832 02000973686f702e74657374
         05001b37463030303030313a424134455f37463030303030313a34433246
         20004707000000002100 07544c5376312e33 220005616c696365 25000752534132303438 24000a5253412d534841323536
         230016544c535f4145535f3235365f47434d5f534841333834",
    ));
    assert_eq!(header.source(), Some("127.0.0.1:47694".parse().unwrap()));
    assert_eq!(header.tlvs.alpn.as_deref(), Some(&b"h2"[..]));
    assert_eq!(header.tlvs.authority.as_deref(), Some(&b"shop.test"[..]));
    let ssl = header.tlvs.ssl.unwrap();
    assert_eq!((ssl.spoken, ssl.certificate, ssl.verified), (true, true, true));
    assert_eq!(ssl.version.as_deref(), Some(&b"TLSv1.3"[..]));
    assert_eq!(ssl.common_name.as_deref(), Some(&b"alice"[..]));
    assert_eq!(ssl.cipher.as_deref(), Some(&b"TLS_AES_256_GCM_SHA384"[..]));
}

#[test]
fn health_check() {
    let header = check(&bytes("0d0a0d0a000d0a515549540a20000000"));
    assert_eq!((header.command, header.addresses), (Command::Local, Addresses::Unspecified));
    assert_eq!(header.source(), None);
}
