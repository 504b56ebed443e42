//! [`Facts`]: what the machine says of itself. Every fact that cannot be read is absent, never assumed.

use std::fs;
use std::path::Path;

use caps::{CapSet, Capability};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use nix::sys::utsname::uname;

use crate::target::{CgroupMount, Host};

/// What the machine says of itself.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The kernel's release: `6.1.0-18-amd64`.
    pub kernel: Option<String>,
    /// Size of the kernel's own type information, bytes.
    pub btf_bytes: Option<u64>,
    /// The cgroup v2 tree.
    pub cgroup: Option<CgroupMount>,
    /// A BPF file system is mounted at its usual place.
    pub has_bpffs: bool,
    /// Effective capabilities, of those that matter.
    pub capabilities: Vec<Capability>,
    /// `RLIMIT_MEMLOCK`, bytes.
    pub memlock_bytes: Option<u64>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<u8>,
    /// `net.core.bpf_jit_enable`.
    pub bpf_jit: Option<u8>,
    /// Smallest memory limit of this process's cgroup and those above it, bytes.
    pub memory_limit_bytes: Option<u64>,
    /// The process is in another time namespace than the host: `CLOCK_MONOTONIC` differs from the kernel's.
    pub monotonic_offset: Option<bool>,
}

/// The capabilities that matter.
pub(super) const CAPABILITIES: [Capability; 6] = [
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_SYS_RESOURCE,
];

impl Facts {
    /// Reads them all.
    #[must_use]
    pub fn gather() -> Self {
        let cgroup = Host::default().cgroup_mount().ok();
        Self {
            kernel: uname().ok().map(|name| name.release().to_string_lossy().into_owned()),
            btf_bytes: fs::metadata("/sys/kernel/btf/vmlinux").ok().map(|metadata| metadata.len()),
            has_bpffs: statfs("/sys/fs/bpf").is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC),
            capabilities: capabilities(),
            memlock_bytes: getrlimit(Resource::RLIMIT_MEMLOCK).ok().map(|(soft, _)| soft),
            unprivileged_bpf_disabled: number("/proc/sys/kernel/unprivileged_bpf_disabled"),
            bpf_jit: number("/proc/sys/net/core/bpf_jit_enable"),
            memory_limit_bytes: cgroup.as_ref().and_then(memory_limit),
            monotonic_offset: time_offset(),
            cgroup,
        }
    }
}

fn capabilities() -> Vec<Capability> {
    let effective = caps::read(None, CapSet::Effective).unwrap_or_default();
    CAPABILITIES.into_iter().filter(|capability| effective.contains(capability)).collect()
}

fn number(path: &str) -> Option<u8> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The smallest `memory.max` from the process's own cgroup up to the root.
fn memory_limit(mount: &CgroupMount) -> Option<u64> {
    let mut directory = mount.locate(&Host::default().own_cgroup()?)?;
    let mut least = None;
    while directory.starts_with(&mount.path) {
        let limit =
            fs::read_to_string(directory.join("memory.max")).ok().and_then(|text| text.trim().parse().ok());
        least = least.into_iter().chain(limit).min();
        if !directory.pop() {
            break;
        }
    }
    least
}

/// Offsets of the time namespace that children of this process live in (`time_namespaces(7)`).
fn time_offset() -> Option<bool> {
    let text = fs::read_to_string(Path::new("/proc/self/timens_offsets")).ok()?;
    let monotonic = text.lines().find_map(|line| line.strip_prefix("monotonic"))?;
    Some(monotonic.split_ascii_whitespace().any(|number| number != "0"))
}
