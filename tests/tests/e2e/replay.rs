//! `auditor replay` against tshark: the same traffic of a real nginx, captured, must give the same requests.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::auditor;
use harness::cgroup::Cgroup;
use harness::curl::{self, Transfer};
use harness::net::Network;
use harness::origin::Origin;
use harness::process::{Process, command};
use harness::raw::RawClient;
use harness::server::nginx::{Config, Nginx};
use harness::wait;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::bed::HOST;
use crate::traffic;

const LIMIT: Duration = Duration::from_secs(30);
/// What the last connection says, so that it is seen when the capture holds all.
pub(crate) const LAST_WORD: &[u8] = b"this is the end of the traffic";
const LISTEN: u16 = 8080;
const BACKEND: u16 = 8088;
const ELSEWHERE: u16 = 9000;

/// A request with its response, in the words of both programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    method: String,
    target: String,
    status: u64,
    sent_bytes: u64,
    body_bytes: u64,
}

/// What went over each connection, by the client's port, in order.
type Conversations = BTreeMap<u64, Vec<Seen>>;

/// What dumpcap captures.
pub(crate) struct Capture {
    process: Process,
    file: PathBuf,
}

impl Capture {
    /// Captures what has an end in `network`, and waits until it does.
    pub(crate) fn start(network: &Network, directory: &Path, pcapng: bool) -> Result<Self> {
        let file = directory.join(if pcapng { "traffic.pcapng" } else { "traffic.pcap" });
        let said = directory.join(if pcapng { "pcapng.log" } else { "pcap.log" });
        let mut dumpcap = command("dumpcap", None);
        dumpcap.args(["-q", "-i", "lo", "-B", "64", if pcapng { "-n" } else { "-P" }]);
        dumpcap.arg("-f").arg(format!("net {}0/24", network.prefix())).arg("-w").arg(&file);
        let mut process = Process::spawn("dumpcap", &mut dumpcap, &fs::File::create(&said)?)?;
        // It names the file once the filter is set and the interface is open.
        wait::until("dumpcap to capture", LIMIT, || {
            let said = fs::read_to_string(&said)?;
            process.check_running().with_context(|| said.clone())?;
            Ok(said.contains("File: ").then_some(()))
        })?;
        Ok(Self { process, file })
    }

    /// Waits for the last word, and ends.
    pub(crate) fn finish(mut self) -> Result<PathBuf> {
        wait::until("the last packets", LIMIT, || {
            let bytes = fs::read(&self.file)?;
            let end = bytes.len().saturating_sub(4096);
            let tail = bytes.get(end..).unwrap_or_default();
            Ok(tail.windows(LAST_WORD.len()).any(|window| window == LAST_WORD).then_some(()))
        })?;
        self.process.signal(Signal::SIGINT)?;
        self.process.wait(LIMIT)?;
        Ok(self.file)
    }
}

/// Several connections at once, each with kinds of its own.
fn talk(server: SocketAddr) -> Result<()> {
    let kinds: [fn(SocketAddr) -> Result<()>; 5] =
        [traffic::ordinary, traffic::pipelined, traffic::smuggled, traffic::strange_backends, downloads];
    std::thread::scope(|scope| {
        let running: Vec<_> = kinds.map(|kind| scope.spawn(move || kind(server))).into_iter().collect();
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => bail!("a client panicked"),
        })
    })
}

/// What is larger than any window, in both framings.
fn downloads(server: SocketAddr) -> Result<()> {
    let paths = ["/bytes/8000000", "/chunked/300000", "/after"];
    let transfers = paths.map(|path| Transfer::get(format!("http://{HOST}{path}"), ""));
    let responses = curl::run(server, &transfers)?;
    ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    Ok(())
}

/// What tshark sees on the client's leg.
fn tshark(file: &Path) -> Result<Conversations> {
    // One object for each message; those of a packet become an array instead of one that hides the others.
    let mut program = Command::new("tshark");
    // Packets of two processors may be captured in another order than they were sent.
    program.arg("-r").arg(file).args(["-o", "tcp.reassemble_out_of_order:TRUE"]);
    program.args(["-T", "json", "--no-duplicate-keys", "-J", "tcp http"]);
    let filter = format!("http and tcp.port == {LISTEN}");
    let output = program.args(["-Y", &filter]).stderr(Stdio::piped()).output().context("start tshark")?;
    ensure!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let packets: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let (mut asked, mut answered) = (Conversations::new(), BTreeMap::<u64, Vec<(u64, u64)>>::new());
    for packet in &packets {
        let layers = packet.pointer("/_source/layers").context("no layers")?;
        let port = |name: &str| -> Result<u64> {
            Ok(layers.pointer(&format!("/tcp/{name}")).and_then(Value::as_str).context("no port")?.parse()?)
        };
        let (from, to) = (port("tcp.srcport")?, port("tcp.dstport")?);
        let http = layers.get("http").context("no http")?;
        let messages = http.as_array().cloned().unwrap_or_else(|| vec![http.clone()]);
        for message in &messages {
            if let Some(method) = find(message, "http.request.method") {
                let target = find(message, "http.request.uri").context("no target")?.to_owned();
                let (method, sent_bytes) = (method.to_owned(), body(message)?);
                asked.entry(from).or_default().push(Seen { method, target, sent_bytes, ..Seen::default() });
            } else if let Some(code) = find(message, "http.response.code") {
                let status: u64 = code.parse()?;
                if status >= 200 {
                    answered.entry(to).or_default().push((status, body(message)?));
                }
            }
        }
    }
    for (port, requests) in &mut asked {
        let responses = answered.remove(port).unwrap_or_default();
        ensure!(requests.len() == responses.len(), "tshark, port {port}: {requests:?}, {responses:?}");
        for (request, (status, bytes)) in requests.iter_mut().zip(responses) {
            request.status = status;
            // A length without a body (RFC 9110, 9.3.2 and 15.4.5).
            let empty = request.method == "HEAD" || matches!(status, 204 | 304);
            request.body_bytes = if empty { 0 } else { bytes };
        }
    }
    ensure!(answered.is_empty(), "answers without a request: {answered:?}");
    Ok(asked)
}

/// A field of a message, however deep tshark put it.
pub(crate) fn find<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    match value {
        Value::Object(fields) => fields
            .get(name)
            .and_then(Value::as_str)
            .or_else(|| fields.values().find_map(|value| find(value, name))),
        Value::Array(values) => values.iter().find_map(|value| find(value, name)),
        _ => None,
    }
}

/// The sum of a field over a message.
fn sum(value: &Value, name: &str) -> u64 {
    let of = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    match value {
        Value::Object(fields) => {
            let here = fields.get(name).map_or(0, |value| match value {
                Value::Array(values) => values.iter().map(of).sum(),
                value => of(value),
            });
            here + fields
                .iter()
                .filter(|(key, _)| *key != name)
                .map(|(_, value)| sum(value, name))
                .sum::<u64>()
        }
        Value::Array(values) => values.iter().map(|value| sum(value, name)).sum(),
        _ => 0,
    }
}

/// Bytes of a message's body, as it announces them.
pub(crate) fn body(message: &Value) -> Result<u64> {
    match find(message, "http.content_length_header") {
        Some(length) => Ok(length.parse()?),
        None => Ok(sum(message, "http.chunk_size")),
    }
}

/// What the auditor prints of a capture.
fn replay(file: &Path) -> Result<Vec<u8>> {
    let mut program = Command::new(auditor::binary()?);
    program.arg("replay").arg(file).args(["--listen", &LISTEN.to_string(), "--node", "n", "--log", "warn"]);
    let output = program.output()?;
    ensure!(output.status.success(), "replay: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// The requests among what was printed; each whole, answered by `backend`, and with a target that shows its query.
fn requests(printed: &[u8], backend: SocketAddr) -> Result<Conversations> {
    let mut conversations = Conversations::new();
    let mut events: Vec<Value> = Vec::new();
    for line in printed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        events.push(serde_json::from_slice(line)?);
    }
    let text =
        |event: &Value, pointer: &str| event.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let number = |event: &Value, pointer: &str| event.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    for event in &events {
        let what = text(event, "/what").unwrap_or_default();
        ensure!(!matches!(what.as_str(), "gap" | "loss" | "unreadable" | "not_covered"), "{event}");
    }
    events.retain(|event| {
        matches!(event.pointer("/kind").and_then(Value::as_str), Some("http.request" | "http.upstream"))
    });
    events.sort_by_key(|event| text(event, "/time"));
    for event in &events {
        ensure!(text(event, "/kind").as_deref() == Some("http.request"), "nothing explains {event}");
        ensure!(event.pointer("/observation/complete") == Some(&Value::Bool(true)), "not whole: {event}");
        let served = (text(event, "/backend/address"), number(event, "/backend/port"));
        ensure!(served == (Some(backend.ip().to_string()), backend.port().into()), "backend of {event}");
        let seen = Seen {
            method: text(event, "/http/request/method").context("no method")?,
            target: text(event, "/http/request/path").context("no path")?,
            status: number(event, "/http/response/status"),
            sent_bytes: number(event, "/http/request/body_bytes"),
            body_bytes: number(event, "/http/response/body_bytes"),
        };
        conversations.entry(number(event, "/client/peer/port")).or_default().push(seen);
    }
    Ok(conversations)
}

#[test]
fn the_same_requests_as_tshark() -> Result<()> {
    let network = Network::claim()?;
    let directory = tempfile::TempDir::new()?;
    let cgroup = Cgroup::create("replay")?;
    let origin = Origin::start(network.socket(2, BACKEND))?;
    let elsewhere = Origin::start(network.socket(5, ELSEWHERE))?;
    let server = network.socket(1, LISTEN);
    // Whose a connection to a backend is, a capture tells only by the address at which the controller listens.
    let http = format!(
        "  proxy_bind {own};\n  upstream shop {{ server {origin}; keepalive 16; }}\n  server {{\n    listen {server};\n    server_name {HOST};\n    \
         proxy_set_header Host $http_host;\n    proxy_set_header Connection \"\";\n    \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n    proxy_next_upstream off;\n    \
         location / {{ proxy_pass http://shop; }}\n  }}\n",
        origin = origin.address(),
        own = server.ip(),
    );
    let nginx =
        Nginx::start(&cgroup, &Config { http: &http, listens: &[server], access_log: true, workers: 1 })?;
    let captures = [true, false].map(|pcapng| Capture::start(&network, directory.path(), pcapng));
    talk(server)?;
    let log = nginx.stop()?;
    let mut last = RawClient::connect(elsewhere.address())?;
    last.send(LAST_WORD)?;
    let mut seen = Vec::new();
    for capture in captures {
        let file = capture?.finish()?;
        let expected = tshark(&file)?;
        let count: usize = expected.values().map(Vec::len).sum();
        ensure!(count == log.len(), "tshark sees {count} requests, nginx logged {}", log.len());
        let printed = replay(&file)?;
        ensure!(replay(&file)? == printed, "two replays of {} differ", file.display());
        let mut ours = requests(&printed, origin.address())?;
        let mut expected = expected;
        // The event's path is without the query; what could not be asked of a backend is not kept apart.
        for seen in expected.values_mut().flatten() {
            let end = seen.target.find('?').unwrap_or(seen.target.len());
            seen.target.truncate(end);
        }
        ours.retain(|_, requests| !requests.is_empty());
        ensure!(ours == expected, "{}:\nauditor: {ours:#?}\ntshark: {expected:#?}", file.display());
        seen.push(ours);
    }
    ensure!(seen.first() == seen.last(), "pcap and pcapng differ");
    Ok(())
}
