//! Files that are cut off, damaged, or garbage: what comes before the damage is delivered, nothing is invented.

use std::io::{self, Read};

use proptest::prelude::*;

use super::build::{Format, Out, Talk, ethernet_file, file};
use super::{Counters, Options, Outcome, Owned, PcapError, read};

fn talk() -> Talk {
    let mut talk = Talk::open("192.0.2.1:40000", "192.0.2.2:80", [100, 900]);
    talk.say(0, "ping");
    talk.say(1, "pong");
    talk.close();
    talk
}

#[test]
fn not_a_capture_file() {
    for file in [&b""[..], b"\n", b"GET / HTTP/1.1\r\n\r\n", &[0; 100], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]] {
        let outcome = Outcome::of(file, &Options::default());
        assert!(matches!(outcome.error, Some(PcapError::NotACapture)), "{file:?}: {outcome:?}");
    }
}

#[test]
fn cut_off_anywhere() {
    let talk = talk();
    let packets: Vec<_> = talk.packets.iter().map(|tcp| (7, tcp.ethernet())).collect();
    for format in [
        Format::Pcap { big_endian: false, nanos: false },
        Format::Ng { big_endian: true, simple: false },
        Format::Ng { big_endian: false, simple: true },
    ] {
        let whole = file(format, 1, 65_535, &packets);
        // Where the file may end: after each count of packets.
        let ends: Vec<_> =
            (0..=packets.len()).map(|n| file(format, 1, 65_535, &packets[..n]).len()).collect();
        for len in 4..whole.len() {
            let outcome = Outcome::of(&whole[..len], &Options::default());
            let held = ends.iter().rposition(|end| *end <= len);
            assert_eq!(outcome.counters.packets, held.unwrap_or(0) as u64, "{format:?} cut at {len}");
            match (outcome.error, held) {
                (None, _) => assert!(ends.contains(&len) || len == 28, "{format:?} cut at {len}"),
                (Some(PcapError::Truncated { offset }), Some(held)) => {
                    assert_eq!(offset, ends[held] as u64, "{format:?} cut at {len}");
                }
                (Some(PcapError::Truncated { .. }), None) => {}
                (Some(error), _) => panic!("{format:?} cut at {len}: {error}"),
            }
        }
    }
}

#[test]
fn before_the_cut_everything_is_delivered() {
    let whole = ethernet_file(&talk().packets);
    let outcome = Outcome::of(&whole[..whole.len() - 1], &Options::default());
    assert_eq!(outcome.texts(outcome.only()), ("ping".to_owned(), "pong".to_owned()));
    assert!(matches!(outcome.records.last(), Some(Owned::Closed { .. })));
}

#[test]
fn a_length_that_cannot_be_stops_there() {
    let mut pcap = ethernet_file(&talk().packets);
    let at = pcap.len();
    pcap.extend([0; 8]);
    pcap.extend(u32::MAX.to_le_bytes());
    pcap.extend([0; 100]);
    let mut ng = Out::default();
    ng.section();
    let ng_at = ng.bytes.len();
    ng.bytes.extend([6, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0]);
    for (file, at) in [(pcap, at), (ng.bytes, ng_at)] {
        let outcome = Outcome::of(&file, &Options::default());
        assert!(
            matches!(outcome.error, Some(PcapError::Damaged { offset }) if offset == at as u64),
            "{outcome:?}"
        );
    }
}

#[test]
fn blocks_that_contradict_themselves_are_stepped_over() {
    let mut out = Out::default();
    out.section();
    // An interface that cannot be read keeps its number.
    out.block(1, &[1]);
    out.interface(1, 0, &[]);
    // A packet that claims more than its block holds.
    let mut body = [0; 24];
    body[12..16].copy_from_slice(&1000u32.to_le_bytes());
    out.block(6, &body);
    out.block(6, &[]);
    for tcp in &talk().packets {
        let packet = tcp.ethernet();
        out.enhanced(1, 7, packet.len(), &packet);
    }
    out.enhanced(0, 7, 1, &[0]);
    let outcome = Outcome::of(&out.bytes, &Options::default());
    assert_eq!(outcome.counters.malformed_blocks, 3);
    assert_eq!(outcome.counters.unknown_link, 1);
    assert_eq!(outcome.texts(outcome.only()), ("ping".to_owned(), "pong".to_owned()));
}

#[test]
fn a_failing_disk_is_not_the_end_of_the_file() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::TimedOut.into())
        }
    }
    let file = ethernet_file(&talk().packets);
    let mut records = Vec::new();
    let end = read(file.chain(Fails), &Options::default(), &mut Counters::default(), &mut |record| {
        records.push(Owned::of(record));
    });
    assert!(matches!(end, Err(PcapError::Io { source, .. }) if source.kind() == io::ErrorKind::TimedOut));
    assert!(matches!(records.last(), Some(Owned::Closed { .. })));
}

/// Garbage behind a header that lets it be looked at.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let links = prop_oneof![Just(0u16), Just(1), Just(101), Just(113), Just(276)];
    let packets = prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 0..120)), 0..20);
    let framed = (any::<bool>(), links, packets).prop_map(|(big_endian, link, packets)| {
        file(Format::Ng { big_endian, simple: false }, link, 65_535, &packets)
    });
    let raw = (any::<bool>(), prop::collection::vec(any::<u8>(), 0..600)).prop_map(|(ng, bytes)| {
        let mut out = Out::default();
        if ng {
            out.section()
        } else {
            out.pcap_header(0xa1b2_c3d4, 1)
        }
        out.bytes.extend(bytes);
        out.bytes
    });
    prop_oneof![framed, raw, prop::collection::vec(any::<u8>(), 0..600)]
}

/// A real file with bytes changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12);
    (any::<bool>(), any::<bool>(), changes).prop_map(|(ng, big_endian, changes)| {
        let format = if ng {
            Format::Ng { big_endian, simple: false }
        } else {
            Format::Pcap { big_endian, nanos: true }
        };
        let packets: Vec<_> = talk().packets.iter().map(|tcp| (7, tcp.ethernet())).collect();
        let mut file = file(format, 1, 65_535, &packets);
        for (at, value) in changes {
            *at.get_mut(&mut file) = value;
        }
        file
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// No panic, and what holds for any file holds ([`Outcome::check`]), for any bytes and either perspective.
    #[test]
    fn garbage_is_accounted_for(file in prop_oneof![garbage(), damaged()]) {
        let all = Outcome::of(&file, &Options::default());
        let again = Outcome::of(&file, &Options::default());
        prop_assert_eq!(&all.records, &again.records);
        Outcome::of(&file, &Options { listen: vec![80], ..Options::default() });
    }
}
