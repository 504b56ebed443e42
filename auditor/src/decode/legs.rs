//! Joins the two legs of a proxied request: which request to a backend was made for which client's request.
//!
//! Consumes the messages of all connections of *one* controller, in the order of capture; produces client requests with
//! the attempts made for them, and backend requests that nothing explains. Evidence is what the forwarded request shows
//! (request id, target, method, host, the client's address in `X-Forwarded-For` and its like, length of the body) and
//! time; how far it goes is said in [`Join`]. Where several client requests fit equally well, the oldest is taken and
//! the join is called ambiguous: two requests that look the same can not be told apart from outside.
//!
//! Invariants: an exchange comes out exactly once; memory is bounded by the exchanges open in the decoders, plus those
//! that wait at most [`GRACE`] for an attempt to end.

mod attempt;
mod evidence;
mod party;
mod queue;

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::HashMap;

pub use attempt::{Attempt, Join, Purpose};
use evidence::Evidence;
pub use party::{Leg, Party};
use queue::Targets;

use crate::capture::record::{ConnectionId, Nanos};
use crate::decode::http1::exchange::Exchange;
use crate::decode::http1::head::Head;

/// Names an exchange: its connection, and the place of the request's head in the stream.
pub type Key = (ConnectionId, u64);

/// How long a finished client request waits for attempts that have not ended.
pub const GRACE: Nanos = 1_000_000_000;
/// Client requests looked at for one backend request; past that the join can only be ambiguous.
const MAX_CANDIDATES: usize = 128;
/// Keys looked at for them, also those of requests that are over.
const MAX_KEYS: usize = 1024;

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
    /// Client requests in order of arrival, for those that were forwarded under another target.
    arrivals: VecDeque<Key>,
    /// Finished client requests with attempts that go on.
    waiting: VecDeque<(Nanos, Key)>,
}

#[derive(Debug)]
struct Client {
    party: Arc<Party>,
    head: Arc<Head>,
    attempts: Vec<Attempt>,
    /// Attempts that have not ended.
    running: usize,
    finished: Option<Box<Exchange>>,
}

impl Legs {
    /// The head of a client's request is complete.
    pub fn client_request(&mut self, party: &Arc<Party>, offset: u64, head: Arc<Head>) {
        let key = (party.id, offset);
        self.targets.push(head.target(), key);
        for id in evidence::ids(&head) {
            self.ids.push(&id, key);
        }
        if self.arrivals.len() > 2 * self.clients.len() + 64 {
            self.arrivals.retain(|key| self.clients.contains_key(key));
        }
        self.arrivals.push_back(key);
        let party = Arc::clone(party);
        self.clients.insert(key, Client { party, head, attempts: Vec::new(), running: 0, finished: None });
    }

    /// The head of a request to a backend is complete.
    pub fn backend_request(&mut self, party: &Arc<Party>, offset: u64, head: Arc<Head>, started: Nanos) {
        let key = (party.id, offset);
        let Some((name, join)) = self.candidate(&head) else { return };
        let Some(client) = self.clients.get_mut(&name) else { return };
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
        match self.owners.remove(&key) {
            Some(name) => {
                let Some(client) = self.clients.get_mut(&name) else { return };
                if let Some(attempt) = client.attempts.iter_mut().find(|attempt| attempt.key() == key) {
                    attempt.exchange = Some(exchange);
                    client.running = client.running.saturating_sub(1);
                }
                if client.running == 0 && client.finished.is_some() {
                    self.complete(name, out);
                }
            }
            // Nothing explains it; or it is malformed, so that it was never announced.
            None => out.push(Joined::Upstream { party: Arc::clone(party), exchange }),
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
        client.finished = Some(exchange);
        if client.running == 0 {
            self.complete(key, out);
        } else {
            self.waiting.push_back((now, key));
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

    /// The offsets of a connection start anew: lets go of what has its names.
    pub fn renamed(&mut self, id: ConnectionId, out: &mut Vec<Joined>) {
        let keys: Vec<Key> = self.waiting.iter().map(|(_, key)| *key).filter(|key| key.0 == id).collect();
        self.waiting.retain(|(_, key)| key.0 != id);
        for key in keys {
            self.complete(key, out);
        }
        self.arrivals.retain(|key| key.0 != id);
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

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn complete(&mut self, key: Key, out: &mut Vec<Joined>) {
        let Some(Client { party, head, mut attempts, finished: Some(exchange), .. }) =
            self.clients.remove(&key)
        else {
            return;
        };
        self.targets.remove(head.target(), |key| self.clients.contains_key(key));
        for id in evidence::ids(&head) {
            self.ids.remove(&id, |key| self.clients.contains_key(key));
        }
        for attempt in attempts.iter().filter(|attempt| attempt.exchange.is_none()) {
            self.owners.remove(&attempt.key());
        }
        attempt::assign_purposes(&mut attempts, &exchange);
        out.push(Joined::Request { party, exchange, attempts });
    }

    /// The client's request that `forwarded` was most likely made for.
    fn candidate(&mut self, forwarded: &Head) -> Option<(Key, Join)> {
        let evidence = Evidence::of(forwarded);
        let clients = &self.clients;
        // An id goes before the target: what another client asked for may look like this one's after a rewrite.
        let mut with_id = VecDeque::new();
        for id in evidence::ids(forwarded) {
            let keys = self.ids.get(&id, |key| clients.contains_key(key));
            let recent = keys.iter().rev().take(MAX_KEYS).filter(|key| !with_id.contains(*key)).copied();
            let recent: Vec<Key> = recent.take(MAX_CANDIDATES + 1).collect();
            with_id.extend(recent.into_iter().rev());
        }
        if let Some((key, choice)) = choose(clients, &evidence, &with_id) {
            return Some((key, choice.join()));
        }
        let same_target = self.targets.get(forwarded.target(), |key| clients.contains_key(key));
        let best = choose(clients, &evidence, same_target);
        if best.is_some() {
            return best.map(|(key, choice)| (key, choice.join()));
        }
        while self.arrivals.front().is_some_and(|key| !clients.contains_key(key)) {
            self.arrivals.pop_front();
        }
        choose(clients, &evidence, &self.arrivals).map(|(key, choice)| (key, choice.join()))
    }
}

/// How the best candidate stands among the others.
#[derive(Clone, Copy, Debug)]
struct Choice {
    rank: evidence::Rank,
    /// Candidates that fit at all.
    fitting: usize,
    /// Candidates with the best rank.
    equal: usize,
}

impl Choice {
    fn join(self) -> Join {
        match self {
            Self { equal: 2.., .. } => Join::Ambiguous,
            // Clients choose ids, and may choose the same: only one that nobody else has is proof.
            Self { rank, fitting, .. } if rank.request_id() || rank.identifies() => {
                if fitting == 1 {
                    Join::Exact
                } else {
                    Join::Inferred
                }
            }
            _ => Join::Inferred,
        }
    }
}

/// The oldest of the best, among the newest: a proxy forwards at once, and what is old is most likely being answered.
fn choose(
    clients: &HashMap<Key, Client>,
    evidence: &Evidence<'_>,
    keys: &VecDeque<Key>,
) -> Option<(Key, Choice)> {
    let mut best: Option<(Key, Choice)> = None;
    let (mut fitting, mut looked_at) = (0, 0);
    let open = |key: &&Key| clients.get(key).is_some_and(|client| client.finished.is_none());
    for key in keys.iter().rev().take(MAX_KEYS).filter(open).take(MAX_CANDIDATES) {
        looked_at += 1;
        let Some(client) = clients.get(key) else { continue };
        let Some(rank) = evidence.rank(&client.head, client.party.peer(), client.running == 0) else {
            continue;
        };
        fitting += 1;
        match &mut best {
            Some((_, choice)) if rank < choice.rank => {}
            Some((oldest, choice)) if rank == choice.rank => {
                choice.equal += 1;
                *oldest = *key;
            }
            _ => best = Some((*key, Choice { rank, fitting: 0, equal: 1 })),
        }
    }
    let (key, mut choice) = best?;
    choice.fitting = fitting;
    if looked_at == MAX_CANDIDATES || keys.len() > MAX_KEYS {
        choice.equal = choice.equal.max(2);
    }
    Some((key, choice))
}
