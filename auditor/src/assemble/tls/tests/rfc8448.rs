//! The traces of RFC 8448, sections 3 to 7. The records are the RFC's; so are the secrets, in the form of a key log.

use super::super::facts::EarlyData;
use super::super::names;
use super::super::secrets::key_log::KeyLog;
use super::super::trouble::Reason;
use super::rig::*;
use crate::assemble::Piece;

/// Lines: `section N`, lines of a key log, and records as `client HEX` and `server HEX`.
const TRACES: &str = include_str!("rfc8448.txt");

fn section(number: u32) -> (Vec<&'static str>, Vec<(&'static str, Vec<u8>)>) {
    let lines = TRACES.lines().skip_while(|line| *line != format!("section {number}")).skip(1);
    let lines: Vec<_> = lines.take_while(|line| !line.starts_with("section")).collect();
    let records = lines.iter().filter_map(|line| line.split_once(' ')).filter(|(who, _)| who.len() == 6);
    let bytes = |hex: &str| {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    let records = records.map(|(who, hex)| (who, bytes(hex))).collect();
    (lines.into_iter().filter(|line| line.contains("_SECRET")).collect(), records)
}

fn read(number: u32) -> Rig {
    let (secrets, records) = section(number);
    let mut rig = Rig::new(&[]);
    let mut log = KeyLog::new();
    log.push(secrets.join("\n").as_bytes(), &mut |random, label, secret| {
        rig.cx.secrets.insert(Some(random), label, secret, 0);
    });
    log.finish(&mut |random, label, secret| {
        rig.cx.secrets.insert(Some(random), label, secret, 0);
    });
    assert_eq!(log.counts().secrets, secrets.len() as u64);
    for (who, record) in records {
        rig.feed(if who == "client" { CLIENT } else { SERVER }, Piece::Data(&record));
    }
    let facts = rig.tls.facts();
    assert!(facts.completed && facts.client_closed && facts.server_closed, "{number}: {facts:?}");
    assert_eq!(facts.suite_name(), Some("TLS_AES_128_GCM_SHA256"));
    assert_eq!(facts.server_name.as_deref(), Some(&b"server"[..]));
    rig.finish();
    rig
}

/// The application data of sections 3 and 4: the bytes from 0 to 49.
fn counting() -> Vec<u8> {
    (0..50).collect()
}

#[track_caller]
fn check(mut rig: Rig, client: &[u8], server: &[u8]) {
    assert_eq!(rig.taken.out[0].bytes, client);
    assert_eq!(rig.taken.out[1].bytes, server);
    assert_eq!(rig.tls.take_trouble(), []);
}

#[test]
fn section_3_simple_handshake() {
    let rig = read(3);
    let facts = rig.tls.facts();
    assert_eq!(facts.group_name(), Some("x25519"));
    assert_eq!((facts.resumed, facts.retried), (Some(false), false));
    let certificate = facts.server_certificate.as_ref().unwrap();
    assert_eq!(certificate.subject.as_ref().map(|name| &*name.text), Some("CN=rsa"));
    assert_eq!(certificate.issuer.as_ref().map(|name| &*name.text), Some("CN=rsa"));
    assert_eq!(certificate.serial.as_deref(), Some(&[2][..]));
    // 2016-07-30 01:23:59 and 2026-07-30 01:23:59.
    assert_eq!((certificate.not_before, certificate.not_after), (Some(1_469_841_839), Some(1_785_374_639)));
    check(rig, &counting(), &counting());
}

#[test]
fn section_4_resumed_with_early_data() {
    let rig = read(4);
    let facts = rig.tls.facts();
    assert_eq!((facts.resumed, facts.early_data), (Some(true), EarlyData::Accepted));
    assert_eq!(facts.server_certificate, None);
    let client = [&b"ABCDEF"[..], &counting()].concat();
    check(rig, &client, &counting());
}

#[test]
fn section_5_hello_retry_request() {
    let rig = read(5);
    let facts = rig.tls.facts();
    assert!(facts.retried);
    assert_eq!(facts.group.and_then(names::group), Some("secp256r1"));
    check(rig, b"", b"");
}

#[test]
fn section_6_client_authentication() {
    let rig = read(6);
    let facts = rig.tls.facts();
    assert!(facts.certificate_requested);
    let server = facts.server_certificate.as_ref().unwrap();
    assert_eq!(server.subject.as_ref().map(|name| &*name.text), Some("CN=ecdsa256"));
    let client = facts.client_certificate.as_ref().unwrap();
    assert_eq!(client.subject.as_ref().map(|name| &*name.text), Some("CN=client"));
    check(rig, b"", b"");
}

#[test]
fn section_7_compatibility_mode() {
    let rig = read(7);
    assert_eq!(rig.tls.facts().resumed, Some(false));
    check(rig, b"", b"");
}

/// Every byte of a protected record counts: with any of them changed nothing of it comes out.
#[test]
fn a_wrong_tag_lets_nothing_out() {
    let (secrets, records) = section(3);
    let (at, _) =
        records.iter().enumerate().find(|(_, it)| it.0 == "client" && it.1.len() == 5 + 67).unwrap();
    for byte in 5..records[at].1.len() {
        let mut rig = Rig::new(&[]);
        let mut log = KeyLog::new();
        log.push(secrets.join("\n").as_bytes(), &mut |random, label, secret| {
            rig.cx.secrets.insert(Some(random), label, secret, 0);
        });
        log.finish(&mut |random, label, secret| {
            rig.cx.secrets.insert(Some(random), label, secret, 0);
        });
        for (index, (who, record)) in records.iter().enumerate() {
            let mut record = record.clone();
            if index == at {
                record[byte] ^= 1;
            }
            rig.feed(if *who == "client" { CLIENT } else { SERVER }, Piece::Data(&record));
        }
        rig.finish();
        assert_eq!(rig.taken.out[0].bytes, b"");
        assert_eq!(rig.taken.out[0].lost, [0]);
        assert_eq!(rig.taken.out[1].bytes, counting());
        let trouble = rig.tls.take_trouble();
        let offset: usize = records[..at].iter().filter(|it| it.0 == "client").map(|it| it.1.len()).sum();
        assert!(trouble.iter().all(|it| it.reason == Reason::BadTag && it.direction == CLIENT));
        assert_eq!(trouble[0].offset, offset as u64);
        assert_eq!(trouble.iter().map(|it| it.bytes).sum::<u64>(), (5 + 67 + 24) as u64);
    }
}
