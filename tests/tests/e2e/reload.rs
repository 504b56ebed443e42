//! Manifests that change while the auditor runs.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::auditor::AuditorProcess;
use harness::curl::{self, Transfer};
use harness::event::{Event, Request};
use harness::manifests::Route;

use crate::bed::{Bed, HOST};
use crate::nginx::{self, CONTROLLER};

const LIMIT: Duration = Duration::from_secs(20);

/// Waits for the `number`-th word of a reload.
fn reloaded(auditor: &mut AuditorProcess, number: usize) -> Result<Event> {
    let seen = Cell::new(0);
    let is_it = |event: &Event| {
        seen.set(seen.get() + usize::from(event.coverage() == Some("reload")));
        event.coverage() == Some("reload") && seen.get() == number
    };
    auditor.wait_for_event(&format!("reload {number}"), LIMIT, is_it)
}

/// One request, and its event: which Service the route names, and whether it was the one that served.
fn ask(bed: &Bed, auditor: &mut AuditorProcess, id: &str) -> Result<(String, String)> {
    let responses = curl::run(bed.server(), &[Transfer::get(format!("http://{HOST}/hello"), id)])?;
    ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    let event = auditor.wait_for_event(&format!("the event of {id}"), LIMIT, |event| {
        event.kind == "http.request" && event.text("/http/request/id") == Some(id)
    })?;
    let request: Request = serde_json::from_value(event.value)?;
    let service = request.service().context("no service")?.to_owned();
    Ok((service, request.agrees.context("no agrees")?))
}

#[test]
fn manifests_that_change() -> Result<()> {
    let bed = nginx::bed()?;
    let server = nginx::start(&bed, &[(bed.server(), "")])?;
    let mut auditor = bed.audit()?;
    let judged = |service: &str, agrees: &str| (service.to_owned(), agrees.to_owned());
    let shop = Route { host: HOST, path: "/", service: "shop", backend: bed.origin.address() };
    let other = Route { service: "other", backend: bed.dead(), ..shop };
    ensure!(ask(&bed, &mut auditor, "first")? == judged("shop", "yes"), "before any change");

    // The rule points to another Service; nginx does not know, and goes on as before.
    bed.manifests.replace(CONTROLLER, &[other, Route { path: "/elsewhere", ..shop }])?;
    let reload = reloaded(&mut auditor, 1)?;
    ensure!(reload.text("/reason").is_none(), "{reload:?}");
    let seen = ask(&bed, &mut auditor, "changed")?;
    ensure!(seen == judged("other", "no"), "judged by what was before: {seen:?}");

    // Nonsense: told, and those before stay in force.
    bed.manifests.replace_by("kind: Ingress\napiVersion: networking.k8s.io/v1\nspec: {rules: 7}\n")?;
    let reload = reloaded(&mut auditor, 2)?;
    ensure!(reload.text("/reason") == Some("invalid_object"), "{reload:?}");
    let message = reload.text("/message").context("no message")?;
    ensure!(message.contains("objects.yaml"), "the file is not named: {message}");
    let seen = ask(&bed, &mut auditor, "invalid")?;
    ensure!(seen == judged("other", "no"), "not judged by those before: {seen:?}");

    // And what is right again is taken.
    bed.manifests.replace(CONTROLLER, &[shop])?;
    let reload = reloaded(&mut auditor, 3)?;
    ensure!(reload.text("/reason").is_none(), "{reload:?}");
    let seen = ask(&bed, &mut auditor, "mended")?;
    ensure!(seen == judged("shop", "yes"), "judged by what was before: {seen:?}");

    server.stop()?;
    let output = auditor.stop()?;
    let reloads =
        output.of_kind("coverage")?.iter().filter(|event| event.coverage() == Some("reload")).count();
    ensure!(reloads == 3, "{reloads} reloads:\n  {}", output.coverage()?);
    Ok(())
}
