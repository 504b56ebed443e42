//! Secrets that wait for their connection, which may come before or after them.
//!
//! Found by the client random; or, where a tap could not tell it, by trial: the most recent secrets that no connection
//! has asked for by name are the candidates. Bounded in number and age; what goes unused is counted.
//!
//! A client random is what its client likes, and may be said again by others: under one name there can be the secrets of
//! several connections, of which each must be proved by a record. It is then that connection's alone, known by the server's
//! random value as well, so that its records, sent again by another, prove nothing. What ends wipes what it has proved, never
//! another's.

use std::collections::{HashMap, VecDeque};

use super::{ClientRandom, Label, Secret};
use crate::capture::record::Nanos;

/// How many of the most recent secrets are candidates for trial.
pub const CANDIDATES: usize = 64;

/// How many different secrets of one label are kept for a client random.
pub const MAX_SAME: usize = 8;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client randoms.
    pub connections: usize,
    /// How long the secrets of a client random are kept after the last new one, nanoseconds.
    pub age: Nanos,
}

impl Default for Limits {
    /// 16,384 names (about 6 MiB where each is one connection's, at most eight times that); two minutes, which outlasts the handshake timeouts of servers (nginx: 60 s).
    fn default() -> Self {
        Self { connections: 16_384, age: 120_000_000_000 }
    }
}

/// What became of the secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Secrets taken in.
    pub secrets: u64,
    /// Client randoms whose secrets no connection asked for before they were dropped for age.
    pub aged_unused: u64,
    /// The same, dropped because there were too many.
    pub evicted_unused: u64,
    /// Client randoms that were dropped for want of room, used or not.
    pub evicted: u64,
    /// Secrets that came under a name and label of which there was another: the name was used more than once.
    pub contradictions: u64,
    /// Of those, how many were dropped, as there were [`MAX_SAME`] already.
    pub surplus: u64,
}

/// What became of a secret that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is kept.
    New,
    /// It was there.
    Known,
    /// There are too many under its name.
    Surplus,
}

/// The secrets of one controller's connections.
#[derive(Debug, Default)]
pub struct SecretStore {
    limits: Limits,
    named: HashMap<ClientRandom, Entry>,
    /// Entries in the order of their arrival; those that were removed are still in it.
    order: VecDeque<(u64, ClientRandom)>,
    recent: VecDeque<Candidate>,
    /// How many connections that have not ended bear a client random.
    held: HashMap<ClientRandom, usize>,
    next: u64,
    counts: Counts,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    time: Nanos,
    used: bool,
    secrets: Box<[Option<Kept>; Label::ALL.len()]>,
    /// Others than the first of their label. In boxes of their own, so that growth leaves no copy behind.
    more: Vec<(Label, Box<Kept>)>,
}

#[derive(Debug)]
struct Kept {
    secret: Secret,
    proof: Proof,
}

/// Whether a record was opened with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    None,
    /// On any connection, as with early data, which comes before the server's random value.
    Anyone,
    /// On those with this random value of the server.
    Server([u8; 32]),
}

impl Entry {
    fn of(&self, label: Label) -> impl Iterator<Item = &Kept> {
        let more = self.more.iter().filter(move |(other, _)| *other == label).map(|(_, kept)| &**kept);
        self.secrets.get(label.index()).into_iter().flatten().chain(more)
    }

    fn insert(&mut self, label: Label, secret: &Secret) -> Taken {
        if self.of(label).any(|kept| kept.secret == *secret) {
            return Taken::Known;
        }
        if self.of(label).count() >= MAX_SAME {
            return Taken::Surplus;
        }
        let kept = Kept { secret: secret.clone(), proof: Proof::None };
        match self.secrets.get_mut(label.index()) {
            Some(first @ None) => *first = Some(kept),
            _ => self.more.push((label, Box::new(kept))),
        }
        Taken::New
    }

    fn prove(&mut self, label: Label, secret: &Secret, server: Option<[u8; 32]>) {
        let proof = server.map_or(Proof::Anyone, Proof::Server);
        let more = self.more.iter_mut().filter(|(other, _)| *other == label).map(|(_, kept)| &mut **kept);
        let all = self.secrets.get_mut(label.index()).into_iter().flatten().chain(more);
        all.filter(|kept| kept.secret == *secret).for_each(|kept| kept.proof = proof);
    }

    /// Wipes what the connections of this name have used, and what else can only be theirs. Tells whether nothing is left.
    fn wipe_used(&mut self) -> bool {
        let kept = self.secrets.iter().flatten().chain(self.more.iter().map(|(_, kept)| &**kept));
        let proved = kept.filter(|kept| kept.is_proved()).count();
        if self.more.is_empty() && proved > 0 {
            return true;
        }
        self.more.retain(|(_, kept)| !kept.is_proved());
        for first in self.secrets.iter_mut() {
            drop(first.take_if(|kept| kept.is_proved()));
        }
        self.more.is_empty() && self.secrets.iter().all(Option::is_none)
    }
}

impl Kept {
    fn is_proved(&self) -> bool {
        self.proof != Proof::None
    }

    /// Whether it may be that of a connection with this random value of the server.
    fn may_be_of(&self, server: Option<[u8; 32]>) -> bool {
        !matches!((self.proof, server), (Proof::Server(own), Some(other)) if own != other)
    }
}

/// A secret that may be tried.
#[derive(Clone, Debug)]
pub(in super::super) struct Candidate {
    pub(in super::super) number: u64,
    pub(in super::super) random: Option<ClientRandom>,
    pub(in super::super) label: Label,
    pub(in super::super) secret: Secret,
}

impl SecretStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes in a secret. Without `random` it is found by trial only.
    pub fn insert(
        &mut self,
        random: Option<ClientRandom>,
        label: Label,
        secret: Secret,
        time: Nanos,
    ) -> Taken {
        self.expire(time);
        self.counts.secrets += 1;
        self.next += 1;
        let number = self.next;
        if let Some(random) = random {
            if !self.named.contains_key(&random) {
                self.make_room();
            }
            let entry = self.named.entry(random).or_insert_with(|| Entry {
                number,
                time,
                used: false,
                secrets: Box::default(),
                more: Vec::new(),
            });
            let another = entry.of(label).next().is_some();
            let taken = entry.insert(label, &secret);
            self.counts.contradictions += u64::from(another && taken != Taken::Known);
            self.counts.surplus += u64::from(taken == Taken::Surplus);
            if taken != Taken::New {
                return taken;
            }
            // All of a name age with the newest: it may be another connection's than the rest.
            (entry.number, entry.time) = (number, time);
            let used = entry.used;
            self.order.push_back((number, random));
            self.tidy();
            if used {
                return taken;
            }
        }
        if self.recent.len() >= CANDIDATES {
            self.recent.pop_front();
        }
        self.recent.push_back(Candidate { number, random, label, secret });
        Taken::New
    }

    /// The secrets of the connections that bear a client random, but for those that were proved to be of one with another
    /// random value of the server. They stay: two ends of one connection may both be seen.
    pub(in super::super) fn get(
        &mut self,
        random: &ClientRandom,
        label: Label,
        server: Option<[u8; 32]>,
    ) -> Vec<Secret> {
        let Some(entry) = self.named.get_mut(random) else { return Vec::new() };
        if !entry.used {
            entry.used = true;
            self.recent.retain(|candidate| candidate.random != Some(*random));
        }
        entry.of(label).filter(|kept| kept.may_be_of(server)).map(|kept| kept.secret.clone()).collect()
    }

    /// Whether there is a secret of this name, whosever it is.
    pub(in super::super) fn has(&self, random: &ClientRandom, label: Label) -> bool {
        self.named.get(random).is_some_and(|entry| entry.of(label).next().is_some())
    }

    /// A record was opened with a secret, on a connection with this random value of the server.
    pub(in super::super) fn prove(
        &mut self,
        random: &ClientRandom,
        label: Label,
        secret: &Secret,
        server: Option<[u8; 32]>,
    ) {
        if let Some(entry) = self.named.get_mut(random) {
            entry.prove(label, secret, server);
        }
    }

    /// The number of the newest secret of a name; it changes when there is another.
    pub(in super::super) fn newest(&self, random: &ClientRandom) -> u64 {
        self.named.get(random).map_or(0, |entry| entry.number)
    }

    /// A connection bears a client random, until it [`Self::release`]s it.
    pub(in super::super) fn hold(&mut self, random: ClientRandom) {
        *self.held.entry(random).or_default() += 1;
    }

    /// A connection has ended. The last that bears a client random takes the secrets along that were proved.
    pub(in super::super) fn release(&mut self, random: &ClientRandom) {
        if let Some(held) = self.held.get_mut(random) {
            *held = held.saturating_sub(1);
            if *held > 0 {
                return;
            }
            self.held.remove(random);
        }
        // Whoever bore the name has not used them, and nobody else may.
        self.recent.retain(|candidate| candidate.random != Some(*random));
        if self.named.get_mut(random).is_some_and(Entry::wipe_used) {
            self.remove(random);
        }
    }

    /// Secrets that may be that of a connection whose secret is not known by name, the newest first. Not those of a name that
    /// a connection bears: a client that knows its own could say on another what it has never said to the server.
    pub(in super::super) fn candidates(&self, label: Label, len: usize, after: u64) -> Vec<Candidate> {
        let borne = |it: &Candidate| it.random.is_some_and(|random| self.held.contains_key(&random));
        let fits =
            |it: &&Candidate| it.number > after && it.label == label && it.secret.is_of(len) && !borne(it);
        self.recent.iter().rev().filter(fits).cloned().collect()
    }

    /// The number of the last secret that came.
    pub(in super::super) fn last(&self) -> u64 {
        self.next
    }

    /// A candidate has been proved to be a connection's secret.
    pub(in super::super) fn claim(&mut self, number: u64, server: Option<[u8; 32]>) {
        let Some(at) = self.recent.iter().position(|candidate| candidate.number == number) else { return };
        let Some(claimed) = self.recent.remove(at) else { return };
        if let Some(entry) = claimed.random.and_then(|random| self.named.get_mut(&random)) {
            entry.used = true;
            entry.prove(claimed.label, &claimed.secret, server);
            self.recent.retain(|candidate| candidate.random != claimed.random);
        }
    }

    /// Wipes all secrets of a name.
    fn remove(&mut self, random: &ClientRandom) {
        if self.named.remove(random).is_some() {
            self.recent.retain(|candidate| candidate.random != Some(*random));
        }
    }

    /// Wipes what is too old at `now`.
    pub fn expire(&mut self, now: Nanos) {
        while let Some((number, random)) = self.order.front() {
            let live = self.named.get(random).filter(|entry| entry.number == *number);
            match live {
                Some(entry) if entry.time.saturating_add(self.limits.age) > now => break,
                Some(entry) => {
                    self.counts.aged_unused += u64::from(!entry.used);
                    let random = *random;
                    self.remove(&random);
                }
                None => {}
            }
            self.order.pop_front();
        }
    }

    /// How many client randoms there are secrets of.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.named.len()
    }

    /// What became of the secrets.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn make_room(&mut self) {
        while self.named.len() >= self.limits.connections.max(1) {
            let Some((number, random)) = self.order.pop_front() else { break };
            if let Some(entry) = self.named.get(&random).filter(|entry| entry.number == number) {
                self.counts.evicted += 1;
                self.counts.evicted_unused += u64::from(!entry.used);
                self.remove(&random);
            }
        }
    }

    /// Forgets the order of what is not there any more.
    fn tidy(&mut self) {
        if self.order.len() > self.limits.connections.saturating_mul(2) {
            let named = &self.named;
            self.order.retain(|(number, random)| named.get(random).is_some_and(|it| it.number == *number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(byte: u8) -> ClientRandom {
        ClientRandom([byte; 32])
    }

    fn secret(byte: u8) -> Secret {
        Secret::new(&[byte; 32]).unwrap()
    }

    fn store(connections: usize, age: Nanos) -> SecretStore {
        SecretStore::new(Limits { connections, age })
    }

    #[test]
    fn a_secret_is_found_by_name_and_label() {
        let mut store = store(8, 100);
        store.insert(Some(random(1)), Label::ClientHandshake, secret(1), 0);
        store.insert(Some(random(1)), Label::ClientApplication, secret(2), 0);
        assert_eq!(store.get(&random(1), Label::ClientApplication, None), [secret(2)]);
        assert_eq!(store.get(&random(1), Label::ServerApplication, None), []);
        assert_eq!(store.get(&random(2), Label::ClientApplication, None), []);
    }

    #[test]
    fn different_values_are_kept_up_to_a_bound() {
        let mut store = store(8, 100);
        for byte in [1, 1, 2, 1, 3, 4, 5, 6, 7, 8, 9, 9] {
            let taken = store.insert(Some(random(1)), Label::Master, secret(byte), 0);
            assert_eq!(taken == Taken::Surplus, byte == 9);
        }
        let kept: Vec<_> = (1..=8).map(secret).collect();
        assert_eq!(store.get(&random(1), Label::Master, None), kept);
        assert_eq!((store.counts().contradictions, store.counts().surplus), (9, 2));
    }

    #[test]
    fn the_last_bearer_wipes_what_was_proved() {
        let mut store = store(8, 100);
        store.hold(random(1));
        store.hold(random(1));
        for byte in [1, 2] {
            store.insert(Some(random(1)), Label::Master, secret(byte), 0);
        }
        store.prove(&random(1), Label::Master, &secret(1), None);
        store.release(&random(1));
        assert_eq!(store.get(&random(1), Label::Master, None), [secret(1), secret(2)]);
        store.release(&random(1));
        assert_eq!(store.get(&random(1), Label::Master, None), [secret(2)]);
        // Nobody's yet: it may be that of one that comes.
        store.hold(random(1));
        store.release(&random(1));
        assert_eq!(store.get(&random(1), Label::Master, None), [secret(2)]);
        store.hold(random(1));
        store.prove(&random(1), Label::Master, &secret(2), None);
        store.release(&random(1));
        assert_eq!((store.connections(), store.held.len()), (0, 0));
    }

    #[test]
    fn what_is_asked_for_by_name_is_no_candidate() {
        let mut store = store(8, 100);
        store.insert(Some(random(1)), Label::Master, secret(1), 0);
        store.insert(None, Label::Master, secret(2), 0);
        assert_eq!(store.candidates(Label::Master, 32, 0).len(), 2);
        assert_eq!(store.candidates(Label::Master, 48, 0).len(), 0);
        assert_eq!(store.candidates(Label::Master, 32, 1).len(), 1);
        store.get(&random(1), Label::Master, None);
        let left = store.candidates(Label::Master, 32, 0);
        assert_eq!(left.iter().map(|it| it.number).collect::<Vec<_>>(), [2]);
        store.claim(2, None);
        assert!(store.candidates(Label::Master, 32, 0).is_empty());
    }

    #[test]
    fn candidates_are_bounded() {
        let mut store = store(8, 100);
        for byte in 0..200 {
            store.insert(None, Label::Master, secret(byte), 0);
        }
        assert_eq!(store.candidates(Label::Master, 32, 0).len(), CANDIDATES);
    }

    #[test]
    fn what_is_dropped_unused_is_counted() {
        let mut store = store(2, 100);
        store.insert(Some(random(1)), Label::Master, secret(1), 0);
        store.get(&random(1), Label::Master, None);
        store.insert(Some(random(2)), Label::Master, secret(2), 10);
        store.insert(Some(random(3)), Label::Master, secret(3), 20);
        assert_eq!((store.counts().evicted, store.counts().evicted_unused), (1, 0));
        store.insert(Some(random(4)), Label::Master, secret(4), 30);
        assert_eq!((store.counts().evicted, store.counts().evicted_unused), (2, 1));
        store.get(&random(3), Label::Master, None);
        store.expire(129);
        assert_eq!((store.connections(), store.counts().aged_unused), (1, 0));
        store.expire(130);
        assert_eq!((store.connections(), store.counts().aged_unused), (0, 1));
        assert!(store.candidates(Label::Master, 32, 0).is_empty());
    }

    #[test]
    fn removal_leaves_nothing_behind() {
        let mut store = store(2, 100);
        for round in 0..1000 {
            store.insert(Some(random(1)), Label::Master, secret(1), round / 100);
            store.remove(&random(1));
        }
        assert_eq!(store.connections(), 0);
        assert!(store.order.len() <= 5 && store.recent.is_empty());
        assert_eq!(store.counts().evicted, 0);
    }

    /// A client lets the secrets of its second connection age with those of its first, of the same name.
    #[test]
    fn a_secret_is_kept_for_its_own_age() {
        let mut store = store(8, 100);
        store.hold(random(1));
        store.insert(Some(random(1)), Label::Master, secret(1), 0);
        store.hold(random(1));
        store.insert(Some(random(1)), Label::Master, secret(2), 99);
        store.expire(100);
        assert!(store.get(&random(1), Label::Master, None).contains(&secret(2)), "one old");
    }
}
