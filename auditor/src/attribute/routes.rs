//! Which rule should have served a request.
//!
//! Consumes objects of all kinds that declare routes (Ingress, Gateway API, Traefik's and Contour's own); answers
//! [`Routes::decide`] for a request. There is one mechanism for all of them: each kind, and for Ingress each controller's
//! dialect ([`Dialect`]), is compiled into rules of a host, paths, conditions and an order; a request is then looked up by
//! host and path, and the first rule whose conditions hold has it. What differs between controllers is said at compiling:
//!
//! - Which rule comes first. For Ingress the longest path that matches, counted in elements, then Exact before Prefix before
//!   `ImplementationSpecific`; of two equal ones, that of the oldest object, then of the first `namespace/name`, then the
//!   first in the object. For Gateway API the whole of its precedence (`gateway`). Traefik goes by priority (`traefik`).
//! - Whether a host that has rules is looked up further if none of them matches. With nginx and Envoy it is not, as a host is
//!   a server of its own; [`Options::falls_through`] says it for controllers that are not known.
//! - For how many labels a wildcard stands: for one (Ingress), for any number (Gateway API, nginx).
//! - What takes what no rule matches: for Ingress the default backend of an Ingress with a rule for the host; of an Ingress
//!   without rules; of any Ingress; of the controller. Each time the oldest.
//!
//! What cannot be told for sure is a decision with an [`Uncertainty`], never a guess: a regular expression that only another
//! engine takes, a field that was not read, two listeners that could both have taken the request.
//!
//! With a dialect that is not known `ImplementationSpecific` is matched as Prefix, and decisions say so.

mod building;
mod class;
mod condition;
mod explain;
mod gateway;
mod group;
mod host;
mod ingress;
mod path;
mod pattern;
mod prefixes;
mod problem;
mod request;
mod scope;
mod search;
mod table;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::objects::{ObjectName, Objects};
pub use building::MAX_RULES;
pub use class::ClassFilter;
pub use condition::Uncertainty;
pub use explain::{Explanation, MAX_SHOWN, Outcome, Step};
pub use group::Name as ListenerName;
use group::{Defaults, Group, Served};
pub use host::BadHost;
use host::RequestHost;
pub use ingress::{Dialect, NotADialect, RuleError};
pub use path::{BadPath, RequestPath};
pub use pattern::MAX_PATTERNS;
pub use problem::{MAX_PROBLEMS, Problem, ProblemKind};
pub use request::{Fields, Listener, Request};
use scope::{Found, Scope};
pub use search::MAX_ASKED;
use search::Watch;

/// What the controller is configured to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The classes that it serves.
    pub classes: ClassFilter,
    /// Where it sends what nothing else matches, instead of answering itself.
    pub default_backend: Option<(ObjectName, PortRef)>,
    /// Whether a request that matches a host but none of its paths is tried with less specific hosts too; for controllers
    /// whose dialect is not known.
    pub falls_through: bool,
    /// How Ingresses are read; none for what the `spec.controller` of each one's class says.
    pub dialect: Option<Dialect>,
    /// Whether Traefik compares prefixes of Ingresses by element (`strictPrefixMatching`), not by character.
    pub strict_prefixes: bool,
    /// Only these Gateways; none for all of the classes that are served.
    pub gateways: BTreeSet<ObjectName>,
}

/// Every rule that the controller serves. Immutable; sharing it needs no lock.
#[derive(Debug)]
pub struct Routes {
    groups: Vec<Group>,
    /// The ports of all listeners.
    ports: BTreeSet<u16>,
    /// Server names whose TLS is passed on without being ended, and where to.
    passthrough: Scope,
    problems: Vec<Problem>,
    problem_count: u64,
    served: usize,
    others: usize,
    /// Rules were left out for a bound: nothing is certain.
    is_cut: bool,
}

/// A kind of object that declares routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// `networking.k8s.io`.
    Ingress,
    /// `gateway.networking.k8s.io`.
    Gateway,
    /// `gateway.networking.k8s.io`.
    HttpRoute,
    /// `gateway.networking.k8s.io`.
    GrpcRoute,
    /// `gateway.networking.k8s.io`.
    TlsRoute,
    /// `traefik.io`.
    IngressRoute,
    /// `projectcontour.io`.
    HttpProxy,
}

impl ObjectKind {
    /// As manifests write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::Gateway => "Gateway",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::TlsRoute => "TLSRoute",
            Self::IngressRoute => "IngressRoute",
            Self::HttpProxy => "HTTPProxy",
        }
    }
}

/// An object that declares routes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name.
    pub name: ObjectName,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// A rule or a default backend, and what becomes of its requests.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// The object that declares it; none for the controller's own default backend.
    pub object: Option<ObjectRef>,
    /// Which of the object's rules, from 0; none for default backends.
    pub rule: Option<u32>,
    /// The rule's host, as written; none for any host, and for default backends.
    pub host: Option<Arc<str>>,
    /// The rule's path, as written; none for any path, and for default backends.
    pub path: Option<Arc<str>>,
    /// How the path matches; none without one.
    pub path_type: Option<PathType>,
    /// What becomes of its requests.
    pub target: Target,
    /// Who gets a copy of its requests.
    pub mirrors: Box<[Backend]>,
    /// What else the object declares for some of its requests.
    pub besides: Besides,
}

/// What an object declares for those of a rule's requests that are not served as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Besides {
    /// The status of the redirect to HTTPS that those get that come in the clear. Whether they do is up to the controller's
    /// settings, too.
    pub https: Option<u16>,
    /// The Service that serves while the rule's own has no ready endpoint; any of its ports.
    pub fallback: Option<ObjectName>,
}

impl Route {
    /// The backends that may serve its requests: those with a share. None if the controller answers itself.
    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        let weighted = match &self.target {
            Target::Backends(weighted) => &**weighted,
            Target::Redirect(_) | Target::Respond(_) => &[],
        };
        weighted.iter().filter(|weighted| weighted.weight > 0).map(|weighted| &weighted.backend)
    }

    /// The backend, if there is exactly one.
    #[must_use]
    pub fn backend(&self) -> Option<&Backend> {
        let mut backends = self.backends();
        backends.next().filter(|_| backends.next().is_none())
    }
}

/// What becomes of a rule's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// They are forwarded to one of these, by their shares.
    Backends(Box<[Weighted]>),
    /// The controller redirects them itself, with this status.
    Redirect(u16),
    /// The controller answers them itself, with this status.
    Respond(u16),
}

impl From<Backend> for Target {
    fn from(backend: Backend) -> Self {
        Self::Backends(Box::new([Weighted { backend, weight: 1 }]))
    }
}

/// A backend with its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted {
    /// The backend.
    pub backend: Backend,
    /// Its share of the sum of all; with 0 it gets nothing.
    pub weight: u32,
}

/// How a rule's path matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathType {
    /// The whole path, case-sensitive.
    Exact,
    /// Element by element from the start.
    Prefix,
    /// Up to the controller; matched here as its dialect does it, and as [`PathType::Prefix`] where that is not known.
    ImplementationSpecific,
    /// A regular expression.
    RegularExpression,
}

impl PathType {
    /// As manifests write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "Exact",
            Self::Prefix => "Prefix",
            Self::ImplementationSpecific => "ImplementationSpecific",
            Self::RegularExpression => "RegularExpression",
        }
    }
}

/// What a rule refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A Service.
    Service {
        /// Which.
        service: ObjectName,
        /// Which of its ports.
        port: PortRef,
    },
    /// Some other object; which endpoints it means only the controller knows.
    Resource {
        /// Its kind.
        kind: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
    /// A Service in another namespace that nothing grants: its requests are refused.
    NotGranted {
        /// Which.
        service: ObjectName,
        /// Which of its ports.
        port: PortRef,
    },
    /// None that makes sense; see the problems of the [`Routes`].
    Invalid,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { service, port } => write!(f, "{service}:{port}"),
            Self::NotGranted { service, port } => write!(f, "{service}:{port} (not granted)"),
            Self::Resource { kind, name } => write!(f, "{kind} {name}"),
            Self::Invalid => f.write_str("(invalid)"),
        }
    }
}

/// A port of a Service, as a rule names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortRef {
    /// By the Service's port number.
    Number(u16),
    /// By the Service port's name.
    Name(Arc<str>),
}

impl fmt::Display for PortRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Which part of the rules a request falls under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether a rule matched.
    pub matched: Matched,
    /// How it came to that.
    pub reason: Reason,
    /// What matched; none exactly if `matched` is [`Matched::None`].
    pub route: Option<Arc<Route>>,
    /// Why it is not certain, if it is not.
    pub doubt: Option<Uncertainty>,
}

/// Whether a rule matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// A rule's path.
    Rule,
    /// None, and a default backend takes it.
    DefaultBackend,
    /// None: the controller answers itself.
    None,
}

impl Matched {
    /// As events write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::DefaultBackend => "default_backend",
            Self::None => "none",
        }
    }
}

/// How a decision was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An Exact path matched.
    ExactPath,
    /// A Prefix path matched.
    PrefixPath,
    /// An `ImplementationSpecific` path matched as a prefix; the controller may see it otherwise.
    ImplementationSpecificPath,
    /// A regular expression matched.
    RegularExpression,
    /// A rule that is for every path of its host.
    AnyPath,
    /// No path matched, and an Ingress with a rule for the host has a default backend.
    HostDefault,
    /// No rule matched, and an Ingress without rules takes everything.
    CatchAll,
    /// No rule matched, and some Ingress has a default backend.
    IngressDefault,
    /// No rule matched, and the controller has a default backend.
    ControllerDefault,
    /// No rule is for the host.
    NoHost,
    /// Rules are for the host, but not for the path.
    NoPath,
    /// The request has no path that could be matched: the controller refuses it.
    BadPath(BadPath),
}

impl Reason {
    /// A word for events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExactPath => "exact_path",
            Self::PrefixPath => "prefix_path",
            Self::ImplementationSpecificPath => "implementation_specific_path",
            Self::RegularExpression => "regular_expression",
            Self::AnyPath => "any_path",
            Self::HostDefault => "host_default",
            Self::CatchAll => "catch_all",
            Self::IngressDefault => "ingress_default",
            Self::ControllerDefault => "controller_default",
            Self::NoHost => "no_host",
            Self::NoPath => "no_path",
            Self::BadPath(_) => "bad_path",
        }
    }
}

impl Routes {
    /// Builds the rules of all objects that the controller serves. What cannot be used is left out and reported in
    /// [`Routes::problems`].
    #[must_use]
    pub fn new(objects: &Objects, options: &Options) -> Self {
        let mut building = building::Building::default();
        ingress::build(objects, options, &mut building);
        gateway::build(objects, options, &mut building);
        building.finish()
    }

    /// Which rule a request falls under. Allocates nothing but where rules ask for what must be put together.
    #[must_use]
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        self.watched(request, &mut ())
    }

    fn watched(&self, request: &Request<'_>, watch: &mut impl Watch) -> Decision {
        let normal = match request.path.normal() {
            Ok(normal) => normal,
            Err(bad) => return Decision::none(Reason::BadPath(bad)),
        };
        let host = RequestHost::new(request.path.authority().or(request.host).unwrap_or_default());
        let port = request.listener.port.and_then(|port| self.listener_port(port));
        let mut decided: Option<Decision> = None;
        for group in self.groups.iter().filter(|group| group.takes(&request.listener, port)) {
            let decision = group.decide(request, &host, normal, watch);
            decided = Some(match decided {
                Some(other) => other.or(decision),
                None => decision,
            });
        }
        let mut decision = decided.unwrap_or_else(|| Decision::none(Reason::NoHost));
        if self.is_cut {
            decision.doubt.get_or_insert(Uncertainty::TooMany);
        }
        decision
    }

    /// The port of a listener by that of the controller's socket, where they can be told to belong together: it is the same,
    /// or 10,000 more, as Envoy Gateway's are for ports below 1,024 (its `servicePortToContainerPort`).
    fn listener_port(&self, socket: u16) -> Option<u16> {
        let shifted = socket.checked_sub(10_000).filter(|port| *port < 1_024);
        [Some(socket), shifted].into_iter().flatten().find(|port| self.ports.contains(port))
    }

    /// Which rule declares that TLS for this server name is passed on without being ended; none if no rule does.
    #[must_use]
    pub fn passthrough(&self, name: &[u8]) -> Decision {
        // Controllers compare the name as it was asked for, but for its case: with a port or a final dot it is another one.
        if name.ends_with(b".") || name.contains(&b':') {
            return Decision::none(Reason::NoHost);
        }
        let path = RequestPath::new(b"/");
        let request = Request::get(None, &path);
        let found = self.passthrough.find(&request, &RequestHost::new(name), b"/", &mut ());
        match found.route {
            Some(route) => Decision {
                matched: Matched::Rule,
                reason: Reason::AnyPath,
                route: Some(Arc::clone(route)),
                doubt: found.doubt,
            },
            None => Decision::none(Reason::NoHost),
        }
    }

    /// What could not be used, at most [`MAX_PROBLEMS`].
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many problems there were, those beyond the bound included.
    #[must_use]
    pub fn problem_count(&self) -> u64 {
        self.problem_count
    }

    /// How many Ingresses the controller serves, and how many it leaves to others.
    #[must_use]
    pub fn ingresses(&self) -> (usize, usize) {
        (self.served, self.others)
    }
}

impl Group {
    fn decide(
        &self,
        request: &Request<'_>,
        host: &RequestHost,
        path: &[u8],
        watch: &mut impl Watch,
    ) -> Decision {
        if self.by_server_name {
            let Some(name) = request.listener.server_name else {
                return Decision { doubt: Some(Uncertainty::Listener), ..Decision::none(Reason::NoHost) };
            };
            return self.decide_host(request, &RequestHost::new(name), path, watch);
        }
        let decision = self.decide_host(request, host, path, watch);
        if !self.paths_differ || !request.path.rewritten() {
            return decision;
        }
        // Rules are compared with what the controller made of the path: the form in which it was sent, or the normal one.
        let as_sent = self.decide_host(request, host, request.path.raw(), &mut ());
        let same = decision.route.as_ref().map(Arc::as_ptr) == as_sent.route.as_ref().map(Arc::as_ptr);
        if same { decision } else { Decision { doubt: Some(Uncertainty::PathForm), ..decision } }
    }

    fn decide_host(
        &self,
        request: &Request<'_>,
        host: &RequestHost,
        path: &[u8],
        watch: &mut impl Watch,
    ) -> Decision {
        let served = self.listener(request, host);
        let found = served.map(|(Served { name, scope, .. }, doubt)| {
            watch.listener(name);
            let found = scope.find(request, host, path, watch);
            Found { doubt: doubt.or(found.doubt), ..found }
        });
        let (doubt, default) = found.as_ref().map_or((None, None), |found| (found.doubt, found.default));
        let miss = match &found {
            Some(found) if found.has_host => Reason::NoPath,
            _ => Reason::NoHost,
        };
        if let Some(route) = found.and_then(|found| found.route) {
            return Decision {
                matched: Matched::Rule,
                reason: rule_reason(route),
                route: Some(Arc::clone(route)),
                doubt,
            };
        }
        let Defaults { catch_all, any, controller } = &self.defaults;
        let defaults = [
            (default, Reason::HostDefault),
            (catch_all.as_ref(), Reason::CatchAll),
            (any.as_ref(), Reason::IngressDefault),
            (controller.as_ref(), Reason::ControllerDefault),
        ];
        match defaults.into_iter().find_map(|(route, reason)| Some((route?, reason))) {
            Some((route, reason)) => {
                Decision { matched: Matched::DefaultBackend, reason, route: Some(Arc::clone(route)), doubt }
            }
            None => Decision { doubt, ..Decision::none(miss) },
        }
    }
}

impl Decision {
    fn none(reason: Reason) -> Self {
        Self { matched: Matched::None, reason, route: None, doubt: None }
    }

    /// Of two listeners that could have taken the request.
    fn or(self, other: Self) -> Self {
        match (&self.route, &other.route) {
            (Some(one), Some(two)) if !Arc::ptr_eq(one, two) => {
                let rule = if other.matched == Matched::Rule && self.matched != Matched::Rule {
                    other
                } else {
                    self
                };
                Self { doubt: Some(Uncertainty::Listeners), ..rule }
            }
            (Some(_), _) => self,
            (None, Some(_)) => other,
            // That there are rules for the host is the nearer miss.
            (None, None) => {
                let doubt = self.doubt.or(other.doubt);
                let nearer = if self.reason == Reason::NoPath { self } else { other };
                Self { doubt, ..nearer }
            }
        }
    }
}

fn rule_reason(route: &Route) -> Reason {
    match route.path_type {
        Some(PathType::Exact) => Reason::ExactPath,
        Some(PathType::ImplementationSpecific) => Reason::ImplementationSpecificPath,
        Some(PathType::Prefix) => Reason::PrefixPath,
        Some(PathType::RegularExpression) => Reason::RegularExpression,
        None => Reason::AnyPath,
    }
}
