//! Joins the two legs of a proxied request: which request to a backend was made for which client's request.
//!
//! Consumes the messages of all connections of *one* controller, in the order of capture; produces client requests with
//! the attempts made for them, and backend requests that nothing explains. Evidence is what the forwarded request shows
//! (request id, target, method, host, the client's address in a PROXY header or in `X-Forwarded-For` and its like, length
//! of the body) and time; how far it goes is said in [`Join`]. Where several client requests fit equally well, the oldest is taken, each
//! once, and the join is called ambiguous: two requests that look the same can not be told apart from outside.
//!
//! Invariants: an exchange comes out exactly once; memory is bounded by the exchanges open in the decoders, plus those
//! that wait at most [`GRACE`] for an attempt to end.

mod attempt;
mod choice;
mod evidence;
mod party;
mod queue;
mod signs;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::HashMap;

pub use attempt::{Attempt, Join, Purpose};
pub use party::{Leg, Party};
use queue::{Hashed, Targets};
use signs::{Signed, Signs};

use crate::capture::record::{ConnectionId, Nanos};
use crate::decode::http1::exchange::{Exchange, Outcome};
use crate::decode::http1::head::Head;

/// Names an exchange: its connection, and the place of the request's head in the stream.
pub type Key = (ConnectionId, u64);

/// How long a finished client request waits for attempts that have not ended.
pub const GRACE: Nanos = 1_000_000_000;
/// Requests whose clients left before anything was done for them, that wait at once.
const MAX_ABANDONED: usize = 256;

/// What came out.
#[derive(Debug)]
pub enum Joined {
    /// A client's request is over, with what was done for it.
    Request {
        /// The client's connection.
        party: Arc<Party>,
        /// The exchange on the client's leg.
        exchange: Box<Exchange>,
        /// Requests to backends made for it, in the order they began.
        attempts: Vec<Attempt>,
    },
    /// A request to a backend that no client's request explains is over.
    Upstream {
        /// The backend's connection.
        party: Arc<Party>,
        /// The exchange on the backend's leg.
        exchange: Box<Exchange>,
    },
}

/// Open exchanges of one controller, both legs.
#[derive(Debug, Default)]
pub struct Legs {
    clients: HashMap<Key, Client>,
    /// The client's request that each attempt belongs to.
    owners: HashMap<Key, Key>,
    /// Client requests by what they ask for.
    targets: Targets,
    /// Client requests by the ids they came with.
    ids: Targets,
    /// Client requests by what is left of their target after a rewrite.
    tails: Targets,
    /// Client requests in order of arrival, for those that were forwarded under another target.
    arrivals: VecDeque<Key>,
    /// Finished client requests with attempts that go on, or that may still begin.
    waiting: VecDeque<(Nanos, Key)>,
    /// How many are over because the client left, and nothing was done for them so far.
    abandoned: usize,
}

#[derive(Debug)]
struct Client {
    party: Arc<Party>,
    head: Arc<Head>,
    signs: Signs,
    names: Names,
    attempts: Vec<Attempt>,
    /// Attempts that have not ended.
    running: usize,
    finished: Option<Box<Exchange>>,
    /// Its client left before anything was done for it.
    abandoned: bool,
}

/// Under which names a client's request is found.
#[derive(Debug)]
struct Names {
    target: Hashed,
    tail: Hashed,
    ids: [Option<Hashed>; 2],
}

impl Client {
    fn signed(&self) -> Signed<'_> {
        Signed { head: &self.head, signs: &self.signs }
    }

    /// Whether a request to a backend may have been made for it: it is open; or its client left before anything was done,
    /// which the controller may not have noticed.
    fn is_candidate(&self) -> bool {
        self.finished.is_none() || self.attempts.is_empty()
    }

    /// Whether `forwarded` can be expected to be for it: nothing is being done for it, nor was that same done with success. Its
    /// answer may still be on its way when the next request is forwarded that looks the same.
    fn is_idle(&self, forwarded: &Head) -> bool {
        self.running == 0 && !self.abandoned && !self.attempts.iter().any(|attempt| attempt.serves(forwarded))
    }

    /// Whether its client got all, and every attempt has ended.
    fn is_over(&self) -> bool {
        self.finished.is_some() && self.running == 0
    }

    /// One of its attempts has ended; gives the exchange back if it has no such attempt.
    fn attempt_finished(&mut self, key: Key, exchange: Box<Exchange>) -> Option<Box<Exchange>> {
        // Of those with the same name the one that goes on: the offsets of its connection may have started anew.
        let running = |attempt: &&mut Attempt| attempt.exchange.is_none() && attempt.key() == key;
        let Some(attempt) = self.attempts.iter_mut().find(running) else { return Some(exchange) };
        attempt.exchange = Some(exchange);
        self.running = self.running.saturating_sub(1);
        None
    }
}

impl Legs {
    /// The head of a client's request is complete.
    pub fn client_request(&mut self, party: &Arc<Party>, offset: u64, head: Arc<Head>) {
        let key = (party.id, offset);
        let signs = Signs::of(&head);
        let signed = Signed { head: &head, signs: &signs };
        let names = Names {
            target: self.targets.push(head.target(), key),
            tail: self.tails.push(evidence::tail(head.target()), key),
            ids: signed.ids().map(|id| id.map(|id| self.ids.push(&id, key))),
        };
        if self.arrivals.len() > 2 * self.clients.len() + 64 {
            self.arrivals.retain(|key| self.clients.contains_key(key));
        }
        self.arrivals.push_back(key);
        let party = Arc::clone(party);
        let client = Client {
            party,
            head,
            signs,
            names,
            attempts: Vec::new(),
            running: 0,
            finished: None,
            abandoned: false,
        };
        self.clients.insert(key, client);
    }

    /// The head of a request to a backend is complete.
    pub fn backend_request(&mut self, party: &Arc<Party>, offset: u64, head: Arc<Head>, started: Nanos) {
        let key = (party.id, offset);
        let Some((name, join)) = self.candidate(party, &head) else { return };
        let Some(client) = self.clients.get_mut(&name) else { return };
        self.abandoned -= usize::from(std::mem::take(&mut client.abandoned));
        let party = Arc::clone(party);
        client.attempts.push(Attempt {
            party,
            offset,
            head,
            started,
            exchange: None,
            join,
            purpose: Purpose::Unknown,
        });
        client.running += 1;
        self.owners.insert(key, name);
    }

    /// A request to a backend is over.
    pub fn backend_finished(&mut self, party: &Arc<Party>, exchange: Box<Exchange>, out: &mut Vec<Joined>) {
        let key = (party.id, exchange.key);
        let name = self.owners.remove(&key);
        let client = name.and_then(|name| self.clients.get_mut(&name));
        let refused = match client {
            Some(client) => client.attempt_finished(key, exchange),
            // Nothing explains it; or it is malformed, so that it was never announced.
            None => Some(exchange),
        };
        if let Some(exchange) = refused {
            out.push(Joined::Upstream { party: Arc::clone(party), exchange });
            return;
        }
        if let Some(name) = name.filter(|name| self.clients.get(name).is_some_and(Client::is_over)) {
            self.complete(name, out);
        }
    }

    /// A client's request is over; `now` is when.
    pub fn client_finished(
        &mut self,
        party: &Arc<Party>,
        exchange: Box<Exchange>,
        now: Nanos,
        out: &mut Vec<Joined>,
    ) {
        let key = (party.id, exchange.key);
        let Some(client) = self.clients.get_mut(&key) else {
            // Malformed, so that it was never announced and nothing was joined to it.
            out.push(Joined::Request { party: Arc::clone(party), exchange, attempts: Vec::new() });
            return;
        };
        let left = matches!(exchange.outcome, Outcome::ResetByClient | Outcome::ClosedByClient)
            && exchange.response.head.is_none()
            && client.attempts.is_empty();
        client.finished = Some(exchange);
        // What is known of the connection by now.
        client.party = Arc::clone(party);
        if client.running > 0 {
            self.waiting.push_back((now, key));
        } else if left && self.abandoned < MAX_ABANDONED {
            client.abandoned = true;
            self.abandoned += 1;
            self.waiting.push_back((now, key));
        } else {
            self.complete(key, out);
        }
    }

    /// Lets go of finished requests that waited long enough for their attempts.
    pub fn expire(&mut self, now: Nanos, out: &mut Vec<Joined>) {
        while let Some(&(since, key)) = self.waiting.front() {
            if since.saturating_add(GRACE) > now {
                break;
            }
            self.waiting.pop_front();
            self.complete(key, out);
        }
    }

    /// Lets go of all that is finished; what is still open in a decoder ends there first.
    pub fn finish(&mut self, out: &mut Vec<Joined>) {
        self.expire(Nanos::MAX, out);
    }

    /// Clients' requests held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether nothing is held, not even a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
            && self.owners.is_empty()
            && [&self.targets, &self.ids, &self.tails].into_iter().all(Targets::is_empty)
            && self.abandoned == 0
    }

    fn complete(&mut self, key: Key, out: &mut Vec<Joined>) {
        let Some(Client { party, names, mut attempts, finished: Some(exchange), abandoned, .. }) =
            self.clients.remove(&key)
        else {
            return;
        };
        self.abandoned -= usize::from(abandoned);
        let is_live = |key: &Key| self.clients.contains_key(key);
        self.targets.remove(names.target, is_live);
        self.tails.remove(names.tail, is_live);
        names.ids.into_iter().flatten().for_each(|id| self.ids.remove(id, is_live));
        for attempt in attempts.iter().filter(|attempt| attempt.exchange.is_none()) {
            self.owners.remove(&attempt.key());
        }
        attempt::assign_purposes(&mut attempts, &exchange);
        out.push(Joined::Request { party, exchange, attempts });
    }
}
