//! Programs that the tests need and Debian does not have: Envoy, a current Go, and what is built with it.
//!
//! Consumes `tests/peers/`, produces the paths of programs, kept in `target/peers/`. Each is fetched or built once in a
//! process. Invariant: what cannot be had is said on standard error, with the reason, and only then left out.

use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

/// The oldest minor version of Go that can build our sources.
const GO: u32 = 22;

/// Whether what takes long is asked for: `cargo xtask test --all`.
#[must_use]
pub fn all() -> bool {
    std::env::var_os("AUDITOR_TEST_ALL").is_some()
}

/// Says that something is not tested, and why.
pub fn skip(what: &str, why: &str) {
    // Not eprintln, which is hidden where the test passes. Where standard error is closed, nobody can be told.
    let _ = writeln!(stderr(), "SKIPPED {what}: {why}");
}

/// Envoy, stripped. `AUDITOR_TEST_ENVOY` names another. None, which is said, if it cannot be had.
pub fn envoy() -> Option<&'static Path> {
    static ENVOY: OnceLock<Option<PathBuf>> = OnceLock::new();
    had(&ENVOY, "Envoy", || match std::env::var_os("AUDITOR_TEST_ENVOY") {
        Some(path) => Ok(path.into()),
        None => fetch("envoy"),
    })
}

/// The reverse proxy `tests/peers/proxy.go`, stripped. None, which is said, if it cannot be had.
pub fn go_proxy() -> Option<&'static Path> {
    static PROXY: OnceLock<Option<PathBuf>> = OnceLock::new();
    had(&PROXY, "a proxy built with Go", build_proxy)
}

fn had(
    kept: &'static OnceLock<Option<PathBuf>>,
    what: &str,
    get: impl FnOnce() -> Result<PathBuf>,
) -> Option<&'static Path> {
    let got = || get().map_err(|error| skip(what, &format!("{error:#}"))).ok();
    kept.get_or_init(got).as_deref()
}

fn sources() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/peers"))
}

fn fetch(name: &str) -> Result<PathBuf> {
    let mut command = Command::new("bash");
    Ok(output(command.arg(sources().join("fetch.sh")).arg(name))?.into())
}

/// The machine's Go where that is current; another is too much to download for an ordinary run.
fn go() -> Result<PathBuf> {
    let own = output(Command::new("go").arg("version").env("GOTOOLCHAIN", "local"));
    match own.and_then(|text| minor_version(&text)) {
        Ok(minor) if minor >= GO => Ok("go".into()),
        _ if all() => fetch("go"),
        Ok(minor) => {
            bail!("the machine's Go is 1.{minor}, and another is fetched only with AUDITOR_TEST_ALL=1")
        }
        Err(error) => Err(error.context("another Go is fetched only with AUDITOR_TEST_ALL=1")),
    }
}

/// The 26 of `go version go1.26.8 linux/amd64`.
fn minor_version(text: &str) -> Result<u32> {
    let version = text.split(' ').nth(2).and_then(|word| word.strip_prefix("go1."));
    let minor = version.and_then(|version| version.split(|letter: char| !letter.is_ascii_digit()).next());
    minor.and_then(|minor| minor.parse().ok()).with_context(|| format!("no version of Go in {text:?}"))
}

fn build_proxy() -> Result<PathBuf> {
    let go = go()?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers");
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let program = folder.join("proxy");
    let mut command = Command::new(go);
    command.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&program).arg("proxy.go");
    // What is built is moved from there into its place, and not written over what may be running.
    command.current_dir(sources()).env("GOTMPDIR", &folder);
    output(command.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local"))?;
    Ok(program)
}

/// What it prints, without the end of the line.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_of_go() {
        assert_eq!(minor_version("go version go1.26.8 linux/amd64").unwrap(), 26);
        assert_eq!(minor_version("go version go1.27rc1 linux/amd64").unwrap(), 27);
        assert!(minor_version("go version devel linux/amd64").is_err());
    }
}
