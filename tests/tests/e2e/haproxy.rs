//! `HAProxy` as the ingress.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use harness::auditor::Output;
use harness::entry::LogEntry;
use harness::server::haproxy::{FRONTEND_LOG, HaProxy};

use crate::bed::{Bed, judge, judge_backend, judge_garbage};
use crate::traffic;

pub(crate) const CONTROLLER: &str = "haproxy.org/ingress-controller";

fn check(bind: &str, traffic: impl FnOnce(SocketAddr) -> Result<()>, id: &str) -> Result<Output> {
    check_by(judge, bind, traffic, id)
}

fn check_by(
    judge: impl FnOnce(&Output, &[LogEntry]) -> Result<()>,
    bind: &str,
    traffic: impl FnOnce(SocketAddr) -> Result<()>,
    id: &str,
) -> Result<Output> {
    let bed = Bed::new("haproxy", CONTROLLER)?;
    let sections = format!(
        "frontend http\n  bind {server} {bind}\n{FRONTEND_LOG}  use_backend dead if {{ path_dir /dead }}\n  \
         default_backend shop\nbackend shop\n  server shop-0 {origin}\nbackend dead\n  server dead-0 {dead}\n",
        server = bed.server(),
        origin = bed.origin.address(),
        dead = bed.dead(),
    );
    let server = HaProxy::start(&bed.cgroup, &sections, &[bed.server()])?;
    let auditor = bed.audit()?;
    traffic(bed.server())?;
    let log = server.stop()?;
    let output = auditor.stop()?;
    ensure!(!log.is_empty(), "HAProxy logged nothing");
    judge(&output, &log)?;
    judge_backend(&output, bed.origin.address(), id)?;
    Ok(output)
}

#[test]
fn ordinary_requests() -> Result<()> {
    traffic::check_ordinary(&check("", traffic::ordinary, "get")?)
}

#[test]
fn large_download() -> Result<()> {
    check("", traffic::large, "after").map(drop)
}

#[test]
fn pipelined_requests() -> Result<()> {
    check("", traffic::pipelined, "pipe-end").map(drop)
}

#[test]
fn bodies_that_hold_requests() -> Result<()> {
    check("", traffic::smuggled, "body-after").map(drop)
}

#[test]
fn garbage() -> Result<()> {
    check_by(judge_garbage, "", traffic::garbage, "after-garbage").map(drop)
}

#[test]
fn deferred_accept() -> Result<()> {
    check("defer-accept", traffic::ordinary, "get").map(drop)
}

#[test]
fn early_hints() -> Result<()> {
    check("", traffic::early_hints, "after-hints").map(drop)
}

#[test]
fn strange_backends() -> Result<()> {
    check("", traffic::strange_backends, "until-close").map(drop)
}

#[test]
fn chunked_bodies() -> Result<()> {
    traffic::check_chunked(&check("", traffic::chunked, "after-chunks-out")?)
}
