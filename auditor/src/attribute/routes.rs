//! Which Ingress rule should have served a request.
//!
//! Consumes Ingresses and their classes; answers [`Routes::decide`] for a host and a path. The semantics are those of the
//! Ingress API (`networking.k8s.io/v1`), in this order:
//!
//! - The host chooses: a rule for exactly this host, else for a wildcard that replaces its first label, else for any host.
//!   All Ingresses with rules for that host are one. A host that has rules is not looked up further if no path of it
//!   matches (as in nginx and Envoy, where a host is a server of its own), unless [`Options::falls_through`].
//! - Among its paths the longest that matches, counted in elements, then Exact before Prefix before
//!   `ImplementationSpecific`; the slash at the end of a Prefix does not count.
//! - Of two equal ones, that of the oldest Ingress, then of the first `namespace/name`, then the first in the object.
//! - Else a default backend: that of an Ingress with a rule for the host; of an Ingress without rules; of any Ingress; of
//!   the controller. Each time the oldest.
//!
//! `ImplementationSpecific` is matched as Prefix and its decisions say so; regular expressions, canaries and the like are
//! matters of a controller's dialect and absent here. TLS that is passed on is one too, and only ingress-nginx's annotation
//! for it is read: [`Routes::passthrough`].

mod build;
mod class;
mod host;
mod path;
mod problem;
mod table;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::objects::{ObjectName, Objects};
pub use class::ClassFilter;
pub use host::BadHost;
pub use path::{BadPath, RequestPath};
pub use problem::{MAX_PROBLEMS, Problem, ProblemKind};
use table::Table;

/// What the controller is configured to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The classes that it serves.
    pub classes: ClassFilter,
    /// Where it sends what nothing else matches, instead of answering itself.
    pub default_backend: Option<(ObjectName, PortRef)>,
    /// Whether a request that matches a host but none of its paths is tried with less specific hosts too.
    pub falls_through: bool,
}

/// Every rule that the controller serves. Immutable; sharing it needs no lock.
#[derive(Debug)]
pub struct Routes {
    exact: HashMap<Box<str>, Table>,
    /// By what follows the `*.`.
    wildcard: HashMap<Box<str>, Table>,
    any: Option<Table>,
    /// Hosts whose TLS is passed on without being ended, and where to.
    passthrough: HashMap<Box<str>, Arc<Route>>,
    /// The default backend of the oldest Ingress without rules.
    catch_all: Option<Arc<Route>>,
    /// The default backend of the oldest Ingress that has one.
    any_default: Option<Arc<Route>>,
    controller_default: Option<Arc<Route>>,
    falls_through: bool,
    problems: Vec<Problem>,
    problem_count: u64,
    served: usize,
    others: usize,
}

/// A rule's path or a default backend, and where its requests go.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// The Ingress that declares it; none for the controller's own default backend.
    pub ingress: Option<ObjectName>,
    /// The rule's host, as written; none for any host, and for default backends.
    pub host: Option<Arc<str>>,
    /// The rule's path, as written; none for default backends.
    pub path: Option<Arc<str>>,
    /// How the path matches; none for default backends.
    pub path_type: Option<PathType>,
    /// Where its requests go.
    pub backend: Backend,
}

/// How a rule's path matches. The order is that of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathType {
    /// The whole path, case-sensitive.
    Exact,
    /// Element by element from the start.
    Prefix,
    /// Up to the controller; matched here as [`PathType::Prefix`].
    ImplementationSpecific,
}

impl PathType {
    /// As manifests write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "Exact",
            Self::Prefix => "Prefix",
            Self::ImplementationSpecific => "ImplementationSpecific",
        }
    }
}

/// What a rule refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A Service in the Ingress's namespace.
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
    /// None that makes sense; see the problems of the [`Routes`].
    Invalid,
}

/// A port of a Service, as an Ingress names it.
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
    /// Builds the rules of all Ingresses that the controller serves. What cannot be used is left out and reported in
    /// [`Routes::problems`].
    #[must_use]
    pub fn new(objects: &Objects, options: &Options) -> Self {
        build::build(objects, options)
    }

    /// Which rule a request falls under. `host` is the Host header or `:authority`, if there was one; a target in absolute
    /// form overrides it. Allocates nothing.
    #[must_use]
    pub fn decide(&self, host: Option<&[u8]>, path: &RequestPath<'_>) -> Decision {
        let normal = match path.normal() {
            Ok(normal) => normal,
            Err(bad) => {
                return Decision { matched: Matched::None, reason: Reason::BadPath(bad), route: None };
            }
        };
        let host = host::RequestHost::new(path.authority().or(host).unwrap_or_default());
        // Evaluated one after the other: most requests are decided by the first.
        let exact = std::iter::once_with(|| self.exact.get(host.name()));
        let wildcard = std::iter::once_with(|| host.parent().and_then(|parent| self.wildcard.get(parent)));
        let any = std::iter::once_with(|| self.any.as_ref());

        let mut host_default = None;
        let mut miss = Reason::NoHost;
        for table in exact.chain(wildcard).chain(any).flatten() {
            if let Some(route) = table.find(normal) {
                return Decision {
                    matched: Matched::Rule,
                    reason: rule_reason(route),
                    route: Some(Arc::clone(route)),
                };
            }
            miss = Reason::NoPath;
            host_default = host_default.or(table.default_backend());
            if !self.falls_through {
                break;
            }
        }
        let defaults = [
            (host_default, Reason::HostDefault),
            (self.catch_all.as_ref(), Reason::CatchAll),
            (self.any_default.as_ref(), Reason::IngressDefault),
            (self.controller_default.as_ref(), Reason::ControllerDefault),
        ];
        match defaults.into_iter().find_map(|(route, reason)| Some((route?, reason))) {
            Some((route, reason)) => {
                Decision { matched: Matched::DefaultBackend, reason, route: Some(Arc::clone(route)) }
            }
            None => Decision { matched: Matched::None, reason: miss, route: None },
        }
    }

    /// Which rule declares that TLS for this server name is passed on without being ended; none if no rule does. Exact hosts
    /// only, and of the name only the case is put aside: ingress-nginx compares it with its port or final dot, should it have one.
    #[must_use]
    pub fn passthrough(&self, name: &[u8]) -> Option<&Arc<Route>> {
        let name = name.get(..name.len().min(host::MAX_HOST + 1))?.to_ascii_lowercase();
        self.passthrough.get(std::str::from_utf8(&name).ok()?)
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

fn rule_reason(route: &Route) -> Reason {
    match route.path_type {
        Some(PathType::Exact) => Reason::ExactPath,
        Some(PathType::ImplementationSpecific) => Reason::ImplementationSpecificPath,
        Some(PathType::Prefix) | None => Reason::PrefixPath,
    }
}
