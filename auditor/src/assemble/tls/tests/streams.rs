//! The same conversation, whatever happens to its pieces: cut anywhere, left out in part, lost in part, secrets late.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::secrets::{ClientRandom, Label, Secret};
use super::super::trouble::Reason;
use super::rig::*;
use crate::assemble::{Absence, Piece};
use crate::capture::record::Direction;

struct Recorded {
    conversation: Conversation,
    secrets: Vec<(ClientRandom, Label, Secret)>,
    tls13: bool,
}

/// One conversation in each suite.
static RECORDED: LazyLock<Vec<Recorded>> = LazyLock::new(|| {
    let record =
        |(suite, version): (rustls::SupportedCipherSuite, &'static rustls::SupportedProtocolVersion)| {
            let ends = Ends::with(suite, version, true);
            let mut conversation = ends.connect();
            conversation.run().ask(b"GET / HTTP/1.1\r\n\r\n").answer(b"HTTP/1.1 200 OK\r\n\r\n");
            let tls13 = version.version == rustls::ProtocolVersion::TLSv1_3;
            if tls13 {
                conversation.update_keys();
            }
            conversation.answer(&pattern(40_000)).ask(&pattern(20_000)).answer(b"done").close();
            Recorded { conversation, secrets: ends.secrets.all(), tls13 }
        };
    suites().into_iter().map(record).collect()
});

fn pattern(len: u32) -> Vec<u8> {
    (0..len).map(|it| u8::try_from(it % 251).unwrap() + 1).collect()
}

/// The wire as single bytes' positions: what to cut, leave out or lose is told by ranges of a direction's stream.
fn records(bytes: &[u8]) -> Vec<(usize, usize)> {
    let (mut at, mut records) = (0, vec![]);
    while at < bytes.len() {
        let len = 5 + usize::from(u16::from_be_bytes([bytes[at + 3], bytes[at + 4]]));
        records.push((at, len));
        at += len;
    }
    records
}

/// Which bytes of a direction are there: all but these ranges.
type Absent = Vec<(usize, usize, Absence)>;

fn play(rig: &mut Rig, conversation: &Conversation, absent: [&Absent; 2], cuts: &[usize]) {
    let mut offsets = [0, 0];
    let mut cuts = cuts.iter().cycle();
    for (direction, bytes) in &conversation.wire {
        let side = usize::from(*direction == SERVER);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let offset = offsets[side];
            let within = absent[side].iter().find(|(at, len, _)| (*at..at + len).contains(&offset));
            let take = if let Some((at, len, reason)) = within {
                let take = (at + len - offset).min(rest.len());
                rig.feed(*direction, Piece::Hole { len: take as u64, reason: *reason });
                take
            } else {
                let next = absent[side].iter().map(|(at, _, _)| *at).filter(|at| *at > offset).min();
                let until = next.map_or(usize::MAX, |at| at - offset);
                let cut = cuts.next().copied().unwrap_or(usize::MAX).max(1);
                let take = rest.len().min(until).min(cut);
                rig.feed(*direction, Piece::Data(&rest[..take]));
                take
            };
            rest = &rest[take..];
            offsets[side] += take;
        }
    }
}

/// What came out is what was sent, but for holes, and never anything else.
#[track_caller]
fn check_holes(rig: &Rig, conversation: &Conversation) {
    for (out, sent) in rig.taken.out.iter().zip(&conversation.sent) {
        assert_eq!(out.bytes.len(), sent.len());
        let mut expected = sent.clone();
        for (at, len, _) in &out.holes {
            expected[*at..at + len].fill(0);
        }
        assert!(out.bytes == expected);
        assert!(out.lost.is_empty());
    }
}

/// The bytes of records that a kernel leaves out while a body is skipped: all but the header, `front` bytes after it, and
/// the last 32.
fn sparse(conversation: &Conversation, direction: Direction, front: usize) -> Absent {
    let bytes = conversation.bytes(direction);
    let mut absent = vec![];
    for (at, len) in records(&bytes) {
        // Handshakes are always copied.
        if bytes[at] == 23 && len > 5 + front + 32 + 4000 {
            absent.push((at + 5 + front, len - 5 - front - 32, Absence::Unwanted));
        }
    }
    absent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_cut(which in 0usize..6, cuts in prop::collection::vec(1usize..5000, 1..40)) {
        let recorded = &RECORDED[which];
        let mut rig = Rig::new(&recorded.secrets);
        play(&mut rig, &recorded.conversation, [&vec![], &vec![]], &cuts);
        rig.finish().check_exact(&recorded.conversation);
    }

    #[test]
    fn sparse_records(which in 0usize..6, front in 8usize..600, cuts in prop::collection::vec(1usize..5000, 1..40)) {
        let recorded = &RECORDED[which];
        let conversation = &recorded.conversation;
        let absent = [CLIENT, SERVER].map(|direction| sparse(conversation, direction, front));
        let mut rig = Rig::new(&recorded.secrets);
        play(&mut rig, conversation, absent.each_ref(), &cuts);
        rig.finish();
        prop_assert_eq!(rig.tls.take_trouble(), vec![]);
        check_holes(&rig, conversation);
        let left_out: usize = absent[1].iter().map(|(_, len, _)| len).sum();
        let holes = [0, 1].map(|side: usize| rig.taken.out[side].holes.iter().map(|(_, len, _)| len).sum::<usize>());
        // Of what anyone but the controller sent, nothing is read that was not verified: the only long record of 20,000 bytes.
        prop_assert_eq!(holes, [1 << 14, left_out]);
        prop_assert!(rig.taken.out.iter().flat_map(|out| &out.holes).all(|hole| hole.2 == Absence::Unwanted));
    }

    /// Parts of application data are lost: what comes out is still right, where anything does.
    #[test]
    fn lost_ranges(
        which in 0usize..6,
        server in any::<bool>(),
        place in 0.0f64..1.0,
        len in 1usize..20_000,
        cuts in prop::collection::vec(1usize..5000, 1..40),
    ) {
        let recorded = &RECORDED[which];
        let conversation = &recorded.conversation;
        let bytes = conversation.bytes(if server { SERVER } else { CLIENT });
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place")]
        let at = (place * bytes.len() as f64) as usize;
        let lost = vec![(at, len.min(bytes.len() - at), Absence::Lost)];
        let absent = if server { [&vec![], &lost] } else { [&lost, &vec![]] };
        let mut rig = Rig::new(&recorded.secrets);
        play(&mut rig, conversation, absent, &cuts);
        rig.tls.expire(&mut rig.cx, u64::MAX, &mut rig.taken);
        rig.finish();
        for (out, sent) in rig.taken.out.iter().zip(&conversation.sent) {
            // Stretches between places where plaintext was lost are parts of what was sent, in order.
            let mut from = 0;
            let ends = out.lost.iter().copied().chain([out.bytes.len()]);
            let (mut start, mut first) = (0, true);
            for end in ends {
                let stretch = &out.bytes[start..end];
                let holes: Vec<_> = out.holes.iter().filter(|hole| (start..end).contains(&hole.0)).collect();
                let fits = |at: usize| {
                    sent.get(at..at + stretch.len()).is_some_and(|sent| {
                        stretch.iter().zip(sent).enumerate().all(|(index, (got, sent))| {
                            got == sent
                                || holes.iter().any(|hole| (hole.0..hole.0 + hole.1).contains(&(start + index)))
                        })
                    })
                };
                let found = if first { fits(0).then_some(0) } else { (from..=sent.len()).find(|at| fits(*at)) };
                prop_assert!(found.is_some(), "stretch {start}..{end} of {} is not what was sent", out.bytes.len());
                from = found.unwrap() + stretch.len();
                (start, first) = (end, false);
            }
        }
        let troubles = rig.tls.take_trouble();
        // Less than this may be a tag, without which its record is read unverified.
        prop_assert!(len < 40 || at + 40 > bytes.len() || !troubles.is_empty() || rig.taken.out.iter().any(|out| !out.holes.is_empty()));
    }

    /// Secrets come at any time, one after the other, also after the end.
    #[test]
    fn late_secrets(which in 0usize..6, times in prop::collection::vec(0usize..60, 6), cuts in prop::collection::vec(200usize..5000, 1..40)) {
        let recorded = &RECORDED[which];
        let conversation = &recorded.conversation;
        let mut rig = Rig::new(&[]);
        let mut step = 0;
        for (direction, bytes) in &conversation.wire {
            for bytes in bytes.chunks(cuts[step % cuts.len()]) {
                for (secret, _) in recorded.secrets.iter().zip(&times).filter(|(_, time)| **time == step) {
                    rig.insert(std::slice::from_ref(secret));
                }
                rig.feed(*direction, Piece::Data(bytes));
                step += 1;
            }
        }
        rig.insert(&recorded.secrets);
        prop_assert!(!rig.tls.is_waiting(CLIENT) && !rig.tls.is_waiting(SERVER));
        rig.finish();
        // Application secrets before those of the handshake: the handshake's facts are not waited for.
        let troubles = rig.tls.take_trouble();
        prop_assert!(troubles.iter().all(|it| it.reason == Reason::NoHandshakeKey && recorded.tls13), "{troubles:?}");
        for (out, sent) in rig.taken.out.iter().zip(&conversation.sent) {
            prop_assert!(out.bytes == *sent && out.lost.is_empty() && out.holes.is_empty());
        }
    }

    /// What nobody needs is not decrypted, and what somebody needs is.
    #[test]
    fn what_is_not_needed(which in 0usize..6, needed in 0u64..40_000, cuts in prop::collection::vec(1usize..5000, 1..40)) {
        let recorded = &RECORDED[which];
        let conversation = &recorded.conversation;
        let mut rig = Rig::new(&recorded.secrets);
        rig.taken.needed = [needed; 2];
        play(&mut rig, conversation, [&vec![], &vec![]], &cuts);
        rig.finish();
        prop_assert_eq!(rig.tls.take_trouble(), vec![]);
        check_holes(&rig, conversation);
        let holes = &rig.taken.out[1].holes;
        prop_assert!(holes.iter().all(|hole| (hole.0 + hole.1) as u64 <= needed && hole.2 == Absence::Unwanted));
        prop_assert_eq!(holes.is_empty(), needed < 19);
        prop_assert!(rig.taken.out[0].holes.is_empty(), "what others send is verified whether needed or not");
    }

    /// Where the byte stands that is needed next is never told behind its true place.
    #[test]
    fn needed_is_never_too_far(which in 0usize..6, wanted in 0usize..40_000, cuts in prop::collection::vec(1usize..5000, 1..40)) {
        let recorded = &RECORDED[which];
        let conversation = &recorded.conversation;
        // The first piece with which the wanted byte can come out ends behind its place.
        let mut rig = Rig::new(&recorded.secrets);
        let mut asked: Vec<u64> = vec![];
        let mut cuts = cuts.iter().cycle();
        for (direction, bytes) in &conversation.wire {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                rest = behind;
                rig.feed(*direction, Piece::Data(piece));
                if rig.taken.out[1].bytes.len() <= wanted {
                    asked.extend(rig.tls.needed(SERVER, wanted as u64));
                }
            }
        }
        // The true place: records of the server in order, those with application data told by their plaintext.
        let place = true_place(recorded, wanted);
        prop_assert!(asked.iter().all(|asked| *asked <= place as u64), "{asked:?} {place}");
        let near = asked.iter().max().is_some_and(|most| *most + 30 * 100 >= place as u64);
        prop_assert!(near || asked.is_empty());
    }
}

/// Records are lost with their headers: what comes after them is read again, and the sink knows that something is missing.
#[test]
fn records_are_found_again() {
    for recorded in RECORDED.iter() {
        let conversation = &recorded.conversation;
        let bytes = conversation.bytes(SERVER);
        let records = records(&bytes);
        let big: Vec<_> = records.iter().filter(|(at, len)| bytes[*at] == 23 && *len > 7000).collect();
        for (first, count) in [(0, 1), (0, 2), (1, 1)] {
            let from = big[first].0 - 3 * usize::from(first == 1);
            let to = big[first + count - 1].0 + big[first + count - 1].1 + 2;
            let lost = vec![(from, to - from, Absence::Lost)];
            let mut rig = Rig::new(&recorded.secrets);
            play(&mut rig, conversation, [&vec![], &lost], &[1000, 3000, 10]);
            rig.finish();
            let out = &rig.taken.out[1];
            assert_eq!((out.lost.len(), out.fins), (1, 1), "{first} {count}");
            assert!(out.bytes.ends_with(b"done"));
            assert!(out.bytes.len() < conversation.sent[1].len());
            assert_eq!(rig.taken.out[0].bytes, conversation.sent[0]);
            let troubles = rig.tls.take_trouble();
            assert!(troubles.iter().all(|it| it.reason == Reason::Missing && it.direction == SERVER));
            let told: u64 = troubles.iter().map(|it| it.bytes).sum();
            assert!(told >= (to - from) as u64 && told < (to - from) as u64 + 20_000);
        }
    }
}

/// The client's application secret is there when its handshake begins, that of the handshake comes in the middle.
#[test]
fn the_secret_of_the_handshake_comes_in_its_middle() {
    for recorded in RECORDED.iter().filter(|recorded| recorded.tls13) {
        let mut rig = Rig::new(&[]);
        let (late, early): (Vec<_>, Vec<_>) =
            recorded.secrets.iter().cloned().partition(|secret| secret.1 == Label::ClientHandshake);
        rig.insert(&early);
        let mut protected = 0;
        for (direction, bytes) in &recorded.conversation.wire {
            for (at, len) in records(bytes) {
                if *direction == CLIENT && bytes[at] == 23 {
                    protected += 1;
                    if protected == 2 {
                        rig.insert(&late);
                    }
                }
                rig.feed(*direction, Piece::Data(&bytes[at..at + len]));
            }
        }
        rig.finish();
        let troubles = rig.tls.take_trouble();
        assert_eq!(troubles.iter().map(|it| it.reason).collect::<Vec<_>>(), [Reason::NoHandshakeKey]);
        check_holes(&rig, &recorded.conversation);
        assert!(rig.tls.facts().client_certificate.is_none() && rig.tls.facts().completed);
    }
}

/// A key update is in a record that was lost: its keys are found, and what follows is read as before, also in part.
#[test]
fn a_lost_key_update() {
    for (suite, version) in suites().into_iter().take(3) {
        let ends = Ends::new(suite, version);
        let mut conversation = ends.connect();
        conversation.run().ask(b"one").answer(b"two");
        let mut rig = Rig::new(&ends.secrets.all());
        rig.feed_all(&conversation);
        conversation.wire.clear();
        conversation.server.refresh_traffic_keys().unwrap();
        conversation.run();
        let update = conversation.bytes(SERVER);
        assert_eq!(records(&update).len(), 1);
        rig.feed(SERVER, Piece::Data(&update[..5]));
        rig.feed(SERVER, Piece::Hole { len: update.len() as u64 - 5, reason: Absence::Lost });
        assert_eq!(rig.taken.out[1].lost, [3]);
        conversation.wire.clear();
        conversation.answer(b"three");
        rig.feed_all(&conversation);
        conversation.wire.clear();
        conversation.answer(&pattern(1000));
        let bytes = conversation.bytes(SERVER);
        rig.feed(SERVER, Piece::Data(&bytes[..105]));
        rig.feed(SERVER, Piece::Hole { len: 800, reason: Absence::Unwanted });
        rig.feed(SERVER, Piece::Data(&bytes[905..]));
        let expected = [&b"twothree"[..], &pattern(100), &[0; 800], &pattern(1000)[900..]].concat();
        assert!(rig.taken.out[1].bytes == expected);
        assert_eq!(rig.taken.out[1].lost, [3]);
        rig.finish();
        assert_eq!(rig.tls.take_trouble().iter().map(|it| it.reason).collect::<Vec<_>>(), [Reason::Missing]);
    }
}

/// The key comes after its first records have been given up: the later ones are read.
#[test]
fn late_keys_are_of_use() {
    for (suite, version) in suites() {
        let ends = Ends::with(suite, version, true);
        let mut conversation = ends.connect();
        conversation.run().ask(b"one").answer(b"two").ask(b"three");
        let mut rig = Rig::new(&[]);
        rig.feed_all(&conversation);
        assert!(rig.tls.is_waiting(CLIENT) && rig.tls.is_waiting(SERVER) && rig.tls.wants_secrets());
        rig.tls.expire(&mut rig.cx, u64::MAX, &mut rig.taken);
        assert!(!rig.tls.is_waiting(CLIENT) && !rig.tls.is_waiting(SERVER) && rig.tls.wants_secrets());
        rig.balance();
        rig.insert(&ends.secrets.all());
        assert!(rig.tls.wants_secrets(), "those that have come may be another's");
        conversation.wire.clear();
        conversation.answer(b"four").ask(b"five").close();
        rig.feed_all(&conversation);
        assert!(!rig.tls.wants_secrets());
        rig.finish();
        let out = rig.taken.out.each_ref();
        assert_eq!(out.map(|out| &out.bytes[..]), [&b"five"[..], b"four"]);
        assert_eq!(out.map(|out| (&out.lost[..], out.fins)), [(&[0][..], 1); 2]);
        let troubles = rig.tls.take_trouble();
        assert!(troubles.iter().all(|it| it.reason == Reason::NoKey), "{troubles:?}");
        let told: u64 = troubles.iter().map(|it| it.bytes).sum();
        assert_eq!(told, [CLIENT, SERVER].map(|way| rig.tls.counts(way).unread).iter().sum::<u64>());
    }
}

/// Where on the server's wire a byte of its plaintext stands: found by leaving out all that is before.
fn true_place(recorded: &Recorded, wanted: usize) -> usize {
    let bytes = recorded.conversation.bytes(SERVER);
    let mut rig = Rig::new(&recorded.secrets);
    let mut stream = 0;
    let records = records(&bytes);
    for (direction, bytes) in &recorded.conversation.wire {
        if *direction == CLIENT {
            rig.feed(*direction, Piece::Data(bytes));
            continue;
        }
        for byte in bytes {
            rig.feed(*direction, Piece::Data(&[*byte]));
            stream += 1;
            let out = rig.taken.out[1].bytes.len();
            if out > wanted {
                let (at, len) = *records.iter().find(|(at, len)| at + len == stream).unwrap();
                let nonce = if recorded.tls13 || len == 5 { 0 } else { explicit(recorded) };
                let overhead = 5 + nonce + 16 + usize::from(recorded.tls13);
                return at + 5 + nonce + (wanted - (out - (len - overhead)));
            }
        }
    }
    usize::MAX
}

fn explicit(recorded: &Recorded) -> usize {
    if recorded.conversation.client.negotiated_cipher_suite().unwrap().suite()
        == rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
    {
        0
    } else {
        8
    }
}
