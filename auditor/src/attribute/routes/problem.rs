//! What in the objects cannot be used. None of it stops the rest: an API server refuses most of it, manifests may hold it.

use std::fmt;

use super::{BadHost, BadPath, ObjectKind, ObjectRef, RuleError};
use crate::attribute::objects::ObjectName;

/// How many problems are kept; all are counted.
pub const MAX_PROBLEMS: usize = 1_000;

/// Something in an object that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which object.
    pub object: ObjectRef,
    /// Which of its rules, from 0.
    pub rule: Option<usize>,
    /// Which part of the rule, from 0: of its paths, or of its matches.
    pub part: Option<usize>,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProblemKind {
    /// The class that it names does not exist: no controller serves it.
    #[error("its class does not exist")]
    NoSuchClass,
    /// The rule's host can match nothing; the rule is left out.
    #[error(transparent)]
    Host(#[from] BadHost),
    /// The path can match nothing; it is left out.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// The path is longer than 4096 bytes; it is left out.
    #[error("the path is too long")]
    PathTooLong,
    /// An Exact or Prefix path with an empty or dot element or an encoded slash, which the API server refuses; it is left out.
    #[error("the path holds an empty element, a dot element or an encoded slash")]
    PathForm,
    /// The path's type is none of the three; it is left out.
    #[error("the path's type is not known")]
    PathType,
    /// An `ImplementationSpecific` path that looks like a regular expression, and is matched literally.
    #[error("the path looks like a pattern and is matched literally")]
    Pattern,
    /// A regular expression of which cannot be told what it matches: it does not compile, is too large, or is of another
    /// engine. Decisions that depend on it are uncertain.
    #[error("the regular expression cannot be read")]
    Unreadable,
    /// More regular expressions than are kept. Decisions that depend on them are uncertain.
    #[error("too many regular expressions")]
    TooManyPatterns,
    /// It refers to an object that does not exist; the rule, or the attachment, is left out.
    #[error("{kind} {name} does not exist")]
    Dangling {
        /// Of which kind.
        kind: &'static str,
        /// Which.
        name: ObjectName,
    },
    /// No listener of what it refers to lets it attach.
    #[error("no listener of Gateway {gateway} takes it")]
    NotAllowed {
        /// The Gateway.
        gateway: ObjectName,
    },
    /// It has a host that another kind of route of the same listener has, which came first.
    #[error("the host belongs to {by}")]
    HostTaken {
        /// Whose it is.
        by: ObjectRef,
    },
    /// It refers to an object in another namespace, and nothing there grants it: the controller answers 500.
    #[error("no ReferenceGrant allows {service}")]
    NotGranted {
        /// The Service.
        service: ObjectName,
    },
    /// A match of a sort that is not understood here. Decisions that depend on it are uncertain.
    #[error("the match is not understood")]
    Match,
    /// A rule of Traefik's language that is none; it is left out.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// An `HTTPProxy` includes itself, by others or not; the include is left out.
    #[error("it is included by {by}, which it includes")]
    Cycle {
        /// What includes it.
        by: ObjectRef,
    },
    /// More of them than are read; the rest is left out.
    #[error("more {what} than {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A backend without a Service and a resource, with both, or with no valid port. It takes its requests nevertheless.
    #[error("the backend is not valid")]
    Backend,
    /// Another rule comes before it and matches all that it matches.
    #[error("the path belongs to {by}")]
    Shadowed {
        /// Whose rule that is.
        by: ObjectRef,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object)?;
        if let Some(rule) = self.rule {
            write!(f, " rules[{rule}]")?;
        }
        if let Some(part) = self.part {
            let parts = if self.object.kind == ObjectKind::Ingress { "paths" } else { "matches" };
            write!(f, " {parts}[{part}]")?;
        }
        write!(f, ": {}", self.kind)
    }
}

/// A place in an object.
#[derive(Clone, Copy)]
pub(super) struct Place<'o> {
    pub(super) object: &'o ObjectRef,
    pub(super) rule: Option<usize>,
    pub(super) part: Option<usize>,
}

impl<'o> Place<'o> {
    /// The whole object.
    pub(super) fn whole(object: &'o ObjectRef) -> Self {
        Self { object, rule: None, part: None }
    }

    /// One of its rules.
    pub(super) fn rule(self, rule: usize) -> Self {
        Self { rule: Some(rule), ..self }
    }

    /// One part of its rule.
    pub(super) fn part(self, part: usize) -> Self {
        Self { part: Some(part), ..self }
    }
}

/// Keeps so many problems and counts all.
#[derive(Default)]
pub(super) struct Problems {
    pub(super) kept: Vec<Problem>,
    pub(super) count: u64,
}

impl Problems {
    pub(super) fn add(&mut self, place: Place<'_>, kind: ProblemKind) {
        self.count += 1;
        if self.kept.len() < MAX_PROBLEMS {
            let Place { object, rule, part } = place;
            self.kept.push(Problem { object: object.clone(), rule, part, kind });
        }
    }
}
