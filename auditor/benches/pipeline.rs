//! What a proxied request costs, from the segments that capture gives to the lines that are written, and what its stages
//! cost: `cargo bench -p auditor`. All of it on one thread, so that items per second are requests per second of one core.
//!
//! A request is what an ingress controller makes of it: four heads, two answers of 1 KiB, on kept-alive connections with
//! others in flight; both legs joined, judged by the rules of 50 hosts, and rendered.

#![expect(clippy::indexing_slicing, reason = "a benchmark that fails by panicking")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot set up its traffic has nothing to measure")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use auditor::assemble::stream::{Limits as StreamLimits, Stream};
use auditor::attribute::Attribution;
use auditor::attribute::manifests;
use auditor::attribute::routes::Options;
use auditor::capture::record::{ConnectionId, Direction, How, Record, Segment, Tuple};
use auditor::decode::forwarding::ForwardingHeader;
use auditor::decode::http1::{Limits, head};
use auditor::emit::build::Settings;
use auditor::emit::id::Domain;
use auditor::emit::model::http::{Agrees, Join};
use auditor::emit::model::{Body, Event, Source, Text};
use auditor::emit::native;
use auditor::pipeline::{self, Pipeline};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// Ingresses, each with one host.
const HOSTS: usize = 50;
/// Connections of each leg.
const CONNECTIONS: usize = 64;
/// Requests in flight at once.
const IN_FLIGHT: usize = 8;
/// Requests of one call.
const BATCH: usize = 1024;

fn request_head(n: usize, forwarded: bool) -> Vec<u8> {
    let mut head = format!(
        "GET /catalog/items/{n}/reviews?page=2&sort=newest HTTP/1.1\r\n\
         Host: shop{}.example.com\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
         Accept-Language: en-US,en;q=0.5\r\n\
         Accept-Encoding: gzip, deflate, br\r\n\
         Cookie: session=8f14e45fceea167a5a36dedd4bea2543\r\n",
        n % HOSTS
    );
    if forwarded {
        write!(
            head,
            "X-Request-ID: 5e2b3c1d7a9f4e60b1c2d3e4f5a6{n:04x}\r\nX-Real-IP: 203.0.113.{0}\r\n\
             X-Forwarded-For: 203.0.113.{0}\r\nX-Forwarded-Proto: http\r\nX-Scheme: http\r\n",
            n % CONNECTIONS
        )
        .unwrap();
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn response() -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 20:43:15 GMT\r\nContent-Type: text/html; charset=utf-8\r\n\
                Content-Length: 1024\r\nConnection: keep-alive\r\nVary: Accept-Encoding\r\n\
                Cache-Control: private, max-age=60\r\nETag: \"5f2b-64a1c3\"\r\nX-Content-Type-Options: nosniff\r\n\r\n";
    [head.as_bytes(), &[b'x'; 1024]].concat()
}

fn attribution() -> Attribution {
    let mut yaml = String::new();
    for n in 0..HOSTS {
        write!(
            yaml,
            "---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: shop{n}, namespace: shops}}
spec:
  rules:
  - host: shop{n}.example.com
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web{n}, port: {{number: 80}}}}}}}},
                  {{path: /catalog, pathType: Prefix, backend: {{service: {{name: web{n}, port: {{number: 80}}}}}}}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web{n}, namespace: shops}}
spec: {{ports: [{{port: 80}}], selector: {{app: web{n}}}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web{n}, namespace: shops, labels: {{kubernetes.io/service-name: web{n}}}}}
addressType: IPv4
ports: [{{port: 8080}}]
endpoints: [{{addresses: [10.1.0.{n}], conditions: {{ready: true}}}}]
"
        )
        .unwrap();
    }
    let objects = manifests::parse(Path::new("shops.yaml"), yaml.as_bytes()).unwrap();
    Attribution::new(&objects, &Options::default())
}

/// A kept-alive connection: how far its two directions are.
struct Connection {
    id: ConnectionId,
    offsets: [u64; 2],
}

/// The traffic of a controller, without end, and the pipeline that reads it.
struct Traffic {
    pipeline: Pipeline<()>,
    clients: Vec<Connection>,
    backends: Vec<Connection>,
    asked: Vec<Vec<u8>>,
    forwarded: Vec<Vec<u8>>,
    response: Vec<u8>,
    time: u64,
    next: usize,
    lines: Vec<u8>,
}

impl Traffic {
    fn new() -> Self {
        let limits = pipeline::Limits {
            connections: 1 << 17,
            stream: StreamLimits::default(),
            held_bytes: 64 << 20,
            http1: Limits::default(),
        };
        let settings = Settings {
            source: Arc::new(Source {
                cluster: Some(Text::from_static("production")),
                node: Text::from_static("worker-7"),
                controller: None,
            }),
            domain: Domain::Boot(uuid::Uuid::from_u128(7)),
            management_ports: vec![10_254],
            management_paths: vec!["/healthz".to_owned()],
            query_allow: vec!["page".to_owned()],
            trusted: Vec::new(),
            forwarding_headers: ForwardingHeader::ALL.to_vec(),
        };
        let kinds = HOSTS * CONNECTIONS;
        let mut traffic = Self {
            pipeline: Pipeline::new(limits, settings, Arc::new(attribution()), 0, ()),
            clients: Vec::new(),
            backends: Vec::new(),
            asked: (0..kinds).map(|n| request_head(n, false)).collect(),
            forwarded: (0..kinds).map(|n| request_head(n, true)).collect(),
            response: response(),
            time: 1_795_466_595_000_000_000,
            next: 0,
            lines: Vec::new(),
        };
        let pipeline = &mut traffic.pipeline;
        traffic.clients = (0..CONNECTIONS)
            .map(|n| open(pipeline, n, How::Passive, "10.0.0.5:80", &format!("203.0.113.{n}:40000")))
            .collect();
        traffic.backends = (0..HOSTS)
            .map(|n| {
                let local = format!("10.0.0.5:{}", 50_000 + n);
                open(pipeline, CONNECTIONS + n, How::Active, &local, &format!("10.1.0.{n}:8080"))
            })
            .collect();
        traffic
    }

    /// Some requests with all that belongs to them; gives their events.
    fn exchanges(&mut self, requests: usize) -> Vec<Event> {
        use Direction::{Egress, Ingress};
        let Self { pipeline, clients, backends, asked, forwarded, response, time, next, .. } = self;
        let mut send = |connection: &mut Connection, direction: Direction, bytes: &[u8]| {
            let offset = &mut connection.offsets[direction as usize];
            let len = u32::try_from(bytes.len()).unwrap();
            let segment =
                Segment { direction, offset: *offset, len, bytes, fin: false, rst: false, received: None };
            *offset += u64::from(len);
            *time += 1_000;
            pipeline.record(&Record::Segment { id: connection.id, time: *time, segment });
        };
        for _ in 0..requests / IN_FLIGHT {
            let now: [usize; IN_FLIGHT] = std::array::from_fn(|n| (*next + n) % asked.len());
            *next += IN_FLIGHT;
            now.iter().for_each(|&n| send(&mut clients[n % CONNECTIONS], Ingress, &asked[n]));
            now.iter().for_each(|&n| send(&mut backends[n % HOSTS], Egress, &forwarded[n]));
            now.iter().for_each(|&n| send(&mut backends[n % HOSTS], Ingress, response));
            now.iter().for_each(|&n| send(&mut clients[n % CONNECTIONS], Egress, response));
        }
        pipeline.take_events()
    }

    /// Some requests, from segments to lines.
    #[inline(never)]
    fn lines(&mut self, requests: usize) -> usize {
        self.lines.clear();
        for _ in 0..requests / 64 {
            for event in self.exchanges(64) {
                native::render(&event, &mut self.lines).unwrap();
            }
        }
        self.lines.len()
    }
}

fn open(pipeline: &mut Pipeline<()>, id: usize, how: How, local: &str, remote: &str) -> Connection {
    let end = |text: &str| text.parse::<SocketAddr>().unwrap();
    let (id, tuple) = (ConnectionId(id as u64), Tuple { local: end(local), remote: end(remote) });
    pipeline.record(&Record::Opened {
        id,
        time: 1_795_466_594_000_000_000,
        tuple,
        how,
        first: [1, 1],
        start: [0; 2],
    });
    Connection { id, offsets: [0; 2] }
}

/// What is measured is worth nothing if it is not what it should be.
fn check(events: &[Event], requests: usize) {
    assert_eq!(events.len(), requests);
    for event in events {
        let Body::HttpRequest(request) = &event.body else { panic!("{event:?}") };
        let backend = request.backend.as_ref().unwrap();
        assert_eq!((request.agrees, backend.join), (Agrees::Yes, Join::Exact), "{event:?}");
    }
}

#[divan::bench]
fn segments_to_lines(bencher: Bencher<'_, '_>) {
    let mut traffic = Traffic::new();
    check(&traffic.exchanges(BATCH), BATCH);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| traffic.lines(BATCH));
}

#[divan::bench]
fn segments_to_events(bencher: Bencher<'_, '_>) {
    let mut traffic = Traffic::new();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| traffic.exchanges(BATCH));
}

#[divan::bench]
fn render_event(bencher: Bencher<'_, '_>) {
    let events = Traffic::new().exchanges(BATCH);
    let mut lines = Vec::new();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        lines.clear();
        events.iter().for_each(|event| native::render(event, &mut lines).unwrap());
        lines.len()
    });
}

#[divan::bench]
fn parse_request_head(bencher: Bencher<'_, '_>) {
    let (bytes, limits) = (request_head(7, true), Limits::default());
    bencher
        .counter(ItemsCount::new(1usize))
        .bench(|| head::parse(head::Kind::Request, black_box(&bytes), &limits));
}

#[divan::bench]
fn parse_response_head(bencher: Bencher<'_, '_>) {
    let (bytes, limits) = (response(), Limits::default());
    bencher
        .counter(ItemsCount::new(1usize))
        .bench(|| head::parse(head::Kind::Response, black_box(&bytes), &limits));
}

#[divan::bench]
fn push_segment_in_order(bencher: Bencher<'_, '_>) {
    let (mut stream, limits, bytes) = (Stream::new(), StreamLimits::default(), response());
    let (len, mut offset) = (u32::try_from(bytes.len()).unwrap(), 0);
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        let direction = Direction::Ingress;
        let segment =
            Segment { direction, offset, len, bytes: &bytes, fin: false, rst: false, received: None };
        offset += u64::from(len);
        stream.push(&limits, black_box(&segment), 1, &mut |piece, _| {
            black_box(piece);
        });
    });
}
