//! Which compiler builds the kernel programs.
//!
//! Two ways: rustup's nightly with the sources of `core`, built for the target on the way (`-Z build-std=core`); or a
//! compiler that has `core` for the target prebuilt, as Debian's `rustc-web` with `libstd-rust-web-dev-bpf`. In both, its
//! LLVM must not be newer than the linker's, which reads the bitcode.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::commands::output;

/// The target of the kernel programs.
pub(crate) const TARGET: &str = "bpfel-unknown-none";
/// LLVM of the bpf-linker that `setup` installs.
pub(crate) const LINKER_LLVM: u32 = 22;
/// The compiler of the distribution, not rustup's.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

/// A wish for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// The first that works.
    #[default]
    Auto,
    /// rustup's nightly with rust-src.
    Nightly,
    /// The distribution's rustc with a prebuilt core.
    Debian,
}

/// One that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// Never [`Choice::Auto`].
    pub(crate) kind: Choice,
    /// What it says of itself.
    pub(crate) version: String,
}

impl Toolchain {
    /// Those that can be used, the preferred first; and for each other why not.
    pub(crate) fn find(choice: Choice) -> (Vec<Self>, Vec<String>) {
        let (mut found, mut refused) = (Vec::new(), Vec::new());
        for (kind, probe) in [(Choice::Nightly, probe_nightly as fn() -> _), (Choice::Debian, probe_debian)] {
            if choice != Choice::Auto && choice != kind {
                continue;
            }
            match probe() {
                Ok(version) => found.push(Self { kind, version }),
                Err(error) => refused.push(format!("{kind:?}: {error}")),
            }
        }
        (found, refused)
    }

    /// A cargo that compiles with it: `cargo <subcommand>` for the kernel's target.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = if self.kind == Choice::Nightly {
            let mut command = rustup();
            command.args(["cargo", subcommand, "-Z", "build-std=core"]);
            command
        } else {
            let mut command = Command::new(crate::workspace::cargo());
            // The target is not a stable one's: a released compiler must be told to take unstable features.
            command.arg(subcommand).env("RUSTC", SYSTEM_RUSTC).env("RUSTC_BOOTSTRAP", "1");
            command
        };
        // What is set for the host, by the user or by the cargo that runs us, is not for this target.
        for name in ["RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
            command.env_remove(name);
        }
        command
    }
}

/// `rustup run nightly`, which must not install anything.
fn rustup() -> Command {
    let mut command = Command::new("rustup");
    command.env("RUSTUP_AUTO_INSTALL", "0").env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC");
    command.args(["run", "nightly"]);
    command
}

fn probe_nightly() -> Result<String> {
    let Some(version) = output(rustup().args(["rustc", "-vV"])) else {
        bail!("no rustup, or no nightly toolchain (rustup toolchain install nightly --component rust-src)");
    };
    let sysroot = output(rustup().args(["rustc", "--print", "sysroot"])).unwrap_or_default();
    if !Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs").exists() {
        bail!("nightly has no rust-src (rustup component add rust-src --toolchain nightly)");
    }
    accept(&version)
}

fn probe_debian() -> Result<String> {
    let Some(version) = output(Command::new(SYSTEM_RUSTC).arg("-vV")) else {
        bail!("no {SYSTEM_RUSTC} (Debian: rustc-web)");
    };
    let folder = output(Command::new(SYSTEM_RUSTC).args(["--print", "target-libdir", "--target", TARGET]));
    if !folder.is_some_and(|folder| Path::new(folder.trim()).exists()) {
        bail!("{SYSTEM_RUSTC} has no core for {TARGET} (Debian: libstd-rust-web-dev-bpf)");
    }
    accept(&version)
}

/// The first line of `rustc -vV`, if its LLVM is one that the linker reads.
fn accept(version: &str) -> Result<String> {
    let llvm = version.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    let major = llvm.and_then(|llvm| llvm.split('.').next()?.parse::<u32>().ok());
    let name = version.lines().next().unwrap_or_default();
    match major {
        Some(major) if major <= LINKER_LLVM => Ok(format!("{name}, LLVM {major}")),
        Some(major) => {
            bail!("{name} has LLVM {major}, bpf-linker has {LINKER_LLVM}: its bitcode cannot be read")
        }
        None => bail!("{name} does not say which LLVM it has"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_newer_llvm() {
        assert_eq!(accept("rustc 1.97.0\nLLVM version: 22.1.4\n").unwrap(), "rustc 1.97.0, LLVM 22");
        assert!(accept("rustc 1.99.0\nLLVM version: 23.0.0\n").is_err());
        assert!(accept("rustc 1.99.0\n").is_err());
    }
}
