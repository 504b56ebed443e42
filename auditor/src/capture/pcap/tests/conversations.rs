//! Random conversations, sent as TCP may send them: whatever the order and the repetitions, offsets put them together.

use proptest::prelude::*;
use proptest::sample::Index;

use super::build::{Format, Talk, Tcp, file};
use super::{Direction, Options, Outcome};

/// One connection: initial sequence numbers, what is said by whom, whether it closes.
type Conversation = ([u32; 2], Vec<(usize, Vec<u8>)>, bool);

fn conversation() -> impl Strategy<Value = Conversation> {
    let isn = prop_oneof![any::<u32>(), (u32::MAX - 3000)..=u32::MAX];
    let said = prop::collection::vec((0..2usize, prop::collection::vec(any::<u8>(), 1..1200)), 1..12);
    ([isn.clone(), isn], said, any::<bool>())
}

/// Does to the packets after the handshake what a network does.
fn disturb(packets: &mut Vec<Tcp>, swaps: &[(Index, Index)], copies: &[(Index, Index)], merges: &[Index]) {
    const HANDSHAKE: usize = 3;
    // A retransmission may carry more than what it repeats.
    for at in merges {
        let at = HANDSHAKE + at.index(packets.len() - HANDSHAKE);
        let mut merged = packets[at].clone();
        let follows = packets.iter().position(|tcp| {
            tcp.from == merged.from
                && !merged.payload.is_empty()
                && !tcp.payload.is_empty()
                && tcp.seq == merged.seq.wrapping_add(u32::try_from(merged.payload.len()).unwrap())
        });
        if let Some(follows) = follows {
            merged.payload.extend(packets[follows].payload.clone());
            packets.insert(follows + 1, merged);
        }
    }
    for (from, to) in copies {
        let packet = packets[from.index(packets.len())].clone();
        let to = HANDSHAKE + to.index(packets.len() - HANDSHAKE + 1);
        packets.insert(to, packet);
    }
    for (a, b) in swaps {
        let len = packets.len() - HANDSHAKE;
        packets.swap(HANDSHAKE + a.index(len), HANDSHAKE + b.index(len));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn offsets_rebuild_the_streams(
        talks in prop::collection::vec(conversation(), 1..4),
        swaps in prop::collection::vec(any::<(Index, Index)>(), 0..12),
        copies in prop::collection::vec(any::<(Index, Index)>(), 0..6),
        merges in prop::collection::vec(any::<Index>(), 0..4),
        v6 in any::<bool>(),
        interleave in prop::collection::vec(any::<Index>(), 200),
    ) {
        let mut all = Vec::new();
        let mut expected = Vec::new();
        for (n, (isn, said, closes)) in talks.into_iter().enumerate() {
            let (client, server) = if v6 {
                (format!("[2001:db8::{n}]:{}", 40_000 + n), "[2001:db8::ff]:80")
            } else {
                (format!("192.0.2.1:{}", 40_000 + n), "192.0.2.2:80")
            };
            let mut talk = Talk::open(&client, server, isn);
            let mut streams = [Vec::new(), Vec::new()];
            for (who, payload) in said {
                streams[who].extend(&payload);
                talk.say(who, payload);
            }
            disturb(&mut talk.packets, &swaps, &copies, &merges);
            // The end comes last: what arrives after it is no part of the connection.
            if closes {
                talk.close();
            }
            expected.push((talk.client, streams, closes));
            all.push(talk.packets.into_iter());
        }
        let mut packets = Vec::new();
        for pick in interleave.iter().cycle() {
            all.retain(|rest| rest.len() > 0);
            if all.is_empty() {
                break;
            }
            let which = pick.index(all.len());
            packets.extend(all[which].next());
        }
        let packets: Vec<_> = (1..).zip(&packets).map(|(time, tcp)| (time, tcp.ethernet())).collect();
        let file = file(Format::Ng { big_endian: v6, simple: false }, 1, 65_535, &packets);
        let outcome = Outcome::of(&file, &Options::default());
        let opened = outcome.opened();
        prop_assert_eq!(opened.len(), expected.len());
        for (client, [ingress, egress], closes) in expected {
            let (id, ..) = opened.iter().copied().find(|(_, _, tuple)| tuple.remote == client).unwrap();
            for (direction, said) in [(Direction::Ingress, ingress), (Direction::Egress, egress)] {
                let stream = outcome.stream(id, direction);
                let fins = if closes { vec![said.len() as u64] } else { vec![] };
                prop_assert_eq!((stream.bytes, stream.fins), (said, fins));
            }
        }
    }
}

/// A stream longer than 4 GiB: sequence numbers wrap, offsets do not. What lies between is not in the capture; the peer's
/// acknowledgments go along.
#[test]
fn more_than_sequence_numbers_can_count() {
    let mut talk = Talk::open("192.0.2.1:40000", "192.0.2.2:80", [u32::MAX - 5, 7]);
    const STEP: u32 = 0x3000_0000;
    let mut expected = Vec::new();
    for step in 0..40u64 {
        talk.say(0, [u8::try_from(step).unwrap(); 10]);
        expected.push((step * (u64::from(STEP) + 10), step));
        talk.next[0] = talk.next[0].wrapping_add(STEP);
        talk.say(1, "");
    }
    let outcome = Outcome::of(&super::build::ethernet_file(&talk.packets), &Options::default());
    let placed = outcome.records.iter().filter_map(|record| match record {
        super::Owned::Segment { direction: Direction::Ingress, offset, bytes, .. } => {
            Some((*offset, u64::from(bytes[0])))
        }
        _ => None,
    });
    assert_eq!(placed.collect::<Vec<_>>(), expected);
    assert!(expected.last().unwrap().0 > 7 << 32);
}
