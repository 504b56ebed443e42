//! What breaks the rules: of a connection, of a request, and what is meant to exhaust whoever reads it.

use super::rig::{
    C, CONTINUATION, DATA, END, GOAWAY, HEADERS, PADDED, PING, PRIO, PRIORITY, PUSH_PROMISE, RST_STREAM, Rig,
    S, SETTINGS, WHOLE, WINDOW_UPDATE, block, data, frame, get, headers, ok, post, preface, setting,
};
use crate::assemble::Piece;
use crate::capture::record::How;
use crate::decode::exchange::{Exchange, Reason};
use crate::decode::hpack;
use crate::decode::http2::Limits;
use crate::decode::http2::defect::{Defect, FieldDefect};
use crate::decode::malformed::Malformed;
use crate::decode::notes::Note;

/// Behind `bytes` of the client nothing is read, for this reason; what was asked before is answered all the same.
#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, expected: Defect) {
    let mut rig = Rig::new();
    rig.client(post(1, "/open")).client(get(3, "/before")).client(bytes);
    assert_eq!(rig.reasons(), [Reason::Malformed(Malformed::Connection(expected))], "{:?}", rig.out);
    rig.client(get(51, "/evil"))
        .client(data(1, END, []))
        .server([ok(51, true), ok(3, true)].concat())
        .close();
    rig.check(&["3 GET /before -> 200", "1 POST /open -> 0 Incomplete"]);
    assert_eq!(rig.http.needed(C), Some(u64::MAX));
}

/// The same for the server's side.
#[track_caller]
fn refused_response(bytes: impl AsRef<[u8]>, expected: Defect) {
    let mut rig = Rig::new();
    rig.client(get(1, "/one")).server(bytes);
    assert_eq!(rig.reasons(), [Reason::Malformed(Malformed::Connection(expected))], "{:?}", rig.out);
    rig.server(ok(1, true)).client(get(3, "/two")).server(ok(3, true)).close();
    rig.check(&["1 GET /one -> 0 Incomplete", "3 GET /two -> 0 Incomplete"]);
}

#[test]
fn frames_of_a_length_that_their_type_does_not_have() {
    let length = Defect::FrameLength;
    refused(frame(RST_STREAM, 0, 1, [0; 3]), length);
    refused(frame(RST_STREAM, 0, 1, [0; 5]), length);
    refused(frame(WINDOW_UPDATE, 0, 0, [0; 5]), length);
    refused(frame(PING, 0, 0, [0; 7]), length);
    refused(frame(GOAWAY, 0, 0, [0; 7]), length);
    refused(frame(SETTINGS, 0, 0, [0; 5]), length);
    refused(frame(SETTINGS, END, 0, [0; 6]), length);
    refused(frame(DATA, PADDED, 1, []), length);
    refused(frame(HEADERS, PADDED | WHOLE, 51, []), length);
    refused(frame(HEADERS, PRIO | WHOLE, 51, [0; 4]), length);
    refused_response(frame(PUSH_PROMISE, WHOLE, 1, [0; 3]), length);
    // 16,385 bytes before anybody allowed more.
    refused([&[0, 0x40, 1, DATA, 0, 0, 0, 0, 1][..], &[0; 16_385]].concat(), Defect::FrameSize);
    refused([&[0xff, 0xff, 0xff, 0xfa, 0, 0, 0, 0, 1][..], &[0; 100]].concat(), Defect::FrameSize);
}

#[test]
fn frames_on_streams_where_they_may_not_be() {
    for kind in [DATA, HEADERS, PRIORITY, RST_STREAM] {
        refused(frame(kind, WHOLE & u8::from(kind == HEADERS), 0, [0; 5]), Defect::Stream);
    }
    for kind in [SETTINGS, PING, GOAWAY] {
        refused(frame(kind, 0, 1, [0; 8]), Defect::Stream);
    }
    refused(get(2, "/even"), Defect::Stream);
    refused(data(5, 0, "x"), Defect::IdleStream);
    refused(frame(RST_STREAM, 0, 5, [0; 4]), Defect::IdleStream);
    refused(frame(WINDOW_UPDATE, 0, 5, [0, 0, 0, 1]), Defect::IdleStream);
}

#[test]
fn padding_beyond_the_frame() {
    refused(data(1, PADDED, [1]), Defect::Padding);
    refused(data(1, PADDED, [3, 0, 0]), Defect::Padding);
    refused(frame(HEADERS, PADDED | WHOLE, 51, [9, 0x82]), Defect::Padding);
    let mut rig = Rig::new();
    rig.client(post(1, "/"))
        .client(data(1, PADDED | END, [2, 0, 0]))
        .server(ok(1, true))
        .check(&["1 POST / -> 200"]);
}

#[test]
fn blocks_that_are_interrupted() {
    let start = frame(HEADERS, END, 51, [0x82]);
    refused([&start[..], &frame(PING, 0, 0, [0; 8])].concat(), Defect::Continuation);
    refused([&start[..], &get(53, "/")].concat(), Defect::Continuation);
    refused([&start[..], &frame(0xee, 0, 51, [])].concat(), Defect::Continuation);
    refused([&start[..], &frame(CONTINUATION, WHOLE, 53, [0x84])].concat(), Defect::Continuation);
    refused(frame(CONTINUATION, WHOLE, 1, [0x84]), Defect::Continuation);
    refused(frame(CONTINUATION, WHOLE, 0, [0x84]), Defect::Stream);
}

#[test]
fn settings_and_pushes_that_are_invalid() {
    refused(frame(SETTINGS, 0, 0, setting(2, 2)), Defect::Settings);
    refused(frame(SETTINGS, 0, 0, setting(4, 1 << 31)), Defect::Settings);
    refused(frame(SETTINGS, 0, 0, setting(5, 16_383)), Defect::Settings);
    refused(frame(SETTINGS, 0, 0, [setting(1, 0), setting(5, 1 << 24)].concat()), Defect::Settings);
    refused(frame(PUSH_PROMISE, WHOLE, 1, [0, 0, 0, 2, 0x82]), Defect::Push);
    refused_response(frame(PUSH_PROMISE, WHOLE, 1, [0, 0, 0, 3, 0x82]), Defect::Push);
    refused_response(frame(PUSH_PROMISE, WHOLE, 2, [0, 0, 0, 4, 0x82]), Defect::Stream);
}

#[test]
fn blocks_that_cannot_be_decoded() {
    let check = |block: &[u8], error| {
        refused(frame(HEADERS, WHOLE | END, 51, block), Defect::Hpack(error));
    };
    check(&[0x80], hpack::Error::Index);
    check(&[0xbe], hpack::Error::Index);
    check(&[0x82, 0x40], hpack::Error::Truncated);
    check(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x10], hpack::Error::Integer);
    check(&[0x82, 0x20], hpack::Error::LateTableSize);
    check(&[0x00, 0x81, 0xff, 0x01, b'x'], hpack::Error::Huffman);
    refused_response(frame(HEADERS, WHOLE | END, 1, [0xbe]), Defect::Hpack(hpack::Error::Index));
    let size = hpack::Error::TableSize;
    refused(frame(HEADERS, WHOLE | END, 51, [0x3f, 0xe2, 0x1f, 0x82]), Defect::Hpack(size));
    refused(frame(HEADERS, WHOLE | END, 51, [0x3f, 0xe0, 0xff, 0xff, 0xff, 0x0f]), Defect::Hpack(size));
}

#[test]
fn connections_that_begin_with_something_else() {
    let mut rig = Rig::bare(How::Passive, Limits::default());
    rig.client(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r").client(get(1, "/")).close().check(&[]);
    assert_eq!(rig.reasons(), [Reason::Malformed(Malformed::Connection(Defect::Preface))]);
    for first in [get(1, "/"), frame(SETTINGS, END, 0, []), frame(PING, 0, 0, [0; 8])] {
        let mut rig = Rig::bare(How::Passive, Limits::default());
        rig.client(&preface()[..24]).client(first).client(get(3, "/")).close().check(&[]);
        assert_eq!(rig.reasons(), [Reason::Malformed(Malformed::Connection(Defect::FirstFrame))]);
    }
    let mut rig = Rig::bare(How::Passive, Limits::default());
    rig.client(preface()).client(get(1, "/")).server(ok(1, true)).close().check(&["1 GET / -> 0 Incomplete"]);
}

/// A request with these fields is an event, malformed for this reason; the next request is not.
#[track_caller]
fn fields(list: &[(&str, &str)], expected: Option<FieldDefect>) -> Exchange {
    let mut rig = Rig::new();
    rig.client(headers(1, true, list)).server(headers(1, true, &[(":status", "400")]));
    rig.client(get(3, "/next")).server(ok(3, true));
    assert_eq!(rig.lines().last().map(String::as_str), Some("3 GET /next -> 200"));
    assert_eq!(rig.reasons(), []);
    let first = rig.exchanges().next().unwrap();
    assert_eq!(first.malformed, expected.map(Malformed::Fields), "{list:?}");
    first.clone()
}

#[test]
fn requests_that_are_malformed() {
    const METHOD: (&str, &str) = (":method", "GET");
    const SCHEME: (&str, &str) = (":scheme", "http");
    const PATH: (&str, &str) = (":path", "/p");
    const HOST: (&str, &str) = (":authority", "a");
    let with = |field| [METHOD, SCHEME, PATH, HOST, field];
    fields(&with(("x", "y")), None);
    fields(&[METHOD, SCHEME, PATH, ("host", "a")], None);
    fields(&with(("te", "trailers")), None);
    fields(&with(("x", "")), None);
    fields(&[(":method", "OPTIONS"), SCHEME, (":path", "*"), HOST], None);
    fields(&[(":method", "CONNECT"), HOST], None);

    fields(&with(("X-Upper", "y")), Some(FieldDefect::Name));
    fields(&with(("", "y")), Some(FieldDefect::Name));
    fields(&with(("a b", "y")), Some(FieldDefect::Name));
    fields(&with(("a:b", "y")), Some(FieldDefect::Name));
    fields(&with(("n\u{e9}", "y")), Some(FieldDefect::Name));
    for value in [" y", "y ", "\ty", "y\t", "a\0b", "a\rb", "a\nb"] {
        fields(&with(("x", value)), Some(FieldDefect::Value));
    }
    for name in ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"] {
        fields(&with((name, "x")), Some(FieldDefect::Connection));
    }
    fields(&with(("te", "gzip")), Some(FieldDefect::Connection));
    fields(&with((":other", "x")), Some(FieldDefect::Pseudo));
    fields(&with((":status", "200")), Some(FieldDefect::Pseudo));
    fields(&[METHOD, SCHEME, ("x", "y"), PATH, HOST], Some(FieldDefect::Pseudo));
    for repeated in [METHOD, SCHEME, PATH, HOST] {
        fields(&with(repeated), Some(FieldDefect::Repeated));
    }
    fields(&[SCHEME, PATH, HOST], Some(FieldDefect::Missing));
    fields(&[METHOD, PATH, HOST], Some(FieldDefect::Missing));
    fields(&[METHOD, SCHEME, HOST], Some(FieldDefect::Missing));
    fields(&[METHOD, SCHEME, (":path", ""), HOST], Some(FieldDefect::Path));
    fields(&[METHOD, SCHEME, (":path", "x"), HOST], Some(FieldDefect::Path));
    fields(&[METHOD, SCHEME, (":path", "*"), HOST], Some(FieldDefect::Path));
    fields(&[(":method", "CONNECT")], Some(FieldDefect::Missing));
    fields(&[(":method", "CONNECT"), SCHEME, PATH, HOST], Some(FieldDefect::Pseudo));
    fields(&with((":protocol", "websocket")), Some(FieldDefect::Pseudo));
    fields(&[(":method", "CONNECT"), (":protocol", "x"), SCHEME, PATH], Some(FieldDefect::Missing));
    let smuggled = fields(&with(("x", "y\r\nhost: evil")), Some(FieldDefect::Value));
    assert_eq!(smuggled.request.head.unwrap().host().as_deref(), Some(&b"a"[..]));
    let differs = fields(&with(("host", "b")), Some(FieldDefect::Authority));
    assert!(differs.notes.contains(Note::SeveralHosts));
    assert_eq!(differs.request.head.unwrap().host().as_deref(), Some(&b"a"[..]));
}

#[test]
fn trailers_and_bodies_that_are_malformed() {
    let sized = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a"),
        ("content-length", "3"),
    ];
    let check = |more: &[Vec<u8>], malformed, mismatch| {
        let mut rig = Rig::new();
        rig.client(headers(1, false, &sized)).client(more.concat()).server(ok(1, true)).close();
        let exchange = rig.last();
        assert_eq!(
            (exchange.malformed, exchange.notes.contains(Note::LengthMismatch)),
            (malformed, mismatch)
        );
        assert_eq!(rig.reasons(), []);
    };
    check(&[data(1, END, "abc")], None, false);
    check(&[data(1, END, "ab")], None, true);
    check(&[data(1, 0, "abc"), data(1, END, "d")], None, true);
    check(&[data(1, 0, "abc"), headers(1, true, &[("a", "b")])], None, false);
    let pseudo = Some(Malformed::Fields(FieldDefect::Pseudo));
    check(&[data(1, 0, "abc"), headers(1, true, &[(":path", "/x")])], pseudo, false);
    let unended = Some(Malformed::Fields(FieldDefect::Trailers));
    check(&[data(1, 0, "abc"), headers(1, false, &[("a", "b")])], unended, false);
    check(&[data(1, 0, "abc"), get(1, "/again")], pseudo, false);
}

#[test]
fn responses_that_are_malformed() {
    let check = |list: &[(&str, &str)], malformed, status| {
        let mut rig = Rig::new();
        rig.client(get(1, "/")).server(headers(1, true, list));
        let exchange = rig.last();
        assert_eq!(exchange.notes.contains(Note::MalformedResponse), malformed, "{list:?}");
        assert_eq!(exchange.response.head.as_ref().unwrap().status(), status);
    };
    check(&[(":status", "204")], false, 204);
    check(&[(":status", "0200")], true, 0);
    check(&[(":status", "20x")], true, 0);
    check(&[("server", "s")], true, 0);
    check(&[(":status", "200"), (":status", "201")], true, 200);
    check(&[(":status", "200"), (":path", "/")], true, 200);
    check(&[(":status", "200"), ("Server", "s")], true, 200);
    check(&[(":status", "200"), ("connection", "close")], true, 200);
}

#[test]
fn requests_on_streams_that_were_used() {
    let mut rig = Rig::new();
    rig.client(get(5, "/five")).server(ok(5, true));
    // Lower than one before, and again: no server reads them.
    let again = post(5, "/again");
    rig.client(post(3, "/three")).client(&again).server(ok(3, true)).close().check(&["5 GET /five -> 200"]);
    assert_eq!(rig.reasons(), [Reason::Malformed(Malformed::Connection(Defect::Stream))]);
    assert_eq!(rig.http.counts(C).unparsed, (post(3, "/three").len() + again.len()) as u64);
    let mut rig = Rig::new();
    rig.client(get(1, "/one")).client(get(1, "/two")).server(ok(1, true)).check(&["1 GET /one -> 200"]);
    assert_eq!(rig.reasons(), [Reason::Malformed(Malformed::Connection(Defect::Stream))]);
}

#[test]
fn heads_are_bounded() {
    // A flood of CONTINUATION: endless, empty, or both.
    let pseudo = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/flood"), (":authority", "a")]);
    for piece in [&[][..], &block(&[("x", &"y".repeat(100))]).repeat(100)] {
        let mut rig = Rig::new();
        rig.client(frame(HEADERS, END, 1, &pseudo));
        for _ in 0..1000 {
            rig.client(frame(CONTINUATION, 0, 1, piece));
        }
        assert!(format!("{:?}", rig.http).len() < 600_000, "it is held");
        rig.client(frame(CONTINUATION, WHOLE, 1, [])).server(headers(1, true, &[(":status", "431")]));
        rig.check(&["1 GET /flood -> 431"]);
        assert_eq!(rig.last().malformed, Some(Malformed::HeadTooLarge));
        assert!(rig.last().request.head.as_ref().unwrap().raw().len() <= 65_536);
        assert_eq!(rig.reasons(), [Reason::Malformed(Malformed::HeadTooLarge)]);
        rig.client(get(3, "/next")).server(ok(3, true)).check(&["1 GET /flood -> 431", "3 GET /next -> 200"]);
    }
    // Short blocks that are long when decoded: an entry of 4 KiB, 10,000 times; a name and value of a byte, likewise.
    let check = |entry: &[u8], expected| {
        let bomb = [&pseudo[..], entry, &[0xbe; 10_000]].concat();
        let mut rig = Rig::new();
        rig.client(frame(HEADERS, WHOLE | END, 1, bomb)).server(ok(1, true)).check(&["1 GET /flood -> 200"]);
        assert_eq!(rig.last().malformed, Some(expected));
        let head = rig.last().request.head.clone().unwrap();
        assert!(head.raw().len() <= 65_536 && head.fields().len() <= 1024);
        // The table is in step all the same.
        let next = [&block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")]), &[0xbe][..]].concat();
        rig.client(frame(HEADERS, WHOLE | END, 3, next)).server(ok(3, true));
        assert!(
            rig.last().malformed.is_none() && rig.last().request.head.as_ref().unwrap().get("x").is_some()
        );
    };
    check(&[&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4000]].concat(), Malformed::HeadTooLarge);
    check(&[0x40, 1, b'x', 1, b'y'], Malformed::TooManyFields);
    // One frame beyond the bound, as nginx allows.
    let mut rig = Rig::new();
    rig.server(frame(SETTINGS, 0, 0, setting(5, 1 << 20)));
    let huge = [&pseudo[..], &block(&[("x", &"y".repeat(100))]).repeat(5000)].concat();
    let huge = frame(HEADERS, WHOLE | END, 1, huge);
    for piece in huge.chunks(10_000) {
        rig.client(piece);
        assert!(format!("{:?}", rig.http).len() < 600_000, "it is held");
    }
    rig.server(ok(1, true)).check(&["1 GET /flood -> 200"]);
    assert_eq!(rig.last().malformed, Some(Malformed::HeadTooLarge));
}

#[test]
fn an_unfinished_block_is_told() {
    let mut rig = Rig::new();
    rig.client(frame(HEADERS, 0, 1, [0x82])).close().check(&[]);
    assert_eq!(rig.reasons(), [Reason::Malformed(Malformed::Unfinished)]);
    let mut rig = Rig::new();
    rig.client(&get(1, "/")[..20]).piece(C, Piece::Fin).piece(S, Piece::Fin).check(&[]);
    assert_eq!(rig.reasons(), [Reason::Malformed(Malformed::Unfinished)]);
}
