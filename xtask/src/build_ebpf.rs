//! `build-ebpf`: the kernel programs, for `bpfel-unknown-none`.
//!
//! Produces `<target>/bpf/auditor-ebpf`, which the auditor's build script embeds. It is rewritten only if it changed, so
//! that the auditor is not built again for nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::commands::{self, say};
use crate::toolchain::{Choice, TARGET, Toolchain};
use crate::workspace;

/// Build the kernel programs, which `cargo build` then puts into the auditor.
///
/// Needs bpf-linker and one of two compilers: rustup's nightly with rust-src, or a distribution's rustc with a prebuilt
/// core for bpfel-unknown-none (Debian's rustc-web). `cargo xtask setup` installs what is missing.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// The compiler to use; `auto` takes the first that works.
    #[arg(long, value_enum, default_value_t)]
    toolchain: Choice,
    /// Check with clippy instead, warnings denied. Skipped, and said so, where no clippy for this target can be had.
    #[arg(long)]
    clippy: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (found, refused) = Toolchain::find(arguments.toolchain);
    for reason in &refused {
        say(&format!("not usable: {reason}"));
    }
    if arguments.clippy {
        return clippy(&found);
    }
    if commands::find("bpf-linker").is_none() {
        bail!("bpf-linker is missing: run `cargo xtask setup`");
    }
    let target = workspace::target()?;
    for toolchain in &found {
        say(&format!("building the kernel programs with {:?}: {}", toolchain.kind, toolchain.version));
        match build(toolchain, &target) {
            Ok(object) => return publish(&object, &target.join("bpf/auditor-ebpf")),
            Err(error) => say(&format!("{:?} did not work: {error:#}", toolchain.kind)),
        }
        harness::wait::check_interrupted()?;
    }
    bail!("no toolchain built the kernel programs (see above); `cargo xtask setup` installs one")
}

/// What every compilation of the programs has in common. Both toolchains have a folder of their own below the usual one:
/// neither undoes the other's work.
fn cargo(toolchain: &Toolchain, subcommand: &str, target: &Path) -> std::process::Command {
    let mut command = toolchain.cargo(subcommand);
    let folder = target.join("ebpf").join(format!("{:?}", toolchain.kind).to_lowercase());
    command.args(["--package", "auditor-ebpf", "--bin", "auditor-ebpf", "--release", "--target", TARGET]);
    command.arg("--target-dir").arg(folder).current_dir(workspace::root());
    // BTF lets the verifier's log show source lines. aya-ebpf asks for the architecture whose registers it will see.
    let architecture = format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH);
    let flags = ["-Cdebuginfo=2", "-Clink-arg=--btf", "-Clinker=bpf-linker", &architecture];
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    // The linker optimizes all of the program at once itself.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
    command.env("CARGO_PROFILE_RELEASE_DEBUG", "2").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3");
    command
}

fn build(toolchain: &Toolchain, target: &Path) -> Result<PathBuf> {
    let mut command = cargo(toolchain, "build", target);
    let folder = target.join("ebpf").join(format!("{:?}", toolchain.kind).to_lowercase());
    commands::run(&mut command)?;
    Ok(folder.join(TARGET).join("release/auditor-ebpf"))
}

/// Puts the object where the auditor's build script looks, if it is another one.
fn publish(object: &Path, place: &Path) -> Result<()> {
    let bytes = fs::read(object).with_context(|| format!("read {}", object.display()))?;
    if fs::read(place).is_ok_and(|old| old == bytes) {
        say(&format!("{} is up to date ({} bytes)", place.display(), bytes.len()));
        return Ok(());
    }
    let folder = place.parent().context("the object has no folder")?;
    fs::create_dir_all(folder)?;
    // Renamed into place: a build that runs meanwhile sees the old one or the new one.
    let fresh = tempfile::NamedTempFile::new_in(folder)?;
    fs::write(fresh.path(), &bytes)?;
    fresh.persist(place)?;
    say(&format!("wrote {} ({} bytes)", place.display(), bytes.len()));
    Ok(())
}

fn clippy(found: &[Toolchain]) -> Result<()> {
    let with_clippy =
        found.iter().find(|toolchain| commands::output(toolchain.cargo("clippy").arg("--version")).is_some());
    let Some(toolchain) = with_clippy.filter(|toolchain| toolchain.kind == Choice::Nightly) else {
        say("SKIPPED: clippy for the kernel programs needs rustup's nightly with rust-src and clippy");
        return Ok(());
    };
    let mut command = cargo(toolchain, "clippy", &workspace::target()?);
    commands::run(command.args(["--", "-D", "warnings"]))
}
