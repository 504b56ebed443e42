//! `connection`: what is told of a connection at its end.

use std::sync::Arc;

use super::{Builder, client};
use crate::attribute::verdict::{self, Agreement, Answered, Observed};
use crate::capture::record::{Direction, How, Nanos, Totals};
use crate::decode::http1::malformed::Malformed;
use crate::decode::legs::{self, Party};
use crate::emit::model::connection::{Connection, ConnectionOutcome, Leg, OpenedHow, Passthrough, Protocol};
use crate::emit::model::http::Agrees;
use crate::emit::model::upstream::UpstreamPeer;
use crate::emit::model::{Count, Event, Kind, Observation, Text};

/// How a connection ended, and what had been seen of it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionEnd {
    /// When.
    pub time: Nanos,
    /// Payload bytes to the controller.
    pub received: u64,
    /// Payload bytes from the controller.
    pub sent: u64,
    /// What the kernel counted.
    pub totals: Option<Totals>,
    /// Requests seen.
    pub requests: u64,
    /// It became a tunnel.
    pub tunnel: bool,
    /// What it spoke instead of HTTP.
    pub foreign: Option<Malformed>,
    /// It spoke HTTP/2.
    pub http2: bool,
    /// It spoke TLS.
    pub tls: bool,
    /// Who reset it.
    pub reset: Option<Direction>,
    /// The peer answered no more.
    pub timed_out: bool,
    /// Its end was not seen.
    pub lost: bool,
}

impl Builder {
    /// A connection that is over.
    pub fn connection(&mut self, party: &Party, end: &ConnectionEnd) -> Event {
        let protocol = match end.foreign {
            _ if end.tunnel && !end.http2 => Protocol::Tunnel,
            Some(Malformed::Tls) => Protocol::Tls,
            Some(Malformed::Http2) => Protocol::Http2,
            None if end.http2 => Protocol::Http2,
            Some(_) => Protocol::Unknown,
            None if end.tls && end.requests == 0 => Protocol::Tls,
            None if end.requests > 0 => Protocol::Http1,
            None if end.received + end.sent == 0 => Protocol::None,
            None => Protocol::Unknown,
        };
        let outcome = match end.reset {
            Some(Direction::Ingress) => ConnectionOutcome::ResetByPeer,
            Some(Direction::Egress) => ConnectionOutcome::ResetByController,
            None if end.timed_out => ConnectionOutcome::TimedOut,
            None if end.lost => ConnectionOutcome::Unknown,
            None => ConnectionOutcome::Closed,
        };
        self.connection_event(party, end, protocol, outcome)
    }

    /// A connection that the controller could not open.
    pub fn connect_failed(&mut self, party: &Party, time: Nanos) -> Event {
        let end = ConnectionEnd {
            time,
            received: 0,
            sent: 0,
            totals: None,
            requests: 0,
            tunnel: false,
            foreign: None,
            tls: false,
            http2: false,
            reset: None,
            timed_out: false,
            lost: false,
        };
        self.connection_event(party, &end, Protocol::None, ConnectionOutcome::ConnectFailed)
    }

    fn connection_event(
        &mut self,
        party: &Party,
        end: &ConnectionEnd,
        protocol: Protocol,
        outcome: ConnectionOutcome,
    ) -> Event {
        let is_client = party.leg == legs::Leg::Client;
        let body = Connection {
            leg: leg(party),
            role: is_client.then(|| self.connection_role(party)),
            opened_how: match party.how {
                How::Passive => OpenedHow::Accepted,
                How::Active => OpenedHow::Connected,
                How::Joined => OpenedHow::Joined,
            },
            local: party.tuple.local.into(),
            remote: party.tuple.remote.into(),
            translated: party.translated.map(|tuple| tuple.remote.into()),
            client: client::of_connection(party, &self.settings),
            protocol,
            tls: self.certificates.facts(party),
            // What the controller's own key would open was not only passed on.
            passthrough: if is_client && end.requests == 0 { self.passthrough(party) } else { None },
            requests: Count::new(end.requests),
            bytes_received: Count::new(end.received),
            bytes_sent: Count::new(end.sent),
            duration_us: Count::micros_between(party.opened, end.time),
            srtt_us: end.totals.map(|totals| Count::new(totals.srtt_us.into())),
            retransmits: end.totals.map(|totals| Count::new(totals.retransmits.into())),
            outcome,
        };
        let mut observation = Observation::complete();
        observation.notes.extend(client::notes(party));
        if end.lost {
            observation.complete = false;
            observation.notes.push(Text::from_static("end_not_seen"));
        }
        if party.how == How::Joined {
            observation.complete = false;
            observation.notes.push(Text::from_static("joined_in_the_middle"));
        }
        // One that was open before may be told of again, by another run or after it was lost.
        let place = if party.how == How::Joined { party.opened } else { 0 };
        let id = self.scope(party).id(Kind::Connection, place, 0);
        self.event(id, party.opened, body, observation)
    }
}

impl Builder {
    /// Where TLS was passed on to, and whether that is what a rule declares.
    fn passthrough(&mut self, party: &Party) -> Option<Passthrough> {
        let address = party.passed?;
        let name = party.tls.as_deref().and_then(|facts| facts.server_name.as_deref()).unwrap_or_default();
        let decision = self.attribution.routes.passthrough(name);
        let observed = Observed { backend: Some(address), answered: Answered::Backend };
        let verdict =
            self.attribution.known.then(|| verdict::judge(&self.attribution.index, &decision, observed));
        let served = verdict.as_ref().and_then(|verdict| verdict.backend.as_ref());
        let shared = |text: &Arc<str>| Text::shared(Arc::clone(text));
        let service = served.and_then(|served| served.service.as_ref());
        Some(Passthrough {
            route: verdict.is_some().then(|| self.routes.passthrough(&decision)),
            backend: UpstreamPeer {
                address: Some(address.ip().into()),
                port: Some(address.port()),
                service: service.map(|service| shared(&service.name)),
                namespace: service.map(|service| shared(&service.namespace)),
                pod: served.and_then(|served| served.pod.as_ref()).map(|pod| shared(&pod.name)),
            },
            // What no rule declares may be declared elsewhere: in a controller's own settings.
            agrees: match verdict.map(|verdict| verdict.agreement).filter(|_| decision.route.is_some()) {
                Some(Agreement::Yes(_)) => Agrees::Yes,
                Some(Agreement::No(_)) => Agrees::No,
                Some(Agreement::Unknown(_)) | None => Agrees::Unknown,
            },
        })
    }
}

/// Whose connection.
pub(super) fn leg(party: &Party) -> Leg {
    match party.leg {
        legs::Leg::Client => Leg::Client,
        legs::Leg::Backend => Leg::Backend,
    }
}
