//! Requests on a backend's leg: as attempts of a client's request, or as `http.upstream` where none explains them.

use std::sync::Arc;

use super::request::{duration, wire_address};
use super::{Builder, message};
use crate::attribute::index::Owner;
use crate::decode::http1::exchange::Exchange;
use crate::decode::legs::{self, Attempt as Made, Party};
use crate::emit::model::http::Outcome;
use crate::emit::model::upstream::{Attempt, HttpUpstream, Purpose, UpstreamPeer, UpstreamReason};
use crate::emit::model::{Count, Event, Kind, Text};

impl Builder {
    /// An attempt, as its request's event tells of it.
    pub(super) fn attempt(&self, made: &Made) -> Attempt {
        let address = wire_address(&made.party);
        let exchange = made.exchange.as_deref();
        Attempt {
            address: Some(address.ip().into()),
            port: Some(address.port()),
            method: message::method(&made.head),
            path: message::path(&made.head),
            status: made.status(),
            purpose: match made.purpose {
                legs::Purpose::Main => Purpose::Main,
                legs::Purpose::Retry => Purpose::Retry,
                legs::Purpose::Auth => Purpose::Auth,
                legs::Purpose::Mirror => Purpose::Mirror,
                legs::Purpose::Unknown => Purpose::Unknown,
            },
            outcome: exchange.map_or(Outcome::Incomplete, |exchange| {
                message::outcome(exchange.outcome, Outcome::ResetByBackend, Outcome::ResetByController)
            }),
            started: self.stamp(made.started),
            duration_us: duration(made),
            bytes: Count::new(exchange.map_or(0, |exchange| exchange.response.body_bytes)),
        }
    }

    /// A request that nothing explains.
    pub(super) fn upstream(&mut self, party: &Party, exchange: &Exchange) -> Event {
        let address = wire_address(party);
        let endpoint = match self.attribution.index.owner(address) {
            Some(Owner::Endpoints(endpoints)) => endpoints.first(),
            _ => None,
        };
        let body = HttpUpstream {
            backend: UpstreamPeer {
                address: Some(address.ip().into()),
                port: Some(address.port()),
                service: endpoint.map(|endpoint| shared(&endpoint.service.name)),
                namespace: endpoint.map(|endpoint| shared(&endpoint.service.namespace)),
                pod: endpoint.and_then(|endpoint| endpoint.pod.as_ref()).map(|pod| shared(&pod.name)),
            },
            tls: self.certificates.facts(party),
            http: message::http(exchange, party.tls.is_some(), &self.settings),
            reason: UpstreamReason::Unknown,
            outcome: message::outcome(exchange.outcome, Outcome::ResetByBackend, Outcome::ResetByController),
            timing: message::timing(exchange),
        };
        let id = self.scope(party).id(Kind::HttpUpstream, exchange.key, exchange.stream.unwrap_or(0));
        self.event(id, exchange.request.first.unwrap_or(party.opened), body, message::observation(exchange))
    }
}

fn shared(text: &Arc<str>) -> Text {
    Text::shared(Arc::clone(text))
}
