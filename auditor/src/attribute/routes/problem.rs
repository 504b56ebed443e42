//! What in the Ingresses cannot be used. None of it stops the rest: an API server refuses most of it, manifests may hold it.

use std::fmt;
use std::sync::Arc;

use super::{BadHost, BadPath};
use crate::attribute::objects::ObjectName;

/// How many problems are kept; all are counted.
pub const MAX_PROBLEMS: usize = 1_000;

/// Something in an Ingress that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which Ingress.
    pub ingress: ObjectName,
    /// Which of its `spec.rules`, from 0.
    pub rule: Option<usize>,
    /// Which of the rule's `http.paths`, from 0.
    pub path: Option<usize>,
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
    /// A backend without a Service and a resource, with both, or with no valid port. It takes its requests nevertheless.
    #[error("the backend is not valid")]
    Backend,
    /// Another rule comes before it and matches all that it matches.
    #[error("the path belongs to {by}")]
    Shadowed {
        /// Whose rule that is.
        by: ObjectName,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ingress {}", self.ingress)?;
        if let Some(rule) = self.rule {
            write!(f, " rules[{rule}]")?;
        }
        if let Some(path) = self.path {
            write!(f, " paths[{path}]")?;
        }
        write!(f, ": {}", self.kind)
    }
}

/// Keeps so many problems and counts all.
#[derive(Default)]
pub(super) struct Problems {
    pub(super) kept: Vec<Problem>,
    pub(super) count: u64,
}

impl Problems {
    pub(super) fn add(
        &mut self,
        ingress: &ObjectName,
        rule: Option<usize>,
        path: Option<usize>,
        kind: ProblemKind,
    ) {
        self.count += 1;
        if self.kept.len() < MAX_PROBLEMS {
            let ingress =
                ObjectName { namespace: Arc::clone(&ingress.namespace), name: Arc::clone(&ingress.name) };
            self.kept.push(Problem { ingress, rule, path, kind });
        }
    }
}
