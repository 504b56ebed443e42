//! The key tap on real servers: what a client's key log says of each connection is among the records of the ring.
//!
//! Needs root, a cgroup v2 tree, the programs, curl, openssl and the servers; says on stderr what cannot run.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]
#![expect(clippy::explicit_write, reason = "the test harness hides what a passing test prints with eprintln")]

#[path = "support/cgroup.rs"]
mod cgroup;
#[path = "tap/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use auditor::capture::kernel::attach::{Attachment, Options, PROGRAMS, attach};
use auditor::capture::kernel::clock::Clock;
use auditor::capture::kernel::memory::Counters;
use auditor::capture::kernel::parse::parse;
use auditor::capture::kernel::ring::Ring;
use auditor::capture::record::Record;
use auditor::capture::tap::locate::Library;
use auditor::capture::tap::watch::{Coverage, Watch};
use auditor_ebpf::abi::Counter;
use auditor_ebpf::secret::LABELS;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use server::{Cgroup, Server};

/// Label, client random, secret.
type Line = (String, Vec<u8>, Vec<u8>);

/// The tap on one cgroup, and what it has read.
struct Tapped {
    attachment: Attachment,
    watch: Watch,
    ring: Ring,
    counters: Counters,
    clock: Clock,
    lines: BTreeSet<Line>,
    records: usize,
    pids: BTreeSet<u32>,
}

impl Tapped {
    fn new(cgroup: &Cgroup) -> Self {
        let options = Options { ring_bytes: 8 << 20, request_window: 65_536, response_window: 16_384 };
        let attachment = attach(PROGRAMS, cgroup.path(), options).unwrap();
        let handles = attachment.handles().unwrap();
        let counters = Counters::new(&handles.counters, handles.cpus).unwrap();
        let ring = Ring::new(handles.ring, handles.ring_bytes).unwrap();
        Self {
            attachment,
            watch: Watch::default(),
            ring,
            counters,
            clock: Clock::now().unwrap(),
            lines: BTreeSet::new(),
            records: 0,
            pids: BTreeSet::new(),
        }
    }

    fn look(&mut self) -> Coverage {
        // One look ends soon, and goes on in the next.
        loop {
            self.watch.look(&mut self.attachment).unwrap();
            let coverage = self.watch.coverage();
            if coverage.files_waiting == 0 {
                return coverage;
            }
        }
    }

    fn read(&mut self) {
        let Self { ring, clock, lines, records, pids, .. } = self;
        ring.drain(usize::MAX, |bytes| {
            if let Record::Secret { secret, .. } = parse(bytes, clock).unwrap() {
                let random = secret.client_random.unwrap_or_default().to_vec();
                lines.insert((secret.label.to_owned(), random, secret.bytes.to_vec()));
                pids.insert(secret.pid);
                *records += 1;
            }
        });
    }

    fn counted(&self, counter: Counter) -> u64 {
        self.counters.read().get(counter as usize).copied().unwrap()
    }
}

/// A client's key log, without what the tap does not copy.
fn key_log(path: &Path) -> BTreeSet<Line> {
    let text = fs::read_to_string(path).unwrap();
    let line = |line: &str| {
        let [label, random, secret] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        (label.to_owned(), unhex(random), unhex(secret))
    };
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(line);
    lines.filter(|(label, ..)| LABELS.contains(&label.as_str())).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// New connections to the server, each with one request.
fn connect(server: &Server, count: u32, arguments: &[&str]) {
    let status = Command::new("curl")
        .args(["--silent", "--show-error", "--insecure", "--fail", "--output", "/dev/null"])
        .args(["--header", "Connection: close"])
        .args(arguments)
        .arg(format!("https://127.0.0.1:{}/?[1-{count}]", server.port))
        .env("SSLKEYLOGFILE", server.key_log())
        .status()
        .unwrap();
    assert!(status.success(), "curl: {status}");
}

const TLS_12: [&str; 4] = ["--http1.1", "--no-sessionid", "--tls-max", "1.2"];
const TLS_13: [&str; 4] = ["--http1.1", "--no-sessionid", "--tlsv1.3", "--tls13-ciphers"];

fn tls_13(suite: &'static str) -> Vec<&'static str> {
    [&TLS_13[..], &[suite]].concat()
}

/// All of the key log is in the ring, nothing else is, and nothing was counted as trouble.
#[track_caller]
fn compare(tapped: &mut Tapped, server: &Server, connections: usize) {
    tapped.read();
    let expected = key_log(&server.key_log());
    let randoms: BTreeSet<_> = expected.iter().map(|(_, random, _)| random).collect();
    assert_eq!(randoms.len(), connections, "the client's own log");
    let missed: Vec<_> = expected.difference(&tapped.lines).map(|(label, ..)| label).collect();
    assert!(missed.is_empty(), "{} of {} missed: {missed:?}", missed.len(), expected.len());
    let more: Vec<_> = tapped.lines.difference(&expected).map(|(label, ..)| label).collect();
    assert!(more.is_empty(), "not in the client's log: {more:?}");
    assert_eq!(tapped.records, tapped.lines.len(), "secrets came twice");
    for counter in [Counter::TapUnreadable, Counter::TapForeignLabel, Counter::RingFull] {
        assert_eq!(tapped.counted(counter), 0, "{counter:?}");
    }
    assert!(tapped.counted(Counter::TapHit) >= tapped.records as u64);
}

#[track_caller]
fn check_covered(coverage: &Coverage, library: Library) {
    let tapped: Vec<_> = coverage.files.iter().flat_map(|file| &file.points).collect();
    assert!(tapped.iter().any(|point| point.library == library), "{coverage:?}");
    assert!(coverage.files.iter().all(|file| file.problems.is_empty()), "{coverage:?}");
    assert_eq!(coverage.unreadable_processes, 0);
}

#[test]
fn nginx_and_a_reload() {
    let Some(cgroup) = Cgroup::new("tap-nginx") else { return };
    let mut tapped = Tapped::new(&cgroup);
    assert_eq!(tapped.look(), Coverage::default(), "nothing runs yet");
    let Some(server) = Server::nginx(&cgroup) else { return };
    check_covered(&tapped.look(), Library::OpenSsl);
    connect(&server, 50, &TLS_12);
    connect(&server, 50, &tls_13("TLS_AES_256_GCM_SHA384"));
    compare(&mut tapped, &server, 100);
    let before = tapped.pids.clone();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| connect(&server, 200, &tls_13("TLS_AES_128_GCM_SHA256")));
        server.signal(nix::sys::signal::Signal::SIGHUP);
        client.join().unwrap();
    });
    server.wait_for_new_workers(&before);
    connect(&server, 50, &TLS_12);
    compare(&mut tapped, &server, 350);
    assert!(tapped.pids.len() > before.len(), "no new worker had a connection");
    check_covered(&tapped.look(), Library::OpenSsl);
    // Resumption: the secrets of TLS 1.3 differ each time, and TLS 1.2 tells the same master secret for a new random.
    connect(&server, 20, &["--http1.1"]);
    connect(&server, 20, &["--http1.1", "--tls-max", "1.2"]);
    compare(&mut tapped, &server, 390);
}

#[test]
fn caddy() {
    let Some(cgroup) = Cgroup::new("tap-caddy") else { return };
    let mut tapped = Tapped::new(&cgroup);
    let Some(server) = Server::caddy(&cgroup) else { return };
    check_covered(&tapped.look(), Library::Go);
    connect(&server, 100, &TLS_12);
    connect(&server, 100, &["--http1.1", "--no-sessionid", "--tlsv1.3"]);
    // One connection for all.
    connect(&server, 20, &["--http2", "--tlsv1.3"]);
    compare(&mut tapped, &server, 201);
}

#[test]
fn envoy() {
    let Some(cgroup) = Cgroup::new("tap-envoy") else { return };
    let mut tapped = Tapped::new(&cgroup);
    let Some(server) = Server::envoy(&cgroup) else { return };
    check_covered(&tapped.look(), Library::BoringSsl);
    connect(&server, 100, &TLS_12);
    connect(&server, 100, &["--http1.1", "--no-sessionid", "--tlsv1.3"]);
    compare(&mut tapped, &server, 200);
}

#[test]
fn what_another_cgroup_does_is_not_read() {
    let Some(cgroup) = Cgroup::new("tap-mine") else { return };
    let Some(other) = Cgroup::new("tap-other") else { return };
    let mut tapped = Tapped::new(&cgroup);
    let Some(mine) = Server::nginx(&cgroup) else { return };
    let Some(theirs) = Server::nginx(&other) else { return };
    check_covered(&tapped.look(), Library::OpenSsl);
    connect(&theirs, 20, &tls_13("TLS_AES_128_GCM_SHA256"));
    tapped.read();
    assert_eq!((tapped.records, tapped.counted(Counter::TapHit)), (0, 0));
    connect(&mine, 20, &tls_13("TLS_AES_128_GCM_SHA256"));
    compare(&mut tapped, &mine, 20);
}

#[test]
fn a_process_that_lies() {
    let Some(cgroup) = Cgroup::new("tap-lies") else { return };
    let mut tapped = Tapped::new(&cgroup);
    let Some(liar) = server::Liar::start(&cgroup) else { return };
    let coverage = tapped.look();
    let [file] = coverage.files.as_slice() else { panic!("{coverage:?}") };
    assert_eq!(file.points.len(), 1, "{coverage:?}");
    liar.run();
    tapped.read();
    // Of eight calls one is honest and wanted. Three lead to memory that is not there: a label, a secret, and a session, whose
    // secret is known all the same. Two have a secret of no length that exists, one has a label that nobody knows.
    let counted = [Counter::TapHit, Counter::TapUnreadable, Counter::TapForeignLabel]
        .map(|counter| tapped.counted(counter));
    assert_eq!(counted, [8, 3, 3]);
    let lines: Vec<_> = tapped
        .lines
        .iter()
        .map(|(label, random, secret)| (label.as_str(), random[0], secret.len()))
        .collect();
    assert_eq!(lines, [("CLIENT_RANDOM", 0, 48), ("CLIENT_RANDOM", 7, 48)]);
}

/// The kernel writes a probe into whatever stands at its place now, and goes on behind the instruction that stood there.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_file_that_is_changed_in_place() {
    let Some(cgroup) = Cgroup::new("tap-changed") else { return };
    let mut tapped = Tapped::new(&cgroup);
    let Some(liar) = server::Liar::start(&cgroup) else { return };
    let again = change_in_place(liar, &tapped.look());
    tapped.look();
    let liar = again.start(&cgroup);
    let coverage = tapped.look();
    liar.run();
    let problems: Vec<_> = coverage.files.iter().flat_map(|file| &file.problems).collect();
    assert!(problems.is_empty(), "it was not tapped any more when it began: {problems:?}");
}

/// A program that starts right after the change, before the next look.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_file_that_is_changed_in_place_is_heeded_before_the_next_look() {
    let Some(cgroup) = Cgroup::new("tap-heeded") else { return };
    let mut tapped = Tapped::new(&cgroup);
    let Some(liar) = server::Liar::start(&cgroup) else { return };
    let coverage = tapped.look();
    assert_eq!(tapped.watch.untold(), None);
    let is_told = |tapped: &Tapped, wait: PollTimeout| {
        let descriptor = tapped.watch.descriptor().expect("what is tapped is watched");
        poll(&mut [PollFd::new(descriptor, PollFlags::POLLIN)], wait).unwrap() == 1
    };
    assert!(!is_told(&tapped, PollTimeout::ZERO), "nothing was changed");
    let again = change_in_place(liar, &coverage);
    assert!(is_told(&tapped, PollTimeout::from(60_000_u16)), "a change is told");
    tapped.watch.heed(&mut tapped.attachment);
    // By the census of the look before, the program still runs.
    assert_eq!(
        tapped.watch.coverage(),
        Coverage::default(),
        "it is not tapped until it is looked into again"
    );
    // It would die of the probe.
    again.start(&cgroup).run();
    tapped.watch.heed(&mut tapped.attachment);
    assert!(!is_told(&tapped, PollTimeout::ZERO), "all was taken");
}

/// Ends the program and puts other code at the place that is tapped.
#[cfg(target_arch = "x86_64")]
fn change_in_place(liar: server::Liar, coverage: &Coverage) -> server::LiarFile {
    let [file] = coverage.files.as_slice() else { panic!("{coverage:?}") };
    let [point] = file.points.as_slice() else { panic!("{coverage:?}") };
    let place = usize::try_from(point.offset).unwrap();
    let file = liar.end();
    // xor eax, eax; ret; and behind it nothing but traps.
    let mut bytes = fs::read(file.program()).unwrap();
    bytes
        .get_mut(place..place + 16)
        .unwrap()
        .copy_from_slice(&[[0x31, 0xc0, 0xc3].as_slice(), &[0xcc; 13]].concat());
    // In place: the same inode.
    fs::write(file.program(), &bytes).unwrap();
    file
}
