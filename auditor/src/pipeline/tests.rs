//! Records in, events out: what a client forges, and what it costs.

use std::collections::HashMap;

use auditor_ebpf::window::Want;
use serde_json::Value;

use super::*;
use crate::capture::record::{How, Segment, Totals, Tuple};
use crate::emit::id::Domain;
use crate::emit::model::{Source, Text};
use crate::emit::native;

mod forged;
mod losses;
mod passthrough;
mod routes;
mod secure;
mod walked;

const SECOND: Nanos = 1_000_000_000;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the source was told last.
#[derive(Default)]
struct Wants(HashMap<(ConnectionId, usize), Want>);

impl Feedback for Wants {
    fn needed(&mut self, id: ConnectionId, direction: Direction, want: Want) {
        self.0.insert((id, direction as usize), want);
    }
}

/// A pipeline with one client's connection, whose TCP takes what [`Self::asks`] sends and drops what is forged.
struct Rig {
    pipeline: Pipeline<Wants>,
    id: ConnectionId,
    time: Nanos,
    /// What TCP has accepted, and sent.
    offsets: [u64; 2],
    events: Vec<Value>,
}

impl Rig {
    fn new() -> Self {
        Self::within(1000, 1 << 20)
    }

    fn within(connections: usize, held_bytes: usize) -> Self {
        let limits =
            Limits { connections, stream: Default::default(), held_bytes, http1: Default::default() };
        let settings = Settings {
            source: Arc::new(Source { cluster: None, node: Text::from_static("node"), controller: None }),
            domain: Domain::Boot(uuid::Uuid::from_u128(1)),
            management_ports: Vec::new(),
            management_paths: Vec::new(),
            query_allow: Vec::new(),
            trusted: Vec::new(),
            forwarding_headers: Vec::new(),
        };
        let attribution = Arc::new(Attribution::none());
        let pipeline = Pipeline::new(limits, settings, attribution, 0, Wants::default());
        let mut rig = Self { pipeline, id: ConnectionId(0), time: 0, offsets: [0; 2], events: Vec::new() };
        rig.connect(1);
        rig
    }

    fn connect(&mut self, id: u16) -> &mut Self {
        self.opened(id, How::Passive, [0; 2])
    }

    fn opened(&mut self, id: u16, how: How, start: [u64; 2]) -> &mut Self {
        let tuple = Tuple { local: ([10, 0, 0, 1], 80).into(), remote: ([10, 0, 0, 2], id).into() };
        (self.id, self.offsets) = (ConnectionId(id.into()), start);
        self.time += 1;
        let (id, time) = (self.id, self.time);
        self.record(&Record::Opened { id, time, tuple, how, first: [0; 2], start })
    }

    fn record(&mut self, record: &Record<'_>) -> &mut Self {
        self.pipeline.record(record);
        self.collect()
    }

    fn collect(&mut self) -> &mut Self {
        for event in self.pipeline.take_events() {
            let mut line = Vec::new();
            native::render(&event, &mut line).unwrap();
            self.events.push(serde_json::from_slice(&line).unwrap());
        }
        self
    }

    /// A segment of which `copied` is copied.
    fn segment(&mut self, direction: Direction, offset: u64, len: usize, copied: &[u8]) -> &mut Self {
        let len = u32::try_from(len).unwrap();
        self.packet(Segment {
            direction,
            offset,
            len,
            bytes: copied,
            fin: false,
            rst: false,
            received: Some(self.offsets[0]),
        })
    }

    fn packet(&mut self, segment: Segment<'_>) -> &mut Self {
        self.time += 1;
        let (id, time) = (self.id, self.time);
        self.record(&Record::Segment { id, time, segment })
    }

    /// A segment in the place of the client's next byte that TCP drops.
    fn forged(&mut self, bytes: &[u8]) -> &mut Self {
        self.segment(Direction::Ingress, self.offsets[0], bytes.len(), bytes)
    }

    /// The client's next bytes; copied as far as the source has been told that they are needed.
    fn asks(&mut self, text: &str) -> &mut Self {
        let at = self.offsets[0];
        let wanted = self
            .pipeline
            .feedback
            .0
            .get(&(self.id, 0))
            .filter(|want| !want.tls)
            .map_or(0, |want| want.offset);
        let unwanted = usize::try_from(wanted.saturating_sub(at)).unwrap().min(text.len());
        if unwanted > 0 {
            self.segment(Direction::Ingress, at, unwanted, b"");
        }
        if unwanted < text.len() {
            let rest = &text.as_bytes()[unwanted..];
            self.segment(Direction::Ingress, at + unwanted as u64, rest.len(), rest);
        }
        self.offsets[0] += text.len() as u64;
        self
    }

    fn answers(&mut self, text: &str) -> &mut Self {
        let at = self.offsets[1];
        self.offsets[1] += text.len() as u64;
        self.segment(Direction::Egress, at, text.len(), text.as_bytes())
    }

    fn get(&mut self, path: &str) -> &mut Self {
        self.asks(&get(path)).answers(OK)
    }

    fn closed(&mut self, aborted: bool) -> &mut Self {
        self.time += 1;
        let [bytes_received, bytes_acked] = self.offsets;
        let totals = Totals { bytes_received, bytes_acked, aborted, ..Totals::default() };
        let (id, time) = (self.id, self.time);
        self.record(&Record::Closed { id, time, totals: Some(totals) }).later()
    }

    /// Time passes until all is told.
    fn later(&mut self) -> &mut Self {
        self.time += 20 * SECOND;
        self.pipeline.tick(self.time);
        self.collect()
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["kind"] == kind)
    }

    /// For each request: its path, status, and whether all of it is sure.
    fn requests(&self) -> Vec<(&str, u64, bool)> {
        let request = |event: &'static str| event;
        self.of_kind(request("http.request"))
            .map(|event| {
                let http = &event["http"];
                let path = http["request"]["path"].as_str().unwrap_or("-");
                let status = http["response"]["status"].as_u64().unwrap_or(0);
                (path, status, event["observation"]["complete"].as_bool().unwrap())
            })
            .collect()
    }

    /// Whether the first request bears a note.
    fn has_note(&self, note: &str) -> bool {
        let first = self.of_kind("http.request").next().unwrap();
        first["observation"]["notes"].as_array().unwrap().iter().any(|other| other == note)
    }

    /// How many `coverage` events of this reason name a connection, and how many do not.
    fn told(&self, reason: &str) -> (usize, usize) {
        let (named, counted): (Vec<_>, Vec<_>) = self
            .of_kind("coverage")
            .filter(|event| event["reason"] == reason)
            .partition(|event| !event["subject"]["connection"].is_null());
        (named.len(), counted.len())
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// Packets of UDP are told by port where the controller listens, each report what came since the one before.
#[test]
fn datagrams_are_told_by_port() {
    let mut rig = Rig::new();
    // The rig's connection was accepted at port 80.
    for (port, packets) in [(80, 3), (443, 1), (53, 7), (80, 2)] {
        rig.pipeline.datagrams(port, packets, packets * 100);
    }
    rig.later();
    rig.pipeline.datagrams(80, 1, 50);
    rig.later();
    let told: Vec<_> = rig
        .of_kind("coverage")
        .map(|event| {
            assert_eq!(event["what"], "not_covered");
            let [count, bytes] = ["count", "bytes"].map(|name| event[name].as_u64().unwrap());
            (event["reason"].as_str().unwrap(), event["subject"]["udp_port"].as_u64(), count, bytes)
        })
        .collect();
    let expected = [
        ("not_tcp", None, 7, 700),
        ("udp", Some(80), 5, 500),
        ("udp", Some(443), 1, 100),
        ("udp", Some(80), 1, 50),
    ];
    assert_eq!(told, expected);
}
