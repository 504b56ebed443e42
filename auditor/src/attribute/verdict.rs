//! Whether the observed backend is the one that the route declares.
//!
//! Consumes a [`Decision`], the [`Index`] and what was observed of the exchange; produces a [`Verdict`]. `Yes` and `No` are
//! claims that an auditor acts on, so each is made only where the objects prove it; everything else is `Unknown`, with the
//! reason. What the controller answered itself with an error counts as agreement only where nobody could have answered.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::index::{Endpoint, Index, Owner, ServiceAddress};
use super::objects::ObjectName;
use super::routes::{Backend, Decision, ObjectKind, Reason, Route, Target, Uncertainty};

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
    /// The rule declares the answer that the controller gave.
    DeclaredAnswer,
    /// The controller refused by itself what the rule's backend, which is not valid or not granted, should have got.
    NoValidBackend,
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
    /// The rule declares that the controller answers itself, and the request went to a Service.
    Forwarded,
    /// It went to the declared Service in another namespace, which nothing there grants.
    NotGranted,
    /// The rule declares no backend that gets a share, and the request went to a Service.
    NoBackend,
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
    /// The Service that the rule falls back on served, although an endpoint of its own was ready.
    Fallback,
    /// It is not certain which rule it falls under.
    Rule(Uncertainty),
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
            Self::Yes(Because::DeclaredAnswer) => "declared_answer",
            Self::Yes(Because::NoValidBackend) => "no_valid_backend",
            Self::No(Contradiction::Forwarded) => "forwarded_instead_of_answered",
            Self::No(Contradiction::NotGranted) => "not_granted",
            Self::No(Contradiction::NoBackend) => "forwarded_without_backend",
            Self::Unknown(Doubt::Fallback) => "fallback",
            Self::Unknown(Doubt::Rule(why)) => why.as_str(),
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

impl Verdict {
    /// Why they do not agree, for people: both sides where they contradict each other. None where they agree.
    #[must_use]
    pub fn note(&self, decision: &Decision, observed: Option<SocketAddr>) -> Option<String> {
        let reason = self.agreement.reason();
        match self.agreement {
            Agreement::Yes(_) => None,
            Agreement::Unknown(_) => Some(format!("route: {reason}")),
            Agreement::No(_) => {
                let declared = decision.route.as_deref().map_or_else(|| "none".to_owned(), declared);
                let served = self.backend.as_ref().map(Served::to_string).unwrap_or_default();
                let address = observed.map(|address| address.to_string()).unwrap_or_default();
                Some(format!("route: {reason}: declared {declared}, observed {served} at {address}"))
            }
        }
    }
}

/// What a route declares, in words; of many backends the first few.
fn declared(route: &Route) -> String {
    const SHOWN: usize = 4;
    match &route.target {
        Target::Redirect(status) | Target::Respond(status) => return format!("answer {status}"),
        Target::Backends(_) => {}
    }
    let mut words: Vec<String> = route.backends().take(SHOWN).map(Backend::to_string).collect();
    let more = route.backends().skip(SHOWN).count();
    if more > 0 {
        words.push(format!("{more} more"));
    }
    if words.is_empty() { "no backend".to_owned() } else { words.join(" or ") }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.service, self.port.as_deref().filter(|port| !port.is_empty())) {
            (Some(service), Some(port)) => write!(f, "{service}:{port}"),
            (Some(service), None) => service.fmt(f),
            (None, _) => f.write_str("no Service"),
        }
    }
}

/// Judges an exchange. Allocates nothing but what cloning shared names counts.
#[must_use]
pub fn judge(index: &Index, decision: &Decision, observed: Observed) -> Verdict {
    let Some(address) = observed.backend else {
        return Verdict { backend: None, agreement: without_backend(index, decision, observed.answered) };
    };
    let owner = index.owner(address);
    Verdict {
        backend: owner.map(|owner| served(owner, index, decision.route.as_deref())),
        agreement: with_backend(index, decision, owner),
    }
}

fn with_backend(index: &Index, decision: &Decision, owner: Option<Owner<'_>>) -> Agreement {
    if let Reason::BadPath(_) = decision.reason {
        return Agreement::Unknown(Doubt::BadPath);
    }
    if let Some(why) = decision.doubt {
        return Agreement::Unknown(Doubt::Rule(why));
    }
    // The controller's own pages may well be served by a part of the controller.
    let of_service = |contradiction| match owner {
        None | Some(Owner::Pod(_)) => Agreement::Unknown(Doubt::UnknownAddress),
        Some(_) => Agreement::No(contradiction),
    };
    let Some(route) = decision.route.as_deref() else { return of_service(Contradiction::NoRule) };
    if !matches!(route.target, Target::Backends(_)) {
        return of_service(Contradiction::Forwarded);
    }
    // It is one of those that have a share; what is not known of one of them is not known of all.
    let judged = route.backends().map(|backend| with(index, backend, owner));
    let agreement = judged.reduce(better).unwrap_or_else(|| of_service(Contradiction::NoBackend));
    match (agreement, &route.besides.fallback) {
        (Agreement::No(_), Some(fallback)) if serves(owner, fallback) => fallen_back(index, route),
        _ => agreement,
    }
}

/// Whether the observed address belongs to a Service, whatever its port.
fn serves(owner: Option<Owner<'_>>, name: &ObjectName) -> bool {
    match owner {
        Some(Owner::Endpoints(endpoints)) => endpoints.iter().any(|endpoint| endpoint.service == *name),
        Some(Owner::Service(services)) => services.iter().any(|service| service.service == *name),
        Some(Owner::NodePort(service)) => service.service == *name,
        None | Some(Owner::Pod(_)) => false,
    }
}

/// The fallback serves where nobody else could. It may also serve pages for errors of the backend (`custom-http-errors`), which
/// rules do not show.
fn fallen_back(index: &Index, route: &Route) -> Agreement {
    let judged = route.backends().map(|backend| nobody_could_serve(index, backend));
    match judged.reduce(better) {
        Some(Agreement::Yes(because)) => Agreement::Yes(because),
        _ => Agreement::Unknown(Doubt::Fallback),
    }
}

fn better(one: Agreement, other: Agreement) -> Agreement {
    let rank = |agreement: Agreement| match agreement {
        Agreement::Yes(_) => 0,
        // What is wrong with one of several does not prove that none of the others is meant.
        Agreement::Unknown(_) => 1,
        Agreement::No(Contradiction::NotGranted) => 2,
        Agreement::No(Contradiction::OtherPort) => 3,
        Agreement::No(_) => 4,
    };
    if rank(other) < rank(one) { other } else { one }
}

/// Whether the observed address is this backend's.
fn with(index: &Index, backend: &Backend, owner: Option<Owner<'_>>) -> Agreement {
    let (name, port, is_granted) = match backend {
        Backend::Service { service, port } => (service, port, true),
        Backend::NotGranted { service, port } => (service, port, false),
        Backend::Resource { .. } => return Agreement::Unknown(Doubt::ResourceBackend),
        Backend::Invalid => return Agreement::Unknown(Doubt::InvalidBackend),
    };
    let Some(service) = index.service(name) else { return Agreement::Unknown(Doubt::NoSuchService) };
    if service.external_name.is_some() {
        return Agreement::Unknown(Doubt::ExternalName);
    }
    let port = service.port(port).map(|port| &port.name);
    let (mut same_service, mut same_port) = (false, false);
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
        (_, true, _) if !is_granted => Agreement::No(Contradiction::NotGranted),
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
    if let Some(why) = decision.doubt {
        return Agreement::Unknown(Doubt::Rule(why));
    }
    let Some(route) = decision.route.as_deref() else {
        // Controllers refuse what nobody declares (404, 400, 421). Another answer may be a backend's whose leg was not seen.
        let refused = (400..500).contains(&status);
        return if refused {
            Agreement::Yes(Because::NoRule)
        } else {
            Agreement::Unknown(Doubt::ControllerAnswered)
        };
    };
    match &route.target {
        Target::Redirect(declared) if status == *declared => return Agreement::Yes(Because::Redirect),
        Target::Respond(declared) if status == *declared => return Agreement::Yes(Because::DeclaredAnswer),
        Target::Redirect(_) | Target::Respond(_) => return Agreement::Unknown(Doubt::ControllerAnswered),
        Target::Backends(_) => {}
    }
    let kind = route.object.as_ref().map(|object| object.kind);
    let is_ingress = matches!(kind, None | Some(ObjectKind::Ingress));
    // Gateway API: "500 status codes MUST be returned for requests that would have otherwise been routed to an invalid
    // backend"; of gRPC that is the status UNAVAILABLE, in whatever response.
    let refuses = status == 500 || (kind == Some(ObjectKind::GrpcRoute) && matches!(status, 200 | 503));
    let is_refused = |backend| matches!(backend, &Backend::NotGranted { .. } | &Backend::Invalid);
    if refuses && !is_ingress && (route.backends().any(is_refused) || route.backends().next().is_none()) {
        return Agreement::Yes(Because::NoValidBackend);
    }
    match status {
        status if route.besides.https == Some(status) => Agreement::Yes(Because::Redirect),
        301 | 302 | 303 | 307 | 308 if is_ingress => Agreement::Yes(Because::Redirect),
        502..=504 => {
            let judged = route.backends().map(|backend| nobody_could_serve(index, backend));
            judged.reduce(better).unwrap_or(Agreement::Unknown(Doubt::InvalidBackend))
        }
        _ => Agreement::Unknown(Doubt::ControllerAnswered),
    }
}

fn nobody_could_serve(index: &Index, backend: &Backend) -> Agreement {
    let (name, port) = match backend {
        Backend::Service { service, port } | Backend::NotGranted { service, port } => (service, port),
        Backend::Resource { .. } => return Agreement::Unknown(Doubt::ResourceBackend),
        Backend::Invalid => return Agreement::Unknown(Doubt::InvalidBackend),
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

fn served(owner: Owner<'_>, index: &Index, route: Option<&Route>) -> Served {
    // The declared Service and port first, then the declared Service, then any: as many as the address has.
    let rank_for = |backend: &Backend, service: &ObjectName, service_port: &Arc<str>| match backend {
        Backend::Service { service: name, port } | Backend::NotGranted { service: name, port }
            if name == service =>
        {
            let declared = index.service(name).and_then(|service| service.port(port));
            u8::from(declared.map(|port| &port.name) != Some(service_port))
        }
        _ => 2,
    };
    let rank = |service: &ObjectName, service_port: &Arc<str>| {
        let ranks = route
            .iter()
            .flat_map(|route| route.backends())
            .map(|backend| rank_for(backend, service, service_port));
        ranks.min().unwrap_or(2)
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
