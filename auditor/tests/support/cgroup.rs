//! A cgroup of a test: gone with the test however that ends, and with the next run if the test was killed.

use std::fs;
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use auditor::target::Host;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What all names start with; the number of the process that made it follows.
const PREFIX: &str = "auditor-test-";
/// How long processes may take to leave.
const LONG: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// A directory of the cgroup v2 tree.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Makes one, or says why not.
    pub(crate) fn new(name: &str) -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("needs root".to_owned());
        }
        let mount = Host::default().cgroup_mount().map_err(|_| "no cgroup v2 tree is mounted".to_owned())?;
        sweep(&mount.path);
        let path = mount.path.join(format!("{PREFIX}{}-{name}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("cannot create a cgroup: {error}"))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes what tests have left behind whose process is gone.
fn sweep(mount: &Path) {
    for entry in fs::read_dir(mount).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        let is_gone = |owner: u32| !Path::new("/proc").join(owner.to_string()).exists();
        if owner.is_some_and(is_gone) {
            remove(&entry.path());
        }
    }
}

/// Ends the processes of a cgroup and removes it.
fn remove(path: &Path) {
    let started = Instant::now();
    while let Err(error) = fs::remove_dir(path) {
        if error.kind() == std::io::ErrorKind::NotFound {
            return;
        }
        if started.elapsed() > LONG {
            let _ = writeln!(stderr(), "left behind: {}: {error}", path.display());
            return;
        }
        let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        for pid in text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(PAUSE);
    }
}
