//! What each test stands on: addresses, a backend, a cgroup, manifests; and the judgement at its end.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use harness::auditor::{AuditorProcess, Options, Output};
use harness::cgroup::Cgroup;
use harness::compare::same_requests;
use harness::entry::LogEntry;
use harness::manifests::{Manifests, Route};
use harness::net::Network;
use harness::origin::Origin;
use tempfile::NamedTempFile;

/// The host of the one rule.
pub(crate) const HOST: &str = "shop.test";

/// Guards, in the order in which they must go.
pub(crate) struct Bed {
    pub(crate) cgroup: Cgroup,
    pub(crate) origin: Origin,
    pub(crate) manifests: Manifests,
    network: Network,
}

impl Bed {
    /// A backend for everything under `/`, and a Service `dead` for `/dead` where nothing listens.
    pub(crate) fn new(name: &str, controller: &str) -> Result<Self> {
        let network = Network::claim()?;
        let origin = Origin::start(network.socket(2, 8080))?;
        let manifests = Manifests::write(
            controller,
            &[
                Route { host: HOST, path: "/", service: "shop", backend: origin.address() },
                Route { host: HOST, path: "/dead", service: "dead", backend: network.socket(3, 8080) },
            ],
        )?;
        Ok(Self { cgroup: Cgroup::create(name)?, origin, manifests, network })
    }

    /// Where the server under test listens.
    pub(crate) fn server(&self) -> SocketAddr {
        self.network.socket(1, 8080)
    }

    /// An address where nothing listens.
    pub(crate) fn dead(&self) -> SocketAddr {
        self.network.socket(3, 8080)
    }

    /// An address of the bed's network.
    pub(crate) fn address(&self, host: u8) -> IpAddr {
        self.network.address(host)
    }

    /// The auditor with a configuration, attached.
    pub(crate) fn audit_configured(&self, configuration: &str) -> Result<AuditorProcess> {
        let mut file = NamedTempFile::new()?;
        file.write_all(configuration.as_bytes())?;
        let arguments = vec!["--config".into(), file.path().into()];
        // It is attached when this returns, so it has read the file.
        self.audit_with(Options { arguments, ..Options::default() })
    }

    /// The auditor, attached.
    pub(crate) fn audit(&self) -> Result<AuditorProcess> {
        self.audit_with(Options::default())
    }

    /// The same, started with these options.
    pub(crate) fn audit_with(&self, options: Options) -> Result<AuditorProcess> {
        AuditorProcess::start(&self.cgroup, self.manifests.path(), options)
    }
}

/// What holds after every test: events as in the log, each whole, each id once, all with the route, none by itself on the
/// backend's leg.
pub(crate) fn judge(output: &Output, log: &[LogEntry]) -> Result<()> {
    let events = output.requests()?;
    same_requests(&events, log)
        .with_context(|| format!("coverage:\n  {}", output.coverage().unwrap_or_default()))?;
    let mut ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    ensure!(ids.len() == count, "an event's id comes twice");
    for event in &events {
        let path = event.http.request.path.as_deref().unwrap_or_default();
        ensure!(event.observation.complete, "not whole: {event:?}");
        ensure!(event.role.as_deref() == Some("ingress"), "role of {event:?}");
        if event.http.request.host.as_deref() == Some(HOST) && path.starts_with('/') {
            let dead = path == "/dead" || path.starts_with("/dead/");
            ensure!(event.service() == Some(if dead { "dead" } else { "shop" }), "route of {event:?}");
        }
    }
    let upstream = output.upstream()?;
    ensure!(upstream.is_empty(), "requests that no client's request explains: {upstream:?}");
    Ok(())
}

/// What holds where a server refused what it could not read: the auditor may have refused it as well, and what it did
/// make an event of is in the log. The requests that were served are all there.
pub(crate) fn judge_garbage(output: &Output, log: &[LogEntry]) -> Result<()> {
    let (served, refused): (Vec<_>, Vec<_>) =
        log.iter().cloned().partition(|entry| entry.status.is_some_and(|status| status < 400));
    let (answered, rest): (Vec<_>, Vec<_>) =
        output.requests()?.into_iter().partition(|event| event.status().is_some_and(|status| status < 400));
    same_requests(&answered, &served)?;
    for event in rest {
        let Some(method) = &event.http.request.method else { continue };
        let path = event.http.request.path.as_deref().unwrap_or_default();
        let logged = refused.iter().any(|entry| {
            entry.method.as_deref().is_none_or(|logged| logged == method)
                && (entry.method.is_none() || entry.uri.split('?').next() == Some(path))
        });
        ensure!(logged, "no request that the server saw: {event:?}");
    }
    Ok(())
}

/// What also holds where every request reached the backend: who answered, and how sure that is.
pub(crate) fn judge_backend(output: &Output, backend: SocketAddr, id: &str) -> Result<()> {
    let events = output.requests()?;
    let event = events.iter().find(|event| event.http.request.id.as_deref() == Some(id));
    let Some(event) = event else { anyhow::bail!("no event for {id}") };
    ensure!(event.backend_socket() == Some(backend.to_string()), "backend of {event:?}");
    ensure!(event.answered_by.as_deref() == Some("backend"), "answered by: {event:?}");
    ensure!(event.agrees.as_deref() == Some("yes"), "agrees: {event:?}");
    let status = event.backend.as_ref().and_then(|backend| backend.status);
    ensure!(status == event.status(), "backend's status of {event:?}");
    Ok(())
}

/// The body bytes of the request with this id, each way.
pub(crate) fn body_bytes(output: &Output, id: &str) -> Result<(Option<u64>, Option<u64>)> {
    let events = output.requests()?;
    let event = events.iter().find(|event| event.http.request.id.as_deref() == Some(id));
    let Some(event) = event else { anyhow::bail!("no event for {id}") };
    Ok((event.http.request.body_bytes, event.body_bytes()))
}
