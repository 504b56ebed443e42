//! The reader of capture files against tshark, on real captures: the same connections, the same bytes each way.
//!
//! The captures are those of the JA4 project in the shared corpora (`AUDITOR_CORPORA`, or beside the repository). Without
//! them, or without tshark, the test says so on stderr and checks nothing.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail by panicking")]
#![expect(clippy::explicit_write, reason = "the test harness hides what a passing test prints with eprintln")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Write, stderr};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use auditor::capture::pcap::{Counters, Options, read};
use auditor::capture::record::{ConnectionId, Direction, Record};

/// What each end of a connection sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Conversation {
    sent: BTreeMap<SocketAddr, Vec<u8>>,
}

fn skip(why: &str) {
    writeln!(stderr(), "SKIPPED pcap_tshark: {why}").unwrap();
}

fn captures() -> Vec<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora");
    let folder = std::env::var_os("AUDITOR_CORPORA").map_or(beside, PathBuf::from).join("ja4");
    let Ok(entries) = folder.read_dir() else { return vec![] };
    let mut captures: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    captures.retain(|path| path.extension().is_some_and(|ext| ext == "pcap" || ext == "pcapng"));
    captures.sort();
    captures
}

fn tshark(file: &Path, arguments: &[&str]) -> String {
    let output = Command::new("tshark").arg("-r").arg(file).args(arguments).output().unwrap();
    assert!(output.status.success(), "{file:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn hex(line: &str) -> Vec<u8> {
    line.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// What tshark says: connections in the order of their first packet, those without payload left out.
fn expected(file: &Path) -> Vec<Conversation> {
    let streams = tshark(file, &["-T", "fields", "-e", "tcp.stream"]);
    let last = streams.split_ascii_whitespace().map(|stream| stream.parse::<u32>().unwrap()).max();
    let count = last.map_or(0, |last| last + 1);
    let follow: Vec<String> = (0..count).flat_map(|n| ["-z".into(), format!("follow,tcp,raw,{n}")]).collect();
    let mut arguments = vec!["-q"];
    arguments.extend(follow.iter().map(String::as_str));
    let text = tshark(file, &arguments);
    let mut conversations: BTreeMap<u32, Conversation> = BTreeMap::new();
    let (mut stream, mut nodes) = (0, vec![]);
    for line in text.lines() {
        if line.starts_with('=') {
            nodes.clear();
        } else if let Some(number) = line.strip_prefix("Filter: tcp.stream eq ") {
            stream = number.parse().unwrap();
        } else if let Some(node) = line.strip_prefix("Node ") {
            nodes.push(node.split_once(": ").unwrap().1.parse::<SocketAddr>().unwrap());
        } else if nodes.len() == 2 && !line.is_empty() {
            let (node, line) = line.strip_prefix('\t').map_or((0, line), |line| (1, line));
            let conversation = conversations.entry(stream).or_default();
            conversation.sent.entry(nodes[node]).or_default().extend(hex(line));
        }
    }
    conversations.into_values().collect()
}

/// What the reader says, put together by offsets.
fn seen(file: &Path) -> (Vec<Conversation>, Counters) {
    let mut order = Vec::new();
    let mut ends: BTreeMap<ConnectionId, [SocketAddr; 2]> = BTreeMap::new();
    let mut pieces: BTreeMap<(ConnectionId, SocketAddr), BTreeMap<u64, Vec<u8>>> = BTreeMap::new();
    let mut counters = Counters::default();
    read(File::open(file).unwrap(), &Options::default(), &mut counters, &mut |record| match record {
        Record::Opened { id, tuple, .. } => {
            order.push(id);
            ends.insert(id, [tuple.remote, tuple.local]);
        }
        Record::Segment { id, segment, .. } if segment.len > 0 => {
            assert_eq!(segment.bytes.len(), segment.len as usize, "these captures are whole");
            let from = ends[&id][usize::from(segment.direction == Direction::Egress)];
            let pieces = pieces.entry((id, from)).or_default();
            let longest = pieces.entry(segment.offset).or_default();
            if longest.len() < segment.bytes.len() {
                *longest = segment.bytes.to_vec();
            }
        }
        _ => {}
    })
    .unwrap();
    let conversations = order.into_iter().map(|id| {
        let mut conversation = Conversation::default();
        for from in ends[&id] {
            let Some(pieces) = pieces.get(&(id, from)) else { continue };
            let mut sent = Vec::new();
            let mut next = 0;
            for (offset, piece) in pieces {
                if *offset > next {
                    // As tshark writes what it did not see.
                    sent.extend(format!("[{} bytes missing in capture file]\0", offset - next).into_bytes());
                    next = *offset;
                }
                let known = usize::try_from(next - offset).unwrap();
                sent.extend(piece.get(known..).unwrap_or_default());
                next = next.max(offset + piece.len() as u64);
            }
            conversation.sent.insert(from, sent);
        }
        conversation
    });
    (conversations.filter(|conversation| !conversation.sent.is_empty()).collect(), counters)
}

#[test]
fn the_same_bytes_as_tshark() {
    if Command::new("tshark").arg("--version").output().is_err() {
        return skip("tshark is not installed");
    }
    let captures = captures();
    if captures.is_empty() {
        return skip("no captures: set AUDITOR_CORPORA to the folder of the shared corpora");
    }
    for file in captures {
        let expected = expected(&file);
        let (seen, counters) = seen(&file);
        assert!(!expected.is_empty(), "tshark found nothing in {file:?}");
        assert_eq!(seen.len(), expected.len(), "connections in {file:?}: {counters:?}");
        for (n, (seen, expected)) in seen.iter().zip(&expected).enumerate() {
            let ends = |conversation: &Conversation| {
                conversation.sent.iter().map(|(from, sent)| (*from, sent.len())).collect::<Vec<_>>()
            };
            assert_eq!(ends(seen), ends(expected), "connection {n} of {file:?}");
            assert!(seen == expected, "the bytes of connection {n} of {file:?} differ");
        }
        let lengths = tshark(&file, &["-T", "fields", "-e", "tcp.len"]);
        let total: u64 = lengths.split_ascii_whitespace().map(|len| len.parse::<u64>().unwrap()).sum();
        assert_eq!(counters.payload_bytes, total, "payload in {file:?}");
    }
}
