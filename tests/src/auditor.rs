//! The auditor itself, as a process.
//!
//! Consumes a cgroup and manifests; produces the events that it prints, in order. Invariants: its output is read by a
//! thread of its own, never slower than it can be parsed, so the auditor does not wait for us; traffic starts after
//! [`AuditorProcess::start`] returned, which is after the programs were attached.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::cgroup::Cgroup;
use crate::event::{Event, Request};
use crate::process::{self, Process};
use crate::wait;

const ATTACH_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// What is called with each line of the auditor's output.
pub type OnLine = Box<dyn FnMut(&str) + Send>;

/// How the auditor is started.
#[derive(Default)]
pub struct Options {
    /// More arguments.
    pub arguments: Vec<OsString>,
    /// Count `http.request` lines and do not keep them: for loads whose events would fill the memory.
    pub count_only: bool,
    /// Called with every line, by the thread that reads it.
    pub on_line: Option<OnLine>,
}

/// What was printed up to now.
#[derive(Default)]
struct Printed {
    lines: Vec<String>,
    requests: u64,
    ended: bool,
}

/// Everything that an auditor printed in its life.
#[derive(Debug)]
pub struct Output {
    lines: Vec<String>,
    /// Lines of kind `http.request`, kept or not.
    pub request_count: u64,
    /// What it logged.
    pub log: String,
}

/// A running auditor.
pub struct AuditorProcess {
    process: Process,
    printed: Arc<Mutex<Printed>>,
    reader: Option<JoinHandle<()>>,
    directory: TempDir,
}

/// The program, built for release when it is not up to date: what is tested is what is shipped. `AUDITOR_BIN` names another.
///
/// # Errors
/// The build fails.
pub fn binary() -> Result<PathBuf> {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    static BUILD: Mutex<()> = Mutex::new(());
    let _guard = lock(&BUILD);
    if let Some(path) = BINARY.get() {
        return Ok(path.clone());
    }
    let path = match std::env::var_os("AUDITOR_BIN") {
        Some(path) => PathBuf::from(path),
        None => build()?,
    };
    Ok(BINARY.get_or_init(|| path).clone())
}

fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--release", "--package", "auditor", "--bin", "auditor"]);
    command.arg("--message-format=json-render-diagnostics");
    let output = command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo")?;
    if !output.status.success() {
        bail!("cargo build --release --package auditor failed");
    }
    let messages = String::from_utf8(output.stdout)?;
    let artifact = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let executable =
        artifact.filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?))).next_back();
    executable.context("cargo named no executable")
}

impl AuditorProcess {
    /// Starts `auditor run` on `cgroup` and waits until its programs are attached.
    ///
    /// # Errors
    /// It cannot be built or started, ends, or does not report the attachment in time; with what it logged.
    pub fn start(cgroup: &Cgroup, manifests: &Path, options: Options) -> Result<Self> {
        let arguments = [OsStr::new("run"), "--cgroup".as_ref(), cgroup.path().as_ref()];
        let manifests = [OsStr::new("--manifests"), manifests.as_ref()];
        Self::launch(&[&arguments[..], &manifests[..]].concat(), options, "attach")
    }

    /// Starts `auditor node` and waits until it says that it has started: it is attached to nothing yet.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_node(kubeconfig: &Path, node: &str, options: Options) -> Result<Self> {
        let arguments = ["node", "--node-name", node, "--kubeconfig"].map(OsStr::new);
        Self::launch(&[&arguments[..], &[kubeconfig.as_ref()]].concat(), options, "start")
    }

    /// Waits until it has told of `ready`.
    fn launch(arguments: &[&OsStr], options: Options, ready: &str) -> Result<Self> {
        let directory = TempDir::new()?;
        let log = fs::File::create(directory.path().join("stderr"))?;
        let mut command = process::command(binary()?, None);
        command.args(arguments).args(options.arguments).stdout(Stdio::piped()).stderr(log);
        let mut process = Process::spawn_as_is("auditor", &mut command)?;
        let stdout = process.take_stdout().context("the auditor's output is not a pipe")?;
        let printed = Arc::default();
        let reader = std::thread::spawn({
            let printed = Arc::clone(&printed);
            let mut on_line = options.on_line;
            move || {
                read(
                    BufReader::with_capacity(1 << 20, stdout),
                    &printed,
                    options.count_only,
                    on_line.as_mut(),
                )
            }
        });
        let mut auditor = Self { process, printed, reader: Some(reader), directory };
        auditor
            .wait_for_event("the auditor to begin", ATTACH_LIMIT, |event| event.coverage() == Some(ready))
            .with_context(|| format!("the auditor logged: {}", auditor.log()))?;
        Ok(auditor)
    }

    /// Waits for an event that `wanted` accepts, among those printed before and those to come.
    ///
    /// # Errors
    /// It ends, or does not print such an event in time.
    pub fn wait_for_event(
        &mut self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        let mut seen = 0;
        let printed = Arc::clone(&self.printed);
        wait::until(what, limit, || {
            let ended = lock(&printed).ended;
            let fresh: Vec<String> = lock(&printed).lines.iter().skip(seen).cloned().collect();
            seen += fresh.len();
            for line in fresh {
                let event = parse(&line)?;
                if wanted(&event) {
                    return Ok(Some(event));
                }
            }
            if ended {
                self.process.wait(STOP_LIMIT)?;
                self.process.check_running()?;
            }
            Ok(None)
        })
    }

    /// How many `http.request` events it has printed.
    #[must_use]
    pub fn request_count(&self) -> u64 {
        lock(&self.printed).requests
    }

    /// Its process and those that it started.
    ///
    /// # Errors
    /// The process table cannot be read.
    pub fn pids(&self) -> Result<Vec<u32>> {
        let mut pids = vec![self.process.pid()];
        let mut next = 0;
        while let Some(pid) = pids.get(next).copied() {
            next += 1;
            for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
                let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
                pids.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            }
        }
        Ok(pids)
    }

    /// The process that reads traffic.
    ///
    /// # Errors
    /// The process table cannot be read, or there is none.
    pub fn decoder(&self) -> Result<Pid> {
        let pid = *self.pids()?.get(1).context("there is no process that decodes")?;
        Ok(Pid::from_raw(pid.try_into()?))
    }

    /// The process that watches the API server.
    ///
    /// # Errors
    /// The process table cannot be read, or there is none.
    pub fn watcher(&self) -> Result<Pid> {
        let pid = *self.pids()?.get(2).context("there is no process that watches")?;
        Ok(Pid::from_raw(pid.try_into()?))
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("stderr")).unwrap_or_default()
    }

    /// Asks it to end, and gives everything that it printed.
    ///
    /// # Errors
    /// It does not end in time, or with a code other than 0, or printed no `coverage` event for its stop.
    pub fn stop(mut self) -> Result<Output> {
        self.process.check_running().with_context(|| self.log())?;
        self.process.signal(Signal::SIGTERM)?;
        let status = self.process.wait(STOP_LIMIT)?;
        if let Some(reader) = self.reader.take() {
            reader.join().map_err(|_| anyhow::anyhow!("the reader of the auditor's output panicked"))?;
        }
        let log = self.log();
        if !status.success() {
            bail!("the auditor ended with {status} and logged: {log}");
        }
        let mut printed = lock(&self.printed);
        let lines = std::mem::take(&mut printed.lines);
        let output = Output { lines, request_count: printed.requests, log };
        if !output.of_kind("coverage")?.iter().any(|event| event.coverage() == Some("stop")) {
            bail!("the auditor ended without a coverage event for its stop");
        }
        Ok(output)
    }
}

impl Output {
    /// The `http.request` events.
    ///
    /// # Errors
    /// A line is not an event.
    pub fn requests(&self) -> Result<Vec<Request>> {
        self.requests_of("http.request")
    }

    /// The `http.upstream` events.
    ///
    /// # Errors
    /// A line is not an event.
    pub fn upstream(&self) -> Result<Vec<Request>> {
        self.requests_of("http.upstream")
    }

    /// The events of a kind.
    ///
    /// # Errors
    /// A line is not an event.
    pub fn of_kind(&self, kind: &str) -> Result<Vec<Event>> {
        let lines = self.lines.iter().filter(|line| kind_of(line) == Some(kind));
        lines.map(|line| parse(line)).collect()
    }

    /// What it said about what it does not see, for the message of a test that fails.
    ///
    /// # Errors
    /// A line is not an event.
    pub fn coverage(&self) -> Result<String> {
        let events = self.of_kind("coverage")?;
        let lines = events.iter().map(|event| {
            let mut value = event.value.clone();
            if let Some(object) = value.as_object_mut() {
                object.retain(|name, value| {
                    !value.is_null()
                        && ["what", "reason", "subject", "count", "bytes", "message"].contains(&name.as_str())
                });
            }
            value.to_string()
        });
        Ok(lines.collect::<Vec<_>>().join("\n  "))
    }

    /// Every line as it was printed.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    fn requests_of(&self, kind: &str) -> Result<Vec<Request>> {
        let lines = self.lines.iter().filter(|line| kind_of(line) == Some(kind));
        lines.map(|line| serde_json::from_str(line).with_context(|| format!("event {line}"))).collect()
    }
}

fn read(
    mut source: impl BufRead,
    printed: &Mutex<Printed>,
    count_only: bool,
    mut on_line: Option<&mut OnLine>,
) {
    let mut line = Vec::new();
    let mut requests = 0;
    while source.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let request = line.starts_with(REQUEST);
        requests += u64::from(request);
        if !(request && count_only) {
            let text = String::from_utf8_lossy(&line);
            lock(printed).lines.push(text.trim_end().to_owned());
            if let Some(on_line) = on_line.as_mut() {
                on_line(text.trim_end());
            }
        }
        // Under load, for many lines at once: who counts shares the machine with what is measured.
        if !count_only || source.fill_buf().is_ok_and(|rest| rest.len() < line.len()) {
            lock(printed).requests = requests;
        }
        line.clear();
    }
    let mut printed = lock(printed);
    printed.requests = requests;
    printed.ended = true;
}

/// How the line of a request begins: the native form begins with the kind.
const REQUEST: &[u8] = br#"{"kind":"http.request","#;

/// The kind of a line, without parsing it.
fn kind_of(line: &str) -> Option<&str> {
    line.strip_prefix(r#"{"kind":""#)?.split('"').next()
}

fn parse(line: &str) -> Result<Event> {
    let value: Value = serde_json::from_str(line).with_context(|| format!("event {line}"))?;
    let kind = value.get("kind").and_then(Value::as_str).with_context(|| format!("no kind in {line}"))?;
    Ok(Event { kind: kind.to_owned(), value })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
