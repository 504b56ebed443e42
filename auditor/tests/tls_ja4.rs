//! JA4 of real captures against what the JA4 project says of them.
//!
//! The captures are those of the JA4 project in the shared corpora (`AUDITOR_CORPORA`, or beside the repository). Without
//! them the test says so on stderr and checks nothing.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Write, stderr};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use auditor::assemble::Piece;
use auditor::assemble::stream::{Limits, Stream};
use auditor::assemble::tls::context::Context;
use auditor::assemble::tls::{Sink, Tls};
use auditor::capture::pcap::{Counters, Options, read};
use auditor::capture::record::{ConnectionId, Direction, Nanos, Record};

fn folder() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora");
    std::env::var_os("AUDITOR_CORPORA").map_or(beside, PathBuf::from).join("ja4")
}

struct Nothing;

impl Sink for Nothing {
    fn piece(&mut self, _: Direction, _: Piece<'_>, _: Nanos) {}
    fn lost(&mut self, _: Direction, _: u64, _: Nanos) {}
    fn needed(&self, _: Direction) -> u64 {
        0
    }
}

struct Connection {
    client: SocketAddr,
    streams: HashMap<Direction, Stream>,
    tls: Tls,
}

/// Fingerprint and server name by the client's end.
fn seen(file: &Path) -> BTreeMap<SocketAddr, (String, String)> {
    let mut connections: HashMap<ConnectionId, Connection> = HashMap::new();
    let mut cx = Context::default();
    let mut found = BTreeMap::new();
    read(
        File::open(file).unwrap(),
        &Options::default(),
        &mut Counters::default(),
        &mut |record| match record {
            Record::Opened { id, tuple, how, .. } => {
                use auditor::capture::record::How;
                let (client, ends) = match how {
                    How::Active => (Direction::Egress, tuple.local),
                    How::Passive | How::Joined => (Direction::Ingress, tuple.remote),
                };
                connections
                    .insert(id, Connection { client: ends, streams: HashMap::new(), tls: Tls::new(client) });
            }
            Record::Segment { id, time, segment } => {
                let Connection { client, streams, tls } = connections.get_mut(&id).unwrap();
                let stream = streams.entry(segment.direction).or_default();
                stream.push(&Limits::default(), &segment, time, &mut |piece, time| {
                    tls.feed(&mut cx, segment.direction, piece, time, &mut Nothing);
                });
                if let Some(ja4) = tls.facts().ja4 {
                    let name = tls.facts().server_name.as_deref().unwrap_or_default();
                    let name = String::from_utf8_lossy(name).into_owned();
                    found.insert(*client, (ja4.as_str().to_owned(), name));
                }
            }
            _ => {}
        },
    )
    .unwrap();
    found
}

/// The project's programs once wrote `9` for what is not ASCII in a protocol's name; its specification now wants the first and
/// last hexadecimal digit (FoxIO-LLC/ja4, issues 16, 148 and 326). The one such name in the corpus starts with the byte 0xba
/// and ends with 0xad or the like: its digits are read from the capture with tshark: `b` and `d`.
fn by_the_specification(ja4: &str) -> String {
    match ja4.split_at_checked(8) {
        Some((front, rest)) if rest.starts_with("99") => format!("{front}bd{}", &rest[2..]),
        _ => ja4.to_owned(),
    }
}

#[test]
fn fingerprints_are_those_of_the_project() {
    let mut checked = 0;
    for entry in folder().read_dir().into_iter().flatten() {
        let path = entry.unwrap().path();
        let Some(capture) = path.to_str().and_then(|path| path.strip_suffix(".ja4.json")) else { continue };
        let expected: serde_json::Value = serde_json::from_reader(File::open(&path).unwrap()).unwrap();
        let seen = seen(Path::new(capture));
        for stream in expected.as_array().unwrap() {
            let text = |key: &str| stream[key].as_str().unwrap_or_default();
            let client = SocketAddr::new(text("src").parse().unwrap(), text("srcport").parse().unwrap());
            let found = seen.get(&client).map(|(ja4, name)| (&ja4[..], &name[..]));
            let ja4 = by_the_specification(text("ja4"));
            assert_eq!(found, Some((&ja4[..], text("sni"))), "{client} in {capture}");
            checked += 1;
        }
        assert_eq!(seen.len(), expected.as_array().unwrap().len(), "connections in {capture}");
    }
    if checked == 0 {
        writeln!(
            stderr(),
            "SKIPPED tls_ja4: no captures: set AUDITOR_CORPORA to the folder of the shared corpora"
        )
        .unwrap();
    }
}
