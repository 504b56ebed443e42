//! What may be wrong between here and the API server.

use std::time::Duration;

use kube::Error;
use kube::core::Status;
use serde::{Deserialize, Serialize};

/// Most characters of what a server says that are repeated.
const MAX_MESSAGE: usize = 256;

/// Why a resource cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Of which sort it is.
    pub trouble: Trouble,
    /// One sentence.
    pub message: String,
}

/// A sort of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The API server does not let us.
    Forbidden,
    /// It fails, or cannot be reached.
    Unavailable,
    /// A bound was reached.
    Limit,
}

/// What is to be done about a failure.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) remedy: Remedy,
    /// The pause that the server asks for.
    pub(super) after: Option<Duration>,
    pub(super) problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Ask again.
    Again,
    /// List from the start: the version has expired, or a change could not be read.
    List,
    /// The kind is not served: look again later.
    Later,
}

impl Failure {
    pub(super) fn silent() -> Self {
        Self::new(Remedy::Again, Trouble::Unavailable, "the API server does not answer".to_owned())
    }

    pub(super) fn without_version() -> Self {
        Self::new(Remedy::List, Trouble::Unavailable, "the API server gives no resource version".to_owned())
    }

    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Api(status) => Self::status(status),
            // A change is in what cannot be read.
            Error::SerdeError(_) | Error::FromUtf8(_) => Self::new(
                Remedy::List,
                Trouble::Unavailable,
                format!("the API server's answer is not understood: {error}"),
            ),
            other => Self::new(Remedy::Again, Trouble::Unavailable, sources(other)),
        }
    }

    /// A `Status` object, as an answer or as an event of a watch.
    pub(super) fn status(status: &Status) -> Self {
        let (remedy, trouble) = match status.code {
            401 | 403 => (Remedy::Again, Trouble::Forbidden),
            404 => (Remedy::Later, Trouble::Unavailable),
            // Expired, or "too large resource version" of a server that has been set back.
            410 | 504 => (Remedy::List, Trouble::Unavailable),
            _ => (Remedy::Again, Trouble::Unavailable),
        };
        let after =
            status.details.as_ref().map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
        let message = format!("{} {}: {}", status.code, status.reason, status.message);
        Self {
            after: after.map(|seconds| Duration::from_secs(seconds.into())),
            ..Self::new(remedy, trouble, message)
        }
    }

    fn new(remedy: Remedy, trouble: Trouble, message: String) -> Self {
        let message = message.chars().take(MAX_MESSAGE).collect();
        Self { remedy, after: None, problem: Problem { trouble, message } }
    }
}

/// An error with what caused it.
fn sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    // Bounded: it ends with the message.
    while let Some(source) = next.filter(|_| text.len() < MAX_MESSAGE) {
        let words = source.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = source.source();
    }
    text
}
