//! Caddy: Go's `crypto/tls` and HTTP/2, inside of a stripped program.

use anyhow::Result;
use harness::entry::LogEntry;
use harness::identity::Identity;
use harness::server::caddy::{Caddy, Config};

use super::{Http, Tls, each_version};
use crate::bed::Bed;
use crate::caddy::CONTROLLER;

/// Caddy that serves TLS of one version.
pub(super) fn start(
    bed: &Bed,
    identity: &Identity,
    tls: Tls,
) -> Result<impl FnOnce() -> Result<Vec<LogEntry>> + use<>> {
    let directives = format!(
        "\ttls {certificate} {key} {{\n\t\tprotocols tls{tls} tls{tls}\n\t}}\n\thandle /own {{\n\t\trespond \"not here\" 404\n\t}}\n\t\
         handle {{\n\t\treverse_proxy {origin}\n\t}}",
        certificate = identity.certificate().display(),
        key = identity.key().display(),
        tls = tls.number(),
        origin = bed.origin.address(),
    );
    let config =
        Config { scheme: "https", directives: &directives, listens: &[bed.server()], access_log: true };
    let server = Caddy::start(&bed.cgroup, &config)?;
    Ok(move || server.stop())
}

fn check(tls: Tls, http: Http) -> Result<()> {
    super::check(Bed::new("caddy", CONTROLLER), start, (tls, http))
}

each_version!(check);
