//! Conversations of `openssl s_server` and `s_client` over loopback, recorded by a relay: what is decrypted with the client's
//! key log is what was typed. Suites that rustls lacks, renegotiation, and suites that are not read.
//!
//! Without `openssl` the test says so on stderr and checks nothing.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail by panicking")]

use std::io::{BufRead, BufReader, Read, Write, stderr};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use auditor::assemble::Piece;
use auditor::assemble::tls::context::Context;
use auditor::assemble::tls::secrets::key_log::KeyLog;
use auditor::assemble::tls::trouble::Reason;
use auditor::assemble::tls::{Sink, Tls, Version};
use auditor::capture::record::{Direction, Nanos};

/// A program that is ended with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Wire = Arc<Mutex<Vec<(Direction, Vec<u8>)>>>;

/// Passes bytes on and keeps them.
fn relay(from: TcpStream, to: TcpStream, direction: Direction, wire: Wire) {
    thread::spawn(move || {
        let (mut from, mut to) = (from, to);
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            wire.lock().unwrap().push((direction, buffer[..len].to_vec()));
            if to.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}

#[derive(Default)]
struct Taken {
    bytes: [Vec<u8>; 2],
    lost: usize,
}

impl Sink for Taken {
    fn piece(&mut self, direction: Direction, piece: Piece<'_>, _: Nanos) {
        if let Piece::Data(bytes) = piece {
            self.bytes[direction as usize].extend(bytes);
        }
    }
    fn lost(&mut self, _: Direction, _: u64, _: Nanos) {
        self.lost += 1;
    }
    fn needed(&self, _: Direction) -> u64 {
        0
    }
}

struct Outcome {
    tls: Tls,
    taken: Taken,
    reasons: Vec<Reason>,
}

fn openssl(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// `typed` goes to the client, line by line, each when the one before has come to the server; a line of one of `s_client`'s
/// commands (R, K, k) is not answered.
fn talk(folder: &Path, server: &[&str], client: &[&str], typed: &[&str]) -> Outcome {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let accept = format!("127.0.0.1:{port}");
    let arguments =
        [&["s_server", "-accept", &accept, "-cert", "c.pem", "-key", "k.pem", "-quiet", "-rev"], server];
    // -rev answers each line with itself, reversed.
    let _server = Guard(openssl(folder, &arguments.concat()).spawn().unwrap());
    let upstream = until(|| TcpStream::connect(&accept).ok());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = listener.local_addr().unwrap().to_string();
    let _ = std::fs::remove_file(folder.join("keys.log"));
    let arguments =
        [&["s_client", "-connect", &connect, "-servername", "a.example", "-keylogfile", "keys.log"], client];
    let mut client = Guard(openssl(folder, &arguments.concat()).spawn().unwrap());
    let (downstream, _) = listener.accept().unwrap();
    let wire = Wire::default();
    let copy = |stream: &TcpStream| stream.try_clone().unwrap();
    relay(copy(&downstream), copy(&upstream), Direction::Ingress, Arc::clone(&wire));
    relay(upstream, downstream, Direction::Egress, Arc::clone(&wire));
    let mut input = client.0.stdin.take().unwrap();
    let mut output = BufReader::new(client.0.stdout.take().unwrap());
    for line in typed {
        writeln!(input, "{line}").unwrap();
        if line.len() == 1 {
            // Commands are read only at the start of what is read at once.
            let before = wire.lock().unwrap().len();
            until(|| (wire.lock().unwrap().len() > before).then_some(()));
            continue;
        }
        let expected: String = line.chars().rev().collect();
        let mut seen = String::new();
        while !seen.contains(&expected) {
            seen.clear();
            assert!(output.read_line(&mut seen).unwrap() > 0, "the client ended before it answered {line}");
        }
    }
    drop(input);
    let _ = client.0.wait();
    thread::sleep(Duration::from_millis(50));
    let (mut cx, mut tls, mut taken) = (Context::default(), Tls::new(Direction::Ingress), Taken::default());
    let mut log = KeyLog::new();
    let text = std::fs::read(folder.join("keys.log")).unwrap_or_default();
    let mut insert = |random, label, secret| {
        cx.secrets.insert(Some(random), label, secret, 0);
    };
    log.push(&text, &mut insert);
    log.finish(&mut insert);
    assert_eq!(log.counts().malformed, 0);
    for (direction, bytes) in wire.lock().unwrap().iter() {
        tls.feed(&mut cx, *direction, Piece::Data(bytes), 0, &mut taken);
    }
    tls.finish(&mut cx, 0, &mut taken);
    let mut reasons: Vec<_> = tls.take_trouble().iter().map(|it| it.reason).collect();
    reasons.dedup();
    Outcome { tls, taken, reasons }
}

fn until<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain");
        thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
fn check(outcome: &Outcome, suite: &str, typed: &[&str]) {
    let asked: Vec<_> = typed.iter().filter(|line| line.len() > 1).map(|line| (*line).to_owned()).collect();
    let answered: Vec<String> = asked.iter().map(|line| line.chars().rev().collect()).collect();
    // The line feed behind a command is sent or not, as s_client happens to read it.
    let lines = |bytes: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(bytes);
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(outcome.tls.facts().suite_name(), Some(suite));
    assert_eq!(outcome.reasons, [], "{suite}");
    assert_eq!(lines(&outcome.taken.bytes[0]), asked, "{suite}");
    assert_eq!(lines(&outcome.taken.bytes[1]), answered, "{suite}");
    assert!(outcome.tls.facts().completed && outcome.taken.lost == 0);
    let certificate = outcome.tls.facts().server_certificate.as_ref().unwrap();
    assert_eq!(certificate.subject.as_ref().map(|name| &*name.text), Some("CN=a.example"));
}

#[test]
fn what_was_typed_is_what_is_decrypted() {
    if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_err() {
        writeln!(stderr(), "SKIPPED tls_openssl: openssl is not installed").unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let request = "req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -days 2 -subj /CN=a.example";
    let arguments: Vec<_> = request.split(' ').collect();
    assert!(openssl(folder, &arguments).status().unwrap().success());
    let typed = ["hello there", "and again"];
    for (cipher, suite) in [
        ("AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256"),
        ("AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384"),
        ("DHE-RSA-AES128-GCM-SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("DHE-RSA-CHACHA20-POLY1305", "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    ] {
        let outcome = talk(folder, &[], &["-tls1_2", "-cipher", cipher], &typed);
        check(&outcome, suite, &typed);
        assert_eq!(outcome.tls.facts().version, Some(Version::Tls12));
        assert_eq!(outcome.tls.facts().group.is_some(), cipher.starts_with("ECDHE"));
    }
    for (cipher, groups) in
        [("TLS_AES_256_GCM_SHA384", "X25519"), ("TLS_CHACHA20_POLY1305_SHA256", "X25519:P-384")]
    {
        // The second client has a share of X25519 only: the server asks again.
        let retried = groups.contains(':');
        let server: &[&str] = if retried { &["-groups", "P-384"] } else { &[] };
        let typed = ["hello there", "K", "and again", "k", "the end"];
        let outcome = talk(folder, server, &["-ciphersuites", cipher, "-groups", groups], &typed);
        check(&outcome, cipher, &typed);
        assert_eq!(outcome.tls.facts().retried, retried);
        assert_eq!(outcome.tls.facts().group_name(), Some(if retried { "secp384r1" } else { "x25519" }));
    }
    let typed = ["hello there", "R", "and again"];
    let server = ["-legacy_renegotiation", "-client_renegotiation"];
    let outcome = talk(folder, &server, &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], &typed);
    check(&outcome, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", &typed);
    assert_eq!(outcome.tls.facts().renegotiations, 1);
    for (cipher, suite) in [
        ("ECDHE-RSA-AES128-SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
        ("AES128-CCM", "TLS_RSA_WITH_AES_128_CCM"),
    ] {
        // Not among the server's suites unless it is told.
        let suites = ["-cipher", cipher];
        let outcome = talk(folder, &suites, &["-tls1_2", "-cipher", cipher], &typed[..1]);
        assert_eq!(outcome.tls.facts().suite_name(), Some(suite));
        assert_eq!(outcome.reasons, [Reason::Suite]);
        assert!(outcome.taken.bytes.iter().all(Vec::is_empty));
        assert_eq!(outcome.taken.lost, 2);
        assert!(outcome.tls.facts().completed && outcome.tls.facts().server_certificate.is_some());
    }
}
