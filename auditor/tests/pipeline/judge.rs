//! The events against the world that they tell of.

use std::collections::{BTreeMap, BTreeSet};

use auditor::emit::model::Timestamp;
use serde_json::Value;

use super::messages;
use super::plan::{Plan, Serve};
use super::world::{self, Attempt, Seen};

fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn number(event: &Value, pointer: &str) -> Option<u64> {
    event.pointer(pointer).and_then(Value::as_u64)
}

fn of_kind<'a>(seen: &'a Seen, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    seen.events.iter().filter(move |event| text(event, "/kind") == kind)
}

/// The exchange that an event tells of: its User-Agent.
fn exchange_of(event: &Value) -> usize {
    text(event, "/http/request/user_agent").parse().unwrap_or_else(|_| panic!("invented: {event}"))
}

/// What was asked and answered, as far as the event says it.
#[track_caller]
fn check_messages(plan: &Plan, event: &Value, whole: bool) -> usize {
    let place = exchange_of(event);
    let exchange = plan.exchanges()[place].1;
    let (path, _) = exchange.path.split_once('?').unwrap_or((exchange.path, ""));
    let heads = (text(event, "/http/request/method"), text(event, "/http/request/path"));
    assert_eq!(heads, (exchange.method, path), "{event}");
    let host = text(event, "/http/request/host");
    assert!(host == exchange.host || (!whole && host.is_empty()), "{event}");
    let expected = Some(u64::from(exchange.reply.status));
    let status = number(event, "/http/response/status");
    assert!(status == expected || (!whole && status.is_none()), "{expected:?}: {event}");
    if whole {
        let size = u64::try_from(exchange.size).unwrap();
        assert_eq!(number(event, "/http/request/body_bytes"), Some(size), "{event}");
        let size = u64::try_from(messages::reply_size(exchange.method, &exchange.reply)).unwrap();
        assert_eq!(number(event, "/http/response/body_bytes"), Some(size), "{event}");
        assert_eq!(text(event, "/outcome"), "completed", "{event}");
    }
    place
}

/// Attempts by the address of their backend, and every time at which their heads were seen.
struct Known<'a>(BTreeMap<(String, String), (usize, &'a Attempt)>);

impl<'a> Known<'a> {
    fn new(seen: &'a Seen) -> Self {
        let attempts = seen.attempts.iter().enumerate();
        let named = attempts.flat_map(|(place, attempt)| {
            let address = seen.connections[attempt.connection].tuple.remote.ip();
            attempt.seen_at.iter().map(move |time| {
                let time = serde_json::to_value(Timestamp(*time)).unwrap();
                ((address.to_string(), time.as_str().unwrap().to_owned()), (place, attempt))
            })
        });
        Self(named.collect())
    }

    #[track_caller]
    fn get(&self, address: &str, time: &str, event: &Value) -> (usize, &'a Attempt) {
        let known = self.0.get(&(address.to_owned(), time.to_owned()));
        *known.unwrap_or_else(|| panic!("invented, {address} at {time}: {event}"))
    }
}

/// The attempts of an event are real ones; if it says that it is sure of the one that answered, that was made for it.
#[track_caller]
fn check_attempts(plan: &Plan, seen: &Seen, known: &Known<'_>, event: &Value, place: usize) -> Vec<usize> {
    let told = event.pointer("/backend/attempts").and_then(Value::as_array).cloned().unwrap_or_default();
    let attempts: Vec<_> = told
        .iter()
        .map(|told| (told, known.get(text(told, "/address"), text(told, "/started"), event)))
        .collect();
    for (told, (_, attempt)) in &attempts {
        let exchange = plan.exchanges()[attempt.of].1;
        let target = messages::rewritten(exchange.path, &plan.rules);
        assert_eq!(text(told, "/path"), target.split('?').next().unwrap(), "{event}");
        let status = number(told, "/status");
        let answer = attempt.response.map(|_| u64::from(exchange.reply.status));
        assert!(status.is_none() || status == answer, "{answer:?}: {event}");
    }
    if text(event, "/backend/join") == "exact" {
        let answering = attempts.iter().find(|(told, _)| text(told, "/purpose") == "main");
        let (_, (_, attempt)) = answering.or(attempts.last()).unwrap();
        // What was not seen, or only when it was sent again, cannot be thought of.
        let places = [seen.placed[attempt.of].connection, attempt.connection];
        let mut flows = places.iter().map(|place| &seen.connections[*place]);
        let unseen = flows.any(|connection| connection.ingress.has_losses || connection.egress.has_losses);
        assert!(attempt.of == place || unseen, "sure of what is wrong, {attempt:?}: {event}");
    }
    attempts.into_iter().map(|(_, (attempt, _))| attempt).collect()
}

/// Nothing was lost: everything is told, once, as it was.
#[track_caller]
pub(crate) fn whole(plan: &Plan, seen: &Seen) {
    let known = Known::new(seen);
    let (mut told, mut attempts) = (BTreeSet::new(), Vec::new());
    for event in of_kind(seen, "http.request") {
        let place = check_messages(plan, event, true);
        assert!(told.insert(place), "twice: {event}");
        assert_eq!(event.pointer("/observation/complete"), Some(&Value::Bool(true)), "{event}");
        let made = check_attempts(plan, seen, &known, event, place);
        if made.is_empty() {
            assert_eq!(text(event, "/answered_by"), "controller", "{event}");
        }
        attempts.extend(made);
    }
    assert_eq!(told.len(), plan.exchanges().len(), "requests without an event");
    let by_themselves = of_kind(seen, "http.upstream");
    attempts.extend(
        by_themselves.map(|event| known.get(text(event, "/backend/address"), text(event, "/time"), event).0),
    );
    attempts.sort_unstable();
    let all: Vec<usize> = (0..seen.attempts.len()).collect();
    assert_eq!(attempts, all, "each request to a backend once");
    if let Some(event) = of_kind(seen, "coverage").next() {
        panic!("nothing was lost, and yet: {event}");
    }
    check_connections(seen, true);
    check_one_at_a_time(plan, seen);
}

/// Where one client asks for one thing at a time, and the controller shows it, there is no doubt at all.
#[track_caller]
fn check_one_at_a_time(plan: &Plan, seen: &Seen) {
    let alone = plan.clients.len() == 1 && plan.clients[0].pipelines == 1;
    for event in of_kind(seen, "http.request").filter(|_| alone && plan.rules.host) {
        let exchange = plan.exchanges()[exchange_of(event)].1;
        let Serve::Backend { failures, .. } = exchange.serve else { continue };
        // The root is no part of a path: without the client's address, nothing says that it was made from another.
        let attempts = event.pointer("/backend/attempts").and_then(Value::as_array).map_or(0, Vec::len);
        assert_eq!(attempts, usize::from(failures) + 1, "{event}");
    }
}

#[track_caller]
fn check_connections(seen: &Seen, whole: bool) {
    let told: Vec<&Value> = of_kind(seen, "connection").collect();
    assert_eq!(told.len(), seen.connections.len());
    for connection in &seen.connections {
        let (local, remote) = (connection.tuple.local.port(), connection.tuple.remote.port());
        let event = told.iter().find(|event| {
            number(event, "/local/port") == Some(local.into())
                && number(event, "/remote/port") == Some(remote.into())
                && text(event, "/remote/address") == connection.tuple.remote.ip().to_string()
        });
        let event = event.unwrap_or_else(|| panic!("no event for {:?}", connection.tuple));
        for (pointer, flow) in [("/bytes_received", &connection.ingress), ("/bytes_sent", &connection.egress)]
        {
            assert_eq!(number(event, pointer), Some(flow.bytes.len() as u64), "{event}");
        }
        let requests = number(event, "/requests").unwrap();
        assert!(requests <= connection.requests && (!whole || requests == connection.requests), "{event}");
    }
}

/// Segments were lost to capture: nothing is invented, and what is missing is told.
#[track_caller]
pub(crate) fn losing(plan: &Plan, seen: &Seen) {
    let known = Known::new(seen);
    let mut told = BTreeSet::new();
    for event in of_kind(seen, "http.request") {
        let complete = event.pointer("/observation/complete") == Some(&Value::Bool(true));
        if text(event, "/http/request/user_agent").is_empty() {
            check_part(plan, event, complete);
            continue;
        }
        if is_guessed(plan, event) {
            assert!(told.insert(exchange_of(event)), "twice: {event}");
            continue;
        }
        let place = check_messages(plan, event, complete);
        assert!(told.insert(place), "twice: {event}");
        check_attempts(plan, seen, &known, event, place);
        let placed = &seen.placed[place];
        let connection = &seen.connections[placed.connection];
        let lost = [(placed.request, &connection.ingress), (placed.response, &connection.egress)]
            .map(|(range, flow)| range.map_or(0, |(from, to)| flow.lost(from, to)));
        assert!(lost == [0, 0] || !complete, "{lost:?} bytes were never seen: {event}");
    }
    for event in
        of_kind(seen, "http.upstream").filter(|event| !text(event, "/http/request/user_agent").is_empty())
    {
        let (_, attempt) = known.get(text(event, "/backend/address"), text(event, "/time"), event);
        assert_eq!(exchange_of(event), attempt.of, "invented: {event}");
        let connection = &seen.connections[attempt.connection];
        let complete = event.pointer("/observation/complete") == Some(&Value::Bool(true));
        let lost = connection.egress.lost(attempt.request.0, attempt.request.1)
            + attempt.response.map_or(0, |(from, to)| connection.ingress.lost(from, to));
        assert!(lost == 0 || !complete, "{lost} bytes were never seen: {event}");
    }
    check_told(seen);
    check_connections(seen, false);
}

/// Boundaries of responses are found again by the turns of the two sides, which a client that pipelines does not take: which
/// response is whose may be wrong then, a known limit that the event's note tells of.
fn is_guessed(plan: &Plan, event: &Value) -> bool {
    let notes = event.pointer("/observation/notes").and_then(Value::as_array).unwrap();
    let (client, _) = plan.exchanges()[exchange_of(event)];
    plan.clients[client].pipelines > 1 && notes.iter().any(|note| note == "resynchronized")
}

/// An answer to a head of which only a part was seen: the part is that of a request on this connection.
#[track_caller]
fn check_part(plan: &Plan, event: &Value, complete: bool) {
    assert!(!complete, "{event}");
    let client = usize::try_from(number(event, "/client/peer/port").unwrap()).unwrap() - world::FIRST_PORT;
    let path = text(event, "/http/request/path");
    let mut asked =
        plan.clients[client].exchanges.iter().map(|exchange| exchange.path.split('?').next().unwrap());
    assert!(path.is_empty() || asked.any(|asked| asked == path), "invented: {event}");
}

/// Every byte that was never seen is told of: as a gap, or with the exchange on the client's leg that it belongs to.
#[track_caller]
fn check_told(seen: &Seen) {
    let flows = seen.connections.iter().flat_map(|connection| [&connection.ingress, &connection.egress]);
    let lost: usize = flows.map(|flow| flow.lost(0, flow.bytes.len())).sum();
    let missing = seen.events.iter().filter_map(|event| number(event, "/observation/missing_bytes"));
    let gaps = of_kind(seen, "coverage").filter_map(|event| number(event, "/bytes"));
    let told = missing.sum::<u64>() + gaps.sum::<u64>();
    assert!(told >= lost as u64, "{lost} bytes were never seen, told of {told}: {:#?}", seen.events);
}
