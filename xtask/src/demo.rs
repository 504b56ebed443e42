//! `demo`: a real nginx as ingress, audited while curl sends requests, and each request's event found and checked.
//!
//! Prints events on standard output, one JSON object a line, and progress on standard error. Leaves nothing behind:
//! everything that is started is a guard.

mod ingress;
mod plan;
mod verdict;

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use harness::auditor::{AuditorProcess, Options};
use harness::curl::{self, Response};
use harness::net::Network;
use harness::{auditor, wait};

use crate::commands::{self, say};
use crate::{build_ebpf, setup};
use plan::Planned;

/// How long the last event may take after the last response.
const EVENTS_LIMIT: Duration = Duration::from_secs(30);

/// Audit a real nginx under real requests, and check that each of them has its event.
///
/// Installs what is missing (asking first), builds the auditor, starts nginx with two hosts and several backends in a
/// cgroup of its own, audits it, sends requests with curl, prints the events as JSON Lines on standard output and progress
/// on standard error. Ends with 0 if every request has its event with the right method, path, status, Service and backend;
/// names those that do not otherwise. Root is needed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Do not ask before installing.
    #[arg(long, short)]
    yes: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    commands::require_root("cgroups are made, and programs attached to them")?;
    setup::run(&setup::Arguments { yes: arguments.yes, all: false })?;
    build_ebpf::run(&build_ebpf::Arguments::default())?;
    say("building the auditor");
    auditor::binary()?;

    let network = Network::claim()?;
    say(&format!("starting an ingress and its backends at {}0/24", network.prefix()));
    let ingress = ingress::Ingress::start(&network)?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let options = Options { on_line: Some(printer(&seen)), ..Options::default() };
    let auditor = AuditorProcess::start(ingress.cgroup(), &ingress.manifests(), options)?;
    say("the auditor is attached");

    let sessions = plan::sessions();
    let mut sent: Vec<(Planned, Response)> = Vec::new();
    for session in sessions {
        let transfers: Vec<_> = session.iter().map(Planned::transfer).collect();
        let responses = curl::run(ingress.address(), &transfers)?;
        sent.extend(session.into_iter().zip(responses));
    }
    say(&format!("sent {} requests, waiting for their events", sent.len()));
    let all = wait::until("an event for each request", EVENTS_LIMIT, || {
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(sent
            .iter()
            .all(|(planned, _)| seen.iter().any(|line: &String| planned.is_named_in(line)))
            .then_some(()))
    });
    wait::check_interrupted()?;
    let output = auditor.stop()?;
    let failures = verdict::judge(&sent, &output.requests()?, &network);
    if failures > 0 {
        if let Err(error) = all {
            say(&format!("{error:#}; the auditor logged:\n{}", output.log));
        }
        bail!("{failures} of {} requests have no event or a wrong one (see above)", sent.len());
    }
    say(&format!("every one of the {} requests has its event", sent.len()));
    Ok(())
}

/// Prints each event as it comes, and keeps those of requests.
fn printer(seen: &Arc<Mutex<Vec<String>>>) -> auditor::OnLine {
    let seen = Arc::clone(seen);
    Box::new(move |line| {
        // Whoever reads may have enough (`| head`): the demo goes on to its verdict.
        let _ = writeln!(std::io::stdout(), "{line}");
        if line.starts_with(r#"{"kind":"http.request""#) {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        }
    })
}
