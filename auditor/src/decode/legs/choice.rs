//! Which client's request a forwarded one was most likely made for, and how sure that is.
//!
//! Consumes the head of a request to a backend and the requests of clients that are open; produces the best of those that
//! fit. Ids go first, then the target, then what is related to it; what is looked at is bounded.

use std::collections::VecDeque;

use foldhash::HashMap;

use super::evidence::{self, Evidence, Rank};
use super::signs::{Signed, Signs};
use super::{Client, Join, Key, Legs, Party};
use crate::decode::http1::head::Head;

/// Client requests looked at for one backend request; past that the join can only be ambiguous.
pub(super) const MAX_CANDIDATES: usize = 128;

/// Keys looked at for them, also those of requests that are over.
pub(super) const MAX_KEYS: usize = 1024;

impl Client {
    fn rank(&self, evidence: &Evidence<'_>, idle: bool) -> Option<Rank> {
        evidence.rank(self.signed(), &self.party, idle)
    }
}

impl Legs {
    /// The client's request that `forwarded` was most likely made for.
    pub(super) fn candidate(&mut self, party: &Party, forwarded: &Head) -> Option<(Key, Join)> {
        let signs = Signs::of(forwarded);
        let signed = Signed { head: forwarded, signs: &signs };
        let evidence = Evidence::of(party, signed);
        let clients = &self.clients;
        // An id goes before the target: what another client asked for may look like this one's after a rewrite.
        let mut with_id = VecDeque::new();
        for id in signed.ids().into_iter().flatten() {
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
        let idle = client.is_idle(evidence.forwarded().head);
        let rank = evidence.is_rewrite_of(&client.head).then(|| client.rank(evidence, idle)).flatten();
        rank.is_some_and(Rank::agrees)
    };
    open.enumerate().any(|(place, client)| place >= MAX_CANDIDATES || is_rival(client))
}

/// How the best candidate stands among the others.
#[derive(Clone, Copy, Debug)]
struct Choice {
    rank: Rank,
    /// Candidates that fit at all, as far as it matters: more than one is no proof.
    fitting: usize,
    /// Candidates with the best rank, in the same way.
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
    let open = |key| clients.get(key).filter(|client| client.is_candidate()).map(|client| (*key, client));
    let newest = keys.iter().rev().take(MAX_KEYS).filter_map(open).take(MAX_CANDIDATES);
    let is_idle = |(_, client): &(Key, &Client)| client.is_idle(evidence.forwarded().head);
    let (idle, busy): (Vec<_>, Vec<_>) = newest.partition(is_idle);
    let mut best = Best::default();
    let most = evidence.most(true);
    for (key, client) in idle.iter().rev() {
        best.offer(*key, client.rank(evidence, true));
        // What is the same as the best is not better, and how many of those there are makes no difference.
        if best.is_shared() && best.rank() == Some(most) {
            break;
        }
    }
    let most = evidence.most(false);
    for (key, client) in busy.iter().rev() {
        if best.fitting > 1 && best.rank() > Some(most) {
            break;
        }
        best.offer(*key, client.rank(evidence, false));
    }
    let (key, mut choice) = best.choice()?;
    if idle.len() + busy.len() == MAX_CANDIDATES || keys.len() > MAX_KEYS {
        choice.equal = choice.equal.max(2);
    }
    Some((key, choice))
}

/// The best of those that were offered so far, the oldest first.
#[derive(Debug, Default)]
struct Best {
    first: Option<(Key, Rank)>,
    equal: usize,
    fitting: usize,
}

impl Best {
    fn offer(&mut self, key: Key, rank: Option<Rank>) {
        let Some(rank) = rank else { return };
        self.fitting += 1;
        match self.rank() {
            Some(best) if rank < best => {}
            Some(best) if rank == best => self.equal += 1,
            _ => (self.first, self.equal) = (Some((key, rank)), 1),
        }
    }

    fn rank(&self) -> Option<Rank> {
        self.first.map(|(_, rank)| rank)
    }

    fn is_shared(&self) -> bool {
        self.equal > 1
    }

    fn choice(self) -> Option<(Key, Choice)> {
        let (key, rank) = self.first?;
        Some((key, Choice { rank, fitting: self.fitting, equal: self.equal }))
    }
}
