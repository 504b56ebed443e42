//! Uploads over TLS 1.3 of which the kernel tells what the walk over the headers of records leaves of them.

use super::secure::ends;
use super::*;
use crate::assemble::tls::tests::rig::{Conversation, seal};

/// A client that makes its records by itself.
struct Client {
    rig: Rig,
    tls: Conversation,
    secret: Vec<u8>,
    sequence: u64,
}

impl Client {
    fn new() -> Self {
        let (ends, keys) = ends();
        let (mut rig, mut tls) = (Rig::new(), ends.connect());
        tls.run();
        let found = keys.0.lock().unwrap().iter().find(|key| key.0 == "CLIENT_TRAFFIC_SECRET_0").cloned();
        let secret = found.unwrap().2;
        rig.learns(&keys).carries(&mut tls);
        Self { rig, tls, secret, sequence: 0 }
    }

    fn seal(&mut self, text: &[u8], zeros: usize) -> Vec<u8> {
        self.sequence += 1;
        seal(&self.secret, self.sequence - 1, text, zeros)
    }

    /// The next bytes of the stream, as the kernel tells them: how many, and how many of those are copied.
    fn tell(&mut self, bytes: &[u8], told: &[(usize, usize)]) {
        let (mut rest, mut at) = (bytes, self.rig.offsets[0]);
        for (len, copied) in told {
            let (now, behind) = rest.split_at(*len);
            self.rig.segment(Direction::Ingress, at, *len, &now[..*copied]);
            at += *len as u64;
            rest = behind;
        }
        assert!(rest.is_empty());
        self.rig.offsets[0] = at;
    }

    fn whole(&mut self, bytes: &[u8]) {
        self.tell(bytes, &[(bytes.len(), bytes.len())]);
    }

    /// A record of a body: 13 bytes at its boundary, and the 32 before the next; the whole of it if it may be needed.
    fn sparse(&mut self, bytes: &[u8]) {
        let want = self.want();
        if want.tls && want.offset + 400 >= self.rig.offsets[0] + bytes.len() as u64 {
            self.without_room(bytes);
        } else {
            self.whole(bytes);
        }
    }

    /// The same, whatever may be needed.
    fn without_room(&mut self, bytes: &[u8]) {
        self.tell(bytes, &[(bytes.len() - 32, 13), (32, 32)]);
    }

    fn want(&self) -> Want {
        self.rig.pipeline.feedback.0.get(&(self.rig.id, 0)).copied().unwrap_or_default()
    }

    fn post(&mut self, len: usize) {
        let head = format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
        let head = self.seal(head.as_bytes(), 0);
        self.whole(&head);
    }

    fn end(&mut self, answers: usize) -> Vec<(&str, u64, bool)> {
        for _ in 0..answers {
            self.tls.answer(OK.as_bytes());
        }
        self.rig.carries(&mut self.tls).closed(false);
        self.rig.requests()
    }
}

/// RFC 8446, 5.4: zeros may stand behind the type. More of them than the 16 bytes that are told before a tag hide it.
#[track_caller]
fn padded(zeros: usize) {
    let mut client = Client::new();
    client.post(32_000);
    for _ in 0..2 {
        let record = client.seal(&[b'x'; 16_000], zeros);
        client.sparse(&record);
    }
    let hidden = client.seal(get("/hidden").as_bytes(), 0);
    client.whole(&hidden);
    assert_eq!(client.end(2), [("/upload", 200, true), ("/hidden", 200, true)], "{zeros} zeros");
}

#[test]
fn padding_of_15_hides_nothing() {
    padded(15);
}

#[test]
fn padding_of_16_hides_nothing() {
    padded(16);
}

/// More zeros than are told, and no room for more: what is missing is told.
#[test]
fn padding_without_room_is_a_loss() {
    let mut client = Client::new();
    client.post(32_000);
    for _ in 0..2 {
        let record = client.seal(&[b'x'; 16_000], 16);
        client.without_room(&record);
    }
    let hidden = client.seal(get("/hidden").as_bytes(), 0);
    client.whole(&hidden);
    assert!(client.end(2).iter().all(|request| !request.2));
    assert!(client.rig.told("not_copied").0 > 0, "{:?}", client.rig.events);
}

/// The end of a body, and what is pipelined behind it, in one record.
#[track_caller]
fn last_record(spoil: bool, room: bool) -> bool {
    let mut client = Client::new();
    client.post(16_000);
    let mut last = client.seal(&[&[b'x'; 16_000][..], get("/fake").as_bytes()].concat(), 0);
    let len = last.len();
    last[len - 1] ^= u8::from(spoil);
    assert!(client.want().offset <= client.rig.offsets[0], "a part of the record may be left out");
    if room {
        client.whole(&last);
    } else {
        client.tell(&last, &[(12_000, 13), (len - 12_000, len - 12_000)]);
    }
    client.end(0).iter().any(|request| request.0 == "/fake")
}

#[test]
fn a_request_behind_a_body_is_read() {
    assert!(last_record(false, true));
}

/// The controller refuses the record (RFC 8446, 5.2: `bad_record_mac`), and has never read the request. Where only a part of
/// the record is there, nobody knows.
#[test]
fn a_request_behind_a_body_in_a_record_with_a_wrong_tag_is_none() {
    for (spoil, room) in [(true, true), (true, false), (false, false)] {
        assert!(!last_record(spoil, room), "spoilt {spoil}, room {room}");
    }
}

/// The controller ends the connection at the first wrong tag, which was in a body.
#[test]
fn a_request_after_a_record_with_a_wrong_tag_is_none() {
    let mut client = Client::new();
    client.post(16_000);
    let mut body = client.seal(&[b'x'; 16_000], 0);
    body[100] ^= 1;
    client.whole(&body);
    let fake = client.seal(get("/fake").as_bytes(), 0);
    client.whole(&fake);
    let requests = client.end(0);
    assert!(requests.iter().all(|request| request.0 != "/fake"), "{requests:?}");
}

/// TCP had no room for a packet, and it comes again; the walk is past it, so that it is copied whole.
#[test]
fn the_same_bytes_told_otherwise_are_no_contradiction() {
    let mut client = Client::new();
    client.post(32_000);
    let record = client.seal(&[b'x'; 16_000], 0);
    let at = client.rig.offsets[0];
    client.without_room(&record);
    client.rig.offsets[0] = at;
    client.whole(&record);
    let record = client.seal(&[b'x'; 16_000], 0);
    client.whole(&record);
    assert_eq!(client.end(1), [("/upload", 200, true)]);
    assert!(!client.rig.has_note("contradicted"));
}

/// What is held is what has come, not what a header promises.
#[test]
fn a_header_alone_takes_no_room() {
    let mut client = Client::new();
    client.whole(&[23, 3, 3, 0x40, 0, 0]);
    assert!(client.rig.pipeline.held < 1000, "{} bytes held", client.rig.pipeline.held);
}
