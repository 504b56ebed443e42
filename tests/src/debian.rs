//! Programs of other Debian releases, each unpacked into a root of its own with the libraries that it was built for.
//!
//! Consumes the machine's own mirror through apt-get, by `auditor/tests/tap/fetch.sh`; produces a [`Root`], removed with its
//! guard. Nothing is installed, and no script of a package runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::peers::{all, output, skip};

/// A directory to change the root to.
#[derive(Debug)]
pub struct Root {
    directory: TempDir,
}

impl Root {
    /// Downloads and unpacks `packages` of `suite`. None, which is said, without `AUDITOR_TEST_ALL`, or if they cannot be had.
    #[must_use]
    pub fn unpack(suite: &str, packages: &[&str]) -> Option<Self> {
        if !all() {
            skip(suite, "downloads: only with AUDITOR_TEST_ALL=1");
            return None;
        }
        Self::download(suite, packages).map_err(|error| skip(suite, &format!("{error:#}"))).ok()
    }

    fn download(suite: &str, packages: &[&str]) -> Result<Self> {
        let root = Self { directory: TempDir::new()? };
        let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../auditor/tests/tap/fetch.sh");
        let mut fetch = Command::new("bash");
        output(fetch.arg(script).arg(root.directory.path()).args([suite, &architecture]).args(packages))?;
        // What the package base-files does where /usr is merged.
        for folder in ["lib", "lib64", "bin", "sbin"] {
            let link = root.path().join(folder);
            if !link.exists() && root.path().join("usr").join(folder).is_dir() {
                symlink(Path::new("usr").join(folder), link)?;
            }
        }
        // And base-passwd: servers look up the user that they run as.
        fs::create_dir_all(root.path().join("etc"))?;
        fs::write(root.path().join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
        fs::write(root.path().join("etc/group"), "root:x:0:\n")?;
        Ok(root)
    }

    /// The new root.
    #[must_use]
    pub fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("root")
    }

    /// What a program of it prints, on both outputs.
    ///
    /// # Errors
    /// It cannot be started, or fails.
    pub fn run(&self, program: &[&str]) -> Result<String> {
        let mut command = Command::new("chroot");
        let output = command.arg(self.path()).args(program).output().context("start chroot")?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(output.status.success(), "{program:?}: {said}");
        Ok(said)
    }
}
