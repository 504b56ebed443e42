//! Containers: both formats, byte orders, resolutions, sections, interfaces, what is skipped.

use super::build::{Format, Out, Talk, Tcp, ethernet, ethernet_file, file};
use super::{Options, Outcome, Owned};

const CLIENT: &str = "192.0.2.1:40000";
const SERVER: &str = "192.0.2.2:80";

fn talk() -> Talk {
    let mut talk = Talk::open(CLIENT, SERVER, [100, 900]);
    talk.say(0, "ping");
    talk.say(1, "pong");
    talk.close();
    talk
}

fn packets(talk: &Talk, start: u64) -> Vec<(u64, Vec<u8>)> {
    (0..).zip(&talk.packets).map(|(n, tcp)| (start + n * 1_000, tcp.ethernet())).collect()
}

#[test]
fn every_format_gives_the_same_records() {
    let packets = packets(&talk(), 1_700_000_000_123_456_000);
    let mut outcomes = Vec::new();
    for big_endian in [false, true] {
        for nanos in [false, true] {
            outcomes.push(file(Format::Pcap { big_endian, nanos }, 1, 65_535, &packets));
        }
        outcomes.push(file(Format::Ng { big_endian, simple: false }, 1, 65_535, &packets));
    }
    let outcomes = outcomes.iter().map(|file| Outcome::of(file, &Options::default()));
    for outcome in outcomes.collect::<Vec<_>>().windows(2) {
        assert_eq!(outcome[0].records, outcome[1].records);
        assert_eq!(outcome[0].counters, outcome[1].counters);
        let id = outcome[0].only();
        assert_eq!(outcome[0].texts(id), ("ping".to_owned(), "pong".to_owned()));
        let Owned::Opened { time, .. } = outcome[0].records[0] else { panic!("{:?}", outcome[0].records) };
        assert_eq!(time, 1_700_000_000_123_458_000, "the handshake's third packet");
    }
}

#[test]
fn nanoseconds_are_kept() {
    let packets = packets(&talk(), 1_700_000_000_123_456_789);
    for format in [
        Format::Pcap { big_endian: false, nanos: true },
        Format::Pcap { big_endian: true, nanos: true },
        Format::Ng { big_endian: false, simple: false },
    ] {
        let outcome = Outcome::of(&file(format, 1, 65_535, &packets), &Options::default());
        let Owned::Opened { time, .. } = outcome.records[0] else { panic!("{:?}", outcome.records) };
        assert_eq!(time, 1_700_000_000_123_458_789);
    }
}

#[test]
fn simple_packets_have_the_time_before_them() {
    let packets = packets(&talk(), 5);
    let file = file(Format::Ng { big_endian: true, simple: true }, 1, 65_535, &packets);
    let outcome = Outcome::of(&file, &Options::default());
    assert_eq!(outcome.texts(outcome.only()), ("ping".to_owned(), "pong".to_owned()));
    assert!(matches!(outcome.records[0], Owned::Opened { time: 0, .. }));
}

#[test]
fn a_simple_packet_is_as_long_as_the_snapshot_length_says() {
    let mut talk = Talk::open(CLIENT, SERVER, [1, 1]);
    talk.say(0, [b'x'; 100]);
    // 14 + 20 + 20 bytes of headers, and 3 of payload: the block is padded by 3 bytes that are no payload.
    let file = file(Format::Ng { big_endian: false, simple: true }, 1, 57, &packets(&talk, 0));
    let outcome = Outcome::of(&file, &Options::default());
    let Owned::Segment { len, bytes, .. } = &outcome.records[1] else { panic!("{:?}", outcome.records) };
    assert_eq!((*len, bytes.as_slice()), (100, [b'x'; 3].as_slice()));
    assert_eq!(outcome.counters.cut_bytes, 97);
}

/// The time of the first record of a pcapng file whose interface has `options` and whose packets are at `units`.
#[track_caller]
fn check_time(big_endian: bool, options: &[(u16, &[u8])], units: u64, expected: u64) {
    let mut out = Out { big_endian, ..Out::default() };
    out.section();
    out.interface(1, 0, options);
    for tcp in &Talk::open(CLIENT, SERVER, [1, 1]).packets {
        let packet = tcp.ethernet();
        out.enhanced(0, units, packet.len(), &packet);
    }
    let outcome = Outcome::of(&out.bytes, &Options::default());
    let Some(Owned::Opened { time, .. }) = outcome.records.first() else { panic!("{:?}", outcome) };
    assert_eq!(*time, expected, "{options:?}");
}

#[test]
fn resolutions_and_offsets() {
    const RESOLUTION: u16 = 9;
    const OFFSET: u16 = 14;
    check_time(false, &[], 1_500_000, 1_500_000_000);
    check_time(false, &[(RESOLUTION, &[3])], 1_500, 1_500_000_000);
    check_time(false, &[(RESOLUTION, &[0])], 15, 15_000_000_000);
    check_time(true, &[(RESOLUTION, &[12])], 1_500_000_000_999, 1_500_000_000);
    check_time(false, &[(RESOLUTION, &[0x81])], 3, 1_500_000_000);
    check_time(false, &[(RESOLUTION, &[0x80 | 32])], 3 << 31, 1_500_000_000);
    check_time(false, &[(RESOLUTION, &[127])], u64::MAX, 0);
    check_time(false, &[(RESOLUTION, &[0xff])], u64::MAX, 0);
    check_time(false, &[(OFFSET, &10i64.to_le_bytes())], 1, 10_000_001_000);
    check_time(true, &[(OFFSET, &10i64.to_be_bytes())], 1, 10_000_001_000);
    check_time(true, &[(OFFSET, &(-10i64).to_be_bytes())], 11_000_000, 1_000_000_000);
    check_time(false, &[(OFFSET, &i64::MIN.to_le_bytes())], u64::MAX, 0);
    check_time(false, &[(OFFSET, &i64::MAX.to_le_bytes()), (RESOLUTION, &[0])], u64::MAX, u64::MAX);
}

#[test]
fn sections_and_interfaces() {
    let talk = talk();
    let mut out = Out::default();
    out.section();
    out.interface(113, 0, &[]);
    out.interface(1, 0, &[]);
    // What stands in for a packet of the older, obsolete kind, statistics, a custom block.
    for kind in [2, 4, 5, 0x0bad, 0x0ead_beef] {
        out.block(kind, b"skipped");
    }
    let (first, rest) = talk.packets.split_at(4);
    for tcp in first {
        let packet = tcp.ethernet();
        out.enhanced(1, 7, packet.len(), &packet);
    }
    // Interfaces are those of their section, the byte order too.
    out.big_endian = true;
    out.section();
    out.interface(101, 0, &[]);
    for tcp in rest {
        out.enhanced(0, 8, tcp.ip().len(), &tcp.ip());
    }
    out.enhanced(1, 9, 60, &talk.packets[0].ethernet());
    let outcome = Outcome::of(&out.bytes, &Options::default());
    assert_eq!(outcome.texts(outcome.only()), ("ping".to_owned(), "pong".to_owned()));
    let counters = &outcome.counters;
    assert_eq!((counters.skipped_blocks, counters.unknown_link), (5, 1));
    assert!(outcome.error.is_none());
}

#[test]
fn a_block_too_large_is_stepped_over() {
    let mut out = Out::default();
    out.section();
    out.block(0x0bad, &vec![0; super::super::MAX_BLOCK]);
    out.interface(1, 0, &[]);
    for tcp in &talk().packets {
        let packet = tcp.ethernet();
        out.enhanced(0, 7, packet.len(), &packet);
    }
    let outcome = Outcome::of(&out.bytes, &Options::default());
    assert_eq!(outcome.texts(outcome.only()), ("ping".to_owned(), "pong".to_owned()));
    assert_eq!(outcome.counters.oversized_blocks, 1);
}

#[test]
fn a_modified_pcap_file_has_longer_record_headers() {
    let mut out = Out::default();
    out.pcap_header(0xa1b2_cd34, 1);
    for tcp in &talk().packets {
        let packet = tcp.ethernet();
        let mut record = Out::default();
        record.pcap_record(1, 2, packet.len(), &[]);
        // The captured length is written by hand: eight bytes stand between the header and the packet.
        record.bytes[8..12].copy_from_slice(&u32::try_from(packet.len()).unwrap().to_le_bytes());
        out.bytes.extend(record.bytes);
        out.bytes.extend([0; 8]);
        out.bytes.extend(packet);
    }
    let outcome = Outcome::of(&out.bytes, &Options::default());
    assert_eq!(outcome.texts(outcome.only()), ("ping".to_owned(), "pong".to_owned()));
}

#[test]
fn the_length_of_a_frame_check_sequence_is_no_link_type() {
    let mut out = Out::default();
    out.pcap_header(0xa1b2_c3d4, 0x2400_0001);
    for tcp in &talk().packets {
        let mut packet = ethernet(&[], &tcp.ip());
        packet.extend([1, 2, 3, 4]);
        out.pcap_record(1, 2, packet.len(), &packet);
    }
    let outcome = Outcome::of(&out.bytes, &Options::default());
    assert_eq!(outcome.texts(outcome.only()), ("ping".to_owned(), "pong".to_owned()));
}

/// Gives a file in the smallest pieces, with interruptions.
struct Trickle<'a> {
    rest: &'a [u8],
    interrupt: bool,
}

impl std::io::Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.interrupt = !self.interrupt;
        if self.interrupt {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let len = self.rest.len().min(1);
        buffer[..len].copy_from_slice(&self.rest[..len]);
        self.rest = &self.rest[len..];
        Ok(len)
    }
}

#[test]
fn how_the_file_is_read_makes_no_difference() {
    let file = ethernet_file(&talk().packets);
    let whole = Outcome::of(&file, &Options::default());
    let mut records = Vec::new();
    let mut counters = super::Counters::default();
    let reader = Trickle { rest: &file, interrupt: false };
    super::read(reader, &Options::default(), &mut counters, &mut |record| records.push(Owned::of(record)))
        .unwrap();
    assert_eq!((records, counters), (whole.records, whole.counters));
}

#[test]
fn an_ordinary_segment_is_written_as_expected() {
    // The writer is tested by one packet that was written by hand.
    let tcp =
        Tcp::new("1.2.3.4:5".parse().unwrap(), "6.7.8.9:10".parse().unwrap(), 11, Some(12), 0).with("x");
    let hand = [
        0x45, 0, 0, 41, 0, 0, 0, 0, 64, 6, 0, 0, 1, 2, 3, 4, 6, 7, 8, 9, //
        0, 5, 0, 10, 0, 0, 0, 11, 0, 0, 0, 12, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0, b'x',
    ];
    assert_eq!(tcp.ip(), hand);
}
