//! What can be wrong with a configuration, and where.

use crate::attribute::routes::Dialect;
use std::fmt;
use std::io;
use std::path::PathBuf;

use serde_saphyr::{DefaultMessageFormatter, MessageFormatter};

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// In the file.
    File {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: u64,
        /// The key, with those above it; empty where it is about the whole file.
        key: String,
    },
    /// As an argument.
    Argument(&'static str),
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, key } if key.is_empty() => write!(f, "{}:{line}", file.display()),
            Self::File { file, line, key } => write!(f, "{}:{line}: {key}", file.display()),
            Self::Argument(name) => f.write_str(name),
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is missing, or not text.
    #[error("{}: cannot be read: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is too large to be meant.
    #[error("{}: is larger than {limit} bytes", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The bound.
        limit: u64,
    },
    /// A value is refused.
    #[error("{site}: {problem}")]
    Value {
        /// Where it was given.
        site: Site,
        /// What is wrong with it.
        problem: Problem,
    },
    /// Nothing says what to audit.
    #[error(
        "nothing says which controller to audit: give --cgroup, --unit, --pid or --port, or `targets` in the configuration"
    )]
    NoTarget,
    /// What the API server tells is named.
    #[error("`targets` and `manifests` are for `auditor run`: `auditor node` finds both by the API server")]
    NotOfTheNode,
}

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Not YAML, an unknown key, or the wrong type.
    #[error("{}", wording(.0))]
    Parse(Box<serde_saphyr::Error>),
    /// Too small or too large.
    #[error("{value} is not between {min} and {max}")]
    OutOfRange {
        /// What was given.
        value: u64,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// The ring's size must be one.
    #[error("{value} is not a power of two")]
    NotPowerOfTwo {
        /// What was given.
        value: u64,
    },
    /// A text that must not be empty, is too long, or has control characters.
    #[error("{value:?} must have 1 to {max} bytes and no control characters")]
    BadText {
        /// What was given, cut.
        value: String,
        /// Most bytes.
        max: usize,
    },
    /// Not the name of a unit.
    #[error(
        "{value:?} is not a systemd unit: it must end with .service, .scope or .slice, and have no slash"
    )]
    NotAUnit {
        /// What was given.
        value: String,
    },
    /// A target with no or several names.
    #[error("must have exactly one of cgroup, unit, pid, port; it has {count}")]
    NotOneTarget {
        /// How many it has.
        count: usize,
    },
    /// A path must start with a slash.
    #[error("{value:?} must start with a slash")]
    NotAbsolute {
        /// What was given.
        value: String,
    },
    /// Not a directory.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// Not an address or a network.
    #[error("{value:?} is not an IP address or a network (10.0.0.0/8, 2001:db8::/32)")]
    NotANetwork {
        /// What was given.
        value: String,
    },
    /// Not a header that says for whom a request is forwarded.
    #[error("{value:?} is not one of X-Forwarded-For, Forwarded, X-Real-IP")]
    NotAForwardingHeader {
        /// What was given.
        value: String,
    },
    /// Not a controller whose reading of Ingresses is known.
    #[error("{value:?} is not one of {}", Dialect::ALL.map(Dialect::as_str).join(", "))]
    NotADialect {
        /// What was given.
        value: String,
    },
    /// Not a Gateway.
    #[error("{value:?} is not NAMESPACE/GATEWAY")]
    NotAGateway {
        /// What was given.
        value: String,
    },
    /// Not a controller that is known.
    #[error("{value:?} is not one of {known}")]
    NotAController {
        /// What was given, cut.
        value: String,
        /// The names of those that are known.
        known: String,
    },
    /// Pods are named by no label.
    #[error("must have at least one label: all pods would be meant")]
    NoLabels,
    /// Not a Service with its port.
    #[error("{value:?} is not NAMESPACE/SERVICE:PORT")]
    NotAService {
        /// What was given.
        value: String,
    },
    /// The bound of one connection is above that of all.
    #[error("one connection may hold {one} bytes, all together {all}")]
    AboveTotal {
        /// The bound of one.
        one: u64,
        /// The bound of all.
        all: u64,
    },
    /// Root must not decode what strangers send.
    #[error("must not be 0: what decodes the bytes of strangers does not run as root")]
    Root,
}

/// What the parser found, in the words of this program where the parser speaks of itself.
fn wording(error: &serde_saphyr::Error) -> String {
    match error.without_snippet() {
        serde_saphyr::Error::MultipleDocuments { .. } => "there is more than one YAML document".into(),
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            printable(&format!("{key} is there twice"))
        }
        serde_saphyr::Error::InvalidScalar { ty: "u64", .. } => "must be a whole number, not below 0".into(),
        other => printable(&DefaultMessageFormatter.format_message(other)),
    }
}

/// Keys and values come back in messages; they must not write to a terminal what they please.
pub(super) fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}
