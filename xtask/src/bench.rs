//! `bench`: what the auditor costs, side by side with the controller alone and with the controller's own access log.
//!
//! The same controller, backend and load in each mode, interleaved, so that what changes on the machine meanwhile changes
//! for all of them; medians over the repeats.

mod client;
mod descriptors;
mod handshakes;
mod held;
mod idle;
mod ingress;
mod load;
mod measure;
mod others;
mod report;
mod setting;
mod uprobe;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use harness::{auditor, wait};

use crate::commands::{self, say};
use crate::{build_ebpf, setup, workspace};
use measure::Mode;
use setting::{Protocol, Server, Setting};

/// Measure what the auditor costs, beside the controller alone and the controller with its access log.
///
/// Prints requests a second, CPU time per request of the controller and of the auditor, the time of the kernel programs,
/// peak memory and lost events, for each mode: medians of the repeats. For nginx over TLS also what is left when each read
/// and write of its TLS library is trapped (mode uprobe, by bpftrace). Root is needed. Nothing else should run meanwhile.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Do not ask before installing.
    #[arg(long, short)]
    yes: bool,
    /// The controllers to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "nginx")]
    server: Vec<Server>,
    /// What clients speak.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "http/1.1")]
    protocol: Vec<Protocol>,
    /// How often each mode is measured.
    #[arg(long, default_value_t = 5)]
    repeats: u32,
    /// Seconds of load for each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Configuration for the auditor, to see what it costs with other limits or another pace.
    #[arg(long, value_name = "FILE", conflicts_with = "pipeline")]
    config: Option<PathBuf>,
    /// Write every measurement to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Instead: open so many idle connections, and show how much memory the auditor then has.
    #[arg(long, value_name = "N", conflicts_with_all = ["pipeline", "json", "handshakes"])]
    connections: Option<u64>,
    /// Instead: open so many TLS connections a second, one request on each, and show whether the secrets of all were read.
    #[arg(long, value_name = "RATE", conflicts_with_all = ["pipeline", "json"])]
    handshakes: Option<u32>,
    /// Instead: the micro benchmark of the pipeline, from segments to JSON, without kernel and sockets.
    #[arg(long, conflicts_with = "json")]
    pipeline: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.pipeline {
        let mut command = Command::new(workspace::cargo());
        return commands::run_in_the_open(
            command
                .args(["bench", "--package", "auditor", "--bench", "pipeline"])
                .current_dir(workspace::root()),
        );
    }
    let pairs = arguments
        .server
        .iter()
        .flat_map(|server| arguments.protocol.iter().map(|protocol| Setting::new(*server, *protocol)));
    let settings: Vec<Setting> = pairs.collect::<Result<_>>()?;
    commands::require_root("cgroups are made, and programs attached to them")?;
    setup::run(&setup::Arguments { yes: arguments.yes, all: false })?;
    build_ebpf::run(&build_ebpf::Arguments::default())?;
    say("building the auditor");
    auditor::binary()?;
    let config = arguments.config.as_deref();
    if let Some(connections) = arguments.connections {
        return settings.into_iter().try_for_each(|setting| idle::run(setting, connections, config));
    }
    if let Some(rate) = arguments.handshakes {
        return settings
            .into_iter()
            .try_for_each(|setting| handshakes::run(setting, rate, arguments.seconds, config));
    }
    let mut runs = Vec::new();
    let mut disturbed: f64 = 0.0;
    for setting in &settings {
        say(&setting.name());
        let mut modes = modes(*setting);
        for repeat in 1..=arguments.repeats {
            // Each mode is first, second and so on in turn: what a mode leaves behind does not always meet the same one.
            modes.rotate_left(1);
            for mode in &modes {
                wait::check_interrupted()?;
                let others = others::share()?;
                if others > others::LIMIT {
                    say(&format!("other programs use {:.0} % of the processors", others * 100.0));
                }
                disturbed = disturbed.max(others);
                let run = measure::run(*setting, *mode, repeat, arguments.seconds, config)?;
                say(&report::line(&run));
                runs.push(run);
            }
        }
    }
    for setting in settings {
        print!("{}", report::table(setting, &runs));
    }
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

/// What a controller is measured in: traps need symbols, which only nginx's libssl has.
fn modes(setting: Setting) -> Vec<Mode> {
    let mut modes = vec![Mode::Bare, Mode::AccessLog, Mode::Auditor];
    if setting.server == Server::Nginx && setting.protocol.tls() {
        if uprobe::is_there() {
            modes.push(Mode::Uprobe);
        } else {
            say("SKIPPED: mode uprobe needs bpftrace (`cargo xtask setup --all` installs it)");
        }
    }
    modes
}
