//! Whole conversations in every suite.

use super::super::facts::EarlyData;
use super::super::trouble::Reason;
use super::super::{Version, names};
use super::rig::*;
use crate::assemble::Piece;

fn talk(ends: &Ends) -> Conversation {
    let mut conversation = ends.connect();
    conversation.run();
    conversation.ask(b"GET / HTTP/1.1\r\nHost: shop.example.com\r\n\r\n");
    conversation.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n");
    conversation.answer(&(0..70_000u32).map(|it| it.to_be_bytes()[3]).collect::<Vec<_>>());
    conversation.ask(b"GET /2 HTTP/1.1\r\n\r\n").close();
    conversation
}

#[test]
fn every_suite_is_read() {
    for (suite, version) in suites() {
        let ends = Ends::new(suite, version);
        let conversation = talk(&ends);
        let mut rig = Rig::new(&ends.secrets.all());
        rig.feed_all(&conversation).finish().check_exact(&conversation);
        assert_eq!(rig.taken.out.each_ref().map(|out| out.fins), [1, 1]);
        let facts = rig.tls.facts();
        assert_eq!(facts.suite, Some(u16::from(suite.suite())));
        let name = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
        assert_eq!(facts.suite_name(), Some(&name[..]));
        let tls13 = version.version == rustls::ProtocolVersion::TLSv1_3;
        assert_eq!(facts.version, Some(if tls13 { Version::Tls13 } else { Version::Tls12 }));
        assert_eq!(
            facts.group,
            Some(conversation.client.negotiated_key_exchange_group().unwrap().name().into())
        );
        assert!(facts.group.and_then(names::group).is_some());
        assert_eq!(facts.server_name.as_deref(), Some(&b"shop.example.com"[..]));
        assert_eq!(facts.protocol.as_deref(), Some(&b"http/1.1"[..]));
        assert_eq!(facts.protocols.len(), 2);
        assert_eq!(facts.resumed, Some(false));
        assert_eq!(facts.early_data, EarlyData::NotOffered);
        assert!(facts.completed && facts.client_closed && facts.server_closed && !facts.retried);
        assert_eq!(facts.alerts, []);
        let certificate = facts.server_certificate.as_ref().unwrap();
        assert_eq!(
            certificate.subject.as_ref().map(|name| &*name.text),
            Some("CN=shop.example.com,O=Acme\\, Inc.")
        );
        assert_eq!(facts.client_certificate, None);
    }
}

#[test]
fn pieces_of_one_byte() {
    for (suite, version) in suites() {
        let ends = Ends::new(suite, version);
        let conversation = talk(&ends);
        let mut rig = Rig::new(&ends.secrets.all());
        for (direction, bytes) in &conversation.wire {
            for byte in bytes {
                rig.feed(*direction, Piece::Data(&[*byte]));
            }
        }
        rig.finish().check_exact(&conversation);
    }
}

#[test]
fn keys_are_updated() {
    for (suite, version) in suites().into_iter().take(3) {
        let ends = Ends::new(suite, version);
        let mut conversation = ends.connect();
        conversation.run().ask(b"one").answer(b"two");
        for _ in 0..3 {
            conversation.update_keys().ask(b"three").answer(b"four");
        }
        conversation.close();
        let mut rig = Rig::new(&ends.secrets.all());
        rig.feed_all(&conversation).finish().check_exact(&conversation);
    }
}

#[test]
fn the_server_asks_for_another_hello() {
    for (suite, version) in suites().into_iter().take(3) {
        let ends = Ends::retrying(suite, version);
        let mut conversation = ends.connect();
        conversation.run().ask(b"one").answer(b"two").close();
        let kind = conversation.client.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::FullWithHelloRetryRequest));
        let mut rig = Rig::new(&ends.secrets.all());
        rig.feed_all(&conversation).finish().check_exact(&conversation);
        let facts = rig.tls.facts();
        assert!(facts.retried && facts.completed);
        assert_eq!(facts.group_name(), Some("secp384r1"));
    }
}

#[test]
fn early_data_before_another_hello_is_passed_over() {
    let (suite, version) = suites().remove(0);
    let mut ends = Ends::new(suite, version);
    ends.connect().run().ask(b"one").close();
    ends.retry(suite);
    let mut conversation = ends.connect();
    std::io::Write::write_all(&mut conversation.client.early_data().unwrap(), b"GET /early HTTP/1.1")
        .unwrap();
    conversation.run().ask(b"GET /late HTTP/1.1").answer(b"two").close();
    let mut rig = Rig::new(&ends.secrets.all());
    rig.feed_all(&conversation).finish();
    assert_eq!(rig.taken.out.each_ref().map(|out| &out.bytes[..]), [&b"GET /late HTTP/1.1"[..], b"two"]);
    let facts = rig.tls.facts();
    assert!(facts.retried && facts.completed);
    assert_eq!(facts.early_data, EarlyData::Rejected);
    let troubles: Vec<_> = rig.tls.take_trouble().iter().map(|it| it.reason).collect();
    assert_eq!(troubles, [Reason::RejectedEarlyData]);
}
