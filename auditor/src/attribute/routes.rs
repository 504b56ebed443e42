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
mod decision;
mod declared;
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
use std::sync::Arc;

use super::objects::{ObjectName, Objects};
pub use building::MAX_RULES;
pub use class::ClassFilter;
pub use condition::Uncertainty;
pub use decision::{Decision, Matched, Reason};
pub use declared::{Backend, Besides, ObjectKind, ObjectRef, PathType, PortRef, Route, Target, Weighted};
pub use explain::{Explanation, MAX_SHOWN, Outcome, Step};
use group::Group;
pub use group::Name as ListenerName;
pub use host::BadHost;
use host::RequestHost;
pub use ingress::{Dialect, NotADialect, RuleError};
pub use path::{BadPath, RequestPath};
pub use pattern::MAX_PATTERNS;
pub use problem::{MAX_PROBLEMS, Problem, ProblemKind};
pub use request::{Fields, Listener, Request};
use scope::Scope;
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
