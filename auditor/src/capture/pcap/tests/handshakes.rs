//! How connections begin and end: handshakes, joining in the middle, port reuse, fast open, late packets.

use super::build::{FIN, Format, RST, SYN, Talk, Tcp, ethernet_file, file};
use super::{Direction, How, Options, Outcome, Owned};

const CLIENT: &str = "192.0.2.1:40000";
const SERVER: &str = "192.0.2.2:80";

fn outcome(packets: &[Tcp]) -> Outcome {
    Outcome::of(&ethernet_file(packets), &Options::default())
}

fn texts(ingress: &str, egress: &str) -> (String, String) {
    (ingress.to_owned(), egress.to_owned())
}

fn talk() -> Talk {
    let mut talk = Talk::open(CLIENT, SERVER, [u32::MAX, 900]);
    talk.say(0, "ping");
    talk.say(1, "pong");
    talk
}

#[test]
fn a_whole_connection() {
    let mut talk = talk();
    talk.close();
    let outcome = outcome(&talk.packets);
    let [(id, how, tuple)] = outcome.opened()[..] else { panic!("{outcome:?}") };
    assert_eq!((how, tuple.local, tuple.remote), (How::Passive, talk.server, talk.client));
    assert_eq!(
        outcome.records[0],
        Owned::Opened { id, time: 3000, tuple, how, first: [0, 901] },
        "first: the sequence numbers after the SYNs; time: the third packet's"
    );
    assert_eq!(outcome.texts(id), texts("ping", "pong"));
    for (direction, fin) in [(Direction::Ingress, 4), (Direction::Egress, 4)] {
        assert_eq!(outcome.stream(id, direction).fins, [fin]);
    }
    assert_eq!(outcome.records.last(), Some(&Owned::Closed { id, time: 8000 }), "at the last ACK");
}

#[test]
fn the_end_of_the_file_ends_connections() {
    let mut talk = talk();
    talk.fin(0);
    talk.say(1, "");
    let outcome = outcome(&talk.packets);
    assert_eq!(outcome.records.last(), Some(&Owned::Closed { id: outcome.only(), time: 7000 }));
}

#[test]
fn joined_in_the_middle() {
    let mut talk = talk();
    talk.say(0, "more");
    talk.say(1, "and more");
    talk.close();
    // From the client's "more" on; before it, what says nothing about where the streams are.
    let mut packets = talk.packets.split_off(5);
    packets.insert(0, Tcp::new(talk.server, talk.client, 1, Some(1), 0));
    packets.insert(1, Tcp::new(talk.client, talk.server, 1, Some(1), RST));
    let outcome = outcome(&packets);
    let [(id, How::Joined, tuple)] = outcome.opened()[..] else { panic!("{outcome:?}") };
    assert_eq!(tuple.local, talk.server);
    let Owned::Opened { first, .. } = outcome.records[0] else { panic!("{outcome:?}") };
    assert_eq!(first, [4, 905]);
    assert_eq!(outcome.texts(id), texts("more", "and more"));
    assert_eq!((outcome.counters.joined, outcome.counters.without_connection), (1, 2));
}

#[test]
fn what_lies_before_the_first_byte_of_a_joined_connection_is_counted() {
    let mut talk = talk();
    let pong = talk.packets[4].clone();
    talk.say(0, "more");
    let more = talk.packets[5].clone();
    // The middle of "more", then all of it, then what the client had acknowledged already.
    let mut tail = more.clone();
    tail.seq = tail.seq.wrapping_add(2);
    tail.payload = b"re".to_vec();
    let outcome = outcome(&[tail, more, pong]);
    let id = outcome.only();
    assert_eq!(outcome.texts(id), texts("re", ""));
    assert_eq!(outcome.counters.before_first_bytes, 2 + 4);
}

#[test]
fn half_a_handshake_is_no_connection() {
    for (take, from) in [(1, 0), (2, 0), (1, 1)] {
        let packets = &talk().packets[from..from + take];
        let outcome = outcome(packets);
        assert_eq!((outcome.records.len(), outcome.counters.unfinished_handshakes), (0, 1));
    }
}

#[test]
fn any_packet_of_the_handshake_may_be_missing() {
    for missing in [&[0][..], &[1], &[2], &[0, 2], &[1, 2]] {
        let mut talk = talk();
        talk.close();
        for at in missing.iter().rev() {
            talk.packets.remove(*at);
        }
        let outcome = outcome(&talk.packets);
        let [(id, How::Passive, _)] = outcome.opened()[..] else { panic!("{missing:?}: {outcome:?}") };
        let Owned::Opened { first, .. } = outcome.records[0] else { panic!("{outcome:?}") };
        assert_eq!(first, [0, 901]);
        assert_eq!(outcome.texts(id), texts("ping", "pong"), "{missing:?}");
    }
}

#[test]
fn only_one_direction_was_captured() {
    let mut talk = talk();
    talk.say(0, "more");
    talk.close();
    let client: Vec<_> = talk.packets.iter().filter(|tcp| tcp.from == talk.client).cloned().collect();
    let of_client = outcome(&client);
    assert_eq!(of_client.texts(of_client.only()), texts("pingmore", ""));
    let server: Vec<_> = talk.packets.iter().filter(|tcp| tcp.from == talk.server).cloned().collect();
    let of_server = outcome(&server);
    assert_eq!(of_server.texts(of_server.only()), texts("", "pong"));
    // The port is used again.
    let mut again = Talk::open(CLIENT, SERVER, [70_000, 80_000]);
    again.say(0, "again");
    let client = client.into_iter().chain(again.packets.into_iter().filter(|tcp| tcp.from == talk.client));
    let both = outcome(&client.collect::<Vec<_>>());
    let [(first, ..), (second, ..)] = both.opened()[..] else { panic!("{both:?}") };
    assert_eq!((both.texts(first), both.texts(second)), (texts("pingmore", ""), texts("again", "")));
}

#[test]
fn every_packet_twice() {
    let mut talk = talk();
    talk.close();
    let twice: Vec<_> = talk.packets.iter().flat_map(|tcp| [tcp.clone(), tcp.clone()]).collect();
    let outcome = outcome(&twice);
    assert_eq!(outcome.texts(outcome.only()), texts("ping", "pong"));
    assert_eq!(outcome.counters.stray_syns, 0);
}

#[test]
fn a_port_is_used_again() {
    for closed in [true, false] {
        let mut first = talk();
        if closed {
            first.close();
        }
        let mut second = Talk::open(CLIENT, SERVER, [5_000_000, 77]);
        second.say(0, "GET");
        second.say(1, "200");
        second.close();
        let packets: Vec<_> = first.packets.into_iter().chain(second.packets).collect();
        let outcome = outcome(&packets);
        let [(a, How::Passive, _), (b, How::Passive, _)] = outcome.opened()[..] else {
            panic!("{outcome:?}")
        };
        assert_ne!(a, b);
        assert_eq!((outcome.texts(a), outcome.texts(b)), (texts("ping", "pong"), texts("GET", "200")));
    }
}

#[test]
fn the_same_connection_twice_has_two_names() {
    // Simple packets have no time, so that only the sequence numbers differ.
    let (a, b) = (talk(), Talk::open(CLIENT, SERVER, [7, 8]));
    let packets: Vec<_> = a.packets.iter().chain(&b.packets).map(|tcp| (0, tcp.ethernet())).collect();
    let file = file(Format::Ng { big_endian: false, simple: true }, 1, 65_535, &packets);
    let outcome = Outcome::of(&file, &Options::default());
    let [(a, ..), (b, ..)] = outcome.opened()[..] else { panic!("{outcome:?}") };
    assert_ne!(a, b);
}

#[test]
fn a_stray_syn_hides_nothing() {
    // A client may send a SYN into its own connection: the server answers with a challenge ACK, and goes on (RFC 5961).
    let mut talk = talk();
    talk.push(Tcp::new(talk.client, talk.server, 123_456, None, SYN));
    // It cannot answer its own SYN either.
    talk.push(Tcp::new(talk.client, talk.server, 123_456, Some(123_457), SYN));
    talk.say(1, "");
    talk.push(Tcp::new(talk.client, talk.server, 123_457, Some(talk.next[1]), 0).with("decoy"));
    talk.say(0, "GET /admin");
    talk.say(1, "secret");
    let outcome = outcome(&talk.packets);
    let (ingress, egress) = {
        let id = outcome.only();
        let stream = outcome.records.iter().filter_map(|record| match record {
            Owned::Segment { id: of, direction: Direction::Ingress, offset, bytes, .. } if *of == id => {
                Some((*offset, bytes.clone()))
            }
            _ => None,
        });
        (stream.collect::<Vec<_>>(), outcome.stream(id, Direction::Egress).bytes)
    };
    assert!(ingress.contains(&(0, b"ping".to_vec())) && ingress.contains(&(4, b"GET /admin".to_vec())));
    assert_eq!((egress, outcome.counters.stray_syns), (b"pongsecret".to_vec(), 2));
}

#[test]
fn a_sequence_number_beyond_any_window_moves_nothing() {
    let mut talk = talk();
    for step in [1, 2, 3, 1, 2, 3, 1, 2u32] {
        let mut far = talk.draft(0, FIN).with("far");
        far.seq = far.seq.wrapping_add(step.wrapping_mul(0x4000_0001));
        talk.push(far);
    }
    talk.say(0, "GET");
    talk.say(1, "200");
    let outcome = outcome(&talk.packets);
    let id = outcome.only();
    assert_eq!(outcome.stream(id, Direction::Egress).bytes, b"pong200");
    let ahead = outcome.records.iter().any(|record| {
        matches!(record, Owned::Segment { direction: Direction::Ingress, offset: 4, bytes, .. } if bytes == b"GET")
    });
    assert!(ahead, "{outcome:?}");
    // The others are behind: before the first byte.
    assert!(outcome.counters.implausible_bytes > 0);
    assert_eq!(outcome.counters.implausible_bytes + outcome.counters.before_first_bytes, 8 * 3);
}

#[test]
fn segments_without_an_acknowledgment_are_nobodys() {
    let mut talk = talk();
    let mut without = talk.draft(0, 0).with("GET");
    without.ack = None;
    talk.push(without.clone());
    let inside = outcome(&talk.packets);
    assert_eq!(inside.texts(inside.only()), texts("ping", "pong"));
    assert_eq!(inside.counters.implausible_bytes, 3);
    let alone = outcome(&[without]);
    assert_eq!((alone.records.len(), alone.counters.implausible_bytes), (0, 3));
}

#[test]
fn what_comes_late_opens_nothing() {
    let mut talk = talk();
    talk.close();
    let late = talk.packets[3].clone();
    talk.push(late);
    let mut new = talk.packets[3].clone();
    new.payload = b"pingpong".to_vec();
    talk.push(new);
    let syn = talk.packets[0].clone();
    talk.push(syn);
    let syn_ack = talk.packets[1].clone();
    talk.push(syn_ack);
    let outcome = outcome(&talk.packets);
    assert_eq!(outcome.texts(outcome.only()), texts("ping", "pong"));
    assert_eq!((outcome.counters.after_end_bytes, outcome.counters.after_end_new_bytes), (12, 4));
}

#[test]
fn long_after_the_end_it_is_another_connection() {
    let mut talk = talk();
    talk.close();
    talk.say(0, "new");
    let mut packets: Vec<_> = talk.packets.iter().map(|tcp| (0, tcp.ethernet())).collect();
    for (seconds, expected) in [(60, 1), (61, 2)] {
        packets.last_mut().unwrap().0 = seconds * 1_000_000_000;
        let file = file(Format::Pcap { big_endian: false, nanos: true }, 1, 65_535, &packets);
        assert_eq!(Outcome::of(&file, &Options::default()).opened().len(), expected, "{seconds}");
    }
}

/// A handshake whose SYN carries `sent`, of which the server accepts `accepted` bytes; the client then sends the rest.
#[track_caller]
fn check_fast_open(sent: &str, accepted: usize) {
    let mut talk = Talk::new(CLIENT, SERVER, [u32::MAX, 900]);
    talk.push(Tcp::new(talk.client, talk.server, u32::MAX, None, SYN).with(sent));
    talk.next[0] = u32::try_from(accepted).unwrap();
    talk.syn_ack();
    talk.say(1, "early answer");
    talk.say(0, "");
    talk.say(0, &sent[accepted..]);
    let outcome = outcome(&talk.packets);
    let id = outcome.only();
    assert_eq!(outcome.texts(id), texts(sent, "early answer"));
    assert_eq!(outcome.counters.handshake_bytes, (sent.len() - accepted) as u64);
    let Owned::Opened { first, how: How::Passive, .. } = outcome.records[0] else { panic!("{outcome:?}") };
    assert_eq!(first, [0, 901]);
}

#[test]
fn fast_open() {
    check_fast_open("GET / HTTP/1.1\r\n\r\n", 18);
    check_fast_open("GET / HTTP/1.1\r\n\r\n", 0);
    check_fast_open("GET / HTTP/1.1\r\n\r\n", 5);
}

#[test]
fn payload_on_a_syn_that_was_refused_is_not_the_streams() {
    // What the server did not take may be sent again as something else.
    let mut talk = Talk::new(CLIENT, SERVER, [10, 900]);
    talk.push(Tcp::new(talk.client, talk.server, 10, None, SYN).with("decoy"));
    talk.next[0] = 11;
    talk.syn_ack();
    talk.say(0, "GET /");
    let outcome = outcome(&talk.packets);
    assert_eq!(outcome.texts(outcome.only()), texts("GET /", ""));
}

#[test]
fn the_servers_last_syn_ack_counts() {
    let mut talk = Talk::new(CLIENT, SERVER, [10, 900]);
    talk.syn();
    talk.syn_ack();
    talk.next[1] = 5000;
    talk.syn_ack();
    talk.say(0, "ping");
    talk.say(1, "pong");
    let outcome = outcome(&talk.packets);
    assert_eq!(outcome.texts(outcome.only()), texts("ping", "pong"));
    assert!(matches!(outcome.records[0], Owned::Opened { first: [11, 5001], .. }));
}

#[test]
fn both_open_at_once() {
    let mut talk = Talk::new(CLIENT, SERVER, [10, 900]);
    talk.syn();
    talk.push(Tcp::new(talk.server, talk.client, 900, None, SYN));
    talk.next[1] = 901;
    talk.say(0, "ping");
    talk.say(1, "pong");
    let outcome = outcome(&talk.packets);
    let [(id, How::Passive, tuple)] = outcome.opened()[..] else { panic!("{outcome:?}") };
    assert_eq!((outcome.texts(id), tuple.local), (texts("ping", "pong"), talk.server));
}

#[test]
fn the_longest_idle_connection_gives_way() {
    let options = Options::default();
    let mut table = super::super::table::Table::with_capacity(&options, 2);
    let mut counters = super::Counters::default();
    let mut records = Vec::new();
    let mut sink = |record: super::Record<'_>| records.push(Owned::of(record));
    let mut say = |port: u16, time: u64| {
        let bytes = b"x";
        let segment = super::super::packet::Segment {
            source: ([192, 0, 2, 1], port).into(),
            destination: ([192, 0, 2, 2], 80).into(),
            sequence: u32::try_from(time).unwrap(),
            ack: Some(1),
            syn: false,
            fin: false,
            rst: false,
            len: 1,
            bytes,
        };
        table.segment(&segment, time, &mut counters, &mut sink);
    };
    for (time, port) in (1..).zip([1001, 1002, 1001, 1003, 1001]) {
        say(port, time);
    }
    table.finish(&mut counters, &mut sink);
    let ports = records.iter().filter_map(|record| match record {
        Owned::Opened { tuple, .. } => Some((tuple.remote.port(), 'o')),
        _ => None,
    });
    assert_eq!(ports.collect::<Vec<_>>(), [(1001, 'o'), (1002, 'o'), (1003, 'o')]);
    let closed = records.iter().filter_map(|record| match record {
        Owned::Closed { time, .. } => Some(*time),
        _ => None,
    });
    assert_eq!(closed.collect::<Vec<_>>(), [4, 5, 5], "the second gave way to the third");
    assert_eq!(counters.evicted, 1);
}

#[test]
fn a_decoy_before_the_handshake_is_complete_hides_nothing() {
    // The server answers with a reset to what acknowledges something else than its SYN-ACK, and goes on waiting.
    for ack in [0u32, 900, 902, 5000] {
        let mut talk = Talk::new(CLIENT, SERVER, [10, 900]);
        talk.syn();
        talk.syn_ack();
        talk.push(Tcp::new(talk.client, talk.server, 11, Some(ack), 0).with("decoy"));
        talk.push(Tcp::new(talk.server, talk.client, ack, None, RST));
        talk.say(0, "GET /");
        talk.say(1, "200");
        let outcome = outcome(&talk.packets);
        assert_eq!(outcome.texts(outcome.only()), texts("GET /", "200"), "{ack}");
        assert_eq!(outcome.counters.implausible_bytes, 5);
    }
}

#[test]
fn an_acknowledgment_before_its_time_hides_nothing() {
    // Sent right behind the SYN, and captured before the answer: it pretends to know where the server's bytes begin.
    let mut talk = Talk::new(CLIENT, SERVER, [10, 900]);
    talk.syn();
    talk.push(Tcp::new(talk.client, talk.server, 11, Some(123_456_789), 0).with("decoy"));
    talk.syn_ack();
    talk.say(0, "GET /");
    talk.say(1, "200");
    let outcome = outcome(&talk.packets);
    let [_, (real, How::Passive, _)] = outcome.opened()[..] else { panic!("{outcome:?}") };
    assert_eq!(outcome.texts(real), texts("GET /", "200"));
}

#[test]
fn a_syn_ack_that_nobody_asked_for_turns_nothing_around() {
    for isn in [10, 77] {
        let mut talk = Talk::new(CLIENT, SERVER, [10, 900]);
        talk.push(Tcp::new(talk.client, talk.server, isn, Some(5), SYN));
        talk.syn();
        talk.syn_ack();
        talk.say(0, "GET /");
        talk.say(1, "200");
        let outcome = outcome(&talk.packets);
        let [(id, How::Passive, tuple)] = outcome.opened()[..] else { panic!("{isn}: {outcome:?}") };
        assert_eq!((outcome.texts(id), tuple.local), (texts("GET /", "200"), talk.server));
    }
}

#[test]
fn an_acknowledgment_of_nothing_is_not_taken() {
    let mut talk = talk();
    let mut decoy = talk.draft(0, 0).with("decoy");
    for ack in [900, 0x8000_0000, 900 + 0x4000_0010] {
        decoy.ack = Some(ack);
        talk.push(decoy.clone());
    }
    talk.say(0, "GET /");
    let outcome = outcome(&talk.packets);
    assert_eq!(outcome.texts(outcome.only()), texts("pingGET /", "pong"));
    assert_eq!(outcome.counters.implausible_bytes, 15);
}

#[test]
fn a_joined_connection_is_not_led_astray_either() {
    // The server is heard first, then the client with steps that each lie within a window of the one before.
    let mut talk = talk();
    talk.say(1, "more");
    let mut packets = talk.packets.split_off(5);
    for step in [0x3000_0000u32, 0x6000_0000, 0x9000_0000] {
        let mut far = talk.draft(0, 0).with("far");
        far.seq = far.seq.wrapping_add(step);
        packets.push(far);
    }
    let outcome = outcome(&packets);
    outcome.only();
    assert_eq!((outcome.counters.delivered_bytes, outcome.counters.implausible_bytes), (4 + 3, 6));
}
