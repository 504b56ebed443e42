//! The parts of an event that come from one exchange, on either leg.

use super::Settings;
use crate::decode::http1::exchange::{Exchange, Message, Outcome as Ended};
use crate::decode::http1::head::Head;
use crate::decode::http1::notes::Note;
use crate::emit::model::http::{Http, HttpVersion, Outcome, Request, Response, Scheme, Timing};
use crate::emit::model::text::{MAX_NAME, MAX_PATH, MAX_VALUE};
use crate::emit::model::{Count, Observation, Text};

/// Request and response.
pub(super) fn http(exchange: &Exchange, settings: &Settings) -> Http {
    let head = exchange.request.head.as_deref();
    let version = head.or(exchange.response.head.as_deref()).map(Head::minor_version);
    Http {
        version: if version == Some(0) { HttpVersion::Http10 } else { HttpVersion::Http11 },
        stream: None,
        request: request(head, &exchange.request, settings),
        response: exchange.response.head.as_deref().map(|head| response(head, &exchange.response)),
    }
}

fn request(head: Option<&Head>, message: &Message, settings: &Settings) -> Request {
    let value = |name| head?.get(name).map(|value| Text::wire(&value, MAX_VALUE));
    let query = head.and_then(Head::query);
    let shown = query.and_then(|query| allowed(query, &settings.query_allow));
    Request {
        method: head.map(|head| Text::wire(head.method(), MAX_NAME)),
        scheme: head.map(|_| Scheme::Http),
        host: head.and_then(Head::host).map(|host| Text::wire(&host, MAX_NAME)),
        path: head.and_then(path),
        query_masked: query.is_some_and(|query| shown.as_deref() != Some(query)),
        query: shown.map(|query| Text::wire(&query, MAX_PATH)),
        user_agent: value("user-agent"),
        referer: head.and_then(|head| without_query(head, "referer")),
        id: value("x-request-id"),
        trace_id: head
            .and_then(|head| head.get("traceparent"))
            .and_then(|value| Some(Text::wire(value.split(|byte| *byte == b'-').nth(1)?, MAX_NAME))),
        head_bytes: Count::new(message.head_bytes),
        body_bytes: Count::new(message.body_bytes),
    }
}

fn response(head: &Head, message: &Message) -> Response {
    Response {
        status: head.status(),
        content_type: head.get("content-type").map(|value| Text::wire(&value, MAX_VALUE)),
        location: without_query(head, "location"),
        head_bytes: Count::new(message.head_bytes),
        body_bytes: Count::new(message.body_bytes),
    }
}

/// The path, where the target has one.
pub(super) fn path(head: &Head) -> Option<Text> {
    let path = head.path();
    (head.method() != b"CONNECT" && path != b"*").then(|| Text::wire(path, MAX_PATH))
}

/// The value of a field that holds a URI, without what may hold secrets.
fn without_query(head: &Head, name: &str) -> Option<Text> {
    let value = head.get(name)?;
    let end = value.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(value.len());
    Some(Text::wire(value.get(..end).unwrap_or_default(), MAX_VALUE))
}

/// The parameters that may be shown, in their order; none if there is none.
fn allowed(query: &[u8], allow: &[String]) -> Option<Vec<u8>> {
    let mut parameters = query.split(|byte| *byte == b'&').filter(|parameter| {
        let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default();
        allow.iter().any(|allowed| allowed.as_bytes() == name)
    });
    let mut shown = parameters.next()?.to_vec();
    for parameter in parameters {
        shown.push(b'&');
        shown.extend_from_slice(parameter);
    }
    Some(shown)
}

/// How it ended; the one that answers is the controller on a client's leg, the backend on the other.
pub(super) fn outcome(ended: Ended, answering: Outcome, asking: Outcome) -> Outcome {
    match ended {
        Ended::Completed => Outcome::Completed,
        Ended::ResetByClient | Ended::ClosedByClient => asking,
        Ended::ResetByServer | Ended::ClosedByServer => answering,
        Ended::Vanished | Ended::Incomplete => Outcome::Incomplete,
    }
}

/// How long it took.
pub(super) fn timing(exchange: &Exchange) -> Timing {
    let since_start = |time: Option<u64>| Some(Count::micros_between(exchange.request.first?, time?));
    Timing {
        first_byte_us: since_start(exchange.response.first),
        duration_us: since_start(exchange.response.end.or(exchange.request.end)),
    }
}

/// How complete the observation is.
pub(super) fn observation(exchange: &Exchange) -> Observation {
    let missing = exchange.missing_bytes();
    let mut notes: Vec<Text> = exchange.notes.iter().map(|note| Text::from_static(name(note))).collect();
    if let Some(malformed) = exchange.malformed {
        notes.push(Text::new(&format!("malformed: {malformed}")));
    }
    let lost = exchange.outcome == Ended::Incomplete || exchange.notes.contains(Note::FramingLost);
    Observation { complete: missing == 0 && !lost, missing_bytes: Count::new(missing), notes }
}

fn name(note: Note) -> &'static str {
    match note {
        Note::LengthAndChunked => "length_and_chunked",
        Note::RepeatedLength => "repeated_length",
        Note::SeveralHosts => "several_hosts",
        Note::Folded => "folded_field",
        Note::BareLf => "bare_line_feed",
        Note::OddField => "odd_field",
        Note::OtherCoding => "other_transfer_coding",
        Note::UnknownCoding => "unknown_transfer_coding",
        Note::ChunkedInOldVersion => "chunked_in_http_1_0",
        Note::OddBytes => "odd_bytes_in_head",
        Note::EarlyResponse => "early_response",
        Note::UnaskedUpgrade => "unasked_upgrade",
        Note::FramingLost => "framing_lost",
        Note::Resynchronized => "resynchronized",
        Note::ManyInterim => "many_interim_responses",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_parameters_are_shown() {
        let allow = ["page".to_owned(), "sort".to_owned()];
        let check = |query: &str, expected: Option<&str>| {
            assert_eq!(
                allowed(query.as_bytes(), &allow),
                expected.map(|query| query.as_bytes().to_vec()),
                "{query}"
            );
        };
        check("page=1&sort=up", Some("page=1&sort=up"));
        check("page=1&token=secret", Some("page=1"));
        check("token=page", None);
        check("pagex=1", None);
        check("page", Some("page"));
        check("", None);
    }
}
