//! Caddy as the ingress: HTTP by Go.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use harness::auditor::Output;
use harness::server::caddy::{Caddy, Config};

use crate::bed::{Bed, judge, judge_backend};
use crate::traffic;

/// Caddy has no ingress controller of its own name among the known ones: any name does for the manifests.
pub(crate) const CONTROLLER: &str = "caddy.test/ingress-controller";

fn check(traffic: impl FnOnce(SocketAddr) -> Result<()>, id: &str) -> Result<Output> {
    let bed = Bed::new("caddy", CONTROLLER)?;
    let directives = format!(
        "\thandle /dead* {{\n\t\treverse_proxy {dead}\n\t}}\n\thandle {{\n\t\treverse_proxy {origin}\n\t}}",
        origin = bed.origin.address(),
        dead = bed.dead(),
    );
    let config =
        Config { scheme: "http", directives: &directives, listens: &[bed.server()], access_log: true };
    let server = Caddy::start(&bed.cgroup, &config)?;
    let auditor = bed.audit()?;
    traffic(bed.server())?;
    let log = server.stop()?;
    let output = auditor.stop()?;
    ensure!(!log.is_empty(), "Caddy logged nothing");
    judge(&output, &log)?;
    judge_backend(&output, bed.origin.address(), id)?;
    Ok(output)
}

#[test]
fn ordinary_requests() -> Result<()> {
    traffic::check_ordinary(&check(traffic::ordinary, "get")?)
}

#[test]
fn large_download() -> Result<()> {
    check(traffic::large, "after").map(drop)
}

#[test]
fn pipelined_requests() -> Result<()> {
    check(traffic::pipelined, "pipe-end").map(drop)
}

#[test]
fn bodies_that_hold_requests() -> Result<()> {
    check(traffic::smuggled, "body-after").map(drop)
}

#[test]
fn early_hints() -> Result<()> {
    check(traffic::early_hints, "after-hints").map(drop)
}

#[test]
fn strange_backends() -> Result<()> {
    check(traffic::strange_backends, "until-close").map(drop)
}

#[test]
fn chunked_bodies() -> Result<()> {
    traffic::check_chunked(&check(traffic::chunked, "after-chunks-out")?)
}
