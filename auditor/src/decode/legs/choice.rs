//! Which client's request a forwarded one was most likely made for, and how sure that is.
//!
//! Consumes the head of a request to a backend and the requests of clients that are open; produces the best of those that
//! fit. Ids go first, then the target, then what is related to it; what is looked at is bounded.

use std::collections::VecDeque;

use foldhash::HashMap;

use super::evidence::{self, Evidence};
use super::{Client, Join, Key, Legs, Party};
use crate::decode::http1::head::Head;

/// Client requests looked at for one backend request; past that the join can only be ambiguous.
pub(super) const MAX_CANDIDATES: usize = 128;

/// Keys looked at for them, also those of requests that are over.
pub(super) const MAX_KEYS: usize = 1024;

impl Client {
    fn rank(&self, evidence: &Evidence<'_>) -> Option<evidence::Rank> {
        evidence.rank(&self.head, &self.party, self.is_idle(evidence.head()))
    }
}

impl Legs {
    /// The client's request that `forwarded` was most likely made for.
    pub(super) fn candidate(&mut self, party: &Party, forwarded: &Head) -> Option<(Key, Join)> {
        let evidence = Evidence::of(party, forwarded);
        let clients = &self.clients;
        // An id goes before the target: what another client asked for may look like this one's after a rewrite.
        let mut with_id = VecDeque::new();
        for id in evidence::ids(forwarded).into_iter().flatten() {
            let keys = self.ids.get(&id, |key| clients.contains_key(key));
            let fresh = |key: &&Key| is_candidate(clients, key) && !with_id.contains(*key);
            let recent: Vec<Key> =
                keys.iter().rev().take(MAX_KEYS).filter(fresh).take(MAX_CANDIDATES + 1).copied().collect();
            with_id.extend(recent.into_iter().rev());
        }
        if let Some((key, choice)) = choose(clients, &evidence, &with_id) {
            return Some((key, choice.join()));
        }
        let same_target = self.targets.get(forwarded.target(), |key| clients.contains_key(key));
        let same = choose(clients, &evidence, same_target);
        let tail = evidence::tail(forwarded.target());
        let alike = self.tails.get(tail, |key| clients.contains_key(key));
        if let Some((key, choice)) = same
            && choice.rank.agrees()
        {
            return match choice.join() {
                Join::Exact if has_rival(clients, &evidence, alike) => Some((key, Join::Inferred)),
                join => Some((key, join)),
            };
        }
        // None, or none but those of other clients: it was rewritten, or the address means something else.
        while self.arrivals.front().is_some_and(|key| !clients.contains_key(key)) {
            self.arrivals.pop_front();
        }
        let near = choose(clients, &evidence, alike);
        let any = choose(clients, &evidence, &self.arrivals);
        let best = [same, near, any]
            .into_iter()
            .flatten()
            .reduce(|best, other| if other.1.rank > best.1.rank { other } else { best });
        best.map(|(key, choice)| (key, choice.join()))
    }
}

fn is_candidate(clients: &HashMap<Key, Client>, key: &Key) -> bool {
    clients.get(key).is_some_and(Client::is_candidate)
}

/// Whether another request may have been rewritten to what was forwarded; too many to look at may be.
fn has_rival(clients: &HashMap<Key, Client>, evidence: &Evidence<'_>, alike: &VecDeque<Key>) -> bool {
    let open = alike.iter().filter_map(|key| clients.get(key)).filter(|client| client.is_candidate());
    let is_rival = |client: &Client| {
        let rank = evidence.is_rewrite_of(&client.head).then(|| client.rank(evidence)).flatten();
        rank.is_some_and(evidence::Rank::agrees)
    };
    open.enumerate().any(|(place, client)| place >= MAX_CANDIDATES || is_rival(client))
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
            Self { rank, fitting: 1, .. } if rank.is_certain() => Join::Exact,
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
    let candidates = keys.iter().rev().take(MAX_KEYS).filter(|key| is_candidate(clients, key));
    for key in candidates.take(MAX_CANDIDATES) {
        looked_at += 1;
        let Some(client) = clients.get(key) else { continue };
        let Some(rank) = client.rank(evidence) else {
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
