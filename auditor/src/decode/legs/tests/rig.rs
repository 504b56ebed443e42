//! The legs of one controller, spoken to in short words.
//!
//! A request is written `GET /x; Host: h`. A client is named by the last number of its address, 203.0.113.n; each request is
//! the first of a connection of its own. What comes out is one line for each exchange.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::capture::record::{ConnectionId, How, Nanos, Tuple};
use crate::decode::http1::Limits;
use crate::decode::http1::exchange::{Exchange, Outcome};
use crate::decode::http1::head::{Head, Kind, Parsed, parse};
use crate::decode::legs::{Joined, Leg, Legs, Party};

/// An exchange that has begun: its connection and its head.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) party: Arc<Party>,
    pub(super) offset: u64,
    pub(super) head: Arc<Head>,
}

#[derive(Debug, Default)]
pub(super) struct Rig {
    pub(super) legs: Legs,
    pub(super) out: Vec<Joined>,
    pub(super) now: Nanos,
    connections: u64,
}

pub(super) fn request(text: &str) -> Arc<Head> {
    let (line, fields) = text.split_once("; ").unwrap_or((text, ""));
    let fields: String =
        fields.split("; ").filter(|field| !field.is_empty()).map(|field| format!("{field}\r\n")).collect();
    head(Kind::Request, &format!("{line} HTTP/1.1\r\n{fields}\r\n"))
}

fn head(kind: Kind, text: &str) -> Arc<Head> {
    match parse(kind, text.as_bytes(), &Limits::default()) {
        Ok(Parsed::Whole(head, _)) => Arc::new(head),
        other => panic!("{text:?}: {other:?}"),
    }
}

impl Rig {
    pub(super) fn party(&mut self, leg: Leg, host: u8) -> Arc<Party> {
        self.connections += 1;
        let id = ConnectionId(self.connections);
        let end = |address: [u8; 4], port| SocketAddr::from((Ipv4Addr::from(address), port));
        let (how, tuple) = match leg {
            Leg::Client => (
                How::Passive,
                Tuple { local: end([10, 0, 0, 1], 80), remote: end([203, 0, 113, host], 4000) },
            ),
            Leg::Backend => {
                (How::Active, Tuple { local: end([10, 0, 0, 1], 5000), remote: end([10, 1, 0, host], 8080) })
            }
        };
        Arc::new(Party {
            id,
            tuple,
            translated: None,
            proxied: None,
            tls: None,
            passed: None,
            how,
            opened: self.now,
            leg,
            internal: false,
        })
    }

    /// A client asks.
    pub(super) fn asks(&mut self, client: u8, text: &str) -> Begun {
        let party = self.party(Leg::Client, client);
        self.asks_on(&party, 0, text)
    }

    pub(super) fn asks_on(&mut self, party: &Arc<Party>, offset: u64, text: &str) -> Begun {
        self.now += 1;
        let head = request(text);
        self.legs.client_request(party, offset, Arc::clone(&head));
        Begun { party: Arc::clone(party), offset, head }
    }

    /// The controller asks a backend.
    pub(super) fn forwards(&mut self, backend: u8, text: &str) -> Begun {
        let party = self.party(Leg::Backend, backend);
        self.forwards_on(&party, 0, text)
    }

    pub(super) fn forwards_on(&mut self, party: &Arc<Party>, offset: u64, text: &str) -> Begun {
        self.now += 1;
        let head = request(text);
        self.legs.backend_request(party, offset, Arc::clone(&head), self.now);
        Begun { party: Arc::clone(party), offset, head }
    }

    /// The backend answers with a status.
    pub(super) fn answers(&mut self, begun: &Begun, status: u16) -> &mut Self {
        self.backend_ends(begun, Some(status), Outcome::Completed)
    }

    pub(super) fn backend_ends(&mut self, begun: &Begun, status: Option<u16>, outcome: Outcome) -> &mut Self {
        self.now += 1;
        let exchange = exchange(begun, status, outcome, self.now);
        self.legs.backend_finished(&begun.party, exchange, &mut self.out);
        self
    }

    /// The client has its answer.
    pub(super) fn gets(&mut self, begun: &Begun, status: u16) -> &mut Self {
        self.client_ends(begun, Some(status), Outcome::Completed)
    }

    /// The client resets its connection before it has an answer.
    pub(super) fn leaves(&mut self, begun: &Begun) -> &mut Self {
        self.client_ends(begun, None, Outcome::ResetByClient)
    }

    pub(super) fn client_ends(&mut self, begun: &Begun, status: Option<u16>, outcome: Outcome) -> &mut Self {
        self.now += 1;
        let exchange = exchange(begun, status, outcome, self.now);
        self.legs.client_finished(&begun.party, exchange, self.now, &mut self.out);
        self
    }

    pub(super) fn passes(&mut self, time: Nanos) -> &mut Self {
        self.now += time;
        self.legs.expire(self.now, &mut self.out);
        self
    }

    /// What came out since the last look: the client's request, then each attempt with its join, purpose and status.
    pub(super) fn lines(&mut self) -> Vec<String> {
        self.out.drain(..).map(|joined| line(&joined)).collect()
    }

    #[track_caller]
    pub(super) fn check(&mut self, expected: &[&str]) -> &mut Self {
        assert_eq!(self.lines(), expected);
        self
    }
}

fn exchange(begun: &Begun, status: Option<u16>, outcome: Outcome, now: Nanos) -> Box<Exchange> {
    let mut exchange = Exchange::new(begun.offset, now);
    exchange.request.head = Some(Arc::clone(&begun.head));
    exchange.outcome = outcome;
    if let Some(status) = status {
        let head = head(Kind::Response, &format!("HTTP/1.1 {status} Status\r\n\r\n"));
        (exchange.response.head, exchange.response.end) = (Some(head), Some(now));
    }
    exchange
}

fn line(joined: &Joined) -> String {
    let asked = |exchange: &Exchange| {
        let head = exchange.request.head.as_ref().unwrap();
        String::from_utf8_lossy(head.target()).into_owned()
    };
    let host = |party: &Party| party.tuple.remote.ip().to_string().rsplit('.').next().unwrap().to_owned();
    match joined {
        Joined::Upstream { party, exchange } => format!("upstream {} by {}", asked(exchange), host(party)),
        Joined::Request { party, exchange, attempts } => {
            let attempts = attempts.iter().map(|attempt| {
                let status = attempt.status().map_or_else(|| "-".to_owned(), |status| status.to_string());
                format!(", {} {:?} {:?} {status}", host(&attempt.party), attempt.join, attempt.purpose)
            });
            format!("{} of {}{}", asked(exchange), host(party), attempts.collect::<String>())
        }
    }
}
