//! What must not break it: a restart, a client that vanishes, a ring that overflows, connections that want its memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::auditor::{Options, Output};
use harness::namespace::Pair;
use harness::process::{Process, command};
use harness::raw::RawClient;
use harness::server::nginx::{Config, Nginx};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

use crate::bed::{Bed, HOST};
use crate::nginx;

fn request(path: &str) -> String {
    format!("GET /own/{path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

fn ask(client: &mut RawClient, path: &str) -> Result<()> {
    client.send(request(path).as_bytes())?;
    client.read_until(b"</html>\r\n").map(drop)
}

fn paths(output: &Output) -> Result<Vec<String>> {
    let events = output.requests()?;
    Ok(events.into_iter().filter_map(|event| event.http.request.path).collect())
}

/// An auditor with a configuration file; the file must live until it has started.
fn configured(yaml: &str) -> Result<(NamedTempFile, Options)> {
    let file = NamedTempFile::new()?;
    fs::write(&file, yaml)?;
    let arguments = vec![OsString::from("--config"), file.path().into()];
    Ok((file, Options { arguments, ..Options::default() }))
}

/// Connections that are open across a restart: no id comes again, and what is asked after the first turn is seen.
#[test]
fn restarted_under_open_connections() -> Result<()> {
    let bed = nginx::bed()?;
    let server = nginx::start(&bed, &[(bed.server(), "")])?;
    let mut clients = (0..3).map(|_| RawClient::connect(bed.server())).collect::<Result<Vec<_>>>()?;
    let mut all = |turn: &str| -> Result<()> {
        let mut numbered = clients.iter_mut().enumerate();
        numbered.try_for_each(|(number, client)| ask(client, &format!("{turn}-{number}")))
    };
    all("before")?;
    let mut outputs = Vec::new();
    for run in ["one", "two", "three"] {
        let auditor = bed.audit()?;
        for turn in ["a", "b", "c"] {
            all(&format!("{run}-{turn}"))?;
        }
        outputs.push((run, auditor.stop()?));
        all("between")?;
    }
    let log = server.stop()?;
    let mut ids = BTreeSet::new();
    for (run, output) in &outputs {
        let seen = paths(output)?;
        for turn in ["b", "c"] {
            for client in 0..3 {
                let path = format!("/own/{run}-{turn}-{client}");
                ensure!(seen.iter().filter(|other| **other == path).count() == 1, "{path} in {seen:?}");
            }
        }
        for path in &seen {
            ensure!(path.starts_with(&format!("/own/{run}-")), "{run}: an event for {path}");
            ensure!(log.iter().any(|entry| entry.uri == *path), "{run}: invented: {path}");
        }
        let kinds = ["http.request", "http.upstream", "connection", "coverage"];
        for event in kinds.iter().map(|kind| output.of_kind(kind)).collect::<Result<Vec<_>>>()?.concat() {
            let id = event.text("/id").context("an event without id")?.to_owned();
            ensure!(ids.insert(id), "{run}: the id of {} comes twice", event.value);
        }
        ensure!(output.of_kind("connection")?.len() == 3, "{run}: connections");
    }
    Ok(())
}

/// A client that is gone without a word while it is answered.
#[test]
fn a_client_that_vanishes() -> Result<()> {
    let namespaces = Pair::create()?;
    // Three retransmissions: a few seconds.
    namespaces.set("net.ipv4.tcp_retries2", "3")?;
    let bed = Bed::new("vanish", "k8s.io/ingress-nginx")?;
    let address = (namespaces.address(), 8080).into();
    let body = NamedTempFile::new()?;
    body.as_file().set_len(64 << 20)?;
    let http = format!(
        "  server {{ listen {address}; location /large {{ alias {}; }} location /own {{ return 404; }} }}\n",
        body.path().display()
    );
    let config = Config { http: &http, listens: &[], access_log: true, workers: 1 };
    let server = Nginx::start_by(&namespaces.entry(), &bed.cgroup, &config)?;
    let stream = harness::wait::until("nginx in its namespace", Duration::from_secs(20), || {
        Ok(namespaces.connect(address).ok())
    })?;
    let mut auditor = bed.audit()?;
    drop(stream);
    let mut client = RawClient::of(namespaces.connect(address)?)?;
    ask(&mut client, "first")?;
    client.send(format!("GET /large HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes())?;
    client.read_exactly(100_000)?;
    namespaces.cut()?;
    let ended = auditor.wait_for_event("the end of the request", Duration::from_secs(60), |event| {
        event.text("/http/request/path") == Some("/large")
    })?;
    server.stop()?;
    let output = auditor.stop()?;
    ensure!(ended.text("/outcome") == Some("timed_out"), "{}", ended.value);
    let connections = output.of_kind("connection")?;
    let outcomes: Vec<_> = connections.iter().filter_map(|event| event.text("/outcome")).collect();
    ensure!(outcomes.contains(&"timed_out") && !outcomes.contains(&"reset_by_controller"), "{outcomes:?}");
    Ok(())
}

/// Goes on when dropped, also if its test fails.
struct Held(Pid);

impl Held {
    fn hold(pid: Pid) -> Result<Self> {
        kill(pid, Signal::SIGSTOP)?;
        Ok(Self(pid))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Gone by itself otherwise.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// The reader stands still until the smallest ring is full.
#[test]
fn a_ring_that_overflows() -> Result<()> {
    let bed = nginx::bed()?;
    let server = nginx::start(&bed, &[(bed.server(), "")])?;
    let (file, options) = configured("limits:\n  ring_bytes: 1048576\n")?;
    let mut auditor = bed.audit_with(options)?;
    drop(file);
    let mut leaving = (0..40).map(|_| RawClient::connect(bed.server())).collect::<Result<Vec<_>>>()?;
    leaving
        .iter_mut()
        .enumerate()
        .try_for_each(|(number, client)| ask(client, &format!("early-{number}")))?;
    let ports: Vec<u16> =
        leaving.iter().map(|client| Ok(client.stream().local_addr()?.port())).collect::<Result<_>>()?;
    let mut wrk = command("wrk", None);
    wrk.args(["--threads", "1", "--connections", "16", "--duration", "4s", "--header"]);
    wrk.arg(format!("Host: {HOST}")).arg(format!("http://{}/own/load", bed.server()));
    let mut wrk = Process::spawn("wrk", &mut wrk, &File::create("/dev/null")?)?;
    auditor.wait_for_event("the load to begin", Duration::from_secs(20), |event| {
        event.text("/http/request/path") == Some("/own/load")
    })?;
    let held = Held::hold(auditor.decoder()?)?;
    // What is left of the load fills the ring: that it did is seen by what is lost.
    ensure!(wrk.wait(Duration::from_secs(30))?.success(), "wrk failed");
    for client in leaving {
        ensure!(client.finish()?.is_empty());
    }
    drop(held);
    // The end of the last that left is the last record in the ring: there is room again.
    let last = ports.last().copied().map(u64::from);
    auditor.wait_for_event("the ring to be read", Duration::from_secs(20), |event| {
        event.kind == "connection"
            && event.value.pointer("/remote/port").and_then(serde_json::Value::as_u64) == last
    })?;
    let mut after = RawClient::connect(bed.server())?;
    ask(&mut after, "after")?;
    ensure!(after.finish()?.is_empty());
    let log = server.stop()?;
    let output = auditor.stop()?;
    let seen = paths(&output)?;
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    log.iter().for_each(|entry| counts.entry(&entry.uri).or_default().0 += 1);
    seen.iter().for_each(|path| counts.entry(path).or_default().1 += 1);
    for (path, (logged, seen)) in &counts {
        ensure!(seen <= logged, "{path}: {seen} events, {logged} requests");
        ensure!(*path == "/own/load" || seen == logged, "{path}: {seen} events, {logged} requests");
    }
    for event in output.requests()? {
        ensure!(event.status() == Some(404) || !event.observation.complete, "said to be whole: {event:?}");
    }
    let lost = counts.get("/own/load").map_or(0, |(logged, seen)| logged - seen);
    ensure!(lost > 0, "the ring did not overflow");
    let coverage = output.of_kind("coverage")?;
    let told: u64 = coverage
        .iter()
        .filter(|event| event.text("/reason") == Some("ring_full"))
        .filter_map(|event| event.value.pointer("/count")?.as_u64())
        .sum();
    // A request is four packets here at most: two segments, which may share one with others.
    ensure!(told > 0 && lost as u64 <= told, "{lost} requests lost, {told} records told of");
    let connections = output.of_kind("connection")?;
    let ended = |port: u16| {
        let of_port = connections.iter().filter(move |event| {
            event.value.pointer("/remote/port").and_then(serde_json::Value::as_u64) == Some(port.into())
        });
        of_port.filter_map(|event| event.text("/outcome")).collect::<Vec<_>>()
    };
    for port in ports {
        ensure!(ended(port) == ["closed"], "port {port}: {:?}", ended(port));
    }
    ensure!(
        connections.iter().all(|event| event.text("/outcome") != Some("unknown")),
        "still open at the end"
    );
    Ok(())
}

/// Resident memory, bytes (`proc_pid_status(5)`).
fn resident(pids: &[u32]) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        sum += line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024;
    }
    Ok(sum)
}

/// Many clients that send most of a long head and wait.
#[test]
fn many_heads_that_are_not_whole() -> Result<()> {
    const CLIENTS: usize = 4000;
    const HEAD: usize = 60_000;
    const RESIDENT: u64 = 150 << 20;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let bed = nginx::bed()?;
    // nginx waits for the rest of heads of up to 128 KiB.
    let address = bed.server();
    let http = format!(
        "  server {{ listen {address}; large_client_header_buffers 16 8k; location /own {{ return 404; }} }}\n"
    );
    let config = Config { http: &http, listens: &[address], access_log: true, workers: 1 };
    let server = Nginx::start(&bed.cgroup, &config)?;
    let mut auditor = bed.audit()?;
    let line = format!("X-Long: {}\r\n", "x".repeat(990));
    let head = format!("GET /own/long HTTP/1.1\r\nHost: {HOST}\r\n{}", line.repeat(HEAD / 1000));
    let (mut clients, mut honest, mut peak) = (Vec::new(), RawClient::connect(bed.server())?, 0);
    let mut asked = 0;
    for number in 0..CLIENTS {
        let mut client = RawClient::connect(bed.server())?;
        client.send(head.as_bytes())?;
        clients.push(client);
        if number % 50 == 0 {
            // No faster than the ring is read, on any machine: this is about what is kept.
            let path = format!("honest-{number}");
            ask(&mut honest, &path)?;
            asked += 1;
            auditor.wait_for_event("an honest request", Duration::from_secs(20), |event| {
                event.text("/http/request/path") == Some(&format!("/own/{path}"))
            })?;
            peak = peak.max(resident(&auditor.pids()?)?);
        }
    }
    peak = peak.max(resident(&auditor.pids()?)?);
    ensure!(peak < RESIDENT, "{} MiB resident", peak >> 20);
    drop(clients);
    drop(honest);
    server.stop()?;
    let output = auditor.stop()?;
    let seen = paths(&output)?.iter().filter(|path| path.starts_with("/own/honest-")).count();
    ensure!(seen == asked, "{seen} of {asked} honest requests were seen\n  {}", output.coverage()?);
    eprintln!("{} MiB at most", peak >> 20);
    Ok(())
}
