//! A whole pipeline, from segments to events: what a connection that begins with a PROXY header, or becomes a WebSocket, tells.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;

use crate::assemble::stream;
use crate::attribute::Attribution;
use crate::capture::record::{ConnectionId, Direction, How, Record, Segment, Totals, Tuple};
use crate::decode::forwarding::ForwardingHeader;
use crate::decode::http1;
use crate::emit::build::Settings;
use crate::emit::id::Domain;
use crate::emit::model::{Source, Text};
use crate::emit::native;
use crate::pipeline::{Limits, Pipeline};

/// A controller at 10.0.0.9:80 that trusts 10.0.0.0/8.
struct Rig {
    pipeline: Pipeline<()>,
    time: u64,
    offsets: [[u64; 2]; 2],
}

const CLIENT: usize = 0;
const BACKEND: usize = 1;

impl Rig {
    fn new(peer: &str) -> Self {
        let stream = stream::Limits::default();
        let limits = Limits { connections: 9, stream, held_bytes: 1 << 20, http1: http1::Limits::default() };
        let settings = Settings {
            source: Arc::new(Source { cluster: None, node: Text::from_static("n"), controller: None }),
            domain: Domain::File,
            management_ports: Vec::new(),
            management_paths: Vec::new(),
            query_allow: Vec::new(),
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
            forwarding_headers: ForwardingHeader::ALL.to_vec(),
        };
        let pipeline = Pipeline::new(limits, settings, Arc::new(Attribution::none()), 0, ());
        let mut rig = Self { pipeline, time: 0, offsets: [[0; 2]; 2] };
        rig.open(CLIENT, How::Passive, "10.0.0.9:80", peer);
        rig.open(BACKEND, How::Active, "10.0.0.9:50000", "10.1.0.1:8080");
        rig
    }

    fn open(&mut self, id: usize, how: How, local: &str, remote: &str) {
        let end = |text: &str| text.parse::<SocketAddr>().unwrap();
        let tuple = Tuple { local: end(local), remote: end(remote) };
        self.pipeline.record(&Record::Opened {
            id: ConnectionId(id as u64),
            time: 0,
            tuple,
            how,
            first: [0; 2],
            start: [0; 2],
        });
    }

    fn send(&mut self, id: usize, direction: Direction, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        let offset = &mut self.offsets[id][direction as usize];
        let len = u32::try_from(bytes.len()).unwrap();
        let segment =
            Segment { direction, offset: *offset, len, bytes, fin: false, rst: false, received: None };
        *offset += u64::from(len);
        self.time += 1_000_000;
        self.pipeline.record(&Record::Segment { id: ConnectionId(id as u64), time: self.time, segment });
        self
    }

    /// What the client sends, what the backend is sent, what it answers, what the client gets.
    fn exchange(&mut self, asked: &str, forwarded: &str) -> &mut Self {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        self.send(CLIENT, Direction::Ingress, asked).send(BACKEND, Direction::Egress, forwarded);
        self.send(BACKEND, Direction::Ingress, answer).send(CLIENT, Direction::Egress, answer)
    }

    fn end(&mut self) -> Vec<Value> {
        for id in [CLIENT, BACKEND] {
            for direction in [Direction::Ingress, Direction::Egress] {
                let offset = self.offsets[id][direction as usize];
                let segment =
                    Segment { direction, offset, len: 0, bytes: &[], fin: true, rst: false, received: None };
                let id = ConnectionId(id as u64);
                self.time += 1_000_000;
                self.pipeline.record(&Record::Segment { id, time: self.time, segment });
            }
            let bytes_received = self.offsets[id][Direction::Ingress as usize];
            let id = ConnectionId(id as u64);
            let totals = Some(Totals {
                bytes_received,
                bytes_acked: 0,
                srtt_us: 1,
                retransmits: 0,
                aborted: false,
                timed_out: false,
            });
            self.pipeline.record(&Record::Closed { id, time: self.time, totals });
        }
        self.pipeline.finish();
        let line = |event| {
            let mut line = Vec::new();
            native::render(&event, &mut line).unwrap();
            serde_json::from_slice(&line).unwrap()
        };
        self.pipeline.take_events().into_iter().map(line).collect()
    }
}

#[track_caller]
fn only<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let mut found = events.iter().filter(|event| event["kind"] == kind);
    let event = found.next().unwrap_or_else(|| panic!("no {kind} in {events:#?}"));
    assert!(found.next().is_none(), "more than one {kind}");
    event
}

fn leg<'a>(events: &'a [Value], leg: &str) -> &'a Value {
    events.iter().find(|event| event["kind"] == "connection" && event["leg"] == leg).unwrap()
}

const LINE: &str = "PROXY TCP4 203.0.113.7 198.51.100.1 5000 80\r\n";
const ASKED: &str = "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn client(event: &Value) -> String {
    let client = &event["client"];
    let text = |value: &Value| value.to_string().replace('"', "");
    let source = &client["proxy_protocol"]["source"]["address"];
    [&client["address"], &client["determined_by"], &client["peer"]["address"], source].map(text).join(" ")
}

#[test]
fn a_header_ahead_of_http_on_both_legs() {
    for at in [0, 1, 5, 20, LINE.len(), LINE.len() + 3] {
        let mut rig = Rig::new("10.0.0.5:4000");
        let sent = format!("{LINE}{ASKED}");
        let (first, second) = sent.split_at(at);
        if at > 0 {
            rig.send(CLIENT, Direction::Ingress, first);
        }
        // Two of the house behind each other: the same bytes in front of what the backend is sent.
        rig.exchange(second, &sent).exchange(ASKED, ASKED);
        let events = rig.end();
        let requests: Vec<&Value> = events.iter().filter(|event| event["kind"] == "http.request").collect();
        assert_eq!(requests.len(), 2, "{events:#?}");
        for request in requests {
            assert_eq!(client(request), "203.0.113.7 proxy_protocol 10.0.0.5 203.0.113.7");
            assert_eq!(request["http"]["request"]["head_bytes"], ASKED.len());
            assert_eq!(
                (&request["backend"]["join"], &request["outcome"]),
                (&"exact".into(), &"completed".into())
            );
        }
        let (own, other) = (leg(&events, "client"), leg(&events, "backend"));
        assert_eq!(client(own), "203.0.113.7 proxy_protocol 10.0.0.5 203.0.113.7");
        assert_eq!(client(other), "203.0.113.7 proxy_protocol null 203.0.113.7");
        assert_eq!(own["bytes_received"], LINE.len() + 2 * ASKED.len());
        assert!(!events.iter().any(|event| event["kind"] == "coverage"), "{events:#?}");
    }
}

#[test]
fn who_is_not_trusted_is_not_believed() {
    let mut rig = Rig::new("192.0.2.66:4000");
    let events = rig.exchange(&format!("{LINE}{ASKED}"), ASKED).end();
    assert_eq!(client(only(&events, "http.request")), "192.0.2.66 peer 192.0.2.66 203.0.113.7");
    assert_eq!(client(leg(&events, "client")), "192.0.2.66 peer 192.0.2.66 203.0.113.7");
    assert_eq!(leg(&events, "backend")["client"], Value::Null);
}

#[test]
fn ids_are_made_of_the_place_in_the_stream() {
    let id = |start: &str| {
        let events = Rig::new("10.0.0.5:4000").exchange(&format!("{start}{ASKED}"), ASKED).end();
        only(&events, "http.request")["id"].clone()
    };
    // The same place, reached in two ways.
    assert_eq!(id("PROXY UNKNOWN\r\n"), id(&"\r".repeat(15)));
    assert_ne!(id("PROXY UNKNOWN\r\n"), id(""));
}

#[test]
fn headers_that_lie() {
    let two = |length: u16, rest: &[u8]| {
        [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &length.to_be_bytes()[..], rest, ASKED.as_bytes()].concat()
    };
    let inet = [192, 0, 2, 1, 198, 51, 100, 2, 1, 2, 1, 187];
    let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let check = |sent: &[u8], answer: &str, requests: usize| {
        let mut rig = Rig::new("10.0.0.5:4000");
        rig.send(CLIENT, Direction::Ingress, sent);
        if !answer.is_empty() {
            rig.send(CLIENT, Direction::Egress, answer);
        }
        let events = rig.end();
        let told = events
            .iter()
            .filter(|event| event["kind"] == "coverage")
            .find(|event| event["what"] == "unreadable");
        let told = told.unwrap_or_else(|| panic!("not told of: {events:#?}"));
        assert_eq!(told["reason"], "malformed", "{sent:02x?}");
        let named =
            |event: &&Value| event["kind"] == "http.request" && !event["http"]["request"]["method"].is_null();
        assert_eq!(events.iter().filter(named).count(), requests, "{events:#?}");
    };
    // Shorter than its addresses: the server answers, or closes. No byte behind it is a request.
    check(&two(4, &[]), refused, 0);
    check(&two(4, &[]), "", 0);
    // Longer than all that comes.
    check(&two(60_000, &inet), "", 0);
    // A TLV that is longer than the header, which ends where it says.
    check(&two(15, &[&inet[..], &[4, 0, 9]].concat()), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1);
    // Half of a line.
    check(b"PROXY TCP4 1.1.1.1 ", refused, 0);
    check(b"PROXY TCP4 1.1.1.1 ", "", 0);
}

#[test]
fn a_websocket() {
    let mut rig = Rig::new("192.0.2.66:4000");
    let asked = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    rig.send(CLIENT, Direction::Ingress, asked).send(BACKEND, Direction::Egress, asked);
    rig.send(BACKEND, Direction::Ingress, agreed).send(CLIENT, Direction::Egress, agreed);
    for _ in 0..3 {
        // Looks like a request, and is none.
        rig.send(CLIENT, Direction::Ingress, ASKED).send(BACKEND, Direction::Egress, ASKED);
        rig.send(BACKEND, Direction::Ingress, [0x81; 10]).send(CLIENT, Direction::Egress, [0x81; 10]);
    }
    let events = rig.end();
    let request = only(&events, "http.request");
    let tunnel = &request["http"]["tunnel"];
    assert_eq!(tunnel["protocol"], "websocket");
    assert_eq!(
        (&tunnel["request_bytes"], &tunnel["response_bytes"]),
        (&(3 * ASKED.len()).into(), &30.into())
    );
    // From the response (the fourth millisecond) to the second FIN (the eighteenth).
    assert_eq!((&tunnel["duration_us"], &request["timing"]["duration_us"]), (&14_000.into(), &17_000.into()));
    assert_eq!(
        (&request["outcome"], &request["http"]["response"]["status"]),
        (&"completed".into(), &101.into())
    );
    assert_eq!(request["http"]["response"]["body_bytes"], 0);
    assert_eq!(leg(&events, "client")["protocol"], "tunnel");
}
