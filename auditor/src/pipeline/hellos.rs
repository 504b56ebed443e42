//! Connections by their `ClientHello`: for whom a secret is, and whose TLS was passed on to whom.
//!
//! Consumes hellos as they are read and connections as they end; gives, for a random value, all that bear it, and, for a hello
//! that goes to a backend, the client that has sent the very same and has had no answer yet. The random value is the client's
//! choice and can be another's, the whole of a hello is the same only where it was passed on or sent again. Invariant: as many
//! entries as there are connections that speak TLS; each operation costs the logarithm of that, or is paid for by one of them.

use std::collections::{BTreeSet, HashMap};

use crate::assemble::tls::secrets::ClientRandom;
use crate::capture::record::ConnectionId;

/// A connection's hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Hello {
    /// The name of its secrets.
    pub(super) random: ClientRandom,
    /// SHA-256 of the message.
    pub(super) sha256: [u8; 32],
}

/// A connection, with when it was registered.
type Bearer = (u64, ConnectionId);

/// All connections that have said a hello.
#[derive(Debug, Default)]
pub(super) struct Hellos {
    by_random: HashMap<ClientRandom, BTreeSet<Bearer>>,
    clients: HashMap<[u8; 32], Clients>,
    next: u64,
}

/// Clients with one hello that may have been passed on.
#[derive(Debug, Default)]
struct Clients {
    waiting: BTreeSet<Bearer>,
    /// Whose was passed on last. It may be again, as long as nothing has answered: to another backend.
    last: Option<Bearer>,
}

impl Hellos {
    /// A connection has said its hello. Gives its number, by which it is removed.
    pub(super) fn register(&mut self, id: ConnectionId, hello: &Hello) -> u64 {
        self.next += 1;
        self.by_random.entry(hello.random).or_default().insert((self.next, id));
        self.next
    }

    /// It is a client's, and may be passed on.
    pub(super) fn waits(&mut self, id: ConnectionId, number: u64, hello: &Hello) {
        self.clients.entry(hello.sha256).or_default().waiting.insert((number, id));
    }

    /// The client whose hello this is that goes to a backend: the first of those that wait, else the last that did, on a second
    /// try. Of those that `may` no longer, as they were answered, nothing is asked again.
    pub(super) fn passed(
        &mut self,
        hello: &Hello,
        may: impl Fn(ConnectionId) -> bool,
    ) -> Option<ConnectionId> {
        let clients = self.clients.get_mut(&hello.sha256)?;
        while let Some(first) = clients.waiting.pop_first() {
            if may(first.1) {
                clients.last = Some(first);
                return Some(first.1);
            }
        }
        clients.last = clients.last.filter(|last| may(last.1));
        clients.last.map(|last| last.1)
    }

    /// The next connection that bears a random value, behind the one with this number.
    pub(super) fn behind(&self, random: &ClientRandom, number: u64) -> Option<Bearer> {
        self.by_random.get(random)?.range((number + 1, ConnectionId(0))..).next().copied()
    }

    /// A connection has ended.
    pub(super) fn remove(&mut self, id: ConnectionId, number: u64, hello: &Hello) {
        if let Some(same) = self.by_random.get_mut(&hello.random) {
            same.remove(&(number, id));
            if same.is_empty() {
                self.by_random.remove(&hello.random);
            }
        }
        if let Some(clients) = self.clients.get_mut(&hello.sha256) {
            clients.waiting.remove(&(number, id));
            clients.last = clients.last.filter(|last| last.1 != id);
            if clients.waiting.is_empty() && clients.last.is_none() {
                self.clients.remove(&hello.sha256);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_random.is_empty() && self.clients.is_empty()
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> usize {
        self.by_random.values().map(BTreeSet::len).sum()
    }
}
