//! What is bounded, what is tried, and what cannot be read: each is told of.

use super::super::Tls;
use super::super::context::Limits;
use super::super::facts::Facts;
use super::super::secrets::{ClientRandom, Label, Secret};
use super::super::trouble::{Reason, Trouble};
use super::rig::*;
use crate::assemble::{Absence, Piece};

fn talk(ends: &Ends) -> Conversation {
    let mut conversation = ends.connect();
    conversation
        .run()
        .ask(b"GET / HTTP/1.1\r\n\r\n")
        .answer(b"HTTP/1.1 200 OK\r\n\r\n")
        .ask(b"again")
        .close();
    conversation
}

fn reasons(rig: &mut Rig) -> Vec<Reason> {
    let mut reasons: Vec<_> = rig.tls.take_trouble().iter().map(|it| it.reason).collect();
    reasons.dedup();
    reasons
}

/// Bytes that are held for one idle connection, allocations rounded up.
#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Tls>() <= 1000, "{}", size_of::<Tls>());
    assert!(size_of::<Facts>() <= 300, "{}", size_of::<Facts>());
    for (suite, version) in suites() {
        let ends = Ends::new(suite, version);
        let mut conversation = ends.connect();
        conversation.run().ask(b"one").answer(b"two");
        let mut rig = Rig::new(&ends.secrets.all());
        rig.feed_all(&conversation);
        assert_eq!(rig.tls.held_bytes(), 0);
        assert!(rig.tls.facts().completed);
    }
}

/// A tap that cannot tell the client random: among the secrets of others the right ones are found by trial.
#[test]
fn secrets_without_a_name_are_found_by_trial() {
    for (suite, version) in suites() {
        let ends = Ends::with(suite, version, true);
        let mut conversations: Vec<_> = (0..5).map(|_| talk(&ends)).collect();
        let conversation = conversations.remove(2);
        for name in [None, Some(ClientRandom([9; 32]))] {
            let mut rig = Rig::new(&[]);
            for (_, label, secret) in ends.secrets.all() {
                // A wrong name is none: each secret has another.
                let name = name.map(|mut name| {
                    name.0[0] = secret.bytes()[0];
                    name.0[1] = secret.bytes()[1];
                    name
                });
                rig.cx.secrets.insert(name, label, secret, 0);
            }
            rig.feed_all(&conversation).finish().check_exact(&conversation);
            assert!(rig.tls.facts().completed);
        }
    }
}

#[test]
fn trials_are_bounded() {
    let (suite, version) = suites().remove(0);
    let ends = Ends::new(suite, version);
    let conversation = talk(&ends);
    let mut rig = Rig::new(&[]);
    for round in 0..40 {
        for byte in 0..64 {
            rig.cx.secrets.insert(None, Label::ServerHandshake, Secret::new(&[byte; 32]).unwrap(), 0);
        }
        if round == 0 {
            rig.feed_all(&conversation);
        }
        rig.tls.secrets_arrived(&mut rig.cx, 0, &mut rig.taken);
    }
    assert_eq!(rig.tls.session.trials, Limits::default().trials);
    // The right secrets, by name, are of use still.
    rig.insert(&ends.secrets.all());
    rig.finish().check_exact(&conversation);
}

#[test]
fn without_a_key_all_is_given_up_and_counted() {
    for (suite, version) in suites() {
        let ends = Ends::new(suite, version);
        let conversation = talk(&ends);
        let mut rig = Rig::new(&[]);
        rig.feed_all(&conversation);
        assert!(rig.tls.is_waiting(CLIENT) && rig.tls.held_bytes() > 0);
        let deadline = rig.tls.deadline(&rig.cx.limits).unwrap();
        rig.tls.expire(&mut rig.cx, deadline - 1, &mut rig.taken);
        assert!(rig.tls.is_waiting(CLIENT) && rig.tls.is_waiting(SERVER));
        rig.tls.expire(&mut rig.cx, deadline + rig.time, &mut rig.taken);
        assert_eq!(rig.tls.held_bytes(), 0);
        rig.feed(CLIENT, Piece::Data(b"more"));
        rig.feed(CLIENT, Piece::Fin);
        rig.finish();
        assert_eq!(rig.taken.out.each_ref().map(|out| (out.bytes.len(), out.lost.len())), [(0, 1), (0, 1)]);
        assert_eq!(rig.taken.out[0].fins, 1);
        let troubles = rig.tls.take_trouble();
        let told = |way| troubles.iter().filter(|it| it.direction == way).map(|it| it.bytes).sum::<u64>();
        assert_eq!([CLIENT, SERVER].map(told), [CLIENT, SERVER].map(|way| rig.tls.counts(way).unread));
        assert!(troubles.iter().all(|it| it.reason == Reason::NoKey));
        // What is in the clear was read.
        assert!(rig.tls.facts().ja4.is_some() && rig.tls.facts().suite.is_some());
    }
}

#[test]
fn what_is_held_is_bounded() {
    let (suite, version) = suites().remove(0);
    let ends = Ends::new(suite, version);
    let mut conversation = ends.connect();
    conversation.run().answer(&vec![b'a'; 600_000]);
    let mut rig = Rig::new(&[]);
    for (direction, bytes) in &conversation.wire {
        for bytes in bytes.chunks(1400) {
            rig.feed(*direction, Piece::Data(bytes));
            assert!(rig.tls.held_bytes() < rig.cx.limits.held_bytes + 40_000);
        }
    }
    rig.finish();
    assert_eq!(reasons(&mut rig), [Reason::NoKey]);
}

#[test]
fn a_connection_that_was_open_before_is_told() {
    for (suite, version) in suites() {
        let ends = Ends::new(suite, version);
        let mut conversation = ends.connect();
        conversation.run();
        conversation.wire.clear();
        conversation.ask(b"one").answer(b"two");
        let mut rig = Rig::new(&ends.secrets.all());
        rig.feed_all(&conversation).finish();
        assert_eq!(reasons(&mut rig), [Reason::NoHello]);
        assert_eq!(rig.taken.out.each_ref().map(|out| out.bytes.len()), [0, 0]);
    }
}

#[test]
fn records_and_messages_that_are_too_long() {
    // 2^14 + 257 is beyond TLS 1.3 (RFC 8446, 5.2).
    for (suite, version) in suites() {
        let tls13 = version.version == rustls::ProtocolVersion::TLSv1_3;
        let ends = Ends::new(suite, version);
        let mut conversation = ends.connect();
        conversation.run().ask(b"one");
        let mut rig = Rig::new(&ends.secrets.all());
        rig.feed_all(&conversation);
        let len: u16 = (1 << 14) + if tls13 { 257 } else { 25 };
        let mut record = vec![23, 3, 3];
        record.extend(len.to_be_bytes());
        record.resize(5 + usize::from(len), 0);
        rig.feed(CLIENT, Piece::Data(&record));
        assert_eq!(reasons(&mut rig), [Reason::RecordTooLong]);
    }
    let mut rig = Rig::new(&[]);
    rig.feed(CLIENT, Piece::Data(&[22, 3, 1, 0x48, 1, 1]));
    assert_eq!(reasons(&mut rig), [Reason::RecordTooLong]);
    // A message of 200,000 bytes, in records of 10,000.
    let mut rig = Rig::new(&[]);
    let mut message = vec![1, 3, 0x0d, 0x40];
    message.resize(4 + 200_000, 0);
    for bytes in message.chunks(10_000) {
        let record = [&[22, 3, 1][..], &u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        rig.feed(CLIENT, Piece::Data(&record));
        assert!(rig.tls.held_bytes() <= 300_000);
    }
    assert_eq!(reasons(&mut rig), [Reason::HandshakeTooLong]);
    assert_eq!(rig.tls.held_bytes(), 0);
}

/// After a loss a client sends what looks like the start of a record everywhere.
#[test]
fn a_search_is_bounded() {
    for (suite, version) in suites() {
        let ends = Ends::new(suite, version);
        let mut conversation = ends.connect();
        conversation.run().ask(b"one");
        let mut rig = Rig::new(&ends.secrets.all());
        rig.feed_all(&conversation);
        rig.feed(CLIENT, Piece::Hole { len: 100_000, reason: Absence::Lost });
        assert_eq!(rig.tls.needed(CLIENT, 3), None);
        let flood: Vec<u8> = [23, 3, 3, 0x20, 0].into_iter().cycle().take(10_000).collect();
        for _ in 0..40 {
            rig.feed(CLIENT, Piece::Data(&flood));
            assert!(rig.tls.held_bytes() < 40_000);
        }
        assert!(rig.tls.lanes[0].searched <= (8 << 20) + 20_000);
        assert_eq!(rig.tls.held_bytes(), 0);
        assert_eq!(rig.tls.needed(CLIENT, 3), Some(u64::MAX));
        rig.insert(&ends.secrets.all());
        rig.feed(CLIENT, Piece::Data(&flood));
        rig.finish();
        assert_eq!(reasons(&mut rig), [Reason::Missing]);
        assert_eq!(rig.taken.out[0].bytes, b"one");
    }
}

#[test]
fn why_records_are_missing_is_told() {
    for (absence, reason) in [(Absence::Lost, Reason::Missing), (Absence::Unwanted, Reason::NotCopied)] {
        for (suite, version) in suites() {
            let ends = Ends::new(suite, version);
            let conversation = talk(&ends);
            let mut rig = Rig::new(&ends.secrets.all());
            rig.feed_all(&conversation);
            rig.feed(SERVER, Piece::Hole { len: 100_000, reason: absence });
            rig.finish();
            assert_eq!(reasons(&mut rig), [reason]);
        }
    }
}

#[test]
fn a_hole_in_the_handshake_costs_facts_only() {
    // The certificate's middle: it has a record of its own in neither version.
    for (suite, version) in suites() {
        let ends = Ends::new(suite, version);
        let conversation = talk(&ends);
        let mut rig = Rig::new(&ends.secrets.all());
        let mut first = true;
        for (direction, bytes) in &conversation.wire {
            if *direction == SERVER && std::mem::take(&mut first) {
                let at = 350;
                rig.feed(SERVER, Piece::Data(&bytes[..at]));
                rig.feed(SERVER, Piece::Hole { len: 60, reason: Absence::Lost });
                rig.feed(SERVER, Piece::Data(&bytes[at + 60..]));
            } else {
                rig.feed(*direction, Piece::Data(bytes));
            }
        }
        rig.finish();
        for (out, sent) in rig.taken.out.iter().zip(&conversation.sent) {
            assert_eq!(out.bytes, *sent);
            assert!(out.lost.is_empty());
        }
        assert_eq!(rig.tls.facts().server_certificate, None);
        assert!(rig.tls.facts().completed);
        assert_eq!(reasons(&mut rig), [Reason::Missing]);
    }
}

#[test]
fn a_stream_that_ends_within_a_record() {
    let (suite, version) = suites().remove(0);
    let ends = Ends::new(suite, version);
    let mut conversation = ends.connect();
    conversation.run().ask(b"one").answer(b"two");
    let mut rig = Rig::new(&ends.secrets.all());
    rig.feed_all(&conversation);
    rig.feed(CLIENT, Piece::Data(&[23, 3, 3, 0, 100, 1, 2, 3]));
    rig.feed(CLIENT, Piece::Fin);
    rig.feed(SERVER, Piece::Reset);
    rig.finish();
    let offset = rig.tls.counts(CLIENT).read;
    let expected = Trouble { direction: CLIENT, reason: Reason::Truncated, offset, bytes: 8 };
    assert_eq!(rig.tls.take_trouble(), [expected]);
    assert_eq!(rig.taken.out.each_ref().map(|out| (out.fins, out.resets)), [(1, 0), (0, 1)]);
    assert!(!rig.tls.facts().client_closed);
}

#[test]
fn what_is_no_tls() {
    let mut rig = Rig::new(&[]);
    rig.feed(CLIENT, Piece::Data(b"GE"));
    rig.feed(CLIENT, Piece::Data(b"T / HTTP/1.1\r\n\r\n"));
    rig.feed(CLIENT, Piece::Data(b"more"));
    assert_eq!(rig.tls.needed(CLIENT, 0), Some(u64::MAX));
    rig.finish();
    let expected = [(0, 18), (18, 4)].map(|(offset, bytes)| (Reason::NotTls, offset, bytes));
    let told = rig.tls.take_trouble();
    let total: u64 = told.iter().map(|it| it.bytes).sum();
    assert!(told.iter().all(|it| it.reason == expected[0].0));
    assert_eq!(total, 22);
}

#[test]
fn secrets_are_wiped_when_the_connection_ends() {
    let (suite, version) = suites().remove(0);
    let ends = Ends::new(suite, version);
    let conversation = talk(&ends);
    let mut rig = Rig::new(&ends.secrets.all());
    rig.feed_all(&conversation);
    assert_eq!(rig.cx.secrets.connections(), 1);
    rig.finish();
    assert_eq!(rig.cx.secrets.connections(), 0);
}

/// A record of TLS 1.2 with AES-128-GCM as whoever has the master secret can make it: application data, the first one.
fn seal12(master: &Secret, client: [u8; 32], server: [u8; 32], text: &[u8]) -> Vec<u8> {
    use super::super::lane::Role;
    use aes_gcm::aead::AeadInOut;
    use aes_gcm::{Aes128Gcm, KeyInit};
    let protection = super::super::suite::Protection::of(super::super::Version::Tls12, 0xc02b).unwrap();
    let keys = super::super::keys::Keys::tls12(protection, master, &client, &server, Role::Client).unwrap();
    let len = u16::try_from(text.len()).unwrap();
    let mut inner = text.to_vec();
    let additional = [&[0; 8][..], &[23, 3, 3], &len.to_be_bytes()].concat();
    let nonce = keys.nonce(0, [0; 8]);
    let aead = Aes128Gcm::new_from_slice(keys.key()).unwrap();
    let nonce = nonce.as_slice().try_into().unwrap();
    let tag = aead.encrypt_inout_detached(nonce, &additional, inner.as_mut_slice().into()).unwrap();
    [&[23, 3, 3][..], &(len + 24).to_be_bytes(), &[0; 8], &inner, &tag].concat()
}

/// A client that waits in one handshake of TLS 1.2 says on another connection what is protected with the first one's secret, and
/// ends that: nothing was said to the controller, and the first one is still to be read.
#[test]
fn a_secret_with_the_name_of_another_connection() {
    use super::rig::Ends;
    use rustls::crypto::ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    let suite = TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
    let ends = Ends::new(suite, &rustls::version::TLS12);
    let mut own = ends.connect();
    own.run().ask(b"GET / HTTP/1.1\r\n\r\n");
    let secrets = ends.secrets.all();
    let mut other = ends.connect();
    let (mut hello, mut flight) = (Vec::new(), Vec::new());
    other.client.write_tls(&mut hello).unwrap();
    other.server.read_tls(&mut &hello[..]).unwrap();
    other.server.process_new_packets().unwrap();
    while other.server.wants_write() {
        other.server.write_tls(&mut flight).unwrap();
    }
    let random = |record: &[u8]| record[11..43].try_into().unwrap();
    let forged = seal12(&secrets[0].2, random(&hello), random(&flight), b"GET /forged HTTP/1.1\r\n\r\n");

    let mut rig = Rig::new(&secrets);
    let exchange = 5 + usize::from(u16::from_be_bytes([own.wire[2].1[3], own.wire[2].1[4]]));
    let (front, back) = own.wire[2].1.split_at(exchange);
    rig.feed(CLIENT, Piece::Data(&own.wire[0].1));
    rig.feed(SERVER, Piece::Data(&own.wire[1].1));
    rig.feed(CLIENT, Piece::Data(front));
    let mut tls = Tls::new(CLIENT);
    let mut taken = Taken::default();
    let ccs = [20, 3, 3, 0, 1, 1];
    for (way, bytes) in [(CLIENT, &hello[..]), (SERVER, &flight), (CLIENT, &ccs), (CLIENT, &forged)] {
        tls.feed(&mut rig.cx, way, Piece::Data(bytes), rig.time, &mut taken);
    }
    tls.finish(&mut rig.cx, rig.time, &mut taken);
    rig.feed(CLIENT, Piece::Data(back));
    for (way, bytes) in &own.wire[3..] {
        rig.feed(*way, Piece::Data(bytes));
    }
    let said = String::from_utf8_lossy(&taken.out[0].bytes).into_owned();
    let read = rig.taken.out[0].bytes == own.sent[0];
    assert!(said.is_empty() && read, "invented: {said:?}; the other was read: {read}");
}
