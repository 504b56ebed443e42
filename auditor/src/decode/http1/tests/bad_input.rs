//! Input that a client or a server would not send: refused, counted, and nothing behind it believed.

use proptest::prelude::*;

use super::rig::{C, Rig, S};
use crate::assemble::{Absence, Piece};
use crate::capture::record::How;
use crate::decode::http1::Limits;
use crate::decode::http1::exchange::Reason;
use crate::decode::http1::malformed::Malformed;

const REFUSED: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";

/// Sends `input` and a request behind it, whole and then byte by byte; the server refuses. Only the first may be an event.
#[track_caller]
fn refused(input: impl AsRef<[u8]>, expected: &str, malformed: Malformed) {
    for step in [usize::MAX, 1] {
        let mut rig = Rig::new();
        let mut bytes = input.as_ref().to_vec();
        bytes.extend_from_slice(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        for piece in bytes.chunks(step.min(bytes.len())) {
            rig.client(piece);
        }
        rig.server(REFUSED).close().check(&[expected]);
        assert_eq!(rig.last().malformed, Some(malformed));
        assert_eq!(rig.reasons()[0], Reason::Malformed(malformed));
        assert_eq!(rig.last().response.body_bytes, 0);
    }
}

#[test]
fn uncertain_requests_are_the_last() {
    let post = |fields: &str| format!("POST /p HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    for (fields, malformed) in [
        ("Content-Length: 1\r\nContent-Length: 2", Malformed::ContentLengthConflict),
        ("Content-Length: 1, 2", Malformed::ContentLengthConflict),
        ("Content-Length: +1", Malformed::ContentLength),
        ("Content-Length: 0x1", Malformed::ContentLength),
        ("Content-Length:", Malformed::ContentLength),
        ("Content-Length: 1 1", Malformed::ContentLength),
        ("Content-Length: 18446744073709551616", Malformed::ContentLength),
        ("Content-Length : 1", Malformed::FieldName),
        ("Content-Length\x0b: 1", Malformed::FieldName),
        ("Content-Length 1", Malformed::FieldName),
        ("Content-Length:\r\n 1", Malformed::FoldedFraming),
        ("Transfer-Encoding: chunked\r\n , x", Malformed::FoldedFraming),
        ("Transfer-Encoding: gzip", Malformed::TransferEncoding),
        ("Transfer-Encoding: chunked, gzip", Malformed::TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Malformed::TransferEncoding),
        ("Transfer-Encoding: xchunked", Malformed::TransferEncoding),
        ("Transfer-Encoding:", Malformed::TransferEncoding),
        ("Transfer-Encoding : chunked", Malformed::FieldName),
        ("A: b\0c", Malformed::Nul),
        ("A: b\rContent-Length: 5", Malformed::BareCr),
    ] {
        refused(post(fields), "POST /p -> 400", malformed);
    }
    refused("POST /p HTTP/1.1\r\n Content-Length: 5\r\n\r\n", "POST /p -> 400", Malformed::LeadingSpace);
    refused(
        "POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /p -> 400",
        Malformed::TransferEncodingVersion,
    );
    refused(
        "CONNECT a:1 HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        "CONNECT a:1 -> 400",
        Malformed::ConnectWithBody,
    );
    refused("GET /\0 HTTP/1.1\r\n\r\n", "GET /\0 -> 400", Malformed::Nul);
}

#[test]
fn uncertain_chunks_are_the_last() {
    for chunks in [
        "x",
        "1\r\nab",
        "1;a\nb\r\n",
        "1;a\rb",
        "11112222333344445\r\n",
        "\r\n",
        "-1\r\n",
        "1 1\r\n",
        "1\r\na\rb",
    ] {
        let head = "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        refused(format!("{head}{chunks}"), "POST /p -> 400 Incomplete", Malformed::Chunk);
    }
}

#[test]
fn what_is_not_http_is_named() {
    for (input, malformed) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], Malformed::Tls),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Malformed::Http2),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", Malformed::ProxyProtocol),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", Malformed::ProxyProtocol),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Malformed::NotHttp),
        (b"\0\0\0", Malformed::NotHttp),
        (b" GET / HTTP/1.1\r\n\r\n", Malformed::NotHttp),
        (b"GET /\r\n\r\n", Malformed::NotHttp),
        (b"GET HTTP/1.1\r\n\r\n", Malformed::NotHttp),
        (b"G@T / HTTP/1.1\r\n\r\n", Malformed::NotHttp),
        (b"GET / HTTP/2.0\r\n\r\n", Malformed::Version),
        (b"GET / HTTP/1.\r\n\r\n", Malformed::Version),
        (b"GET / HTTP/1.1x\r\n\r\n", Malformed::Version),
    ] {
        refused(input, "- -> 400", malformed);
        // Without an answer there is no exchange; with one that is not HTTP neither.
        let mut rig = Rig::new();
        rig.client(input).server("\x15\x03\x01\0\x02\x02\x46").close().check(&[]);
    }
}

#[test]
fn heads_are_bounded() {
    let long = format!("GET /long HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(1 << 20));
    refused(&long, "GET /long -> 400", Malformed::HeadTooLarge);
    let many = format!("GET /many HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    refused(&many, "GET /many -> 400", Malformed::TooManyFields);
    refused("a".repeat(100_000), "- -> 400", Malformed::HeadTooLarge);
    refused(format!("GET /\r\nX: {}", "a".repeat(100_000)), "- -> 400", Malformed::NotHttp);
    let mut rig = Rig::new();
    rig.client("GET / HTTP/1.1\r\n\r\n")
        .server(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(1 << 20)))
        .close();
    rig.check(&["GET / -> 0 Incomplete"]);
    let trailers = format!(
        "POST /t HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: {}\r\n\r\n",
        "a".repeat(1 << 20)
    );
    refused(&trailers, "POST /t -> 400 Incomplete", Malformed::HeadTooLarge);
}

#[test]
fn a_head_of_exactly_the_bound_is_read_however_it_is_cut() {
    let head = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
    for (bound, status) in [(head.len(), "GET / -> 200"), (head.len() - 1, "GET / -> 200")] {
        let mut seen = Vec::new();
        for step in [1, 7, head.len()] {
            let mut rig = Rig::with(How::Passive, Limits { head_bytes: bound, ..Limits::default() });
            for piece in head.chunks(step) {
                rig.client(piece);
            }
            rig.server("HTTP/1.1 200 OK\r\n\r\n").piece(S, Piece::Fin).close().check(&[status]);
            seen.push((rig.last().malformed, rig.reasons()));
        }
        assert_eq!(seen[0].0.is_some(), bound < head.len());
        assert!(seen.iter().all(|other| *other == seen[0]));
    }
}

#[test]
fn pipelining_is_bounded() {
    let mut rig = Rig::with(How::Passive, Limits { pipelined: 3, ..Limits::default() });
    for step in 0..5 {
        rig.client(format!("GET /{step} HTTP/1.1\r\n\r\n"));
    }
    for _ in 0..4 {
        rig.server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    rig.close().check(&["GET /0 -> 200", "GET /1 -> 200", "GET /2 -> 200"]);
    assert_eq!(rig.reasons()[..2], [Reason::Pipelined, Reason::NoRequest]);
}

#[test]
fn truncated_messages_invent_nothing() {
    let request = "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n";
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    for cut in 1..request.len() {
        let mut rig = Rig::new();
        rig.client(&request[..cut]).piece(C, Piece::Reset).close();
        let whole_head = request[..cut].contains("\r\n\r\n");
        rig.check(if whole_head { &["POST /p -> 0 ResetByClient"] } else { &[] });
    }
    for cut in 1..response.len() {
        let mut rig = Rig::new();
        rig.client(request).server(&response[..cut]).piece(S, Piece::Fin).close();
        let status = if response[..cut].contains("\r\n\r\n") {
            "POST /p -> 200 ClosedByServer"
        } else {
            "POST /p -> 0 Incomplete"
        };
        rig.check(&[status]);
    }
}

/// Fragments that look like messages, so that garbage gets deep into the decoder.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 1..20),
        prop::sample::select(vec![
            "GET / HTTP/1.1\r\n",
            "POST /p HTTP/1.1\r\n",
            "CONNECT a:1 HTTP/1.1\r\n",
            "HEAD / HTTP/1.0\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 101 S\r\n",
            "HTTP/1.1 100 C\r\n\r\n",
            "HTTP/1.1 204 N\r\n\r\n",
            "Content-Length: 5\r\n",
            "Content-Length: 0\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Upgrade: x\r\n",
            "Host: a\r\n",
            " folded\r\n",
            "\r\n",
            "\n",
            "0\r\n\r\n",
            "5\r\nhello\r\n",
            "hello",
            "GET /a HTTP/1.1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "3;x=y\r\n",
            "X: y\r\n",
            "HTTP/1.1 2x0 No\r\n\r\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Data(bool, Vec<u8>),
    Hole(bool, u64, bool),
    Fin(bool),
    Reset(bool),
    Waiting(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (any::<bool>(), fragment()).prop_map(|(side, bytes)| Step::Data(side, bytes)),
        3 => (any::<bool>(), 1..60u64, any::<bool>()).prop_map(|(side, len, lost)| Step::Hole(side, len, lost)),
        1 => any::<bool>().prop_map(Step::Fin),
        1 => any::<bool>().prop_map(Step::Reset),
        2 => any::<bool>().prop_map(Step::Waiting),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The rig checks the balance after every step; an exchange never holds more than was fed.
    #[test]
    fn garbage_is_counted(
        steps in prop::collection::vec(step(), 0..60),
        joined in any::<bool>(),
        small in any::<bool>(),
    ) {
        let limits = if small {
            Limits { head_bytes: 60, fields: 2, pipelined: 2, held_bytes: 90, interim: 1 }
        } else {
            Limits::default()
        };
        let mut rig = Rig::with(if joined { How::Joined } else { How::Active }, limits);
        for step in steps {
            let side = |client| if client { C } else { S };
            match step {
                Step::Data(client, bytes) => rig.piece(side(client), Piece::Data(&bytes)),
                Step::Hole(client, len, true) => rig.hole(side(client), len, Absence::Lost),
                Step::Hole(client, len, false) => rig.hole(side(client), len, Absence::Unwanted),
                Step::Fin(client) => rig.piece(side(client), Piece::Fin),
                Step::Reset(client) => rig.piece(side(client), Piece::Reset),
                Step::Waiting(waiting) => rig.waiting(waiting),
            };
            for direction in [C, S] {
                let next = rig.http.counts(direction).total() + rig.http.pending(direction);
                prop_assert!(rig.http.needed(direction).is_none_or(|needed| needed >= next));
            }
        }
        let ended = rig.lines().len();
        rig.close();
        prop_assert!(rig.lines().len() >= ended);
    }
}
