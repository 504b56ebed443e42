//! Envoy's release binary: BoringSSL, inside of a stripped program of 100 MB.

use std::path::Path;

use anyhow::Result;
use harness::entry::LogEntry;
use harness::identity::Identity;
use harness::peers;
use harness::server::envoy::{Config, Envoy, Upstream};

use super::{Http, Tls, each_version};
use crate::bed::Bed;

/// Any name does for the manifests.
pub(super) const CONTROLLER: &str = "envoy.test/ingress-controller";

/// Envoy that serves TLS of one version.
pub(super) fn start(
    program: &Path,
    bed: &Bed,
    identity: &Identity,
    tls: Tls,
) -> Result<impl FnOnce() -> Result<Vec<LogEntry>> + use<>> {
    let config = Config {
        listen: bed.server(),
        identity,
        tls: tls.number(),
        backend: bed.origin.address(),
        upstream: Upstream::Http1,
        access_log: true,
        workers: 2,
    };
    let server = Envoy::start(program, &bed.cgroup, &config)?;
    Ok(move || server.stop())
}

fn check(tls: Tls, http: Http) -> Result<()> {
    let Some(program) = peers::envoy() else { return Ok(()) };
    let bed = Bed::new("envoy", CONTROLLER);
    super::check(bed, |bed, identity, tls| start(program, bed, identity, tls), (tls, http))
}

each_version!(check);
