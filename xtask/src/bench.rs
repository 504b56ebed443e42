//! `bench`: what the auditor costs, side by side with nginx alone and with nginx's own access log.
//!
//! The same nginx, backend and load in three modes, interleaved, so that what changes on the machine meanwhile changes
//! for all of them; medians over the repeats.

mod idle;
mod load;
mod measure;
mod others;
mod report;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use harness::{auditor, wait};

use crate::commands::{self, say};
use crate::{build_ebpf, setup, workspace};
use measure::Mode;

/// Measure what the auditor costs, beside nginx alone and nginx with its access log.
///
/// Prints requests a second, CPU time per request of nginx and of the auditor, the time of the kernel programs, peak memory
/// and lost events, for each mode: medians of the repeats. Root is needed. Nothing else should run meanwhile.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Do not ask before installing.
    #[arg(long, short)]
    yes: bool,
    /// How often each mode is measured.
    #[arg(long, default_value_t = 5)]
    repeats: u32,
    /// Seconds of load for each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Write every measurement to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Instead: open so many idle connections, and show how much memory the auditor then has.
    #[arg(long, value_name = "N", conflicts_with_all = ["pipeline", "json"])]
    connections: Option<usize>,
    /// Instead: the micro benchmark of the pipeline, from segments to JSON, without kernel and sockets.
    #[arg(long, conflicts_with = "json")]
    pipeline: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.pipeline {
        let mut command = Command::new(workspace::cargo());
        return commands::run_in_the_open(
            command.args(["bench", "--package", "auditor"]).current_dir(workspace::root()),
        );
    }
    commands::require_root("cgroups are made, and programs attached to them")?;
    setup::run(&setup::Arguments { yes: arguments.yes, all: false })?;
    build_ebpf::run(&build_ebpf::Arguments::default())?;
    say("building the auditor");
    auditor::binary()?;
    if let Some(connections) = arguments.connections {
        return idle::run(connections);
    }
    let mut runs = Vec::new();
    let mut disturbed: f64 = 0.0;
    let mut modes = [Mode::Bare, Mode::AccessLog, Mode::Auditor];
    for repeat in 1..=arguments.repeats {
        // Each mode is first, second and third in turn: what a mode leaves behind does not always meet the same one.
        modes.rotate_left(1);
        for mode in modes {
            wait::check_interrupted()?;
            let others = others::share()?;
            if others > others::LIMIT {
                say(&format!("other programs use {:.0} % of the processors", others * 100.0));
            }
            disturbed = disturbed.max(others);
            let run = measure::run(mode, repeat, arguments.seconds)?;
            say(&report::line(&run));
            runs.push(run);
        }
    }
    print!("{}", report::table(&runs));
    if disturbed > others::LIMIT {
        println!(
            "NOT TO BE TRUSTED: other programs used up to {:.0} % of the processors between the measurements.",
            disturbed * 100.0
        );
    }
    if let Some(path) = &arguments.json {
        report::write(path, runs)?;
        say(&format!("wrote {}", path.display()));
    }
    Ok(())
}
