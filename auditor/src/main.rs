//! The `auditor` program: parse the arguments, start, report the exit code.
//!
//! Exit codes: 0 done; 1 failed; 2 wrong arguments or configuration, and nothing was attached.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use auditor::cli::{Cli, Command, Common, ReplayArgs, TargetArgs};
use auditor::commands;
use auditor::config::{Config, LogLevel, Overrides, Replay};
use clap::Parser;
use tracing::level_filters::LevelFilter;

const FAILED: u8 = 1;
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    // Clap itself ends with 2 for wrong arguments.
    let cli = Cli::parse();
    match start(cli.command) {
        Ok(code) => code,
        Err((code, error)) => {
            // Nothing is left to do if standard error is closed as well.
            let _: io::Result<()> =
                io::Write::write_fmt(&mut io::stderr(), format_args!("auditor: {error:#}\n"));
            ExitCode::from(code)
        }
    }
}

fn start(command: Command) -> Result<ExitCode, (u8, anyhow::Error)> {
    let done = match command {
        Command::Run(args) => {
            let config = load(args.common, Some(args.target)).map_err(misused)?;
            config.require_targets().map_err(|error| misused(error.into()))?;
            log_from(config.log);
            commands::run(config)
        }
        Command::Node(args) => {
            let (file, overrides) = args.split();
            let config = load_over(file, overrides).map_err(misused)?;
            config.require_no_targets().map_err(|error| misused(error.into()))?;
            log_from(config.log);
            commands::node(config)
        }
        Command::Replay(args) => {
            let ReplayArgs { common, file, key_log, listen } = args;
            let config = load(common, None).map_err(misused)?;
            log_from(config.log);
            commands::replay(&config, &Replay { capture: file, key_logs: key_log, listen })
        }
        Command::Schema => commands::schema(),
        Command::Check(args) => {
            let (common, target, output) = args.split();
            let config = load(common, Some(target)).map_err(misused)?;
            commands::check(output, &config.targets)
        }
        Command::Route(args) => {
            let (common, dialect, asked, output) = args.split();
            let config = load(common, None).map_err(misused)?;
            commands::route(&config, dialect, &asked, output)
        }
        Command::Decode => commands::decode(|config| log_from(config.log)),
        Command::Watch => commands::watch(|config| log_from(config.log)),
    };
    done.map_err(|error| (FAILED, error.into()))
}

fn misused(error: anyhow::Error) -> (u8, anyhow::Error) {
    (MISUSED, error)
}

fn load(common: Common, target: Option<TargetArgs>) -> anyhow::Result<Config> {
    let (file, overrides) = common.split(target);
    load_over(file, overrides)
}

fn load_over(file: Option<PathBuf>, overrides: Overrides) -> anyhow::Result<Config> {
    let host_name = nix::unistd::gethostname().context("cannot read the host's name")?;
    Ok(Config::load(file.as_deref(), overrides, &host_name.to_string_lossy())?)
}

/// Logs go to standard error; standard output is for events.
fn log_from(level: LogLevel) {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_max_level(LevelFilter::from(level))
        .init();
}
