//! Running programs, and finding them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use harness::wait;

/// Says what is run, runs it, and fails if it fails. Its output goes to standard error: standard output is for results.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    say(&shown(command));
    execute(command.stdout(std::io::stderr()))
}

/// Like [`run`], with the program's own standard output.
pub(crate) fn run_in_the_open(command: &mut Command) -> Result<()> {
    say(&shown(command));
    execute(command)
}

fn execute(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("start {name}"))?;
    wait::check_interrupted()?;
    if !status.success() {
        bail!("{name} failed: {status}");
    }
    Ok(())
}

/// What a program prints; none if it cannot be run or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Progress, on standard error.
pub(crate) fn say(text: &str) {
    eprintln!("xtask: {text}");
}

/// Where a program is: in `PATH`, or where Debian keeps those of the administrator.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrator = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(administrator)
        .map(|folder| folder.join(program))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// An error unless this is root.
pub(crate) fn require_root(why: &str) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "root is needed: {why}. Run it as root, for example `sudo -E env PATH=\"$PATH\" cargo xtask ...`"
        );
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
