//! One measurement: a fresh ingress, a mode, a load; and what it took.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use harness::auditor::{AuditorProcess, Options};
use harness::wait;
use nix::unistd::{SysconfVar, sysconf};
use serde::Serialize;
use serde_json::Value;

use super::ingress::Ingress;
use super::load::Bed;
use super::setting::{Protocol, Server, Setting};
use super::uprobe::Tracer;
use crate::commands;

/// Load before the measurement, so that connections and caches are warm.
const WARM_UP_SECONDS: u32 = 1;
/// Load for the time of the kernel programs, which is taken apart: counting it costs time itself.
const STATS_SECONDS: u32 = 2;
const STATS_SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Who keeps a record of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// No one.
    Bare,
    /// The controller, as JSON; nginx unbuffered.
    AccessLog,
    /// The auditor.
    Auditor,
    /// No one, but each read and write of the TLS library is trapped.
    Uprobe,
}

/// What was measured. Null: does not exist in this mode.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Run {
    pub(super) server: Server,
    pub(super) protocol: Protocol,
    pub(super) mode: Mode,
    pub(super) repeat: u32,
    pub(super) requests_per_second: f64,
    pub(super) controller_cpu_us_per_request: f64,
    pub(super) auditor_cpu_us_per_request: Option<f64>,
    pub(super) bpf_us_per_request: Option<f64>,
    pub(super) auditor_peak_rss_mib: Option<f64>,
    pub(super) events: Option<u64>,
    pub(super) lost: Option<u64>,
}

/// Measures `mode` once, under about `seconds` of load.
pub(super) fn run(
    setting: Setting,
    mode: Mode,
    repeat: u32,
    seconds: u32,
    config: Option<&Path>,
) -> Result<Run> {
    let bed = Bed::start(setting, mode == Mode::AccessLog)?;
    let auditor = if mode == Mode::Auditor { Some(start(&bed, config)?) } else { None };
    let tracer = match bed.ingress() {
        Ingress::Nginx(nginx) if mode == Mode::Uprobe => Some(Tracer::start(nginx)?),
        _ => None,
    };
    bed.try_once()?;
    bed.load(WARM_UP_SECONDS)?;
    if let Some(auditor) = &auditor {
        drain(auditor, bed.handled()?)?;
    }
    let auditor_before = auditor.as_ref().map(cpu_us).transpose()?;
    let controller_before = bed.cgroup().cpu_usage_us()?;
    let (requests, requests_per_second) = bed.load(seconds)?;
    let controller = bed.cgroup().cpu_usage_us()? - controller_before;
    if let Some(tracer) = tracer {
        tracer.stop(requests)?;
    }
    let mut run = Run {
        server: setting.server,
        protocol: setting.protocol,
        mode,
        repeat,
        requests_per_second,
        controller_cpu_us_per_request: per_request(controller, requests),
        auditor_cpu_us_per_request: None,
        bpf_us_per_request: None,
        auditor_peak_rss_mib: None,
        events: None,
        lost: None,
    };
    if let (Some(auditor), Some(before)) = (auditor, auditor_before) {
        // Its work for these requests is done when their events are out.
        drain(&auditor, bed.handled()?)?;
        let spent = cpu_us(&auditor)?.checked_sub(before).context("a process of the auditor has ended")?;
        run.auditor_cpu_us_per_request = Some(per_request(spent, requests));
        run.bpf_us_per_request = Some(bpf_us_per_request(&bed)?);
        run.auditor_peak_rss_mib = Some(memory_mib(&auditor, "VmHWM:")?);
        let handled = bed.handled()?;
        let output = auditor.stop()?;
        run.events = Some(output.request_count);
        // Not `saturating`: more events than requests is a defect as well, and shows as such.
        run.lost = Some(handled.abs_diff(output.request_count));
    }
    Ok(run)
}

/// Starts the auditor on the ingress: it counts what is printed and keeps nothing.
pub(super) fn start(bed: &Bed, config: Option<&Path>) -> Result<AuditorProcess> {
    let arguments = config.into_iter().flat_map(|path| [OsString::from("--config"), path.into()]).collect();
    let options = Options { arguments, count_only: true, on_line: None };
    AuditorProcess::start(bed.cgroup(), bed.manifests(), options)
}

/// Waits until there are so many events of requests, or there will be no more: what is missing then is lost.
pub(super) fn drain(auditor: &AuditorProcess, handled: u64) -> Result<()> {
    let mut last = (auditor.request_count(), std::time::Instant::now());
    wait::until("the auditor to catch up", DRAIN_LIMIT, || {
        let count = auditor.request_count();
        if count != last.0 {
            last = (count, std::time::Instant::now());
        }
        Ok((count >= handled || last.1.elapsed() > Duration::from_secs(3)).then_some(()))
    })
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 microseconds and requests")]
fn per_request(us: u64, requests: u64) -> f64 {
    us as f64 / requests.max(1) as f64
}

/// CPU time of the auditor's processes, user and system, microseconds (`proc_pid_stat(5)`: fields 14 and 15, in ticks).
fn cpu_us(auditor: &AuditorProcess) -> Result<u64> {
    let ticks_a_second = u64::try_from(sysconf(SysconfVar::CLK_TCK)?.context("no CLK_TCK")?)?;
    let mut ticks = 0;
    for pid in auditor.pids()? {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may contain anything: fields are counted from its end; the next one is the third.
        let (_, rest) = stat.rsplit_once(')').context("stat")?;
        let times = rest.split_whitespace().skip(11).take(2);
        ticks += times.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    }
    Ok(ticks * 1_000_000 / ticks_a_second)
}

/// A line of the auditor's `/proc/PID/status`, summed over its processes, MiB.
#[expect(clippy::cast_precision_loss, reason = "kilobytes of memory are far below 2^52")]
pub(super) fn memory_mib(auditor: &AuditorProcess, line: &str) -> Result<f64> {
    let mut kib = 0;
    for pid in auditor.pids()? {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let value = status.lines().find_map(|text| text.strip_prefix(line)?.split_whitespace().next());
        kib += value.with_context(|| format!("no {line} in /proc/{pid}/status"))?.parse::<u64>()?;
    }
    Ok(kib as f64 / 1024.0)
}

/// Time in the programs attached to the ingress's cgroup, under a load of its own with the kernel's statistics on.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52 nanoseconds and requests")]
fn bpf_us_per_request(bed: &Bed) -> Result<f64> {
    let _statistics = Statistics::switch_on()?;
    let before = run_time_ns(bed)?;
    let (requests, _) = bed.load(STATS_SECONDS)?;
    let time = run_time_ns(bed)? - before;
    Ok(time as f64 / 1000.0 / requests.max(1) as f64)
}

fn run_time_ns(bed: &Bed) -> Result<u64> {
    let attached = bpftool(&["cgroup", "show", &bed.cgroup().path().to_string_lossy()])?;
    let ids: BTreeSet<u64> = objects(&attached).filter_map(|object| object.get("id")?.as_u64()).collect();
    let all = bpftool(&["prog", "show"])?;
    let ours = objects(&all)
        .filter(|object| object.get("id").and_then(Value::as_u64).is_some_and(|id| ids.contains(&id)));
    Ok(ours.filter_map(|object| object.get("run_time_ns")?.as_u64()).sum())
}

fn objects(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn bpftool(arguments: &[&str]) -> Result<Value> {
    let program = commands::find("bpftool").context("bpftool is missing")?;
    let text =
        commands::output(Command::new(program).arg("--json").args(arguments)).context("bpftool failed")?;
    serde_json::from_str(&text).context("read what bpftool said")
}

/// The kernel's statistics about programs, on as long as this exists.
struct Statistics {
    before: String,
}

impl Statistics {
    fn switch_on() -> Result<Self> {
        let before = fs::read_to_string(STATS_SWITCH)?;
        fs::write(STATS_SWITCH, "1")?;
        Ok(Self { before })
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        if let Err(error) = fs::write(STATS_SWITCH, &self.before) {
            commands::say(&format!("cannot set {STATS_SWITCH} back: {error}"));
        }
    }
}
