//! A controller that starts after the auditor has attached: its TLS code is tapped at once, not at the next regular look, and
//! what began before is told with the reason.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::curl::{self, Transfer};
use harness::identity::Identity;
use harness::server::nginx::{Config, Nginx};

use crate::bed::HOST;
use crate::nginx::bed;

/// Traffic for longer than the auditor would take that looks each second.
const TRAFFIC: Duration = Duration::from_millis(1500);
/// Within half of that second everything is tapped.
const TAPPED: Duration = Duration::from_millis(500);

#[test]
fn a_controller_that_starts_later() -> Result<()> {
    let (bed, certificate) = (bed()?, Identity::new(&[HOST])?);
    // The next regular look is a second after it attaches.
    let auditor = bed.audit()?;
    let (listen, at) = (bed.server(), certificate.directory().display());
    let http = format!(
        "  server {{\n    listen {listen} ssl;\n    server_name {HOST};\n    ssl_certificate {at}/certificate.pem;\n    \
         ssl_certificate_key {at}/key.pem;\n    location / {{ return 200 ok; }}\n  }}\n"
    );
    let begun = Instant::now();
    let nginx =
        Nginx::start(&bed.cgroup, &Config { http: &http, listens: &[listen], access_log: true, workers: 1 })?;
    let mut later = BTreeSet::new();
    let mut asked = BTreeSet::new();
    while begun.elapsed() < TRAFFIC {
        let id = format!("late-{}", asked.len());
        if begun.elapsed() > TAPPED {
            later.insert(id.clone());
        }
        let transfer = Transfer::get(format!("https://{HOST}/hello"), &id).with(&["--insecure"]);
        let responses = curl::run(listen, &[transfer])?;
        ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
        asked.insert(id);
    }
    nginx.stop()?;
    let output = auditor.stop()?;
    let seen: BTreeSet<String> =
        output.requests()?.into_iter().filter_map(|event| event.http.request.id).collect();
    let unread = asked.difference(&seen).count();
    ensure!(seen.is_subset(&asked), "{seen:?}");
    let missed: Vec<_> = later.difference(&seen).collect();
    ensure!(
        missed.is_empty() && !later.is_empty(),
        "{missed:?} of {} came late:\n{}",
        later.len(),
        output.coverage()?
    );
    // Each connection that was not read is told, with why.
    let mut told = BTreeSet::new();
    for event in output.of_kind("coverage")? {
        if event.text("/reason") == Some("no_key") {
            let port = event.value.pointer("/subject/connection/remote/port").context("no connection")?;
            let message = event.text("/message").unwrap_or_default();
            ensure!(message.contains("began before"), "{:?}", event.value);
            told.insert(port.to_string());
        }
    }
    ensure!(told.len() == unread, "{unread} of {} were not read, {} are told", asked.len(), told.len());
    Ok(())
}
