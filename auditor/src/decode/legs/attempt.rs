//! One request to a backend, and what it was for.

use std::sync::Arc;

use super::{Key, Party};
use crate::capture::record::Nanos;
use crate::decode::http1::exchange::Exchange;
use crate::decode::http1::head::Head;

/// How sure it is that an attempt belongs to a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// A request id of the client's own, or the only request that it can have been made for, naming host or client.
    Exact,
    /// The best of several, or the only one, by weaker signs.
    Inferred,
    /// Several fit equally well; the oldest was taken.
    Ambiguous,
}

/// What an attempt was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To answer the client; it is the one that did, or the last that tried.
    Main,
    /// To answer the client; another was tried after it.
    Retry,
    /// To ask whether the client may.
    Auth,
    /// A copy, whose answer is thrown away.
    Mirror,
    /// Not known.
    Unknown,
}

/// A request to a backend.
#[derive(Debug)]
pub struct Attempt {
    /// The backend's connection.
    pub party: Arc<Party>,
    /// Place of its head in the connection's stream.
    pub offset: u64,
    /// What was asked.
    pub head: Arc<Head>,
    /// First byte sent.
    pub started: Nanos,
    /// How it went; none while it goes on, or if its end was not seen.
    pub exchange: Option<Box<Exchange>>,
    /// How sure it is that it belongs where it is.
    pub join: Join,
    /// What it was for.
    pub purpose: Purpose,
}

impl Attempt {
    /// Its name.
    #[must_use]
    pub fn key(&self) -> Key {
        (self.party.id, self.offset)
    }

    /// The status that the backend answered with.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        Some(self.exchange.as_ref()?.response.head.as_ref()?.status()).filter(|status| *status > 0)
    }

    /// Whether it has brought an answer to what `other` asks, and no reason to try again.
    pub(super) fn serves(&self, other: &Head) -> bool {
        let same = self.head.method() == other.method() && self.head.target() == other.target();
        same && self.exchange.is_some() && !self.has_failed()
    }

    /// Whether it is over and left reason to try again: no answer, or one that proxies can be told to take as a failure
    /// (nginx's `proxy_next_upstream`, `HAProxy`'s `retry-on`).
    pub(super) fn has_failed(&self) -> bool {
        self.exchange.is_some() && self.status().is_none_or(|status| status >= 400)
    }
}

/// Headers that ask for authorization and say what for: ingress-nginx's and nginx's `auth_request`, Traefik's `ForwardAuth`.
const AUTH_HEADERS: [&str; 4] = ["x-original-url", "x-original-uri", "x-original-method", "x-forwarded-uri"];

/// Decides what each attempt was for, once the client's exchange is over.
pub(super) fn assign_purposes(attempts: &mut [Attempt], client: &Exchange) {
    let Some(request) = client.request.head.as_ref() else { return };
    let status = client.response.head.as_ref().map(|response| response.status()).filter(|status| *status > 0);
    for attempt in attempts.iter_mut() {
        let rewritten = attempt.head.target() != request.target();
        // A client may send such a header too, and the controller hand it on.
        let added = |name: &&str| {
            let value = attempt.head.get(name);
            value.is_some() && value != request.get(name)
        };
        let asks = rewritten && AUTH_HEADERS.iter().any(added);
        attempt.purpose = if asks { Purpose::Auth } else { Purpose::Unknown };
    }
    // The last with the client's status answered; without one, the last that answered at all, or that was made.
    let likely = |attempt: &Attempt| {
        let answered = attempt.status();
        (answered.is_some() && answered == status, answered.is_some(), attempt.started)
    };
    let open = attempts.iter().enumerate().filter(|(_, attempt)| attempt.purpose == Purpose::Unknown);
    let Some((main, answering)) = open.max_by_key(|(_, attempt)| likely(attempt)) else { return };
    let (started, head) = (answering.started, Arc::clone(&answering.head));
    for (place, attempt) in attempts.iter_mut().enumerate() {
        if attempt.purpose == Purpose::Unknown {
            attempt.purpose = if place == main {
                Purpose::Main
            } else if attempt.head.target() != head.target() {
                Purpose::Unknown
            } else if attempt.has_failed() && ended_before(attempt, started) {
                Purpose::Retry
            } else {
                Purpose::Mirror
            };
        }
    }
}

/// Whether the attempt was over when another began at `time`.
fn ended_before(attempt: &Attempt, time: Nanos) -> bool {
    let Some(exchange) = attempt.exchange.as_ref() else { return false };
    // Without an end of its own it ended with its connection, which is what makes a proxy try again.
    attempt.started < time && exchange.response.end.is_none_or(|end| end <= time)
}
