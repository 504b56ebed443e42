//! What the facts mean: pure.

use caps::Capability;

use super::facts::{CAPABILITIES, Facts};
use super::tls::COOKIES;
use super::{Controller, Item, LookError, Status};
use crate::target::Target;

/// Oldest kernel: ring buffer and `CAP_BPF` came with 5.8; 5.10 is the first long-term release with both.
const OLDEST: (u32, u32) = (5, 10);
/// From here BPF memory counts for the cgroup, not for `RLIMIT_MEMLOCK` (5.11, "bpf: switch to memcg-based memory accounting").
const NO_MEMLOCK: (u32, u32) = (5, 11);
/// Resident memory that the bounds of the default configuration need.
const MEMORY: u64 = 128 << 20;

pub(super) fn judge(facts: &Facts) -> Vec<Item> {
    let mut items = vec![kernel(facts), btf(facts), cgroup(facts), capabilities(facts)];
    items.extend(memlock(facts));
    items.extend([key_tap(facts), bpffs(facts), jit(facts), unprivileged(facts), memory(facts), time(facts)]);
    items
}

fn item(
    name: &'static str,
    status: Status,
    found: impl Into<String>,
    needed: &'static str,
    advice: &'static str,
) -> Item {
    let advice = (status != Status::Ok).then_some(advice);
    Item { name, status, found: found.into(), needed, advice }
}

fn ok_or(is_ok: bool, otherwise: Status) -> Status {
    if is_ok { Status::Ok } else { otherwise }
}

/// The first two numbers of a release.
pub(super) fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn kernel_version(facts: &Facts) -> Option<(u32, u32)> {
    facts.kernel.as_deref().and_then(version)
}

fn kernel(facts: &Facts) -> Item {
    let is_new = kernel_version(facts).is_some_and(|version| version >= OLDEST);
    let found = facts.kernel.clone().unwrap_or_else(|| "unknown".into());
    item("kernel", ok_or(is_new, Status::Failed), found, "Linux 5.10 or newer", "boot a newer kernel")
}

fn btf(facts: &Facts) -> Item {
    let found = match facts.btf_bytes {
        Some(bytes) => format!("/sys/kernel/btf/vmlinux, {bytes} bytes"),
        None => "no /sys/kernel/btf/vmlinux".into(),
    };
    item(
        "btf",
        ok_or(facts.btf_bytes.is_some(), Status::Degraded),
        found,
        "the kernel's type information (CONFIG_DEBUG_INFO_BTF)",
        "the programs read no kernel structures and load without it, but the verifier's messages are poorer",
    )
}

fn cgroup(facts: &Facts) -> Item {
    let (status, found) = match &facts.cgroup {
        Some(mount) if mount.root == std::path::Path::new("/") => {
            (Status::Ok, format!("mounted at {}", mount.path.display()))
        }
        Some(mount) => {
            (Status::Degraded, format!("{} of it mounted at {}", mount.root.display(), mount.path.display()))
        }
        None => (Status::Failed, "not mounted".into()),
    };
    item(
        "cgroup v2",
        status,
        found,
        "the whole tree, to attach to a controller's cgroup",
        "mount it (mount -t cgroup2 none /sys/fs/cgroup/unified); in a container, share the host's cgroup namespace",
    )
}

fn capabilities(facts: &Facts) -> Item {
    let has = |capability| facts.capabilities.contains(&capability);
    let is_admin = has(Capability::CAP_SYS_ADMIN);
    // Loading cgroup_skb and sock_ops programs needs BPF and NET_ADMIN, tracepoints PERFMON; SYS_ADMIN implies BPF and PERFMON (capabilities(7)).
    let is_enough = has(Capability::CAP_NET_ADMIN)
        && (is_admin || (has(Capability::CAP_BPF) && has(Capability::CAP_PERFMON)));
    let names: Vec<String> = CAPABILITIES.into_iter().filter(|c| has(*c)).map(|c| c.to_string()).collect();
    item(
        "capabilities",
        ok_or(is_enough, Status::Failed),
        if names.is_empty() { "none".into() } else { names.join(" ") },
        "CAP_NET_ADMIN, and CAP_BPF with CAP_PERFMON, or CAP_SYS_ADMIN",
        "run as root, or give the program these capabilities",
    )
}

/// Told only where it matters.
fn memlock(facts: &Facts) -> Option<Item> {
    let is_old = kernel_version(facts).is_none_or(|version| version < NO_MEMLOCK);
    let bytes = facts.memlock_bytes.filter(|_| is_old)?;
    let can_raise = facts.capabilities.contains(&Capability::CAP_SYS_RESOURCE);
    let is_enough = bytes >= MEMORY || can_raise;
    let found = if bytes == u64::MAX { "unlimited".into() } else { format!("{bytes} bytes") };
    Some(item(
        "memlock",
        ok_or(is_enough, Status::Failed),
        found,
        "128 MiB of locked memory, before Linux 5.11",
        "raise RLIMIT_MEMLOCK (ulimit -l unlimited, LimitMEMLOCK=infinity), or give CAP_SYS_RESOURCE",
    ))
}

fn key_tap(facts: &Facts) -> Item {
    let is_new = kernel_version(facts).is_none_or(|version| version >= COOKIES);
    item(
        "key tap",
        ok_or(is_new, Status::Degraded),
        if is_new { "uprobes with cookies" } else { "no uprobes with cookies" },
        "Linux 5.15 or newer, to read the secrets of TLS connections",
        "boot a newer kernel; without it connections with TLS are counted and not read",
    )
}

/// A controller that was looked at.
pub(super) fn tls(target: &Target, controller: &Controller) -> Item {
    let codes = || controller.processes.iter().flat_map(|process| &process.tls);
    let covered = codes().filter(|code| code.covered).count();
    let found = format!(
        "{target}: {} processes run {} pieces of TLS code, of which {covered} are covered",
        controller.processes.len(),
        codes().count()
    );
    item(
        "tls",
        ok_or(controller.is_covered(), Status::Degraded),
        found,
        "TLS code whose secrets can be read",
        "see below what is not covered or not known, and why; its connections are counted and not read",
    )
}

/// A controller that could not be.
pub(super) fn target(error: &LookError) -> Item {
    item(
        "tls",
        Status::Failed,
        error.to_string(),
        "a controller that runs in a cgroup of its own",
        "name it by --cgroup, --unit, --pid or --port as `auditor run` does",
    )
}

fn bpffs(facts: &Facts) -> Item {
    item(
        "bpffs",
        ok_or(facts.has_bpffs, Status::Degraded),
        if facts.has_bpffs { "mounted at /sys/fs/bpf" } else { "not mounted at /sys/fs/bpf" },
        "a place to keep maps over a planned restart",
        "mount -t bpf bpf /sys/fs/bpf; without it a restart loses what happens in between",
    )
}

fn jit(facts: &Facts) -> Item {
    let found = facts.bpf_jit.map_or("unknown".into(), |value| format!("net.core.bpf_jit_enable = {value}"));
    // Kernels that always compile (CONFIG_BPF_JIT_ALWAYS_ON) may have no such switch.
    let is_off = facts.bpf_jit == Some(0);
    item(
        "bpf jit",
        ok_or(!is_off, Status::Degraded),
        found,
        "compiled programs",
        "sysctl net.core.bpf_jit_enable=1; interpreted programs cost the controller several times as much",
    )
}

fn unprivileged(facts: &Facts) -> Item {
    let value = facts.unprivileged_bpf_disabled;
    let found = value.map_or("unknown".into(), |value| format!("kernel.unprivileged_bpf_disabled = {value}"));
    item(
        "unprivileged bpf",
        ok_or(value != Some(0), Status::Degraded),
        found,
        "1 or 2: only privileged programs load",
        "the auditor does not need it; anybody on this host may load programs: sysctl kernel.unprivileged_bpf_disabled=2",
    )
}

fn memory(facts: &Facts) -> Item {
    let (is_enough, found) = match facts.memory_limit_bytes {
        Some(bytes) => (bytes >= MEMORY, format!("limit of {} MiB", bytes >> 20)),
        None => (true, "no limit seen".into()),
    };
    item(
        "memory",
        ok_or(is_enough, Status::Degraded),
        found,
        "128 MiB with the default limits",
        "raise the memory limit of the auditor's cgroup, or lower `limits` in its configuration",
    )
}

fn time(facts: &Facts) -> Item {
    let found = match facts.monotonic_offset {
        Some(true) => "CLOCK_MONOTONIC has an offset here",
        Some(false) => "the host's",
        None => "no time namespaces",
    };
    item(
        "time namespace",
        ok_or(facts.monotonic_offset != Some(true), Status::Degraded),
        found,
        "the host's clock: the kernel's programs read CLOCK_MONOTONIC without an offset",
        "run outside of a time namespace, or the times of events are off by that offset",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;
    use crate::target::CgroupMount;

    fn good() -> Facts {
        Facts {
            kernel: Some("6.1.0-18-amd64".into()),
            btf_bytes: Some(1),
            cgroup: Some(CgroupMount { path: "/sys/fs/cgroup".into(), root: "/".into() }),
            has_bpffs: true,
            capabilities: CAPABILITIES.to_vec(),
            memlock_bytes: Some(65_536),
            unprivileged_bpf_disabled: Some(2),
            bpf_jit: Some(1),
            memory_limit_bytes: None,
            monotonic_offset: Some(false),
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Facts), expected: &[(&str, Status)]) {
        let mut facts = good();
        change(&mut facts);
        let report = check::run(&facts, &[]);
        let bad: Vec<_> =
            report.items.iter().filter(|i| i.status != Status::Ok).map(|i| (i.name, i.status)).collect();
        assert_eq!(bad, expected);
        assert!(report.items.iter().all(|item| item.advice.is_some() == (item.status != Status::Ok)));
        assert_eq!(report.has_failed(), expected.iter().any(|(_, status)| *status == Status::Failed));
    }

    #[test]
    fn each_fact_counts() {
        use Capability::*;
        check(|_| (), &[]);
        check(
            |f| f.kernel = Some("5.9.16".into()),
            &[("kernel", Status::Failed), ("key tap", Status::Degraded)],
        );
        check(|f| f.kernel = None, &[("kernel", Status::Failed)]);
        check(|f| f.kernel = Some("5.10".into()), &[("key tap", Status::Degraded)]);
        check(|f| f.kernel = Some("5.15.0-1".into()), &[]);
        check(|f| f.btf_bytes = None, &[("btf", Status::Degraded)]);
        check(|f| f.cgroup = None, &[("cgroup v2", Status::Failed)]);
        check(|f| f.cgroup.as_mut().unwrap().root = "/pod".into(), &[("cgroup v2", Status::Degraded)]);
        check(|f| f.capabilities = vec![], &[("capabilities", Status::Failed)]);
        check(|f| f.capabilities = vec![CAP_BPF, CAP_PERFMON], &[("capabilities", Status::Failed)]);
        check(|f| f.capabilities = vec![CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN], &[]);
        check(|f| f.capabilities = vec![CAP_SYS_ADMIN, CAP_NET_ADMIN], &[]);
        check(|f| f.has_bpffs = false, &[("bpffs", Status::Degraded)]);
        check(|f| f.bpf_jit = Some(0), &[("bpf jit", Status::Degraded)]);
        check(|f| f.unprivileged_bpf_disabled = Some(0), &[("unprivileged bpf", Status::Degraded)]);
        check(|f| f.memory_limit_bytes = Some(64 << 20), &[("memory", Status::Degraded)]);
        check(|f| f.monotonic_offset = Some(true), &[("time namespace", Status::Degraded)]);
    }

    #[test]
    fn locked_memory_counts_on_old_kernels_only() {
        let old = |memlock, capabilities: &'static [Capability]| {
            move |f: &mut Facts| {
                f.kernel = Some("5.10.0-30-amd64".into());
                f.memlock_bytes = Some(memlock);
                f.capabilities = capabilities.to_vec();
            }
        };
        const ENOUGH: &[Capability] = &[Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN];
        const TAP: (&str, Status) = ("key tap", Status::Degraded);
        check(old(65_536, ENOUGH), &[("memlock", Status::Failed), TAP]);
        check(old(u64::MAX, ENOUGH), &[TAP]);
        check(old(65_536, &CAPABILITIES), &[TAP]);
        assert!(!judge(&good()).iter().any(|item| item.name == "memlock"));
    }

    #[test]
    fn probes_come_last_and_count() {
        let probe = || item("programs", Status::Failed, "refused", "loaded", "see above");
        let report = check::run(&good(), &[probe]);
        assert_eq!(report.items.last().map(|item| item.name), Some("programs"));
        assert!(report.has_failed());
        let text = report.to_string();
        assert!(text.contains("FAILED    programs"), "{text}");
        assert!(text.ends_with("The auditor cannot run here.\n"), "{text}");
    }

    #[test]
    fn versions() {
        assert_eq!(version("6.18.44-x"), Some((6, 18)));
        assert_eq!(version("5.10"), Some((5, 10)));
        assert_eq!(version("six"), None);
        assert_eq!(version("99999999999.1"), None);
        assert_eq!(version(""), None);
    }
}
