//! `test`: everything that the tests need, then the tests.

use std::process::Command;

use anyhow::{Context, Result};

use crate::commands::{self, say};
use crate::{build_ebpf, setup, workspace};

/// How long each fuzz target runs with `--all`, seconds.
const FUZZ_SECONDS: u32 = 60;

/// Run the tests, those against real servers included.
///
/// Installs what is missing (asking first) and builds the kernel programs, then runs `cargo test --workspace`. Root is
/// needed: the end-to-end tests make cgroups and attach programs to them. Without root, `cargo test -p auditor -p
/// auditor-ebpf` runs the tests that need none.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Do not ask before installing.
    #[arg(long, short)]
    yes: bool,
    /// Also what takes long: fuzzing, a minute for each target; and programs of other distributions, which are downloaded.
    #[arg(long)]
    all: bool,
    /// Handed on to `cargo test`, for example `-p tests nginx`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    commands::require_root("the end-to-end tests make cgroups and attach programs to them")?;
    setup::run(&setup::Arguments { yes: arguments.yes, all: arguments.all })?;
    build_ebpf::run(&build_ebpf::Arguments::default())?;
    if arguments.all {
        fuzz()?;
    }
    let mut command = Command::new(workspace::cargo());
    // Last, so that the test runner's own words end the output.
    command.arg("test").current_dir(workspace::root());
    if arguments.all {
        command.env("AUDITOR_TEST_ALL", "1");
    }
    if arguments.rest.is_empty() {
        command.arg("--workspace");
    }
    commands::run_in_the_open(command.args(&arguments.rest))
}

/// A minute of each fuzz target, with the nightly toolchain.
fn fuzz() -> Result<()> {
    let cargo_fuzz = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(["+nightly", "fuzz"]).args(arguments);
        command.env_remove("RUSTUP_TOOLCHAIN").current_dir(workspace::root());
        command
    };
    if commands::output(&mut cargo_fuzz(&["--version"])).is_none() {
        say(
            "SKIPPED: fuzzing needs rustup's nightly and cargo-fuzz (`cargo xtask setup --all` installs them)",
        );
        return Ok(());
    }
    let targets = commands::output(&mut cargo_fuzz(&["list"])).context("`cargo fuzz list` failed")?;
    let limit = format!("-max_total_time={FUZZ_SECONDS}");
    targets.lines().try_for_each(|target| commands::run(&mut cargo_fuzz(&["run", target, "--", &limit])))
}
