//! The way of a record, from capture to event, for one controller: assemble, decode, join, attribute.
//!
//! Consumes [`Record`]s in the order of their capture and the passing of time ([`Pipeline::tick`]); produces [`Event`]s and,
//! through [`Feedback`], word of which bytes are not needed. Pure: the same records give the same events, live and in a
//! replay. Invariants: memory is bounded by the limits; every payload byte is decoded, skipped as body, or counted in a
//! `coverage` event.

mod connection;
mod coverage;
mod early;
mod hellos;
mod layers;
mod record;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use auditor_ebpf::window::Want;

use crate::assemble::stream;
use crate::assemble::tls::context::Context;
use crate::assemble::tls::secrets::store::{self, SecretStore};
use crate::attribute::Attribution;
use crate::capture::record::{ConnectionId, Direction, Nanos, Record};
use crate::decode::http1;
use crate::decode::http1::exchange::Decoded;
use crate::decode::legs::{Joined, Legs};
use crate::emit::build::{Builder, Settings};
use crate::emit::model::Event;
use connection::Connection;
use coverage::Coverage;
pub use coverage::Loss;
use early::Early;
use hellos::Hellos;

/// Tells the source of records what it may leave out.
pub trait Feedback {
    /// Bytes of this direction before the want are not needed, but for those at boundaries of records where it says so.
    fn needed(&mut self, id: ConnectionId, direction: Direction, want: Want);
}

/// A source that leaves nothing out.
impl Feedback for () {
    fn needed(&mut self, _: ConnectionId, _: Direction, _: Want) {}
}

/// Bounds of one pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections followed at once.
    pub connections: usize,
    /// What one stream may hold.
    pub stream: stream::Limits,
    /// Bytes that all streams together may hold.
    pub held_bytes: usize,
    /// What one connection's decoder may hold.
    pub http1: http1::Limits,
}

/// The pipeline of one controller.
#[derive(Debug)]
pub struct Pipeline<F> {
    limits: Limits,
    feedback: F,
    /// Hashed quickly: cookies are the kernel's choice, and the seed is random.
    connections: foldhash::HashMap<ConnectionId, Connection>,
    /// What the controller opened, by both ends, to recognise a hop inside itself.
    opened: HashMap<(SocketAddr, SocketAddr), ConnectionId>,
    /// Where the controller listens, for connections whose start was not seen.
    listeners: HashSet<SocketAddr>,
    /// Ports at which it has accepted connections.
    ports: HashSet<u16>,
    early: Early,
    /// Secrets, and what else connections with TLS share.
    tls: Context,
    /// Connections that speak TLS, by their `ClientHello`.
    hellos: Hellos,
    legs: Legs,
    /// Connections of which a stream waits for a missing range until a certain time.
    waiting: foldhash::HashSet<ConnectionId>,
    /// Connections that may hold bytes, each once, and how many all of them hold.
    holding: Vec<ConnectionId>,
    held: usize,
    /// Until then no connection will have been silent long enough to make room for another.
    full_until: Nanos,
    coverage: Coverage,
    builder: Builder,
    decoded: Vec<Decoded>,
    joined: Vec<Joined>,
    events: Vec<Event>,
    now: Nanos,
}

impl<F: Feedback> Pipeline<F> {
    /// A pipeline that has seen nothing yet. `begun`: when, for the ids of what it tells; 0 in a replay.
    pub fn new(
        limits: Limits,
        settings: Settings,
        attribution: Arc<Attribution>,
        begun: Nanos,
        feedback: F,
    ) -> Self {
        Self {
            limits,
            feedback,
            connections: foldhash::HashMap::default(),
            opened: HashMap::new(),
            listeners: HashSet::new(),
            ports: HashSet::new(),
            early: Early::default(),
            tls: Context::default(),
            hellos: Hellos::default(),
            legs: Legs::default(),
            waiting: foldhash::HashSet::default(),
            holding: Vec::new(),
            held: 0,
            full_until: 0,
            coverage: Coverage::default(),
            builder: Builder::new(settings, attribution, begun),
            decoded: Vec::new(),
            joined: Vec::new(),
            events: Vec::new(),
            now: 0,
        }
    }

    /// The objects have changed: requests that end from now on are judged by these.
    pub fn set_attribution(&mut self, attribution: Arc<Attribution>) {
        self.builder.set_attribution(attribution);
    }

    /// Where the controller is known to listen.
    pub fn set_listeners(&mut self, listeners: impl IntoIterator<Item = SocketAddr>) {
        self.listeners = listeners.into_iter().collect();
    }

    /// How many secrets of TLS are kept, and how long; before any comes.
    pub fn set_secret_limits(&mut self, limits: store::Limits) {
        self.tls.secrets = SecretStore::new(limits);
    }

    /// TLS code that was not tapped before is from `time` on. Called once with 0 where code is tapped at all.
    pub fn set_tapped(&mut self, time: Nanos) {
        self.coverage.set_tapped(time);
    }

    /// What became of the secrets of TLS.
    #[must_use]
    pub fn secrets(&self) -> store::Counts {
        self.tls.secrets.counts()
    }

    /// Takes one record.
    pub fn record(&mut self, record: &Record<'_>) {
        record::take(self, record);
        self.build();
    }

    /// A record that could not be read.
    pub fn unreadable_record(&mut self) {
        self.coverage.count(Loss::RecordUnreadable, 1, 0, self.now);
    }

    /// Something was lost on the way here.
    pub fn lost(&mut self, loss: Loss, count: u64, bytes: u64) {
        self.coverage.count(loss, count, bytes, self.now);
    }

    /// Packets of UDP came or went at a port of the controller's. Where it serves HTTP as well, they are HTTP/3 for all that is
    /// known; elsewhere they are its own, to a name server for example.
    pub fn datagrams(&mut self, port: u16, packets: u64, bytes: u64) {
        /// Where a client expects HTTP/3 that was told of no other port (RFC 9114, 3.1).
        const HTTPS: u16 = 443;
        let listens = self.ports.contains(&port) || self.listeners.iter().any(|known| known.port() == port);
        if listens || port == HTTPS {
            self.coverage.datagrams(port, packets, bytes, self.now);
        } else {
            self.lost(Loss::NotTcp, packets, bytes);
        }
    }

    /// Time has passed: gives up what was waited for long enough, and reports what is due.
    pub fn tick(&mut self, now: Nanos) {
        self.now = self.now.max(now);
        record::expire(self);
        self.tls.secrets.expire(self.now);
        self.legs.expire(self.now, &mut self.joined);
        self.build();
        self.coverage.report(self.now, &mut self.builder, &mut self.events);
    }

    /// Nothing will follow: ends every connection as not seen to its end, and reports all that is left.
    pub fn finish(&mut self) {
        let mut open: Vec<ConnectionId> = self.connections.keys().copied().collect();
        open.sort_unstable();
        for id in open {
            record::lose(self, id);
        }
        self.early.expire(Nanos::MAX, &mut self.coverage);
        self.legs.finish(&mut self.joined);
        self.build();
        self.coverage.report(Nanos::MAX, &mut self.builder, &mut self.events);
    }

    /// Takes the events made since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        // The next ones will be about as many.
        let room = Vec::with_capacity(self.events.len());
        std::mem::replace(&mut self.events, room)
    }

    /// Connections followed.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Whether nothing is held: no connection, no request, no byte, no name of one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
            && self.opened.is_empty()
            && self.waiting.is_empty()
            && self.hellos.is_empty()
            && self.held == 0
            && self.early.is_empty()
            && self.legs.is_empty()
    }

    /// The builder of events, for those that do not come from records.
    pub fn builder(&mut self) -> &mut Builder {
        &mut self.builder
    }

    fn build(&mut self) {
        for joined in self.joined.drain(..) {
            self.events.push(self.builder.joined(joined));
        }
    }
}

#[cfg(test)]
mod tests;
