//! Facts of handshakes: resumption, client certificates, early data.

use super::super::facts::EarlyData;
use super::super::{Version, certificate::AlternativeName, certificate::Name};
use super::rig::*;
use crate::assemble::Piece;

#[track_caller]
fn read(ends: &Ends, conversation: &Conversation) -> Rig {
    let mut rig = Rig::new(&ends.secrets.all());
    rig.feed_all(conversation).finish().check_exact(conversation);
    rig
}

#[test]
fn certificates_of_both_sides() {
    for (suite, version) in suites() {
        let ends = Ends::with(suite, version, true);
        let mut conversation = ends.connect();
        conversation.run().ask(b"hello").answer(b"world").close();
        let rig = read(&ends, &conversation);
        let facts = rig.tls.facts();
        let server = facts.server_certificate.as_ref().unwrap();
        let client = facts.client_certificate.as_ref().unwrap();
        assert_eq!(server.sha256, sha256(&ends.server_der));
        assert_eq!(client.sha256, sha256(&ends.client_der));
        assert_eq!(&*client.subject.as_ref().unwrap().text, "CN=alice,O=Acme\\, Inc.");
        let name = Name { text: "alice.example.com".into(), left_out: 0 };
        assert_eq!(client.names, [AlternativeName::Dns(name)]);
        assert!(facts.certificate_requested && facts.completed);
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

#[test]
fn sessions_are_resumed() {
    for (suite, version) in suites() {
        let ends = Ends::new(suite, version);
        ends.connect().run().ask(b"one").answer(b"two").close();
        let mut second = ends.connect();
        second.run().ask(b"three").answer(b"four").close();
        assert_eq!(second.client.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
        let rig = read(&ends, &second);
        let facts = rig.tls.facts();
        assert_eq!(facts.resumed, Some(true));
        assert!(facts.completed);
        assert_eq!(facts.server_certificate, None);
        assert_eq!(facts.version == Some(Version::Tls12), facts.group.is_none());
    }
}

#[test]
fn early_data_that_is_accepted() {
    for (suite, version) in suites().into_iter().take(3) {
        let ends = Ends::new(suite, version);
        ends.connect().run().ask(b"one").answer(b"two").close();
        let mut second = ends.connect();
        std::io::Write::write_all(&mut second.client.early_data().unwrap(), b"GET /early HTTP/1.1\r\n\r\n")
            .unwrap();
        second.sent[0].extend(b"GET /early HTTP/1.1\r\n\r\n");
        second.run().ask(b"GET /late HTTP/1.1\r\n\r\n").answer(b"four").close();
        assert!(second.client.is_early_data_accepted());
        let rig = read(&ends, &second);
        assert_eq!(rig.tls.facts().early_data, EarlyData::Accepted);
        assert_eq!(rig.tls.facts().resumed, Some(true));
    }
}

#[test]
fn early_data_that_is_rejected() {
    let (suite, version) = suites().remove(0);
    let mut ends = Ends::new(suite, version);
    ends.connect().run().ask(b"one").answer(b"two").close();
    ends.server.max_early_data_size = 0;
    let mut second = ends.connect();
    for _ in 0..10 {
        std::io::Write::write_all(&mut second.client.early_data().unwrap(), b"GET /early HTTP/1.1\r\n\r\n")
            .unwrap();
    }
    second.run().ask(b"GET /late HTTP/1.1\r\n\r\n").answer(b"four").close();
    assert!(!second.client.is_early_data_accepted());
    let mut rig = Rig::new(&ends.secrets.all());
    for (direction, bytes) in &second.wire {
        for bytes in bytes.chunks(7) {
            rig.feed(*direction, Piece::Data(bytes));
        }
    }
    rig.finish();
    assert_eq!(rig.taken.out[0].bytes, second.sent[0]);
    assert_eq!(rig.taken.out[1].bytes, second.sent[1]);
    assert_eq!(rig.tls.facts().early_data, EarlyData::Rejected);
    let reasons: Vec<_> = rig.tls.take_trouble().iter().map(|it| it.reason).collect();
    assert_eq!(reasons, [super::super::trouble::Reason::RejectedEarlyData]);
}

/// A handshake that one side refuses, read to its end.
fn refused(ends: &Ends) -> Rig {
    let mut conversation = ends.connect();
    for _ in 0..4 {
        let mut bytes = vec![];
        while conversation.client.wants_write() {
            conversation.client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            conversation.server.read_tls(&mut rest).unwrap();
            let _ = conversation.server.process_new_packets();
        }
        conversation.wire.push((CLIENT, bytes));
        let mut bytes = vec![];
        while conversation.server.wants_write() {
            conversation.server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            conversation.client.read_tls(&mut rest).unwrap();
            let _ = conversation.client.process_new_packets();
        }
        conversation.wire.push((SERVER, bytes));
    }
    conversation.wire.retain(|(_, bytes)| !bytes.is_empty());
    let mut rig = Rig::new(&ends.secrets.all());
    rig.feed_all(&conversation).finish();
    rig
}

/// Numbers of the registry "TLS Alerts".
const DECRYPT_ERROR: u8 = 51;
const CERTIFICATE_REQUIRED: u8 = 116;

#[test]
fn handshakes_that_are_refused() {
    for (suite, version) in suites() {
        let tls13 = version == &rustls::version::TLS13;
        let known = || Ends::with(suite, version, true);

        // Another's certificate of the same name, whose signature cannot be verified: the server has the last word.
        let (mut ends, other) = (known(), known());
        ends.client.client_auth_cert_resolver = other.client.client_auth_cert_resolver;
        let rig = refused(&ends);
        let facts = rig.tls.facts();
        assert_eq!(facts.client_certificate.as_ref().unwrap().sha256, sha256(&other.client_der));
        let failure = facts.failure().unwrap();
        assert_eq!((failure.direction, failure.description), (SERVER, DECRYPT_ERROR), "{version:?}");

        // The client shows none.
        let (mut ends, other) = (known(), Ends::new(suite, version));
        ends.client.client_auth_cert_resolver = other.client.client_auth_cert_resolver;
        let rig = refused(&ends);
        let facts = rig.tls.facts();
        assert!(facts.certificate_requested && facts.client_certificate.is_none());
        let failure = facts.failure().unwrap();
        assert_eq!(failure.direction, SERVER);
        assert!(!tls13 || failure.description == CERTIFICATE_REQUIRED, "{failure:?}");

        // The client knows another's certificate of the server's name.
        let mut ends = known();
        ends.client = known().client;
        let rig = refused(&ends);
        let failure = rig.tls.facts().failure().copied().unwrap();
        assert_eq!((failure.direction, failure.description), (CLIENT, DECRYPT_ERROR));
        assert!(!rig.tls.facts().completed);
    }
}

/// The server gets what it cannot decrypt, and says so under its keys.
fn disturb(conversation: &mut Conversation) {
    let garbage = [&[23, 3, 3, 0, 32][..], &[0; 32]].concat();
    conversation.server.read_tls(&mut &garbage[..]).unwrap();
    assert!(conversation.server.process_new_packets().is_err());
    let mut bytes = vec![];
    conversation.server.write_tls(&mut bytes).unwrap();
    conversation.wire.push((SERVER, bytes));
}

/// An alert when all is done is no failure of the handshake.
#[test]
fn alerts_that_come_late() {
    for (suite, version) in suites() {
        let ends = Ends::with(suite, version, true);
        let mut conversation = ends.connect();
        conversation.run().ask(b"hello").answer(b"world");
        disturb(&mut conversation);
        let mut rig = Rig::new(&ends.secrets.all());
        rig.feed_all(&conversation).finish();
        let facts = rig.tls.facts();
        assert_eq!(facts.alerts.len(), 1);
        assert!(facts.alerts[0].fatal && facts.completed);
        assert_eq!(facts.failure(), None);
    }
}

/// A handshake is over when both have said so, not when a client says anything at all (RFC 5246, 7.4.9).
#[test]
fn a_client_cannot_claim_that_the_handshake_is_over() {
    for (suite, version) in suites().into_iter().filter(|(_, version)| *version == &rustls::version::TLS12) {
        let ends = Ends::new(suite, version);
        let mut conversation = ends.connect();
        conversation.run();
        let mut rig = Rig::new(&[]);
        // ClientHello; ServerHello to ServerHelloDone.
        for (direction, bytes) in &conversation.wire[..2] {
            rig.feed(*direction, Piece::Data(bytes));
        }
        rig.feed(CLIENT, Piece::Data(&[20, 3, 3, 0, 1, 1]));
        let garbage = [&[23, 3, 3, 0, 40][..], &[9; 40]].concat();
        rig.feed(CLIENT, Piece::Data(&garbage));
        // unexpected_message, in the clear: the server has not changed its keys.
        rig.feed(SERVER, Piece::Data(&[21, 3, 3, 0, 2, 2, 10]));
        rig.finish();
        let facts = rig.tls.facts();
        assert!(!facts.completed, "{suite:?}");
        assert_eq!(facts.failure().map(|alert| alert.description), Some(10), "{suite:?}");
    }
}

/// The same as above of a server that sends no tickets and asks for no certificate.
#[test]
fn an_alert_that_is_the_first_thing_said_after_the_handshake() {
    let (suite, version) = (suites()[0].0, &rustls::version::TLS13);
    let mut ends = Ends::new(suite, version);
    ends.server.send_tls13_tickets = 0;
    let mut conversation = ends.connect();
    conversation.run().ask(b"hello");
    disturb(&mut conversation);
    let mut rig = Rig::new(&ends.secrets.all());
    rig.feed_all(&conversation).finish();
    let facts = rig.tls.facts();
    assert!(facts.alerts.len() == 1 && facts.completed && !facts.certificate_requested);
    assert_eq!(facts.failure(), None);
}

/// Who sends warnings until no more are kept does not hide how the handshake ends.
#[test]
fn a_failure_behind_many_warnings() {
    let (suite, version) = suites().pop().unwrap();
    let ends = Ends::new(suite, version);
    let mut conversation = ends.connect();
    conversation.run();
    let mut rig = Rig::new(&[]);
    rig.feed(CLIENT, Piece::Data(&conversation.wire[0].1));
    for _ in 0..20 {
        // no_renegotiation, a warning.
        rig.feed(CLIENT, Piece::Data(&[21, 3, 3, 0, 2, 1, 100]));
    }
    rig.feed(SERVER, Piece::Data(&[21, 3, 3, 0, 2, 2, 40]));
    let facts = rig.tls.facts();
    assert_eq!((facts.alerts.len(), facts.failure().map(|alert| alert.description)), (8, Some(40)));
}

/// Whether a certificate was asked for is known of all that was read to where it would have been, and of nothing else.
#[test]
fn whether_a_certificate_was_asked_for() {
    for (suite, version) in suites() {
        for mutual in [false, true] {
            let ends = Ends::with(suite, version, mutual);
            let mut conversation = ends.connect();
            conversation.run();
            let mut rig = Rig::new(&ends.secrets.all());
            rig.feed(CLIENT, Piece::Data(&conversation.wire[0].1));
            let flight = &conversation.wire[1].1;
            if version == &rustls::version::TLS12 {
                // ServerHelloDone is the last, of 4 bytes; rustls sends it in a record of its own or with others.
                rig.feed(SERVER, Piece::Data(&flight[..flight.len() - 1]));
                assert!(
                    rig.tls.facts().server_certificate.is_some() || !rig.tls.facts().certificate_requested
                );
                assert!(!rig.tls.facts().certificate_request_known);
                rig.feed(SERVER, Piece::Data(&flight[flight.len() - 1..]));
            } else {
                rig.feed(SERVER, Piece::Data(flight));
            }
            let facts = rig.tls.facts();
            assert!(facts.certificate_request_known);
            assert_eq!(facts.certificate_requested, mutual, "{version:?}");
        }
    }
}
