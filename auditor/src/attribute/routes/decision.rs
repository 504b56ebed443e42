//! Which rule a request falls under, and how sure that is.

use std::sync::Arc;

use super::{BadPath, PathType, Route, Uncertainty};

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

impl Decision {
    pub(super) fn none(reason: Reason) -> Self {
        Self { matched: Matched::None, reason, route: None, doubt: None }
    }

    /// Of two listeners that could have taken the request.
    pub(super) fn or(self, other: Self) -> Self {
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

impl Reason {
    /// Why a rule matched.
    pub(super) fn of(route: &Route) -> Self {
        match route.path_type {
            Some(PathType::Exact) => Reason::ExactPath,
            Some(PathType::ImplementationSpecific) => Reason::ImplementationSpecificPath,
            Some(PathType::Prefix) => Reason::PrefixPath,
            Some(PathType::RegularExpression) => Reason::RegularExpression,
            None => Reason::AnyPath,
        }
    }
}
