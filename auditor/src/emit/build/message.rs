//! The parts of an event that come from one exchange, on either leg.

use super::Settings;
use crate::decode::http1::exchange::{Exchange, Message, Outcome as Ended};
use crate::decode::http1::head::{Head, Version};
use crate::decode::http1::malformed::Malformed;
use crate::decode::http1::notes::Note;
use crate::emit::model::http::{Grpc, Http, HttpVersion, Outcome, Request, Response, Scheme, Timing, Tunnel};
use crate::emit::model::text::{MAX_NAME, MAX_PATH, MAX_VALUE};
use crate::emit::model::{Count, Observation, Text};

/// Request and response; `secure`: over TLS.
pub(super) fn http(exchange: &Exchange, secure: bool, settings: &Settings) -> Http {
    let head = exchange.request.head.as_deref();
    let version = head.or(exchange.response.head.as_deref()).map(Head::version);
    Http {
        version: match version {
            Some(Version::Http10) => HttpVersion::Http10,
            Some(Version::Http11) | None => HttpVersion::Http11,
            Some(Version::Http2) => HttpVersion::Http2,
        },
        stream: exchange.stream.map(|stream| Count::new(stream.into())),
        request: request(head, &exchange.request, secure, settings),
        response: exchange.response.head.as_deref().map(|head| response(head, &exchange.response)),
        tunnel: tunnel(exchange),
        grpc: exchange.grpc().map(|call| Grpc {
            service: Text::wire(call.service, MAX_VALUE),
            method: Text::wire(call.method, MAX_NAME),
            status: call.status,
        }),
    }
}

fn tunnel(exchange: &Exchange) -> Option<Tunnel> {
    let [asking, agreeing] = exchange.tunnel?;
    let response = &exchange.response;
    let head = response.head.as_deref();
    Some(Tunnel {
        protocol: head.and_then(|head| head.get("upgrade")).map(|value| Text::wire(&value, MAX_NAME)),
        request_bytes: Count::new(asking),
        response_bytes: Count::new(agreeing),
        duration_us: response
            .head_complete
            .zip(response.end)
            .map(|(begin, end)| Count::micros_between(begin, end)),
    })
}

fn request(head: Option<&Head>, message: &Message, secure: bool, settings: &Settings) -> Request {
    let value = |name| head?.get(name).map(|value| Text::wire(&value, MAX_VALUE));
    let query = head.and_then(Head::query);
    let shown = query.and_then(|query| allowed(query, &settings.query_allow));
    Request {
        method: head.and_then(method),
        scheme: head.and_then(|head| scheme(head, secure)),
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
        status: (head.status() > 0).then(|| head.status()),
        content_type: head.get("content-type").map(|value| Text::wire(&value, MAX_VALUE)),
        location: without_query(head, "location"),
        head_bytes: Count::new(message.head_bytes),
        body_bytes: Count::new(message.body_bytes),
    }
}

/// The method, where it is known.
pub(super) fn method(head: &Head) -> Option<Text> {
    let method = head.method();
    (!method.is_empty()).then(|| Text::wire(method, MAX_NAME))
}

/// The scheme: as the request says, else that of the connection.
fn scheme(head: &Head, secure: bool) -> Option<Scheme> {
    match head.scheme() {
        Some(b"https") => Some(Scheme::Https),
        Some(b"http") => Some(Scheme::Http),
        Some(_) => None,
        None if head.version() == Version::Http2 => None,
        None => Some(if secure { Scheme::Https } else { Scheme::Http }),
    }
}

/// The path, where the target has one and is known.
pub(super) fn path(head: &Head) -> Option<Text> {
    let path = head.path();
    (!head.is_connect() && path != b"*" && !path.is_empty()).then(|| Text::wire(path, MAX_PATH))
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
        Ended::TimedOut => Outcome::TimedOut,
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
    let doubtful =
        [Note::FramingLost, Note::UnknownFields, Note::HeadMissing, Note::Contradicted, Note::Refused];
    let lost = exchange.outcome == Ended::Incomplete || doubtful.iter().any(|note| exchange.notes.contains(*note))
        // Whether the client stopped in the middle of its head, or the rest was not seen, cannot be told apart.
        || exchange.malformed == Some(Malformed::Unfinished);
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
        Note::Contradicted => "contradicted",
        Note::Refused => "refused_by_tcp",
        Note::UnknownFields => "unknown_fields",
        Note::HeadMissing => "head_missing",
        Note::MalformedResponse => "malformed_response",
        Note::LengthMismatch => "length_mismatch",
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
