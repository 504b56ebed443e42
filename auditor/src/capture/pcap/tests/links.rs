//! Link, network and transport headers: what is found behind them, and what is counted instead.

use std::net::SocketAddr;

use super::build::{Format, Talk, Tcp, ethernet, ethertype, file, ipv4, ipv6};
use super::{Options, Outcome, Owned};

const V4: [&str; 2] = ["192.0.2.1:40000", "192.0.2.2:80"];
const V6: [&str; 2] = ["[2001:db8::1]:40000", "[2001:db8::2]:80"];

fn talk([client, server]: [&str; 2]) -> Talk {
    let mut talk = Talk::open(client, server, [u32::MAX, u32::MAX - 1]);
    talk.say(0, "ping");
    talk.say(1, "pong");
    talk.close();
    talk
}

fn outcome(link: u16, snaplen: usize, packets: impl Iterator<Item = Vec<u8>>) -> Outcome {
    let packets: Vec<_> = packets.map(|packet| (7, packet)).collect();
    let file = file(Format::Ng { big_endian: false, simple: false }, link, snaplen, &packets);
    Outcome::of(&file, &Options::default())
}

/// `wrap` puts the IP packets of a conversation into link headers; all is found behind them, of both versions.
#[track_caller]
fn check(link: u16, wrap: impl Fn(&[u8]) -> Vec<u8>) {
    for ends in [V4, V6] {
        let talk = talk(ends);
        let outcome = outcome(link, 65_535, talk.packets.iter().map(|tcp| wrap(&tcp.ip())));
        assert_eq!(outcome.texts(outcome.only()), ("ping".to_owned(), "pong".to_owned()), "{ends:?}");
        let (_, _, tuple) = outcome.opened()[0];
        assert_eq!(
            (tuple.remote, tuple.local),
            (ends[0].parse::<SocketAddr>().unwrap(), ends[1].parse().unwrap())
        );
        assert_eq!(outcome.counters.tcp, talk.packets.len() as u64);
    }
}

fn prefixed(head: impl Into<Vec<u8>>, ip: &[u8]) -> Vec<u8> {
    let mut out = head.into();
    out.extend(ip);
    out
}

#[test]
fn link_types() {
    check(1, |ip| ethernet(&[], ip));
    check(1, |ip| ethernet(&[0x8100], ip));
    check(1, |ip| ethernet(&[0x88a8, 0x8100], ip));
    check(1, |ip| ethernet(&[0x9100, 0x8100, 0x8100], ip));
    check(12, <[u8]>::to_vec);
    check(101, <[u8]>::to_vec);
    // Linux cooked: the protocol is its last two bytes, or the first two of the second version.
    let sll = |ip: &[u8]| prefixed([vec![0; 14], ethertype(ip).to_be_bytes().to_vec()].concat(), ip);
    check(113, sll);
    check(113, |ip| {
        let inner = prefixed([&[0, 5][..], &ethertype(ip).to_be_bytes()].concat(), ip);
        prefixed([vec![0; 14], vec![0x81, 0]].concat(), &inner)
    });
    check(276, |ip| prefixed([ethertype(ip).to_be_bytes().to_vec(), vec![0; 18]].concat(), ip));
    for family_v6 in [10u32, 24, 28, 30] {
        let family = move |ip: &[u8]| if ip[0] >> 4 == 6 { family_v6 } else { 2 };
        check(0, |ip| prefixed(family(ip).to_le_bytes(), ip));
        check(0, |ip| prefixed(family(ip).to_be_bytes(), ip));
        check(108, |ip| prefixed(family(ip).to_be_bytes(), ip));
    }
}

#[test]
fn raw_ip_of_one_version() {
    for (link, ends) in [(228, V4), (229, V6)] {
        let outcome = outcome(link, 65_535, talk(ends).packets.iter().map(Tcp::ip));
        assert_eq!(outcome.texts(outcome.only()), ("ping".to_owned(), "pong".to_owned()));
    }
}

#[test]
fn ip_options_extension_headers_and_tcp_options() {
    let mut with_options = talk(V4);
    for tcp in &mut with_options.packets {
        tcp.options = vec![1; 40];
    }
    let v4 = |tcp: &Tcp| ipv4(tcp.from, tcp.to, &[1; 40], 6, 0x4000, &tcp.segment());
    let outcome_v4 = outcome(101, 65_535, with_options.packets.iter().map(v4));
    assert_eq!(outcome_v4.texts(outcome_v4.only()), ("ping".to_owned(), "pong".to_owned()));

    // Hop-by-hop (8 bytes), routing (8), destination (16), authentication (16: RFC 4302 counts words less two),
    // a fragment header that fragments nothing (RFC 6946), then TCP.
    let extensions = [
        &[43, 0, 1, 4, 0, 0, 0, 0][..],
        &[60, 0, 4, 0, 0, 0, 0, 0],
        &[51, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[44, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9],
        &[6, 0, 0, 0, 0, 0, 0, 1],
    ]
    .concat();
    let v6 = |tcp: &Tcp| ipv6(tcp.from, tcp.to, 0, &prefixed(extensions.clone(), &tcp.segment()));
    let outcome_v6 = outcome(101, 65_535, talk(V6).packets.iter().map(v6));
    assert_eq!(outcome_v6.texts(outcome_v6.only()), ("ping".to_owned(), "pong".to_owned()));

    let auth = [6, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9];
    let v4 = |tcp: &Tcp| ipv4(tcp.from, tcp.to, &[], 51, 0, &prefixed(auth, &tcp.segment()));
    let outcome_auth = outcome(101, 65_535, talk(V4).packets.iter().map(v4));
    assert_eq!(outcome_auth.texts(outcome_auth.only()), ("ping".to_owned(), "pong".to_owned()));
}

#[test]
fn cut_off_packets_keep_their_lengths() {
    let mut talk = talk(V4);
    talk.packets.truncate(4);
    for tcp in &mut talk.packets {
        tcp.options = vec![1; 12];
    }
    // Headers take 14 + 20 + 32 bytes. From the fixed part of the TCP header on, everything but the bytes is known.
    for snaplen in 54..=70 {
        let outcome = outcome(1, snaplen, talk.packets.iter().map(Tcp::ethernet));
        let Owned::Segment { len, bytes, .. } = &outcome.records[1] else { panic!("{:?}", outcome.records) };
        assert_eq!((*len, bytes.as_slice()), (4, &b"ping"[..snaplen.saturating_sub(66)]));
        assert_eq!(outcome.counters.cut_bytes, 70u64.saturating_sub(66.max(snaplen as u64)));
    }
    for snaplen in 14..54 {
        let outcome = outcome(1, snaplen, talk.packets.iter().map(Tcp::ethernet));
        assert_eq!((outcome.counters.cut_headers, outcome.records.len()), (4, 0), "{snaplen}");
    }
}

#[test]
fn more_than_a_length_field_holds() {
    for ends in [V4, V6] {
        let mut talk = Talk::open(ends[0], ends[1], [0, 0]);
        talk.say(0, vec![b'x'; 100_000]);
        talk.say(0, "y");
        let outcome = outcome(101, 262_144, talk.packets.iter().map(Tcp::ip));
        let (ingress, _) = outcome.texts(outcome.only());
        assert_eq!((ingress.len(), ingress.ends_with("xy")), (100_001, true));
    }
}

#[test]
fn padding_is_no_payload() {
    let mut talk = Talk::open(V4[0], V4[1], [0, 0]);
    talk.say(0, "a");
    talk.say(0, "b");
    let outcome = outcome(1, 65_535, talk.packets.iter().map(Tcp::ethernet));
    assert_eq!(outcome.texts(outcome.only()).0, "ab");
}

#[test]
fn what_is_not_understood_is_counted() {
    let tcp = talk(V4).packets.remove(3);
    let v6 = talk(V6).packets.remove(3);
    let ip = tcp.ip();
    let changed = |at: usize, value: u8| {
        let mut ip = ip.clone();
        ip[at] = value;
        ethernet(&[], &ip)
    };
    let mut arp = ethernet(&[], &ip);
    arp[12..14].copy_from_slice(&[8, 6]);
    let packets = vec![
        arp,
        ethernet(&[0x8100; 5], &ip),
        // First fragment, last fragment; of IPv6 too.
        ethernet(&[], &ipv4(tcp.from, tcp.to, &[], 6, 0x2000, &tcp.segment())),
        ethernet(&[], &ipv4(tcp.from, tcp.to, &[], 6, 7, &tcp.segment())),
        ethernet(&[], &ipv6(v6.from, v6.to, 44, &prefixed([6, 0, 0, 1, 0, 0, 0, 1], &v6.segment()))),
        // UDP, ESP.
        changed(9, 17),
        changed(9, 50),
        // A version there is not, header lengths too small, a packet longer than it was on the wire, TCP headers shorter
        // than can be and longer than the packet.
        changed(0, 0x55),
        changed(0, 0x44),
        changed(2, 0xff),
        changed(3, 30),
        changed(32, 0x40),
        changed(32, 0xf0),
        // A hop-by-hop header in the wrong place.
        ethernet(
            &[],
            &ipv6(v6.from, v6.to, 60, &prefixed([0, 0, 1, 4, 0, 0, 0, 0], &[6, 0, 1, 4, 0, 0, 0, 0])),
        ),
    ];
    let count = packets.len() as u64;
    let outcome = outcome(1, 65_535, packets.into_iter());
    let counters = &outcome.counters;
    assert_eq!((counters.packets, counters.not_ip, counters.fragments, counters.not_tcp), (count, 2, 3, 2));
    assert_eq!((counters.unreadable, counters.cut_headers, counters.tcp), (7, 0, 0));
    assert_eq!(outcome.records, []);
}

#[test]
fn unknown_link_types_are_counted() {
    let private = outcome(147, 65_535, talk(V4).packets.iter().map(Tcp::ip));
    assert_eq!((private.counters.unknown_link, private.counters.packets), (8, 8));
    // Of a null header's families, those of IP are known.
    let family = outcome(0, 65_535, talk(V4).packets.iter().map(|tcp| prefixed([99, 0, 0, 0], &tcp.ip())));
    assert_eq!((family.counters.not_ip, family.records.len()), (8, 0));
}
