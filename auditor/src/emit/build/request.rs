//! `http.request`: the client's exchange, the attempts made for it, and the judgement of both.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Builder, client, message, tls};
use crate::attribute::routes::{Listener, Request, RequestPath};
use crate::attribute::verdict::{Agreement, Answered, Observed, Served, Verdict, judge};
use crate::decode::http1::exchange::{Exchange, Outcome as Ended};
use crate::decode::http1::head::Head;
use crate::decode::legs::{self, Attempt, Party, Purpose};
use crate::emit::model::http::{Agrees, AnsweredBy, Backend, HttpRequest, Join, Outcome, Role, Route};
use crate::emit::model::{Count, Event, Kind, Observation, Text};

/// What should have served a request, and whether it did.
#[derive(Default)]
struct Judged {
    route: Option<Arc<Route>>,
    verdict: Option<Verdict>,
    note: Option<String>,
}

impl Builder {
    pub(super) fn request(&mut self, party: &Party, exchange: &Exchange, attempts: &[Attempt]) -> Event {
        let head = exchange.request.head.as_deref();
        let status = exchange.response.head.as_ref().map(|head| head.status()).filter(|status| *status > 0);
        let answering = attempts.iter().find(|attempt| attempt.purpose == Purpose::Main);
        let answered_by = answered_by(status, answering);
        let mut observation = message::observation(exchange);
        let (client, notes) = client::of_request(party, head, &self.settings);
        observation.notes.extend(notes);
        observation.notes.extend(tls::sni_differs(party.tls.as_deref(), head));
        add_missing(&mut observation, attempts);
        let Judged { route, verdict, note } = self.judge(party, head, status, answered_by, answering);
        observation.notes.extend(note.map(|note| Text::new(&note)));
        let body = HttpRequest {
            client,
            tls: self.certificates.facts(party),
            http: message::http(exchange, party.tls.is_some(), &self.settings),
            auth: None,
            route,
            backend: answering.or(attempts.last()).map(|attempt| {
                let served = verdict.as_ref().and_then(|verdict| verdict.backend.as_ref());
                self.backend(attempt, attempts, served)
            }),
            role: self.role(party, head),
            answered_by,
            agrees: match verdict.map(|verdict| verdict.agreement) {
                Some(Agreement::Yes(_)) => Agrees::Yes,
                Some(Agreement::No(_)) => Agrees::No,
                Some(Agreement::Unknown(_)) | None => Agrees::Unknown,
            },
            outcome: outcome(exchange, answering),
            timing: message::timing(exchange),
        };
        let id = self.scope(party).id(Kind::HttpRequest, exchange.key, exchange.stream.unwrap_or(0));
        self.event(id, exchange.request.first.unwrap_or(party.opened), body, observation)
    }

    /// What should have served the request, and whether it did; nothing where no objects are known.
    fn judge(
        &mut self,
        party: &Party,
        head: Option<&Head>,
        status: Option<u16>,
        answered_by: AnsweredBy,
        answering: Option<&Attempt>,
    ) -> Judged {
        let Some(head) = head.filter(|_| self.attribution.known) else { return Judged::default() };
        // A path or host that is not known is not one that is not there.
        if !head.is_whole() && (head.target().is_empty() || head.authority().is_none()) {
            return Judged::default();
        }
        let path = RequestPath::new(head.target());
        let authority = head.authority();
        let decision = self.attribution.routes.decide(&Request {
            host: authority.as_deref(),
            path: &path,
            method: head.method(),
            query: head.query(),
            fields: head,
            listener: Listener {
                tls: Some(party.tls.is_some()),
                port: Some(party.tuple.local.port()),
                server_name: party.tls.as_deref().and_then(|facts| facts.server_name.as_deref()),
            },
            // As controllers see it that are set up for the PROXY protocol; whether the header is believed is another matter.
            client: Some(
                party.proxied.as_ref().and_then(|header| header.source()).unwrap_or(party.tuple.remote).ip(),
            ),
        });
        let observed = Observed {
            backend: answering.map(|attempt| wire_address(&attempt.party)),
            answered: match (answered_by, status) {
                (AnsweredBy::Backend, _) => Answered::Backend,
                (AnsweredBy::Controller, Some(status)) => Answered::Controller { status },
                _ => Answered::Nobody,
            },
        };
        let verdict = judge(&self.attribution.index, &decision, observed);
        let note = verdict.note(&decision, observed.backend);
        Judged { route: Some(self.routes.get(&decision)), verdict: Some(verdict), note }
    }

    fn role(&self, party: &Party, head: Option<&Head>) -> Role {
        let settings = &self.settings;
        let path = head.map(Head::path);
        if party.internal {
            Role::Internal
        } else if settings.management_ports.contains(&party.tuple.local.port())
            || path.is_some_and(|path| settings.management_paths.iter().any(|known| known.as_bytes() == path))
        {
            Role::Management
        } else {
            Role::Ingress
        }
    }

    /// What a connection is for, as far as that does not depend on a request.
    pub(super) fn connection_role(&self, party: &Party) -> Role {
        self.role(party, None)
    }

    fn backend(&self, attempt: &Attempt, attempts: &[Attempt], served: Option<&Served>) -> Backend {
        let address = wire_address(&attempt.party);
        let shared = |text: &Arc<str>| Text::shared(Arc::clone(text));
        let service = served.and_then(|served| served.service.as_ref());
        Backend {
            address: Some(address.ip().into()),
            port: Some(address.port()),
            service: service.map(|service| shared(&service.name)),
            namespace: service.map(|service| shared(&service.namespace)),
            pod: served.and_then(|served| served.pod.as_ref()).map(|pod| shared(&pod.name)),
            status: attempt.status(),
            duration_us: duration(attempt),
            join: match attempt.join {
                legs::Join::Exact => Join::Exact,
                legs::Join::Inferred => Join::Inferred,
                legs::Join::Ambiguous => Join::Ambiguous,
            },
            attempts: attempts.iter().map(|made| self.attempt(made)).collect(),
        }
    }
}

/// The backend's address as the wire shows it: its own where the socket was connected to a Service's.
pub(super) fn wire_address(party: &Party) -> SocketAddr {
    party.translated.unwrap_or(party.tuple).remote
}

/// Whose answer the client got: the backend's if its status is the client's, or became it by a rule of HTTP.
fn answered_by(status: Option<u16>, answering: Option<&Attempt>) -> AnsweredBy {
    let Some(status) = status else { return AnsweredBy::Nobody };
    match answering.and_then(Attempt::status) {
        Some(of_backend) if of_backend == status => AnsweredBy::Backend,
        // The controller made a part or "not modified" of it (RFC 9110, 13.2 and 14.2).
        Some(200) if status == 304 || status == 206 || status == 416 => AnsweredBy::Backend,
        _ => AnsweredBy::Controller,
    }
}

fn outcome(exchange: &Exchange, answering: Option<&Attempt>) -> Outcome {
    let by_backend = answering
        .and_then(|attempt| attempt.exchange.as_ref())
        .is_some_and(|exchange| matches!(exchange.outcome, Ended::ResetByServer | Ended::ClosedByServer));
    let controller = if by_backend { Outcome::ResetByBackend } else { Outcome::ResetByController };
    message::outcome(exchange.outcome, controller, Outcome::ResetByClient)
}

/// What is missing of the attempts is missing of what the event tells.
fn add_missing(observation: &mut Observation, attempts: &[Attempt]) {
    let exchanges = attempts.iter().filter_map(|attempt| attempt.exchange.as_deref());
    let missing: u64 = exchanges.map(Exchange::missing_bytes).sum();
    if missing > 0 {
        observation.complete = false;
        observation.missing_bytes = Count::new(observation.missing_bytes.get() + missing);
        observation.notes.push(Text::from_static("backend_bytes_missing"));
    }
}

/// From the first byte of an attempt to its last.
pub(super) fn duration(attempt: &Attempt) -> Option<Count> {
    let end = attempt.exchange.as_ref()?.response.end?;
    Some(Count::micros_between(attempt.started, end))
}
