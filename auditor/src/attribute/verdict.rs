//! Whether the observed backend is the one that the route declares.
//!
//! Consumes a [`Decision`], the [`Index`] and what was observed of the exchange; produces a [`Verdict`]. `Yes` and `No` are
//! claims that an auditor acts on, so each is made only where the objects prove it; everything else is `Unknown`, with the
//! reason. What the controller answered itself with an error counts as agreement only where nobody could have answered.

use std::net::SocketAddr;
use std::sync::Arc;

use super::index::{Endpoint, Index, Owner, ServiceAddress};
use super::objects::ObjectName;
use super::routes::{Backend, Decision, Matched, PortRef, Reason, Route};

/// What was observed of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The backend that the controller sent the request to; the last one, if it tried several.
    pub backend: Option<SocketAddr>,
    /// Who answered.
    pub answered: Answered,
}

/// Who answered the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// The backend.
    Backend,
    /// The controller itself, with this status.
    Controller {
        /// The status code.
        status: u16,
    },
    /// Nobody.
    Nobody,
}

/// What the observed address is, and whether it should have been that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whose address it is, as far as that is known.
    pub backend: Option<Served>,
    /// Whether it is the declared one.
    pub agreement: Agreement,
}

/// Whose address was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The Service; the declared one, if it is among several. None for a pod on a port that is no Service's.
    pub service: Option<ObjectName>,
    /// The name of the Service's port; empty if it has none.
    pub port: Option<Arc<str>>,
    /// The pod; none if the address stands for several, or is no pod's.
    pub pod: Option<ObjectName>,
    /// Whether the endpoint was ready; none if the address stands for several.
    pub ready: Option<bool>,
    /// How many Services have the address.
    pub candidates: usize,
}

/// Whether the observed backend is the declared one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// It is.
    Yes(Because),
    /// It is another.
    No(Contradiction),
    /// That cannot be said.
    Unknown(Doubt),
}

/// Why they agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The address is an endpoint of the declared Service's port.
    Endpoint,
    /// The address is the declared Service's own, or its node port.
    ServiceAddress,
    /// No rule matched, and the controller answered itself.
    NoRule,
    /// The controller redirected by itself, as it does to HTTPS.
    Redirect,
    /// The controller answered 502, 503 or 504 itself, and the declared port had no ready endpoint: nobody could serve.
    NoReadyEndpoint,
}

/// How they contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// The address belongs to another Service.
    OtherService,
    /// The address belongs to the declared Service, but to another port of it.
    OtherPort,
    /// No rule matched, and the request went to a Service nevertheless.
    NoRule,
}

/// Why nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The address is no Service's.
    UnknownAddress,
    /// The declared Service does not exist.
    NoSuchService,
    /// The declared Service has no such port.
    NoSuchPort,
    /// The rule's backend is not a Service.
    ResourceBackend,
    /// The rule's backend makes no sense.
    InvalidBackend,
    /// The declared Service is a DNS name somewhere else.
    ExternalName,
    /// The path has no form in which it could be matched, and the controller did not refuse it.
    BadPath,
    /// The controller answered 502, 503 or 504 itself although an endpoint was ready.
    ControllerError,
    /// The controller answered itself where a rule matched, by a policy that rules do not show.
    ControllerAnswered,
    /// Nobody answered, and no backend was tried.
    NoBackend,
}

impl Agreement {
    /// `yes`, `no` or `unknown`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes(_) => "yes",
            Self::No(_) => "no",
            Self::Unknown(_) => "unknown",
        }
    }

    /// A word for the reason, for events and metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Yes(Because::Endpoint) => "endpoint",
            Self::Yes(Because::ServiceAddress) => "service_address",
            Self::Yes(Because::NoRule) => "no_rule",
            Self::Yes(Because::Redirect) => "redirect",
            Self::Yes(Because::NoReadyEndpoint) => "no_ready_endpoint",
            Self::No(Contradiction::OtherService) => "other_service",
            Self::No(Contradiction::OtherPort) => "other_port",
            Self::No(Contradiction::NoRule) => "forwarded_without_rule",
            Self::Unknown(Doubt::UnknownAddress) => "unknown_address",
            Self::Unknown(Doubt::NoSuchService) => "no_such_service",
            Self::Unknown(Doubt::NoSuchPort) => "no_such_port",
            Self::Unknown(Doubt::ResourceBackend) => "resource_backend",
            Self::Unknown(Doubt::InvalidBackend) => "invalid_backend",
            Self::Unknown(Doubt::ExternalName) => "external_name",
            Self::Unknown(Doubt::BadPath) => "bad_path",
            Self::Unknown(Doubt::ControllerError) => "controller_error",
            Self::Unknown(Doubt::ControllerAnswered) => "controller_answered",
            Self::Unknown(Doubt::NoBackend) => "no_backend",
        }
    }
}

/// Judges an exchange. Allocates nothing but what cloning shared names counts.
#[must_use]
pub fn judge(index: &Index, decision: &Decision, observed: Observed) -> Verdict {
    let Some(address) = observed.backend else {
        return Verdict { backend: None, agreement: without_backend(index, decision, observed.answered) };
    };
    let declared = Declared::new(index, decision);
    let owner = index.owner(address);
    Verdict {
        backend: owner.map(|owner| served(owner, &declared)),
        agreement: with_backend(decision, &declared, owner),
    }
}

/// What the route declares, as far as it exists.
enum Declared<'d> {
    /// No rule.
    Nothing,
    /// Something for which nothing can be proved.
    Unclear(Doubt),
    /// A Service that exists; the name of the port, if that does.
    Service { name: &'d ObjectName, port: Option<&'d Arc<str>>, external: bool },
}

impl<'d> Declared<'d> {
    fn new(index: &'d Index, decision: &'d Decision) -> Self {
        let Some(route) = decision.route.as_deref() else { return Self::Nothing };
        let (name, port) = match service(route) {
            Ok(declared) => declared,
            Err(doubt) => return Self::Unclear(doubt),
        };
        match index.service(name) {
            None => Self::Unclear(Doubt::NoSuchService),
            Some(service) => Self::Service {
                name: &service.name,
                port: service.port(port).map(|port| &port.name),
                external: service.external_name.is_some(),
            },
        }
    }
}

fn service(route: &Route) -> Result<(&ObjectName, &PortRef), Doubt> {
    match &route.backend {
        Backend::Service { service, port } => Ok((service, port)),
        Backend::Resource { .. } => Err(Doubt::ResourceBackend),
        Backend::Invalid => Err(Doubt::InvalidBackend),
    }
}

fn with_backend(decision: &Decision, declared: &Declared<'_>, owner: Option<Owner<'_>>) -> Agreement {
    let (name, port, external) = match declared {
        Declared::Nothing => {
            return match (decision.reason, owner) {
                (Reason::BadPath(_), _) => Agreement::Unknown(Doubt::BadPath),
                // The controller's own default page may well be served by a part of the controller.
                (_, None | Some(Owner::Pod(_))) => Agreement::Unknown(Doubt::UnknownAddress),
                _ => Agreement::No(Contradiction::NoRule),
            };
        }
        Declared::Unclear(doubt) => return Agreement::Unknown(*doubt),
        Declared::Service { name, port, external } => (*name, *port, *external),
    };
    if external {
        return Agreement::Unknown(Doubt::ExternalName);
    }
    let mut same_service = false;
    let mut same_port = false;
    let mut look = |service: &ObjectName, service_port: &Arc<str>| {
        if service == name {
            same_service = true;
            same_port |= port == Some(service_port);
        }
    };
    let because = match owner {
        None | Some(Owner::Pod(_)) => return Agreement::Unknown(Doubt::UnknownAddress),
        Some(Owner::Endpoints(endpoints)) => {
            endpoints.iter().for_each(|endpoint| look(&endpoint.service, &endpoint.port));
            Because::Endpoint
        }
        Some(Owner::Service(services)) => {
            services.iter().for_each(|service| look(&service.service, &service.port));
            Because::ServiceAddress
        }
        Some(Owner::NodePort(service)) => {
            look(&service.service, &service.port);
            Because::ServiceAddress
        }
    };
    match (same_port, same_service, port) {
        (true, _, _) => Agreement::Yes(because),
        (false, true, None) => Agreement::Unknown(Doubt::NoSuchPort),
        (false, true, Some(_)) => Agreement::No(Contradiction::OtherPort),
        (false, false, _) => Agreement::No(Contradiction::OtherService),
    }
}

fn without_backend(index: &Index, decision: &Decision, answered: Answered) -> Agreement {
    let status = match answered {
        Answered::Controller { status } => status,
        Answered::Nobody | Answered::Backend => return Agreement::Unknown(Doubt::NoBackend),
    };
    if decision.matched == Matched::None {
        return Agreement::Yes(Because::NoRule);
    }
    match status {
        301 | 302 | 303 | 307 | 308 => Agreement::Yes(Because::Redirect),
        502..=504 => nobody_could_serve(index, decision),
        _ => Agreement::Unknown(Doubt::ControllerAnswered),
    }
}

fn nobody_could_serve(index: &Index, decision: &Decision) -> Agreement {
    let declared = decision.route.as_deref().ok_or(Doubt::InvalidBackend).and_then(service);
    let (name, port) = match declared {
        Ok(declared) => declared,
        Err(doubt) => return Agreement::Unknown(doubt),
    };
    let Some(service) = index.service(name) else { return Agreement::Unknown(Doubt::NoSuchService) };
    if service.external_name.is_some() {
        return Agreement::Unknown(Doubt::ExternalName);
    }
    match service.port(port) {
        None => Agreement::Unknown(Doubt::NoSuchPort),
        Some(port) if port.ready == 0 => Agreement::Yes(Because::NoReadyEndpoint),
        Some(_) => Agreement::Unknown(Doubt::ControllerError),
    }
}

fn served(owner: Owner<'_>, declared: &Declared<'_>) -> Served {
    // The declared Service and port first, then the declared Service, then any: as many as the address has.
    let rank = |service: &ObjectName, service_port: &Arc<str>| match declared {
        Declared::Service { name, port, .. } if *name == service => u8::from(*port != Some(service_port)),
        _ => 2,
    };
    let whole = |service: &ServiceAddress, candidates| Served {
        service: Some(service.service.clone()),
        port: Some(Arc::clone(&service.port)),
        pod: None,
        ready: None,
        candidates,
    };
    let unnamed = |pods: &[Arc<super::index::Pod>]| {
        let only = if let [only] = pods { Some(only.name.clone()) } else { None };
        Served { service: None, port: None, pod: only, ready: None, candidates: 0 }
    };
    match owner {
        Owner::Endpoints(endpoints) => {
            let best = endpoints.iter().min_by_key(|endpoint| rank(&endpoint.service, &endpoint.port));
            best.map_or_else(|| unnamed(&[]), |best| of_endpoint(best, endpoints.len()))
        }
        Owner::Service(services) => {
            let best = services.iter().min_by_key(|service| rank(&service.service, &service.port));
            best.map_or_else(|| unnamed(&[]), |best| whole(best, services.len()))
        }
        Owner::NodePort(service) => whole(service, 1),
        Owner::Pod(pods) => unnamed(pods),
    }
}

fn of_endpoint(endpoint: &Endpoint, candidates: usize) -> Served {
    Served {
        service: Some(endpoint.service.clone()),
        port: Some(Arc::clone(&endpoint.port)),
        pod: endpoint.pod.clone(),
        ready: Some(endpoint.ready),
        candidates,
    }
}
