//! The kernel programs on this kernel: what one process sends is in the ring, whole, whoever reads it.
//!
//! Needs root, a cgroup v2 tree and the programs; says so on stderr where it cannot run.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]
#![expect(clippy::explicit_write, reason = "the test harness hides what a passing test prints with eprintln")]

#[path = "support/cgroup.rs"]
mod cgroup;

use std::fs;
use std::io::{Read, Write, stderr};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use auditor::capture::kernel::attach::{Attachment, Handles, Options, PROGRAMS, attach};
use auditor::capture::kernel::clock::Clock;
use auditor::capture::kernel::memory::{Counters, Wants};
use auditor::capture::kernel::parse::parse;
use auditor::capture::kernel::ring::Ring;
use auditor::capture::record::{Direction, Record};
use auditor_ebpf::abi::Counter;
use auditor_ebpf::window::Want;

/// Longer than any of these takes; nothing waits for it unless it fails.
const LONG: Duration = Duration::from_secs(30);

/// A cgroup, removed at the end of its test however that ends.
struct Cgroup(cgroup::Directory);

impl Cgroup {
    fn new(name: &str) -> Option<Self> {
        let skip = |why: &str| {
            writeln!(stderr(), "SKIPPED kernel::{name}: {why}").unwrap();
            None
        };
        if PROGRAMS.is_empty() {
            return skip("built without the kernel programs");
        }
        match cgroup::Directory::new(name) {
            Ok(directory) => Some(Self(directory)),
            Err(why) => skip(&why),
        }
    }

    fn attach(&self) -> Attachment {
        let options = Options { ring_bytes: 8 << 20, request_window: 65_536, response_window: 16_384 };
        attach(PROGRAMS, self.0.path(), options).unwrap()
    }

    /// Runs a script of bash in the cgroup.
    fn bash(&self, script: &str) -> Child {
        let enter = format!("echo $$ > {}/cgroup.procs; {script}", self.0.path().display());
        Command::new("bash").arg("-c").arg(enter).spawn().unwrap()
    }
}

/// A reader of the ring that puts what the controller sent where it belongs.
struct Reader {
    ring: Ring,
    clock: Clock,
}

impl Reader {
    fn new(handles: Handles) -> (Self, Counters) {
        let counters = Counters::new(&handles.counters, handles.cpus).unwrap();
        let ring = Ring::new(handles.ring, handles.ring_bytes).unwrap();
        (Self { ring, clock: Clock::now().unwrap() }, counters)
    }

    /// Takes at most `limit` records; false once the connection is closed.
    fn read(&mut self, limit: usize, sent: &mut Vec<u8>) -> bool {
        let mut open = true;
        self.ring.wait(Duration::from_millis(1)).unwrap();
        let clock = self.clock;
        self.ring.drain(limit, |bytes| match parse(bytes, &clock).unwrap() {
            Record::Segment { segment, .. } if segment.direction == Direction::Egress => {
                assert_eq!(segment.offset, sent.len() as u64, "a record is missing or comes again");
                assert_eq!(segment.bytes.len(), segment.len as usize);
                sent.extend_from_slice(segment.bytes);
            }
            Record::Closed { .. } => open = false,
            _ => {}
        });
        open
    }
}

#[test]
fn the_ring_is_handed_over() {
    let Some(cgroup) = Cgroup::new("handover") else { return };
    let attachment = cgroup.attach();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; for i in {{1..5000}}; do echo $i >&3; done");
    let mut child = cgroup.bash(&script);
    let (mut peer, _) = listener.accept().unwrap();
    let expected: String = (1..=5000).map(|number| format!("{number}\n")).collect();

    let (mut first, _) = Reader::new(attachment.handles().unwrap());
    let mut sent = Vec::new();
    let started = Instant::now();
    // One record of several: what a loop of small writes becomes is up to TCP.
    while sent.is_empty() {
        assert!(started.elapsed() < LONG, "{} bytes of {}", sent.len(), expected.len());
        assert!(first.read(1, &mut sent), "closed after {} bytes", sent.len());
    }
    assert!(sent.len() < expected.len(), "nothing is left for the second reader");
    drop(first);
    // Everything is sent while nobody reads the ring.
    let mut received = String::new();
    peer.read_to_string(&mut received).unwrap();
    drop(peer);
    assert!(child.wait().unwrap().success());
    assert_eq!(received, expected);

    let (mut second, counters) = Reader::new(attachment.handles().unwrap());
    while second.read(usize::MAX, &mut sent) {
        assert!(started.elapsed() < LONG);
    }
    assert_eq!(String::from_utf8(sent).unwrap(), expected);
    let losses = counters.read();
    assert!(losses.iter().all(|count| *count == 0), "{losses:?}");
}

/// Long downloads over TLS come as such packets: in entries four times as long they filled half of the ring, past which not
/// all is copied, though it was wanted.
#[test]
fn a_packet_with_a_record_of_tls_takes_little_more_than_itself() {
    let Some(cgroup) = Cgroup::new("entry") else { return };
    let attachment = cgroup.attach();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // AES-GCM of TLS 1.2: a header, a nonce, 2^14 bytes, a tag.
    let record = 5 + 8 + 16_384 + 16;
    let script = format!("dd if=/dev/zero bs={record} count=1 status=none >/dev/tcp/127.0.0.1/{port}");
    let mut child = cgroup.bash(&script);
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(peer.read_to_end(&mut Vec::new()).unwrap(), record);
    assert!(child.wait().unwrap().success());

    let (mut reader, _) = Reader::new(attachment.handles().unwrap());
    let mut entries = Vec::new();
    let clock = reader.clock;
    reader.ring.drain(usize::MAX, |bytes| {
        if let Record::Segment { segment, .. } = parse(bytes, &clock).unwrap()
            && !segment.bytes.is_empty()
        {
            entries.push((bytes.len(), segment.bytes.len()));
        }
    });
    // One write, and shorter than the interface's segments: one packet.
    let [(entry, copied)] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(*copied, record);
    assert!(*entry < record + record / 3, "{entry} bytes for {copied}");
}

/// Records as TLS has them (RFC 8446, 5.1), of these lengths in turn; and where each begins.
fn records(lengths: &[u16], total: usize) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut starts) = (Vec::new(), Vec::new());
    for (number, len) in (0_u8..=255).cycle().zip(lengths.iter().cycle()) {
        if bytes.len() > total {
            break;
        }
        starts.push(bytes.len());
        bytes.extend([23, 3, 3]);
        bytes.extend(len.to_be_bytes());
        bytes.extend((0..*len).map(|at| number ^ at.to_le_bytes()[0]));
    }
    (bytes, starts)
}

#[test]
fn of_records_that_nobody_needs_the_boundaries_are_told() {
    // Of the last a packet has more than are told one by one: they are copied, and fit into the ring whoever reads it.
    for (lengths, total, share) in [
        (&[16_401][..], 12 << 20, 30),
        (&[16_401, 16_401, 16_401, 200, 1000], 12 << 20, 10),
        (&[700, 32, 33, 31, 9000], 3 << 20, 1),
    ] {
        let Some(cgroup) = Cgroup::new("records") else { return };
        let attachment = cgroup.attach();
        let handles = attachment.handles().unwrap();
        let wants = Wants::new(&handles.wants).unwrap();
        let (mut reader, counters) = Reader::new(handles);
        let (bytes, starts) = records(lengths, total);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &bytes).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script =
            format!("exec 3<>/dev/tcp/127.0.0.1/{port}; read -u 3; cat {} >&3", file.path().display());
        let mut child = cgroup.bash(&script);
        let (mut peer, _) = listener.accept().unwrap();
        let mut sink = peer.try_clone().unwrap();
        let received = std::thread::spawn(move || std::io::copy(&mut sink, &mut std::io::sink()).unwrap());

        let (mut seen, mut told, mut open) = (vec![false; bytes.len()], 0, true);
        let started = Instant::now();
        while open {
            assert!(started.elapsed() < LONG, "{told} bytes of {}", bytes.len());
            reader.ring.wait(Duration::from_millis(1)).unwrap();
            let clock = reader.clock;
            reader.ring.drain(usize::MAX, |record| match parse(record, &clock).unwrap() {
                Record::Opened { id, .. } => {
                    wants.set(id, Direction::Egress, Want { offset: u64::MAX, tls: true });
                    peer.write_all(b"go\n").unwrap();
                }
                Record::Segment { segment, .. } if segment.direction == Direction::Egress => {
                    // What TCP sends again comes again.
                    let at = usize::try_from(segment.offset).unwrap();
                    assert!(at <= told, "{at}: nothing was told from {told} on");
                    let there = at..at + segment.bytes.len();
                    assert!(bytes[there.clone()] == *segment.bytes, "other bytes at {at}");
                    seen[there].fill(true);
                    told = told.max(at + segment.len as usize);
                }
                Record::Closed { .. } => open = false,
                _ => {}
            });
        }
        assert!(child.wait().unwrap().success());
        assert_eq!((received.join().unwrap(), told), (bytes.len() as u64, bytes.len()));
        let losses = counters.read();
        assert_eq!(losses[Counter::RingFull as usize], 0, "{losses:?}");
        for start in starts {
            let around = start.saturating_sub(32)..(start + 13).min(bytes.len());
            assert!(seen[around].iter().all(|seen| *seen), "{lengths:?}: the boundary at {start}");
        }
        let copied = seen.iter().filter(|seen| **seen).count();
        assert!(copied * share <= bytes.len(), "{lengths:?}: {copied} bytes of {told}");
    }
}

/// What one connection sends over TLS, `front` first, while nobody reads the ring: how many bytes of it are copied.
fn unread(name: &str, front: &[u8], lengths: &[u16], total: usize) -> Option<(usize, usize)> {
    let cgroup = Cgroup::new(name)?;
    let attachment = cgroup.attach();
    let handles = attachment.handles().unwrap();
    let wants = Wants::new(&handles.wants).unwrap();
    let (mut reader, _) = Reader::new(handles);
    let file = std::env::temp_dir().join(format!("auditor-test-{}-{name}", std::process::id()));
    let bytes = records(lengths, total).0;
    fs::write(&file, &bytes).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let front = String::from_utf8(front.into()).unwrap();
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; printf %s '{front}' >&3; read -u 3; cat {} >&3",
        file.display()
    );
    let mut child = cgroup.bash(&script);
    let (mut peer, _) = listener.accept().unwrap();
    peer.read_exact(&mut vec![0; front.len()]).unwrap();
    let (mut copied, clock, started) = (0, reader.clock, Instant::now());
    let mut go = false;
    while !go {
        assert!(started.elapsed() < LONG);
        reader.ring.wait(Duration::from_millis(1)).unwrap();
        reader.ring.drain(usize::MAX, |record| {
            if let Record::Opened { id, .. } = parse(record, &clock).unwrap() {
                wants.set(id, Direction::Egress, Want { offset: u64::MAX, tls: true });
                go = true;
            }
        });
    }
    peer.write_all(b"go\n").unwrap();
    assert_eq!(std::io::copy(&mut peer, &mut std::io::sink()).unwrap(), bytes.len() as u64);
    assert!(child.wait().unwrap().success());
    reader.ring.drain(usize::MAX, |record| {
        if let Record::Segment { segment, .. } = parse(record, &clock).unwrap()
            && segment.direction == Direction::Egress
        {
            copied += segment.bytes.len();
        }
    });
    fs::remove_file(&file).unwrap();
    Some((copied, bytes.len()))
}

/// Neither more records than are told one by one, nor a direction whose records have no place, takes the room of heads.
#[test]
fn bodies_over_tls_take_no_more_than_half_of_the_ring() {
    for (name, front) in [("small", ""), ("nowhere", "GET / HTTP/1.1")] {
        let Some((copied, _)) = unread(name, front.as_bytes(), &[200], 12 << 20) else { return };
        assert!(copied < (4 << 20) + (256 << 10), "{name}: {copied} bytes");
    }
}

/// The header of the PROXY protocol that a proxy sends to its backend is no record; those behind it are walked.
#[test]
fn records_are_found_behind_a_proxy_header() {
    for (name, front) in [("proxy", "PROXY TCP4 10.0.0.1 10.0.0.2 1 443"), ("plain", "GET / HTTP/1.1")] {
        let Some((copied, total)) = unread(name, front.as_bytes(), &[16_401], 3 << 20) else { return };
        assert_eq!(copied * 30 < total, name == "proxy", "{name}: {copied} bytes of {total}");
    }
}

#[test]
fn nothing_stays_attached() {
    let Some(cgroup) = Cgroup::new("detach") else { return };
    let attachment = cgroup.attach();
    let handles = attachment.handles().unwrap();
    drop(attachment);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut child = cgroup.bash(&format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo hello >&3"));
    let (mut peer, _) = listener.accept().unwrap();
    peer.read_to_string(&mut String::new()).unwrap();
    assert!(child.wait().unwrap().success());
    let (reader, _) = Reader::new(handles);
    assert_eq!(reader.ring.waiting(), 0);
}

/// What UDP carries is counted by the port of the one who is looked at, both ways, and nothing else of it.
#[test]
fn datagrams_are_counted() {
    let Some(cgroup) = Cgroup::new("datagrams") else { return };
    let attachment = cgroup.attach();
    let handles = attachment.handles().unwrap();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let counters = Counters::new(&handles.counters, handles.cpus).unwrap();
        let before: u64 = counters.datagrams().map(|(_, [packets, _])| packets).sum();
        let peer = UdpSocket::bind(address).unwrap();
        peer.set_read_timeout(Some(LONG)).unwrap();
        let to = peer.local_addr().unwrap();
        let [host, port] = [to.ip().to_string(), to.port().to_string()];
        let script = format!(
            "exec 3<>/dev/udp/{host}/{port}; printf hello >&3; printf 'hello again' >&3; head -c 3 <&3 >/dev/null"
        );
        let mut child = cgroup.bash(&script);
        let mut bytes = [0; 64];
        let (len, from) = peer.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..len], b"hello");
        peer.recv_from(&mut bytes).unwrap();
        peer.send_to(b"you", from).unwrap();
        assert!(child.wait().unwrap().success());
        let told: Vec<_> = counters.datagrams().filter(|(port, _)| *port == from.port()).collect();
        assert_eq!(told, [(from.port(), [3, 5 + 11 + 3])], "{address}");
        let all: u64 = counters.datagrams().map(|(_, [packets, _])| packets).sum();
        assert_eq!(all - before, 3);
    }
    let counters = Counters::new(&handles.counters, handles.cpus).unwrap().read();
    assert_eq!(counters[Counter::Udp as usize], 6);
    assert_eq!(counters.iter().sum::<u64>(), 6, "{counters:?}");
    drop(attachment);
}
