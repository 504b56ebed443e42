//! From what the earlier stages know to finished events: the one place where both vocabularies meet.
//!
//! Consumes joined exchanges, connections and gaps; produces [`Event`]s without a sequence number, which the writer gives.
//! Invariant: nothing is invented; what is not known is null.

mod client;
mod connection;
mod gap;
mod message;
mod request;
mod route;
mod tls;
mod upstream;

use std::sync::Arc;

use super::id::{Domain, IdScope};
use super::model::{Body, Count, Event, EventId, Kind, Observation, Source, Timestamp};
use crate::attribute::Attribution;
use crate::capture::record::Nanos;
use crate::config::Network;
use crate::decode::forwarding::ForwardingHeader;
use crate::decode::legs::{Joined, Party};
pub use connection::ConnectionEnd;
pub use gap::{Gap, Moment};
use route::RouteCache;
use tls::Certificates;

/// What events say beside what was seen, and what they may show.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it was seen.
    pub source: Arc<Source>,
    /// What ids are unique within.
    pub domain: Domain,
    /// Ports of the controller that serve itself: health, metrics, administration.
    pub management_ports: Vec<u16>,
    /// Paths that do so on every port.
    pub management_paths: Vec<String>,
    /// Query parameters that may be shown.
    pub query_allow: Vec<String>,
    /// Peers whose PROXY header and forwarding header tell who the client is.
    pub trusted: Vec<Network>,
    /// Forwarding headers, in the order in which they are asked.
    pub forwarding_headers: Vec<ForwardingHeader>,
}

/// Builds events.
#[derive(Debug)]
pub struct Builder {
    settings: Settings,
    attribution: Arc<Attribution>,
    routes: RouteCache,
    certificates: Certificates,
    /// Tells events of no connection apart: by when their builder began, and their number in it.
    begun: u64,
    serial: u64,
    /// How far the wall clock has been moved since times began to be counted, nanoseconds.
    shift: i64,
}

impl Builder {
    /// A builder that judges by these objects. `begun` must differ between builders of one domain: when it began to work; 0 in
    /// a replay.
    #[must_use]
    pub fn new(settings: Settings, attribution: Arc<Attribution>, begun: Nanos) -> Self {
        Self {
            settings,
            attribution,
            routes: RouteCache::default(),
            certificates: Certificates::default(),
            begun,
            serial: 0,
            shift: 0,
        }
    }

    /// Judges by other objects from now on.
    pub fn set_attribution(&mut self, attribution: Arc<Attribution>) {
        self.attribution = attribution;
        self.routes = RouteCache::default();
    }

    /// The wall clock is so many nanoseconds ahead of the time that stages count in, which never goes back: events tell the
    /// wall clock's.
    pub fn set_shift(&mut self, shift: i64) {
        self.shift = shift;
    }

    fn stamp(&self, time: Nanos) -> Timestamp {
        Timestamp(time.saturating_add_signed(self.shift))
    }

    /// A request, or a backend request that none explains.
    pub fn joined(&mut self, joined: Joined) -> Event {
        match joined {
            Joined::Request { party, exchange, attempts } => self.request(&party, &exchange, &attempts),
            Joined::Upstream { party, exchange } => self.upstream(&party, &exchange),
        }
    }

    fn scope(&self, party: &Party) -> IdScope {
        match self.settings.domain {
            Domain::Boot(_) => IdScope::socket(self.settings.domain, party.id),
            Domain::File => IdScope::tuple(self.settings.domain, &party.tuple, party.opened),
        }
    }

    fn event(&self, id: EventId, time: Nanos, body: impl Into<Body>, observation: Observation) -> Event {
        Event {
            id,
            time: self.stamp(time),
            sequence: Count::new(0),
            source: Arc::clone(&self.settings.source),
            body: body.into(),
            observation,
            chain: None,
        }
    }

    /// The id of an event of no connection.
    fn serial_id(&mut self, kind: Kind) -> EventId {
        self.serial += 1;
        IdScope::program(self.settings.domain, self.begun).id(kind, self.serial, 0)
    }
}
