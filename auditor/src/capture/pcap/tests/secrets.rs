//! Blocks of decryption secrets: anywhere in a file, of any length, damaged.

use super::build::{Out, Talk};
use super::{Counters, Options, Outcome, Owned, PcapError, embedded, read};

const RANDOM: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const TLS: u32 = 0x544c_534b;
const WIREGUARD: u32 = 0x5747_4b4c;

/// A line that gives the secret of 48 bytes `byte`.
fn line(byte: u8) -> String {
    format!("CLIENT_RANDOM {RANDOM} {}\n", format!("{byte:02x}").repeat(48))
}

impl Out {
    fn secrets(&mut self, kind: u32, len: usize, text: &str) {
        let mut body = Self { bytes: vec![], big_endian: self.big_endian };
        body.u32(kind);
        body.u32(u32::try_from(len).unwrap());
        body.bytes.extend(text.as_bytes());
        self.block(10, &body.bytes);
    }

    fn key_log(&mut self, text: &str) {
        self.secrets(TLS, text.len(), text);
    }

    fn talk(&mut self, time: u64) {
        let mut talk = Talk::open(&format!("192.0.2.1:{}", 40_000 + time), "192.0.2.2:80", [100, 900]);
        talk.say(0, "ping");
        talk.close();
        for tcp in &talk.packets {
            let packet = tcp.ethernet();
            self.enhanced(0, time, packet.len(), &packet);
        }
    }
}

fn begun(big_endian: bool) -> Out {
    let mut out = Out { bytes: vec![], big_endian };
    out.section();
    out.interface(1, 0, &[]);
    out
}

/// Times and first bytes of what is given out while the packets are read, and before.
fn secrets(outcome: &Outcome, file: &[u8]) -> (Vec<(u64, u8)>, Vec<u8>) {
    let of = |record: &Owned| match record {
        Owned::Secret { time, label: "CLIENT_RANDOM", bytes } if bytes.len() == 48 => Some((*time, bytes[0])),
        Owned::Secret { .. } => panic!("{record:?}"),
        _ => None,
    };
    let mut before = Vec::new();
    embedded(file, &mut |record| {
        let (time, byte) = of(&Owned::of(record)).unwrap();
        assert_eq!(time, 0);
        before.push(byte);
    });
    (outcome.records.iter().filter_map(of).collect(), before)
}

#[test]
fn they_stand_anywhere() {
    for big_endian in [false, true] {
        let mut out = begun(big_endian);
        // No line feed at the end: padded to four bytes, which are not of the text.
        out.key_log(line(1).trim_end());
        out.talk(5);
        out.key_log(&(line(2) + "# a comment\n" + &line(3)));
        out.talk(7);
        // A section is in a byte order of its own.
        out.big_endian = !big_endian;
        out.section();
        out.key_log(&line(4));
        let outcome = Outcome::of(&out.bytes, &Options::default());
        assert!(outcome.error.is_none());
        let found = secrets(&outcome, &out.bytes);
        assert_eq!(found, (vec![(0, 1), (5000, 2), (5000, 3), (7000, 4)], vec![1, 2, 3, 4]));
        let Counters { key_log_blocks, secrets, malformed_key_lines, connections, .. } = outcome.counters;
        assert_eq!((key_log_blocks, secrets, malformed_key_lines, connections), (3, 4, 0, 2));
    }
}

#[test]
fn a_key_log_is_larger_than_any_block() {
    let lines = super::super::MAX_BLOCK / line(0).len() + 10;
    let text: String = (0..lines).map(|n| line(u8::try_from(n % 251).unwrap())).collect();
    let mut out = begun(false);
    out.key_log(&text);
    out.talk(5);
    let outcome = Outcome::of(&out.bytes, &Options::default());
    let (found, _) = secrets(&outcome, &out.bytes);
    let expected: Vec<_> = (0..lines).map(|n| (0, u8::try_from(n % 251).unwrap())).collect();
    assert_eq!(found, expected);
    assert_eq!((outcome.counters.oversized_blocks, outcome.counters.connections), (0, 1));
}

#[test]
fn what_is_wrong_with_them_is_counted() {
    let mut out = begun(false);
    out.secrets(WIREGUARD, 4, "keys");
    out.block(10, b"TLSK");
    // It says more than the block has.
    out.secrets(TLS, 9, "12345678");
    out.talk(5);
    let block = out.bytes.len() as u64;
    out.key_log(&format!(
        "{}CLIENT_RANDOM {RANDOM} 00\nEXPORTER_SECRET {RANDOM} 00\n!\n{}",
        line(1),
        line(2)
    ));
    out.key_log("?");
    let outcome = Outcome::of(&out.bytes, &Options::default());
    assert!(outcome.error.is_none());
    assert_eq!(secrets(&outcome, &out.bytes), (vec![(5000, 1), (5000, 2)], vec![1, 2]));
    let counters = outcome.counters;
    assert_eq!(
        (counters.foreign_secrets_blocks, counters.malformed_blocks, counters.key_log_blocks),
        (1, 2, 2)
    );
    assert_eq!((counters.malformed_key_lines, counters.first_malformed_key_line), (3, Some((block, 2))));
    assert_eq!(counters.connections, 1);
}

#[test]
fn a_file_that_ends_within_them_gives_those_before() {
    let mut out = begun(false);
    out.talk(5);
    let block = out.bytes.len();
    out.key_log(&(line(1) + &line(2)));
    for len in block + 4..out.bytes.len() {
        let mut found = Vec::new();
        let mut counters = Counters::default();
        let end = read(&out.bytes[..len], &Options::default(), &mut counters, &mut |record| {
            if let Owned::Secret { bytes, .. } = Owned::of(record) {
                found.push(bytes[0]);
            }
        });
        let Err(PcapError::Truncated { offset }) = end else { panic!("{len}: {end:?}") };
        assert_eq!(offset, block as u64);
        let whole = len.saturating_sub(block + 16) / line(1).len();
        assert_eq!(found, [1, 2][..whole.min(2)], "{len}");
        assert_eq!(counters.connections, 1);
    }
}
