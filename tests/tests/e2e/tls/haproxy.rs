//! `HAProxy` with the system's OpenSSL, shared.

use anyhow::Result;
use harness::entry::LogEntry;
use harness::identity::Identity;
use harness::server::haproxy::{FRONTEND_LOG, HaProxy};

use super::{Http, Tls, each_version};
use crate::bed::Bed;
use crate::haproxy::CONTROLLER;

/// `HAProxy` that serves TLS of one version.
pub(super) fn start(
    bed: &Bed,
    identity: &Identity,
    tls: Tls,
) -> Result<impl FnOnce() -> Result<Vec<LogEntry>> + use<>> {
    start_for(bed, identity, tls, &bed.origin.address().to_string())
}

/// The same for another backend: its address, and how it is spoken to.
pub(super) fn start_for(
    bed: &Bed,
    identity: &Identity,
    tls: Tls,
    backend: &str,
) -> Result<impl FnOnce() -> Result<Vec<LogEntry>> + use<>> {
    let sections = format!(
        "frontend https\n  bind {server} ssl crt {identity} alpn h2,http/1.1 ssl-min-ver {tls} ssl-max-ver {tls}\n{FRONTEND_LOG}  \
         http-request return status 404 content-type text/plain string \"not here\" if {{ path /own }}\n  \
         default_backend shop\nbackend shop\n  server shop-0 {backend}\n",
        server = bed.server(),
        identity = identity.both().display(),
        tls = tls.name(),
    );
    let server = HaProxy::start(&bed.cgroup, &sections, &[bed.server()])?;
    Ok(move || server.stop())
}

fn check(tls: Tls, http: Http) -> Result<()> {
    super::check(Bed::new("haproxy", CONTROLLER), start, (tls, http))
}

each_version!(check);
