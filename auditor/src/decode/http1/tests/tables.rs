//! What each kind of message does to the boundaries, one at a time.

use super::rig::{C, Rig, S};
use crate::assemble::{Absence, Piece};
use crate::capture::record::How;
use crate::decode::http1::Limits;
use crate::decode::http1::connection::Http1;
use crate::decode::http1::exchange::{Decoded, Reason};
use crate::decode::http1::fields;
use crate::decode::http1::malformed::Malformed;
use crate::decode::http1::notes::Note;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One request and its response, then another pair that shows that the boundaries held.
#[track_caller]
fn pair(request: &str, response: &str, expected: &str) -> Rig {
    let mut rig = Rig::new();
    rig.client(request).server(response).client("GET /next HTTP/1.1\r\n\r\n").server(OK).close();
    rig.check(&[expected, "GET /next -> 200"]);
    assert_eq!(rig.reasons(), []);
    rig
}

#[test]
fn an_idle_decoder_is_small() {
    assert!(size_of::<Http1>() <= 320, "{}", size_of::<Http1>());
}

#[test]
fn bodies_end_where_the_framing_says() {
    let smuggled = "GET /evil HTTP/1.1\r\n\r\n";
    let rig =
        pair(&format!("POST /p HTTP/1.1\r\nContent-Length: 22\r\n\r\n{smuggled}"), OK, "POST /p -> 200");
    let first = rig.exchanges().next().unwrap();
    assert_eq!((first.request.body_bytes, first.request.wire_bytes, first.response.body_bytes), (22, 22, 2));
    assert_eq!((first.key, first.request.head_bytes), (0, 40));

    let chunked = format!(
        "POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n16;x=y\r\n{smuggled}\r\n0\r\nT: v\r\n\r\n"
    );
    let rig = pair(&chunked, OK, "POST /c -> 200");
    let first = rig.exchanges().next().unwrap();
    assert_eq!((first.request.body_bytes, first.request.wire_bytes), (22, 8 + 22 + 2 + 3 + 6 + 2));
    let trailers = first.request.trailers.as_ref().unwrap();
    assert_eq!(trailers.get("t").as_deref(), Some(&b"v"[..]));

    pair("HEAD / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "HEAD / -> 200");
    pair(GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", "GET / -> 304");
    pair(GET, "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "GET / -> 204");
    pair(GET, "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n", "GET / -> 200");
    pair("\r\n\n\r\nGET /e HTTP/1.1\n\n", OK, "GET /e -> 200");
    pair("GET http://h:8/x?y HTTP/1.0\r\n\r\n", OK, "GET http://h:8/x?y -> 200");
    let rig =
        pair("POST /r HTTP/1.1\r\nContent-Length: 1, 1\r\ncontent-length: 1\r\n\r\nx", OK, "POST /r -> 200");
    assert!(rig.exchanges().next().unwrap().notes.contains(Note::RepeatedLength));
    let both = "POST /b HTTP/1.1\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let rig = pair(both, OK, "POST /b -> 200");
    assert!(rig.exchanges().next().unwrap().notes.contains(Note::LengthAndChunked));
}

#[test]
fn interim_responses_are_not_the_response() {
    let mut rig = Rig::new();
    rig.client("PUT /u HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    rig.server("HTTP/1.1 100 Continue\r\n\r\n").client("abc");
    rig.server("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    rig.check(&["PUT /u -> 200"]);
    assert_eq!(rig.last().interim, [100, 103]);
}

#[test]
fn a_response_may_be_read_until_the_connection_closes() {
    let mut rig = Rig::new();
    rig.client(GET).server("HTTP/1.0 200 OK\r\n\r\nabc").server("def").check(&[]);
    assert_eq!(rig.http.needed(S), Some(u64::MAX));
    rig.piece(S, Piece::Fin).check(&["GET / -> 200"]);
    assert_eq!(rig.last().response.body_bytes, 6);
}

#[test]
fn how_the_connection_ended_is_told() {
    let started = || {
        let mut rig = Rig::new();
        rig.client(GET).server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        rig
    };
    started().piece(C, Piece::Reset).check(&["GET / -> 200 ResetByClient"]);
    started().piece(S, Piece::Reset).check(&["GET / -> 200 ResetByServer"]);
    started().piece(C, Piece::Fin).close().check(&["GET / -> 200 ClosedByClient"]);
    started().piece(S, Piece::Fin).piece(C, Piece::Fin).check(&["GET / -> 200 ClosedByServer"]);
    started().close().check(&["GET / -> 200 Vanished"]);
    Rig::new().client(GET).close().check(&["GET / -> 0 Vanished"]);
    // A client may close its side and still be answered.
    Rig::new().client(GET).piece(C, Piece::Fin).server(OK).check(&["GET / -> 200"]);
}

#[test]
fn an_early_response_waits_for_the_request() {
    let mut rig = Rig::new();
    rig.client("POST /big HTTP/1.1\r\nContent-Length: 10\r\n\r\n123");
    rig.server("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n").check(&[]);
    rig.client("4567890").check(&["POST /big -> 413"]);
    assert!(rig.last().notes.contains(Note::EarlyResponse));
}

#[test]
fn an_upgraded_connection_is_only_counted() {
    let mut rig = Rig::new();
    rig.client("GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    rig.client("GET /in-the-tunnel HTTP/1.1\r\n\r\n");
    rig.server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x01\x02");
    assert_eq!((rig.http.needed(C), rig.http.needed(S)), (Some(u64::MAX), Some(u64::MAX)));
    rig.hole(S, 100, Absence::Unwanted).server("HTTP/1.1 200 OK\r\n\r\n").client("x").check(&[]);
    rig.piece(C, Piece::Fin).piece(S, Piece::Fin).check(&["GET /ws -> 101"]);
    assert_eq!(rig.last().tunnel, Some([32, 121]));
}

#[test]
fn a_refused_upgrade_or_connect_leaves_requests() {
    for first in ["GET /ws HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\n\r\n"] {
        let mut rig = Rig::new();
        rig.client(first).client(GET).client(GET);
        rig.server("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").server(OK).server(OK).close();
        assert_eq!(rig.lines().len(), 3);
        assert_eq!(rig.reasons(), []);
    }
    let mut rig = Rig::new();
    rig.client("CONNECT a:1 HTTP/1.1\r\n\r\n")
        .client(GET)
        .server("HTTP/1.1 200 OK\r\n\r\n")
        .server("x")
        .close();
    assert_eq!(rig.lines().len(), 1);
    assert_eq!(rig.last().tunnel, Some([27, 1]));
}

#[test]
fn what_is_held_behind_an_upgrade_is_bounded() {
    let mut rig = Rig::with(How::Passive, Limits { held_bytes: 100, ..Limits::default() });
    rig.client("GET /ws HTTP/1.1\r\nUpgrade: h2c\r\n\r\n").client([b'x'; 200]);
    assert_eq!(rig.reasons(), [Reason::Held]);
    rig.server(OK).close().check(&["GET /ws -> 200"]);
}

#[test]
fn holes_in_bodies_are_counted_and_change_nothing() {
    let mut rig = Rig::new();
    rig.client("POST /b HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc");
    assert_eq!(rig.http.needed(C), Some(45 + 997));
    rig.hole(C, 990, Absence::Unwanted).client("1234567");
    rig.server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n");
    let at = rig.http.needed(S).unwrap();
    rig.hole(S, 100, Absence::Lost);
    assert_eq!(at, rig.http.counts(S).total());
    rig.server("\r\n0\r\n\r\n").client(GET).server(OK).close().check(&["POST /b -> 200", "GET / -> 200"]);
    let first = rig.exchanges().next().unwrap();
    assert_eq!((first.missing_bytes(), first.unwanted_bytes()), (100, 990));
    assert_eq!((first.request.body_bytes, first.response.body_bytes), (1000, 100));
    assert_eq!(rig.reasons(), []);
}

#[test]
fn requests_behind_a_hole_are_never_read() {
    for reason in [Absence::Lost, Absence::Unwanted] {
        let mut rig = Rig::new();
        rig.client("POST /b HTTP/1.1\r\nContent-Length: 10\r\n\r\n").hole(C, 11, reason);
        rig.client("\r\n\r\n").client(GET).server(OK).client(GET).server(OK).close();
        rig.check(&["POST /b -> 200"]);
        assert_eq!(
            rig.reasons(),
            [Reason::Hole(reason), Reason::NoRequest, Reason::Hole(reason), Reason::NoRequest]
        );
        assert_eq!(rig.http.needed(C), Some(u64::MAX));
    }
    let mut rig = Rig::new();
    rig.client("GET /cut HTTP/1.1\r\nA: ")
        .hole(C, 5, Absence::Lost)
        .client(format!("\r\n\r\n{GET}"))
        .server(OK)
        .close();
    rig.check(&[]);
}

#[test]
fn responses_are_found_again_where_both_sides_take_turns() {
    let mut rig = Rig::new();
    rig.client(GET).server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello");
    rig.hole(S, 50, Absence::Unwanted).server("HTTP/1.1 500 In The Body\r\n\r\n");
    rig.client("GET /two HTTP/1.1\r\n\r\n").server("HTTP/1.1 201 OK\r\nContent-").server("Length: 0\r\n\r\n");
    rig.client("GET /three HTTP/1.1\r\n\r\n").server(OK).close();
    rig.check(&["GET / -> 200 Incomplete", "GET /two -> 201", "GET /three -> 200"]);
    let notes: Vec<bool> =
        rig.exchanges().map(|exchange| exchange.notes.contains(Note::Resynchronized)).collect();
    assert_eq!(notes, [false, true, false]);
    let first = rig.exchanges().next().unwrap();
    assert_eq!(first.response.wire_bytes, 8 + 50 + 28);
    assert_eq!(first.unwanted_bytes(), 50);
    assert_eq!(rig.http.counts(S).unparsed, 78);
}

#[test]
fn responses_are_not_found_in_the_rest_of_a_body() {
    // The second request comes while the first response, whose boundaries are lost, goes on.
    let mut rig = Rig::new();
    rig.client(GET).server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello");
    rig.hole(S, 50, Absence::Lost)
        .client("GET /two HTTP/1.1\r\n\r\n")
        .server("the rest")
        .server("HTTP/1.1 418 Fake\r\n\r\n");
    rig.close().check(&["GET / -> 200 Incomplete", "GET /two -> 0 Incomplete"]);
    assert_eq!(rig.exchanges().next().unwrap().missing_bytes(), 50);
}

#[test]
fn an_answer_that_is_found_again_belongs_to_the_turn_it_began_with() {
    let mut rig = Rig::new();
    rig.client(GET)
        .hole(S, 9, Absence::Lost)
        .server("rest")
        .client("POST /two HTTP/1.1\r\nContent-Length: 2\r\n\r\n");
    // The client goes on while the head of the answer is not complete.
    rig.server("HTTP/1.1 201 C").client("ab").server("\r\nContent-Length: 0\r\n\r\n").close();
    rig.check(&["GET / -> 0 Incomplete", "POST /two -> 201"]);
}

#[test]
fn what_was_said_earlier_and_given_out_late_makes_no_turn() {
    // The answer to the first request was held by its stream until after the second and third; the third does not begin a turn.
    let mut rig = Rig::new();
    rig.piece_at(C, Piece::Data(GET.as_bytes()), 1).piece_at(C, Piece::Data(b"GET /two HTTP/1.1\r\n\r\n"), 3);
    rig.hole(S, 1, Absence::Lost).piece_at(S, Piece::Data(b"TTP/1.1 200 OK\r\n\r\n"), 2);
    rig.piece_at(C, Piece::Data(b"GET /three HTTP/1.1\r\n\r\n"), 5);
    rig.piece_at(S, Piece::Data(b"HTTP/1.1 304 Two\r\n\r\n"), 6).close();
    rig.check(&["GET / -> 0 Incomplete", "GET /two -> 0 Incomplete", "GET /three -> 0 Incomplete"]);
    // A late rest of a body looks like an answer.
    let mut rig = Rig::new();
    rig.piece_at(C, Piece::Data(GET.as_bytes()), 1).piece_at(S, Piece::Data(b"not HTTP"), 2);
    rig.piece_at(C, Piece::Data(b"GET /two HTTP/1.1\r\n\r\n"), 4).piece_at(
        S,
        Piece::Data(b"HTTP/1.1 418 Fake\r\n\r\n"),
        3,
    );
    rig.close().check(&["GET / -> 0 Incomplete", "GET /two -> 0 Incomplete"]);
}

#[test]
fn a_response_may_wait_for_a_request_that_is_late() {
    let mut rig = Rig::new();
    rig.waiting(true).server(OK).check(&[]);
    assert_eq!(rig.http.pending(S), OK.len() as u64);
    rig.client(GET).waiting(false).check(&["GET / -> 200"]);
    assert_eq!(rig.reasons(), []);
    let mut rig = Rig::new();
    rig.waiting(true).server(OK).waiting(false).close().check(&[]);
    assert_eq!(rig.reasons(), [Reason::NoRequest]);
}

#[test]
fn a_response_without_a_request_is_trouble() {
    let mut rig = Rig::new();
    rig.client(GET).server(OK).server("HTTP/1.1 408 Request Timeout\r\n\r\n").piece(S, Piece::Fin).close();
    rig.check(&["GET / -> 200"]);
    assert_eq!(rig.reasons(), [Reason::NoRequest]);
}

#[test]
fn an_answer_to_half_a_head_is_an_exchange() {
    let mut rig = Rig::new();
    rig.client("GET /slow HTTP/1.1\r\nHost: a\r\nX-")
        .server("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    rig.client("Y: z\r\n\r\n").close().check(&["GET /slow -> 408"]);
    assert_eq!(rig.last().malformed, Some(Malformed::Unfinished));
    let mut rig = Rig::new();
    rig.client("GET /")
        .server("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        .close()
        .check(&["- -> 408"]);
}

#[test]
fn a_joined_connection_is_read_from_the_first_sure_turn() {
    let mut rig = Rig::joined();
    // A body in flight that is made of requests, answered: nothing of it is an event.
    rig.client(GET).client("GET /evil HTTP/1.1\r\n\r\n").server(OK);
    rig.client("GET /real HTTP/1.1\r\n\r\n");
    assert!(!rig.out.iter().any(|item| matches!(item, Decoded::Request { .. })));
    rig.server(OK).client(GET).server(OK).close().check(&["GET /real -> 200", "GET / -> 200"]);
    assert_eq!(rig.reasons(), [Reason::Joined]);
    assert_eq!(rig.exchanges().next().unwrap().key, 49);
}

#[test]
fn a_joined_connection_needs_a_turn_of_one_message_and_an_answer() {
    let mut rig = Rig::joined();
    rig.server("rest").client(GET).client(GET).server(OK).close().check(&[]);
    let mut rig = Rig::joined();
    rig.server("rest")
        .client(GET)
        .server("no answer")
        .client(GET)
        .server(OK)
        .close()
        .check(&["GET / -> 200"]);
    let mut rig = Rig::joined();
    rig.server("HTTP/1.1 100 Continue\r\n\r\n")
        .client("GET /evil HTTP/1.1\r\n\r\n")
        .server(OK)
        .close()
        .check(&[]);
    let mut rig = Rig::joined();
    rig.server("rest")
        .client("garb\x01age")
        .client(GET)
        .server(OK)
        .client(GET)
        .server(OK)
        .close()
        .check(&["GET / -> 200"]);
}

#[test]
fn lost_bytes_before_the_first_turn_are_not_fatal_to_a_joined_connection() {
    let mut rig = Rig::joined();
    rig.hole(C, 9, Absence::Lost)
        .hole(S, 9, Absence::Unwanted)
        .client(GET)
        .server(OK)
        .close()
        .check(&["GET / -> 200"]);
}

#[test]
fn token_bytes_are_those_of_rfc_9110() {
    let marks = b"!#$%&'*+-.^_`|~";
    for byte in 0..=u8::MAX {
        let expected = byte.is_ascii_alphanumeric() || marks.contains(&byte);
        assert_eq!(fields::is_token_byte(byte), expected, "{byte:#x}");
    }
}
