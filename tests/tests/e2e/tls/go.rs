//! A reverse proxy of Go's standard library, built stripped with a current Go.

use std::path::Path;

use anyhow::Result;
use harness::entry::LogEntry;
use harness::identity::Identity;
use harness::peers;
use harness::server::go_proxy::GoProxy;

use super::{Http, Tls, each_version};
use crate::bed::Bed;

/// Any name does for the manifests.
pub(super) const CONTROLLER: &str = "go.test/ingress-controller";

/// The proxy, serving TLS of one version.
pub(super) fn start(
    program: &Path,
    bed: &Bed,
    identity: &Identity,
    tls: Tls,
) -> Result<impl FnOnce() -> Result<Vec<LogEntry>> + use<>> {
    let how = (identity, tls.number());
    let server = GoProxy::start(program, &bed.cgroup, how, bed.server(), bed.origin.address())?;
    Ok(move || server.stop())
}

fn check(tls: Tls, http: Http) -> Result<()> {
    let Some(program) = peers::go_proxy() else { return Ok(()) };
    let bed = Bed::new("go", CONTROLLER);
    super::check(bed, |bed, identity, tls| start(program, bed, identity, tls), (tls, http))
}

each_version!(check);
