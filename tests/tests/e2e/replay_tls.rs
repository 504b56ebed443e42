//! `auditor replay` against tshark, over TLS: both get the key log of the client, and must see the same requests.
//!
//! One capture of a real nginx: TLS 1.2 and 1.3, HTTP/1.1 and HTTP/2, and calls in the form of gRPC. Then the same capture
//! with the secrets inside, without any, with its packets in another order, and cut short by a snapshot length.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use harness::auditor;
use harness::cgroup::Cgroup;
use harness::curl::{self, Transfer};
use harness::identity::Identity;
use harness::net::Network;
use harness::origin::Origin;
use harness::raw::RawClient;
use harness::server::nginx::{Config, Nginx};
use serde_json::Value;
use tempfile::TempDir;

use crate::bed::HOST;
use crate::replay::{Capture, LAST_WORD, body, find};

/// Where nginx speaks TLS 1.2, and where TLS 1.3.
const LISTEN: [u16; 2] = [8443, 8444];
const BACKEND: u16 = 8088;
const ELSEWHERE: u16 = 9000;
const CALL: &str = "/shop.Cart/Add";

/// The client's port, and the stream of HTTP/2 or the request's place on its connection.
type Place = (u64, u64);

/// A request with its response, in the words of both programs. Empty: not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    version: &'static str,
    method: String,
    authority: String,
    path: String,
    user_agent: String,
    status: String,
    content_type: String,
    sent_bytes: u64,
    body_bytes: u64,
}

type Requests = BTreeMap<Place, Seen>;

/// A capture, its key log, and what tshark makes of them.
struct Traffic {
    directory: TempDir,
    capture: PathBuf,
    keys: PathBuf,
    expected: Requests,
}

/// The capture of traffic whose every request is in nginx's log and is seen by tshark.
fn traffic() -> Result<Traffic> {
    let network = Network::claim()?;
    let directory = TempDir::new()?;
    let cgroup = Cgroup::create("replay-tls")?;
    let origin = Origin::start(network.socket(2, BACKEND))?;
    let elsewhere = Origin::start(network.socket(5, ELSEWHERE))?;
    let certificate = Identity::new(&[HOST])?;
    let servers = LISTEN.map(|port| network.socket(1, port));
    let nginx = nginx(&cgroup, &certificate, &origin, servers)?;
    let keys = directory.path().join("keys.log");
    let capture = Capture::start(&network, directory.path(), true)?;
    for server in servers {
        talk(server, &keys)?;
    }
    let log = nginx.stop()?;
    let mut last = RawClient::connect(elsewhere.address())?;
    last.send(LAST_WORD)?;
    let capture = capture.finish()?;
    let expected = tshark(&capture, &keys)?;
    ensure!(log.len() == expected.len(), "nginx logged {}, tshark saw {expected:#?}", log.len());
    for version in ["1.1", "2"] {
        ensure!(expected.values().any(|seen| seen.version == version), "nothing in HTTP/{version}");
    }
    Ok(Traffic { directory, capture, keys, expected })
}

fn nginx(
    cgroup: &Cgroup,
    certificate: &Identity,
    origin: &Origin,
    servers: [SocketAddr; 2],
) -> Result<Nginx> {
    let at = certificate.directory().display();
    let own = servers.first().context("no server")?.ip();
    let blocks = servers.iter().zip(["TLSv1.2", "TLSv1.3"]).map(|(listen, version)| {
        format!(
            "  server {{\n    listen {listen} ssl http2;\n    ssl_protocols {version};\n    server_name {HOST};\n    \
             location / {{ proxy_pass http://shop; }}\n    location /own {{ return 404 none; }}\n    \
             location = {CALL} {{ add_trailer grpc-status 5; proxy_pass http://shop/grpc/6; }}\n  }}\n"
        )
    });
    let http = format!(
        "  proxy_bind {own};\n  upstream shop {{ server {origin}; keepalive 16; }}\n  ssl_certificate {at}/certificate.pem;\n  \
         ssl_certificate_key {at}/key.pem;\n  proxy_set_header Host $http_host;\n  proxy_set_header Connection \"\";\n{}",
        blocks.collect::<String>(),
        origin = origin.address(),
    );
    Nginx::start(cgroup, &Config { http: &http, listens: &servers, access_log: true, workers: 1 })
}

/// A message of gRPC: whether it is compressed, its length, and itself.
fn message(text: &[u8]) -> Vec<u8> {
    let len = u32::try_from(text.len()).unwrap_or_default();
    [&[0][..], &len.to_be_bytes(), text].concat()
}

/// Both versions of HTTP, a connection for several requests where curl keeps it, and one that resumes its session.
fn talk(server: SocketAddr, keys: &Path) -> Result<()> {
    let body = tempfile::NamedTempFile::new()?;
    fs::write(body.path(), vec![b'b'; 100_000])?;
    let upload = format!("@{}", body.path().display());
    let asked = tempfile::NamedTempFile::new()?;
    fs::write(asked.path(), message(b"asked"))?;
    let asked = format!("@{}", asked.path().display());
    for http in ["--http1.1", "--http2"] {
        let get = |path: &str, more: &[&str]| {
            let transfer = Transfer::get(format!("https://{HOST}{path}"), "");
            transfer.with(&["--insecure", http]).with(more)
        };
        let call: &[&str] = &[
            "--header",
            "Content-Type: application/grpc",
            "--header",
            "TE: trailers",
            "--data-binary",
            &asked,
        ];
        let transfers = [
            get("/hello", &["--user-agent", "one/1"]),
            get("/bytes/5000?secret=1", &[]),
            get("/bytes/700", &["--head"]),
            get("/form", &["--data-binary", "a=1&b=2"]),
            get("/upload", &["--data-binary", &upload]),
            get("/thing", &["--request", "PUT", "--data-binary", "thing"]),
            get("/chunked/2500", &[]),
            get("/bytes/3000000", &[]),
            get("/status/404", &[]),
            get("/own", &["--user-agent", ""]),
            get(CALL, call),
            get("/bytes/0", &[]),
        ];
        let responses = curl::run_logging_keys(server, &transfers, keys)?;
        let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
        ensure!(
            statuses == [200, 200, 200, 200, 200, 200, 200, 200, 404, 404, 200, 200],
            "{server} {http}: {statuses:?}"
        );
    }
    Ok(())
}

/// What tshark sees on the clients' legs.
fn tshark(capture: &Path, keys: &Path) -> Result<Requests> {
    let [first, second] = LISTEN;
    let mut program = Command::new("tshark");
    program.arg("-r").arg(capture).arg("-o").arg(format!("tls.keylog_file:{}", keys.display()));
    // Packets of two processors may be captured in another order than they were sent.
    program.args(["-o", "tcp.reassemble_out_of_order:TRUE"]);
    for port in LISTEN {
        program.args(["-d", &format!("tcp.port=={port},tls")]);
    }
    program.args(["-T", "json", "--no-duplicate-keys", "-J", "tcp http http2"]);
    program.args(["-Y", &format!("(http or http2) and (tcp.port == {first} or tcp.port == {second})")]);
    let output = program.output().context("start tshark")?;
    ensure!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let packets: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let mut seen = Tshark::default();
    for packet in &packets {
        let layers = packet.pointer("/_source/layers").context("no layers")?;
        let port = |name: &str| -> Result<u64> {
            Ok(layers.pointer(&format!("/tcp/{name}")).and_then(Value::as_str).context("no port")?.parse()?)
        };
        let (from, to) = (port("tcp.srcport")?, port("tcp.dstport")?);
        let asks = LISTEN.iter().any(|listen| u64::from(*listen) == to);
        let client = if asks { from } else { to };
        for message in list(layers.get("http")) {
            seen.http1(client, message)?;
        }
        for layer in list(layers.get("http2")) {
            for frame in list(layer.get("http2.stream")) {
                seen.http2(client, asks, frame)?;
            }
        }
    }
    ensure!(seen.calls == 2, "{} calls ended with a grpc-status", seen.calls);
    Ok(seen.requests)
}

#[derive(Default)]
struct Tshark {
    requests: Requests,
    /// Requests and responses of HTTP/1 on each connection.
    counts: BTreeMap<u64, (u64, u64)>,
    /// Trailers of HTTP/2 with a status of gRPC.
    calls: usize,
}

impl Tshark {
    fn http1(&mut self, client: u64, message: &Value) -> Result<()> {
        let (asked, answered) = self.counts.entry(client).or_default();
        let text = |name| find(message, name).unwrap_or_default().to_owned();
        if let Some(method) = find(message, "http.request.method") {
            let seen = Seen {
                version: "1.1",
                method: method.to_owned(),
                authority: text("http.host"),
                path: without_query(&text("http.request.uri")),
                user_agent: text("http.user_agent"),
                sent_bytes: body(message)?,
                ..Seen::default()
            };
            self.requests.insert((client, *asked), seen);
            *asked += 1;
        } else if let Some(status) = find(message, "http.response.code") {
            let request =
                self.requests.get_mut(&(client, *answered)).context("an answer without a request")?;
            request.status = status.to_owned();
            request.content_type = text("http.content_type");
            request.body_bytes = if request.method == "HEAD" { 0 } else { body(message)? };
            *answered += 1;
        }
        Ok(())
    }

    fn http2(&mut self, client: u64, asks: bool, frame: &Value) -> Result<()> {
        /// Types of frames (RFC 9113, 6).
        const DATA: &str = "0";
        const HEADERS: &str = "1";
        let number = |name| find(frame, name).and_then(|text| text.parse::<u64>().ok());
        let Some(stream) = number("http2.streamid").filter(|stream| *stream > 0) else { return Ok(()) };
        let request = self.requests.entry((client, stream)).or_default();
        match find(frame, "http2.type") {
            Some(DATA) => {
                let len = number("http2.length").context("no length")?;
                *if asks { &mut request.sent_bytes } else { &mut request.body_bytes } += len;
            }
            Some(HEADERS) => {
                request.version = "2";
                for header in list(frame.get("http2.header")) {
                    let (name, value) =
                        (find(header, "http2.header.name"), find(header, "http2.header.value"));
                    let field = match (asks, name.context("no name")?) {
                        (true, ":method") => &mut request.method,
                        (true, ":authority") => &mut request.authority,
                        (true, ":path") => &mut request.path,
                        (true, "user-agent") => &mut request.user_agent,
                        (false, ":status") => &mut request.status,
                        (false, "content-type") => &mut request.content_type,
                        (false, "grpc-status") => {
                            self.calls += 1;
                            continue;
                        }
                        _ => continue,
                    };
                    *field = value.unwrap_or_default().to_owned();
                }
                request.path = without_query(&request.path);
            }
            _ => {}
        }
        Ok(())
    }
}

/// What is there once, or several times.
fn list(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(values)) => values,
        Some(value) => std::slice::from_ref(value),
        None => &[],
    }
}

fn without_query(target: &str) -> String {
    target.split('?').next().unwrap_or_default().to_owned()
}

/// What the auditor prints of a capture.
fn replay(capture: &Path, keys: &[&Path]) -> Result<Replayed> {
    replay_by(Command::new(auditor::binary()?), capture, keys)
}

/// The same, of a capture that comes through a pipe and so can be read once only.
fn replay_piped(capture: &Path) -> Result<Replayed> {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"cat "$0" | "$@""#]).arg(capture).arg(auditor::binary()?);
    replay_by(shell, Path::new("/dev/stdin"), &[])
}

fn replay_by(mut program: Command, capture: &Path, keys: &[&Path]) -> Result<Replayed> {
    program.arg("replay").arg(capture).args(["--node", "n", "--log", "warn"]);
    for port in LISTEN {
        program.args(["--listen", &port.to_string()]);
    }
    for keys in keys {
        program.arg("--key-log").arg(keys);
    }
    let output = program.output()?;
    ensure!(output.status.success(), "replay: {}", String::from_utf8_lossy(&output.stderr));
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let events = lines.map(|line| Ok(serde_json::from_slice(line)?)).collect::<Result<Vec<Value>>>()?;
    Ok(Replayed { printed: output.stdout, said: String::from_utf8(output.stderr)?, events })
}

/// What a replay printed and said.
struct Replayed {
    printed: Vec<u8>,
    said: String,
    events: Vec<Value>,
}

impl Replayed {
    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |event| text(event, "/kind") == kind)
    }

    /// Coverage that says something is missing: what, and why.
    fn missing(&self) -> Vec<(String, String)> {
        let said = self.of_kind("coverage").map(|event| (text(event, "/what"), text(event, "/reason")));
        said.filter(|(what, _)| !matches!(what.as_str(), "start" | "stop")).collect()
    }

    /// The last event's counter.
    fn counter(&self, name: &str) -> Option<u64> {
        self.events.last()?.pointer(&format!("/counters/{name}"))?.as_u64()
    }

    /// The requests; and those whose observation was whole.
    fn requests(&self) -> Result<(Requests, Vec<Place>)> {
        let (mut requests, mut whole) = (Requests::new(), Vec::new());
        let mut events: Vec<&Value> = self.of_kind("http.request").collect();
        events.sort_by_key(|event| text(event, "/time"));
        let mut counts = BTreeMap::<u64, u64>::new();
        for event in events {
            let port = number(event, "/client/peer/port");
            let count = counts.entry(port).or_default();
            let http2 = text(event, "/http/version") == "2";
            let place = (port, if http2 { number(event, "/http/stream") } else { *count });
            *count += 1;
            let seen = Seen {
                version: if http2 { "2" } else { "1.1" },
                method: text(event, "/http/request/method"),
                authority: text(event, "/http/request/host"),
                path: text(event, "/http/request/path"),
                user_agent: text(event, "/http/request/user_agent"),
                status: number(event, "/http/response/status").to_string(),
                content_type: text(event, "/http/response/content_type"),
                sent_bytes: number(event, "/http/request/body_bytes"),
                body_bytes: number(event, "/http/response/body_bytes"),
            };
            ensure!(requests.insert(place, seen).is_none(), "two events for {place:?}");
            if event.pointer("/observation/complete") == Some(&Value::Bool(true)) {
                whole.push(place);
            }
        }
        Ok((requests, whole))
    }
}

fn text(event: &Value, pointer: &str) -> String {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(event: &Value, pointer: &str) -> u64 {
    event.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// The replay is as tshark says, whole, and with the facts of TLS.
fn judge(what: &str, replayed: &Replayed, expected: &Requests) -> Result<()> {
    let (requests, whole) = replayed.requests()?;
    for (place, expected) in expected {
        let seen = requests.get(place);
        ensure!(seen == Some(expected), "{what}, {place:?}:\nauditor: {seen:#?}\ntshark: {expected:#?}");
    }
    ensure!(requests.len() == expected.len(), "{what}: {} events, {}", requests.len(), expected.len());
    ensure!(whole.len() == expected.len(), "{what}: {} are whole", whole.len());
    ensure!(replayed.missing().is_empty(), "{what}: {:?}", replayed.missing());
    for event in replayed.of_kind("http.request") {
        ensure!(text(event, "/tls/sni") == HOST, "{what}: {event}");
        let alpn = if text(event, "/http/version") == "2" { "h2" } else { "http/1.1" };
        ensure!(text(event, "/tls/alpn") == alpn, "{what}: {event}");
    }
    Ok(())
}

/// Makes another capture of one.
fn editcap(from: &Path, to: &Path, arguments: &[&str]) -> Result<()> {
    let output =
        Command::new("editcap").args(arguments).arg(from).arg(to).output().context("start editcap")?;
    ensure!(output.status.success(), "editcap: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A block of secrets with this key log (draft-ietf-opsawg-pcapng, 4.7).
fn secrets_block(key_log: &[u8]) -> Result<Vec<u8>> {
    let mut text = key_log.to_vec();
    text.resize(text.len().next_multiple_of(4), 0);
    let len = u32::try_from(text.len() + 20)?.to_le_bytes();
    let (kind, of) = (0x0a_u32.to_le_bytes(), 0x544c_534b_u32.to_le_bytes());
    let used = u32::try_from(key_log.len())?.to_le_bytes();
    Ok([&kind[..], &len, &of, &used, &text, &len].concat())
}

/// A capture with each two packets swapped that follow each other in one direction. `pcap`: in the older format, in this
/// machine's byte order.
fn reordered(pcap: &[u8]) -> Result<Vec<u8>> {
    let (header, mut rest) = pcap.split_at_checked(24).context("no header")?;
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let len = rest.get(8..12).and_then(|len| len.first_chunk()).context("no length")?;
        let len = 16 + usize::try_from(u32::from_ne_bytes(*len))?;
        let (packet, left) = rest.split_at_checked(len).context("not whole")?;
        packets.push(packet);
        rest = left;
    }
    // Ports, behind the headers of the record, Ethernet and IPv4.
    let ports = |packet: &[u8]| packet.get(16 + 34..16 + 38).map(<[u8]>::to_vec);
    let mut swapped = 0;
    let mut at = 0;
    while let Some([first, second]) = packets.get_mut(at..at + 2) {
        if ports(first) == ports(second) {
            std::mem::swap(first, second);
            (swapped, at) = (swapped + 1, at + 1);
        }
        at += 1;
    }
    ensure!(swapped > 10, "{swapped} of {} swapped", packets.len());
    Ok([&[header][..], &packets].concat().concat())
}

#[test]
fn the_same_requests_as_tshark_over_tls() -> Result<()> {
    let Traffic { directory, capture, keys, expected } = traffic()?;
    let file = |name: &str| directory.path().join(name);

    let logged = replay(&capture, &[&keys])?;
    judge("with a key log", &logged, &expected)?;
    ensure!(logged.said.is_empty(), "it said: {}", logged.said);
    ensure!(replay(&capture, &[&keys])?.printed == logged.printed, "two replays differ");

    // The secrets inside, ahead of the packets as editcap puts them, and behind all of them.
    let embedded = file("embedded.pcapng");
    let inject = format!("tls,{}", keys.display());
    editcap(&capture, &embedded, &["--inject-secrets", &inject])?;
    let behind = file("behind.pcapng");
    fs::write(&behind, [fs::read(&capture)?, secrets_block(&fs::read(&keys)?)?].concat())?;
    for capture in [&embedded, &behind] {
        judge(&capture.display().to_string(), &replay(capture, &[])?, &expected)?;
    }

    judge("through a pipe", &replay_piped(&embedded)?, &expected)?;

    let without = replay(&capture, &[])?;
    ensure!(without.of_kind("http.request").next().is_none(), "requests were read without secrets");
    ensure!(without.missing().iter().any(|(_, reason)| reason == "no_key"), "{:?}", without.missing());

    let plain = file("plain.pcap");
    editcap(&capture, &plain, &["-F", "nsecpcap"])?;
    let mixed = file("mixed.pcap");
    fs::write(&mixed, reordered(&fs::read(&plain)?)?)?;
    judge("reordered", &replay(&mixed, &[&keys])?, &expected)?;

    let short = file("short.pcapng");
    editcap(&capture, &short, &["-s", "400"])?;
    judge_short(&replay(&short, &[&keys])?, &expected)
}

/// Of a capture that was cut short by its snapshot length: what is said is true, and what is missing is told.
fn judge_short(replayed: &Replayed, expected: &Requests) -> Result<()> {
    let (requests, whole) = replayed.requests()?;
    ensure!(!requests.is_empty() && whole.len() < expected.len(), "{} of {}", whole.len(), requests.len());
    ensure!(replayed.counter("bytes_not_captured").is_some_and(|bytes| bytes > 1_000_000), "not counted");
    ensure!(replayed.missing().iter().any(|(what, _)| what == "gap"), "{:?}", replayed.missing());
    // Which of its connection's requests one of HTTP/1 was cannot be told: some before it may be missing.
    for place in &whole {
        let seen = requests.get(place).context("no such request")?;
        let true_ones = expected.iter().filter(|((port, _), expected)| *port == place.0 && *expected == seen);
        ensure!(true_ones.count() > 0, "{place:?} was never asked: {seen:#?}");
    }
    let fields = |seen: &Seen| [seen.method.clone(), seen.authority.clone(), seen.path.clone()];
    let asked: Vec<_> = expected.values().map(fields).collect();
    for (place, seen) in &requests {
        let is_read = !seen.method.is_empty();
        ensure!(!is_read || asked.contains(&fields(seen)), "{place:?} was never asked: {seen:?}");
    }
    Ok(())
}

#[test]
fn what_a_key_log_is_not() -> Result<()> {
    let directory = TempDir::new()?;
    let capture = directory.path().join("empty.pcap");
    let header: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 0x4_0000, 1];
    fs::write(&capture, header.map(u32::to_le_bytes).concat())?;
    let keys = directory.path().join("keys.log");
    let secret = "5e".repeat(48);
    let random = "0a".repeat(32);
    let good = format!("CLIENT_RANDOM {random} {secret}\n");
    // A text, what is said, and whether the replay goes on.
    let cases: [(String, &str, bool); 6] = [
        (good.clone(), "", true),
        (format!("{good}CLIENT_RANDOM {random} {}\n", &secret[1..]), "line=2 lines=1", true),
        (format!("# nothing\n\n{good}?\nCLIENT_RANDOM\n"), "line=4 lines=2", true),
        (String::new(), "holds no secret", true),
        (format!("\n-----BEGIN KEY-----\n{secret}\n"), "keys.log:2: this is no key log", false),
        (secret.repeat(10_000), "keys.log:1: this is no key log", false),
    ];
    for (log, expected, goes_on) in cases {
        fs::write(&keys, &log)?;
        let mut program = Command::new(auditor::binary()?);
        program.arg("replay").arg(&capture).arg("--key-log").arg(&keys);
        let output = program.output()?;
        let said = String::from_utf8(output.stderr)?;
        let start = log.get(..60).unwrap_or(&log);
        ensure!(output.status.success() == goes_on, "{start}: {said}");
        ensure!(
            if expected.is_empty() { said.is_empty() } else { said.contains(expected) },
            "{start}: {said}"
        );
        let printed = String::from_utf8(output.stdout)? + &said;
        ensure!(!printed.contains("5e5e") && !printed.contains("0a0a"), "a secret was printed: {printed}");
        ensure!(goes_on == printed.contains(r#""what":"stop""#), "{printed}");
    }
    let mut program = Command::new(auditor::binary()?);
    let output = program.arg("replay").arg(&capture).args(["--key-log", "/nonexistent/keys"]).output()?;
    let said = String::from_utf8(output.stderr)?;
    if output.status.success() || !said.contains("cannot read the key log /nonexistent/keys: No such file") {
        bail!("{said}");
    }
    Ok(())
}
