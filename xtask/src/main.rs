//! Tasks of the project, one file per command.

mod bench;
mod build_ebpf;
mod commands;
mod demo;
mod setup;
mod test;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use harness::wait;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Tasks of the project. `demo` shows the auditor at work, `test` runs the tests; both install and build what they need
/// first.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing need, asking first.
    Setup(setup::Arguments),
    /// Build the kernel programs, which `cargo build` then puts into the auditor.
    BuildEbpf(build_ebpf::Arguments),
    /// Audit a real nginx under real requests, and check that each of them has its event.
    Demo(demo::Arguments),
    /// Run the tests, those against real servers included.
    Test(test::Arguments),
    /// Measure what the auditor costs, beside nginx alone and nginx with its access log.
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = watch_signals().and_then(|()| match arguments.command {
        Task::Setup(arguments) => setup::run(&arguments),
        Task::BuildEbpf(arguments) => build_ebpf::run(&arguments),
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Turns the first request to stop into an error of whatever is waited for, so that all guards are dropped; a second one
/// ends the program at once. By handlers, not by blocking the signals: children would inherit that.
fn watch_signals() -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        let mut stopping = false;
        for signal in signals.forever() {
            if stopping {
                std::process::exit(128 + signal);
            }
            eprintln!("xtask: signal {signal}, cleaning up");
            wait::interrupt();
            stopping = true;
        }
    });
    Ok(())
}
