//! What each command does, once its arguments and configuration are known to be valid.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::attribute::routes::{Dialect, Options};
use crate::capture::kernel::attach;
use crate::cli::Output;
use crate::config::{Config, Replay, Site};
use crate::replay::{self, ReplayError};
use crate::route::{self, Asked, RouteError};
use crate::run::{self, RunError};
use crate::target::Target;
use crate::{check, emit};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The answer could not be written.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// The answer could not be rendered.
    #[error("cannot render the answer")]
    Render(#[source] serde_json::Error),
    /// `auditor run` failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// `auditor replay` failed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// `auditor route` failed.
    #[error(transparent)]
    Route(#[from] RouteError),
}

/// `auditor run`: attach, start the decoding process, stay until stopped.
///
/// # Errors
///
/// [`CommandError::Run`].
pub fn run(config: Config) -> Result<ExitCode, CommandError> {
    Ok(run::attacher::run(config, attach::PROGRAMS)?)
}

/// `auditor node`: attach to the ingress controllers among this node's pods, until stopped.
///
/// # Errors
///
/// [`CommandError::Run`].
pub fn node(config: Config) -> Result<ExitCode, CommandError> {
    Ok(run::attacher::run_node(config, attach::PROGRAMS)?)
}

/// `auditor decode`: the unprivileged half of `run`.
///
/// # Errors
///
/// [`CommandError::Run`].
pub fn decode(start_log: impl FnOnce(&Config)) -> Result<ExitCode, CommandError> {
    Ok(run::decoder::run(start_log)?)
}

/// `auditor watch`: the half of `node` that talks to the API server.
///
/// # Errors
///
/// [`CommandError::Run`].
pub fn watch(start_log: impl FnOnce(&Config)) -> Result<ExitCode, CommandError> {
    Ok(run::watcher::run(start_log)?)
}

/// `auditor replay`: events from a capture file.
///
/// # Errors
///
/// [`CommandError::Replay`].
pub fn replay(config: &Config, replay: &Replay) -> Result<ExitCode, CommandError> {
    replay::run(config, replay, io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

/// `auditor schema`: the JSON Schema of the events.
///
/// # Errors
///
/// [`CommandError::Output`], [`CommandError::Render`].
pub fn schema() -> Result<ExitCode, CommandError> {
    let text = serde_json::to_string_pretty(&emit::schema::native()).map_err(CommandError::Render)?;
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// `auditor check`: what works here, and which TLS code the targets run. Fails if something that is needed does not.
///
/// # Errors
///
/// [`CommandError::Output`], [`CommandError::Render`].
pub fn check(output: Output, targets: &[(Target, Site)]) -> Result<ExitCode, CommandError> {
    let facts = check::Facts::gather();
    let mut report = check::run(&facts, &[]);
    targets.iter().for_each(|(target, _)| report.look(&facts, target));
    match output {
        Output::Text => print(report.to_string().trim_end())?,
        Output::Json => print(&serde_json::to_string_pretty(&report).map_err(CommandError::Render)?)?,
    }
    Ok(if report.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `auditor route`: which rule a request falls under, and why.
///
/// # Errors
///
/// [`CommandError::Route`], [`CommandError::Output`], [`CommandError::Render`].
pub fn route(
    config: &Config,
    dialect: Option<Dialect>,
    asked: &Asked,
    output: Output,
) -> Result<ExitCode, CommandError> {
    let options = config.route_options();
    let options = Options { dialect: dialect.or(options.dialect), ..options };
    let answer = route::explain(config.manifests.as_ref(), &options, asked)?;
    match output {
        Output::Text => print(answer.to_string().trim_end())?,
        Output::Json => print(&serde_json::to_string_pretty(&answer).map_err(CommandError::Render)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A reader that has seen enough (EPIPE) is no failure.
fn print(text: &str) -> Result<(), CommandError> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Output(error)),
        _ => Ok(()),
    }
}
