//! Control groups of version 2, made for one test and removed with it.
//!
//! Consumes the mount table, produces a [`Cgroup`] guard. Invariants: a guard's directory is its own (its name carries the
//! process id and a number); dropping it ends only processes inside it and removes only it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

const PREFIX: &str = "auditor-harness";
const EMPTY_LIMIT: Duration = Duration::from_secs(5);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Where the tree of version 2 is mounted: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` on a hybrid host.
///
/// # Errors
/// The mount table cannot be read, or has no such tree.
pub fn mount_point() -> Result<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    find_mount(&table).context("no cgroup v2 tree is mounted (no cgroup2 line in /proc/self/mountinfo)")
}

/// The mount point of the first cgroup2 line. Format: `proc_pid_mountinfo(5)`: optional fields end with a lone hyphen, then the type.
fn find_mount(table: &str) -> Option<PathBuf> {
    table.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        (source.split(' ').next() == Some("cgroup2")).then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// A control group of our own.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes one below the root of the tree; `name` helps whoever looks at the tree meanwhile.
    ///
    /// # Errors
    /// No cgroup v2 tree, or no right to make a directory in it (root is needed).
    pub fn create(name: &str) -> Result<Self> {
        let root = mount_point()?;
        sweep(&root);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("{PREFIX}-{}-{number}-{name}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("make the cgroup {} (root?)", path.display()))?;
        Ok(Self { path })
    }

    /// Makes one inside of it, at `path` below it, with the directories between.
    ///
    /// # Errors
    /// It cannot be made, or is there already.
    pub fn within(&self, path: &str) -> Result<Self> {
        let path = self.path.join(path);
        let parent = path.parent().unwrap_or(&self.path);
        fs::create_dir_all(parent).with_context(|| format!("make the cgroup {}", parent.display()))?;
        fs::create_dir(&path).with_context(|| format!("make the cgroup {}", path.display()))?;
        Ok(Self { path })
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The processes inside, now.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        let list = fs::read_to_string(self.path.join("cgroup.procs"))?;
        Ok(list.lines().filter_map(|line| line.parse().ok()).map(Pid::from_raw).collect())
    }

    /// CPU time used by everything that ever ran inside, microseconds (`usage_usec` of cpu.stat, kept also where the cpu
    /// controller is not enabled: Documentation/admin-guide/cgroup-v2.rst, "CPU Interface Files").
    ///
    /// # Errors
    /// The file cannot be read or lacks the line.
    pub fn cpu_usage_us(&self) -> Result<u64> {
        let text = fs::read_to_string(self.path.join("cpu.stat"))?;
        let value = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
        Ok(value.context("cpu.stat has no usage_usec")?.trim().parse()?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let removed = wait::to_the_end("the cgroup to be empty", EMPTY_LIMIT, || {
            for pid in self.processes()? {
                // A process that is gone by now is what is wanted.
                let _ = kill(pid, Signal::SIGKILL);
            }
            Ok(remove(&self.path).then_some(()))
        });
        if let Err(error) = removed {
            eprintln!("cannot remove the cgroup {}: {error}", self.path.display());
        }
    }
}

/// Removes a cgroup with those inside of it, as far as they are empty.
fn remove(path: &Path) -> bool {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let inside = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    inside.for_each(|entry| {
        remove(&entry.path());
    });
    fs::remove_dir(path).is_ok()
}

/// Removes what a run that was killed left behind: our own empty directories whose process is gone.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_prefix('-')) else {
            continue;
        };
        let alive = rest.split('-').next().is_none_or(|pid| Path::new("/proc").join(pid).exists());
        if !alive {
            // Fails where a process is still inside: then it is not ours to remove.
            remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(table: &str, expected: Option<&str>) {
        assert_eq!(find_mount(table), expected.map(PathBuf::from));
    }

    #[test]
    fn finds_the_tree() {
        check(
            "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw",
            Some("/sys/fs/cgroup/unified"),
        );
        check(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n9 1 0:2 / /cg rw shared:4 master:1 - cgroup2 none rw",
            Some("/cg"),
        );
        check("32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu", None);
        check("", None);
    }
}
