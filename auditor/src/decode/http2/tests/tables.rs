//! What each frame does, one at a time.

use super::rig::{
    C, CONTINUATION, DATA, END, GOAWAY, HEADERS, PADDED, PING, PRIO, PRIORITY, PUSH_PROMISE, RST_STREAM, Rig,
    S, SETTINGS, WHOLE, WINDOW_UPDATE, block, data, frame, get, headers, line, ok, post, preface, setting,
};
use crate::assemble::{Absence, Piece};
use crate::capture::record::How;
use crate::decode::connection::Decoder;
use crate::decode::exchange::{Decoded, Reason};
use crate::decode::http1::connection::{End, Http1, Sink};
use crate::decode::http1::head::Version;
use crate::decode::http2::Limits;
use crate::decode::http2::connection::Http2;
use crate::decode::malformed::Malformed;
use crate::decode::notes::Note;

#[test]
fn an_idle_decoder_is_small() {
    assert!(size_of::<Http2>() <= 1024, "{}", size_of::<Http2>());
    assert!(size_of::<Decoder>() <= size_of::<Http1>() + 32, "{}", size_of::<Decoder>());
}

#[test]
fn a_request_and_its_response() {
    let mut rig = Rig::new();
    rig.client(get(1, "/a?b=c")).check(&[]);
    rig.server(ok(1, false)).server(data(1, 0, "hel")).check(&[]);
    rig.server(data(1, END, "lo")).check(&["1 GET /a?b=c -> 200"]);
    let exchange = rig.last();
    let head = exchange.request.head.as_ref().unwrap();
    assert_eq!((head.path(), head.query()), (&b"/a"[..], Some(&b"b=c"[..])));
    assert_eq!((head.scheme(), head.version()), (Some(&b"http"[..]), Version::Http2));
    assert_eq!(head.get("Host").as_deref(), Some(&b"a.example"[..]));
    assert_eq!(head.host_lowercase().as_deref(), Some("a.example"));
    // Behind the preface, the settings and their acknowledgement.
    assert_eq!(exchange.key, 24 + 9 + 9);
    assert_eq!(exchange.request.head_bytes, get(1, "/a?b=c").len() as u64);
    assert_eq!((exchange.response.body_bytes, exchange.response.wire_bytes), (5, 5 + 18));
    assert!(exchange.notes.is_empty() && exchange.malformed.is_none());
    assert!(exchange.response.first < exchange.response.end);
    assert_eq!(rig.reasons(), []);
}

#[test]
fn streams_do_not_mix() {
    let mut rig = Rig::new();
    rig.client([get(1, "/one"), post(3, "/two"), get(5, "/three")].concat());
    rig.server([ok(5, false), ok(1, false)].concat()).client(data(3, 0, [1; 10]));
    rig.server([data(1, 0, [0; 7]), data(5, END, [0; 3])].concat());
    rig.client(data(3, END, [1; 5])).server([ok(3, true), data(1, END, [])].concat());
    rig.check(&["5 GET /three -> 200", "3 POST /two -> 200", "1 GET /one -> 200"]);
    let bodies: Vec<_> = rig.exchanges().map(|e| (e.request.body_bytes, e.response.body_bytes)).collect();
    assert_eq!(bodies, [(0, 3), (15, 0), (0, 7)]);
}

#[test]
fn padding_is_no_body() {
    let mut rig = Rig::new();
    let padded = [&[3][..], b"body", &[0; 3]].concat();
    rig.client(post(1, "/p")).client(data(1, PADDED, &padded)).client(data(1, PADDED | END, [2, 0, 0]));
    let fields = block(&[(":status", "200")]);
    let with_both = [&[2][..], &[0, 0, 0, 3, 16], &fields, &[0; 2]].concat();
    rig.server(frame(HEADERS, WHOLE | END | PADDED | PRIO, 1, with_both)).check(&["1 POST /p -> 200"]);
    let request = &rig.last().request;
    assert_eq!((request.body_bytes, request.wire_bytes), (4, 8 + 3 + 18));
}

#[test]
fn blocks_in_several_frames() {
    let fields = block(&[(":method", "GET"), (":scheme", "http"), (":path", "/c"), (":authority", "a")]);
    let (first, rest) = fields.split_at(10);
    let (second, third) = rest.split_at(1);
    let mut rig = Rig::new();
    rig.client(frame(HEADERS, END, 1, first)).client(frame(CONTINUATION, 0, 1, second));
    rig.client(frame(CONTINUATION, 0, 1, [])).check(&[]).client(frame(CONTINUATION, WHOLE, 1, third));
    rig.server(ok(1, true)).check(&["1 GET /c -> 200"]);
    assert_eq!(rig.last().request.head_bytes, fields.len() as u64 + 4 * 9);
    assert_eq!(rig.last().key, 42);
}

#[test]
fn interim_responses_and_trailers() {
    let mut rig = Rig::new();
    rig.client(post(1, "/u")).server(headers(1, false, &[(":status", "100")]));
    rig.client(data(1, 0, "x")).client(headers(1, true, &[("checksum", "1")]));
    rig.server(headers(1, false, &[(":status", "103"), ("link", "x")])).server(ok(1, false));
    rig.server(data(1, 0, "yz")).server(headers(1, true, &[("took", "2")])).check(&["1 POST /u -> 200"]);
    let exchange = rig.last();
    assert_eq!(exchange.interim, [100, 103]);
    let value = |fields: &Option<Box<crate::decode::http1::fields::Fields>>, name: &str| {
        fields.as_ref().unwrap().get(name).unwrap().into_owned()
    };
    assert_eq!(value(&exchange.request.trailers, "checksum"), b"1");
    assert_eq!(value(&exchange.response.trailers, "took"), b"2");
    assert_eq!((exchange.request.body_bytes, exchange.response.body_bytes), (1, 2));
}

#[test]
fn grpc_calls() {
    let request = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/shop.v1.Cart/Add"),
        (":authority", "a"),
        ("content-type", "application/grpc+proto"),
        ("te", "trailers"),
    ];
    let mut rig = Rig::new();
    rig.client(headers(1, false, &request)).client(data(1, END, [0; 5])).server(ok(1, false));
    rig.server(data(1, 0, [0; 9])).server(headers(
        1,
        true,
        &[("grpc-status", "5"), ("grpc-message", "no%20cart")],
    ));
    let grpc = rig.last().grpc().unwrap();
    assert_eq!((grpc.service, grpc.method), (&b"shop.v1.Cart"[..], &b"Add"[..]));
    assert_eq!((grpc.status, grpc.message.as_deref()), (Some(5), Some(&b"no%20cart"[..])));
    // Without a message: "Trailers-Only".
    rig.client(headers(3, true, &request)).server(headers(
        3,
        true,
        &[(":status", "200"), ("grpc-status", "12")],
    ));
    assert_eq!(rig.last().grpc().unwrap().status, Some(12));
    rig.client(get(5, "/a.B/C")).server(ok(5, true));
    assert_eq!(rig.last().grpc(), None);
    assert!(rig.exchanges().all(|exchange| exchange.notes.is_empty() && exchange.malformed.is_none()));
}

/// Media types ignore case (RFC 9110, 8.3.1); what follows the name is `+` or `;` (`PROTOCOL-HTTP2`, "Requests").
#[test]
fn what_is_a_call_of_grpc() {
    let cases = [
        ("application/grpc", true),
        ("Application/gRPC", true),
        ("application/grpc;charset=utf-8", true),
        ("application/grpcx", false),
    ];
    for (content_type, expected) in cases {
        let mut rig = Rig::new();
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/a.B/C"),
            (":authority", "a"),
            ("content-type", content_type),
        ];
        rig.client(headers(1, true, &fields)).server(ok(1, true));
        assert_eq!(rig.last().grpc().is_some(), expected, "{content_type}");
    }
}

/// A status in the head is the call's where nothing else follows ("Trailers-Only"). With messages and no trailers, the call
/// has none.
#[test]
fn a_status_in_the_head_of_a_response_with_messages() {
    let request = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/a.B/C"),
        (":authority", "a"),
        ("content-type", "application/grpc"),
    ];
    let mut rig = Rig::new();
    rig.client(headers(1, true, &request)).server(headers(
        1,
        false,
        &[(":status", "200"), ("grpc-status", "0")],
    ));
    rig.server(data(1, 0, [0; 9])).server(frame(RST_STREAM, 0, 1, 2_u32.to_be_bytes()));
    assert_eq!(rig.last().grpc().unwrap().status, None);
}

#[test]
fn how_a_stream_ended_is_told() {
    let reset = |stream, code: u32| frame(RST_STREAM, 0, stream, code.to_be_bytes());
    let started = || {
        let mut rig = Rig::new();
        rig.client(post(1, "/")).server(ok(1, false)).server(data(1, 0, "abc"));
        rig
    };
    started().client(reset(1, 8)).check(&["1 POST / -> 200 ResetByClient"]);
    started().server(reset(1, 2)).check(&["1 POST / -> 200 ResetByServer"]);
    started().server(data(1, END, [])).server(reset(1, 0)).check(&["1 POST / -> 200"]);
    started().server(data(1, END, [])).server(reset(1, 2)).check(&["1 POST / -> 200 ResetByServer"]);
    started().server(data(1, END, [])).client(reset(1, 8)).check(&["1 POST / -> 200 ResetByClient"]);
    started().piece(C, Piece::Reset).check(&["1 POST / -> 200 ResetByClient"]);
    started().piece(S, Piece::Fin).piece(C, Piece::Fin).check(&["1 POST / -> 200 ClosedByServer"]);
    started().close().check(&["1 POST / -> 200 Vanished"]);
    // What was on its way when a stream was reset is nothing new.
    let mut rig = started();
    rig.client(reset(1, 8)).server([data(1, 0, "def"), data(1, END, [])].concat());
    rig.client(get(3, "/next")).server(ok(3, true));
    rig.check(&["1 POST / -> 200 ResetByClient", "3 GET /next -> 200"]);
    assert_eq!(rig.reasons(), []);
}

#[test]
fn what_a_server_goes_away_from_is_refused() {
    let mut rig = Rig::new();
    rig.client([get(1, "/1"), get(3, "/3"), get(5, "/5")].concat());
    rig.server(frame(GOAWAY, 0, 0, [0x7f, 255, 255, 255, 0, 0, 0, 0])).check(&[]);
    rig.server(frame(GOAWAY, 0, 0, [&[0, 0, 0, 3, 0, 0, 0, 0][..], b"bye bye bye"].concat()));
    rig.check(&["5 GET /5 -> 0 ResetByServer"]);
    rig.server([ok(1, true), ok(3, true)].concat()).close();
    rig.check(&["5 GET /5 -> 0 ResetByServer", "1 GET /1 -> 200", "3 GET /3 -> 200"]);
}

#[test]
fn an_extended_connect_is_a_tunnel() {
    let connect = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "a.example"),
    ];
    let mut rig = Rig::new();
    rig.client(headers(1, false, &connect)).client(data(1, 0, "early"));
    rig.server(headers(1, false, &[(":status", "200")]))
        .server(data(1, 0, [0; 100]))
        .client(data(1, 0, [0; 10]));
    rig.server(data(1, END, [])).client(data(1, END, [])).check(&["1 CONNECT /chat -> 200"]);
    let exchange = rig.last();
    assert_eq!(
        (exchange.tunnel, exchange.request.body_bytes, exchange.response.body_bytes),
        (Some([15, 100]), 0, 0)
    );
    let head = exchange.request.head.as_ref().unwrap();
    assert_eq!((head.protocol(), head.is_connect()), (Some(&b"websocket"[..]), false));
    assert_eq!(head.host().as_deref(), Some(&b"a.example"[..]));

    rig.client(headers(3, false, &[(":method", "CONNECT"), (":authority", "b:443")]));
    rig.server(headers(3, false, &[(":status", "200")])).client(data(3, 0, "x")).piece(C, Piece::Fin).close();
    let exchange = rig.last();
    assert_eq!((exchange.tunnel, exchange.malformed), (Some([1, 0]), None));
    let head = exchange.request.head.as_ref().unwrap();
    assert_eq!((head.target(), head.host().as_deref()), (&b"b:443"[..], Some(&b"b"[..])));
    // A refused one has a body.
    let mut rig = Rig::new();
    rig.client(headers(1, false, &connect)).server(headers(1, false, &[(":status", "403")]));
    rig.server(data(1, END, "no")).client(data(1, END, [])).check(&["1 CONNECT /chat -> 403"]);
    assert_eq!((rig.last().tunnel, rig.last().response.body_bytes), (None, 2));
}

#[test]
fn pushed_streams_keep_the_table_in_step() {
    let mut rig = Rig::new();
    rig.client(get(1, "/"));
    // The promise adds `x-pushed: 1` to the table; the response refers to it.
    let promised = [&[0, 0, 0, 2][..], &[0x82, 0x86, 0x84, 0x41, 1, b'a'], b"\x40\x08x-pushed\x011"].concat();
    rig.server(frame(PUSH_PROMISE, WHOLE, 1, promised));
    rig.server(frame(HEADERS, WHOLE, 2, [0x88, 0xbe])).server(data(2, END, "pushed"));
    rig.server(frame(HEADERS, WHOLE | END, 1, [0x88, 0xbe])).check(&["1 GET / -> 200"]);
    let head = rig.last().response.head.clone().unwrap();
    assert_eq!(head.get("x-pushed").as_deref(), Some(&b"1"[..]));
    assert_eq!(rig.http.counts(S).body, 6);
}

#[test]
fn frames_of_no_interest_are_skipped() {
    let mut rig = Rig::new();
    rig.client(frame(0x10, 7, 0, "u=1"))
        .client(frame(0xfa, 255, 9, [0; 500]))
        .client(frame(PRIORITY, 0, 7, [0; 5]));
    rig.client(frame(PING, 0, 0, [1; 8])).client(frame(WINDOW_UPDATE, 0, 0, [0, 0, 1, 0]));
    rig.client(frame(PRIORITY, 0, 3, [0; 4])).client(frame(SETTINGS, 0, 0, setting(0x7777, 1)));
    rig.client(get(1, "/"))
        .server(frame(PING, END, 0, [1; 8]))
        .server(ok(1, true))
        .check(&["1 GET / -> 200"]);
    assert_eq!(rig.reasons(), []);
}

#[test]
fn the_settings_of_one_side_bound_the_table_of_the_other() {
    // 4097 bytes, then 100; `20`+ is a change of the size.
    let grow = frame(HEADERS, WHOLE | END, 1, [&[0x3f, 0xe2, 0x1f][..], &get(1, "/")[9..]].concat());
    let mut rig = Rig::new();
    rig.client(&grow);
    assert_eq!(rig.lines().len() + rig.reasons().len(), 1);
    let mut rig = Rig::new();
    rig.server(frame(SETTINGS, 0, 0, setting(1, 8192)));
    // Not acknowledged yet: an encoder may already obey.
    rig.client(&grow).server(ok(1, true)).check(&["1 GET / -> 200"]);
    rig.client(frame(SETTINGS, END, 0, []));
    rig.server(frame(SETTINGS, 0, 0, setting(1, 100))).client(frame(SETTINGS, END, 0, []));
    let block = |size: &[u8], stream| [size, &get(stream, "/")[9..]].concat();
    rig.client(frame(HEADERS, WHOLE | END, 3, block(&[0x3f, 0x45], 3))).server(ok(3, true));
    rig.check(&["1 GET / -> 200", "3 GET / -> 200"]);
    rig.client(frame(HEADERS, WHOLE | END, 5, block(&[0x3f, 0x46], 5))).server(ok(5, true));
    assert_eq!(rig.lines().len(), 2);
    assert_eq!(rig.reasons().len(), 1);
}

#[test]
fn bodies_need_not_be_copied() {
    let mut rig = Rig::new();
    let at = rig.http.needed(C).unwrap();
    rig.client(post(1, "/up"));
    let at = at + post(1, "/up").len() as u64;
    assert_eq!(rig.http.needed(C), Some(at));
    let long = data(1, END, [0; 10_000]);
    rig.client(&long[..109]);
    assert_eq!(rig.http.needed(C), Some(at + 9 + 10_000));
    rig.hole(C, 9_900, Absence::Unwanted).server(ok(1, true)).check(&["1 POST /up -> 200"]);
    let exchange = rig.last();
    assert_eq!((exchange.request.body_bytes, exchange.unwanted_bytes()), (10_000, 9_900));
    assert_eq!(rig.http.counts(C).skipped, 9_900);
    assert_eq!(rig.reasons(), []);
}

#[test]
fn a_frame_may_be_as_large_as_settings_allow() {
    let mut rig = Rig::new();
    rig.server(frame(SETTINGS, 0, 0, setting(5, (1 << 24) - 1))).client(post(1, "/"));
    rig.client([0xff, 0xff, 0xff, DATA, END, 0, 0, 0, 1]).hole(C, (1 << 24) - 1, Absence::Unwanted);
    rig.server(ok(1, true)).check(&["1 POST / -> 200"]);
    assert_eq!(rig.last().request.body_bytes, (1 << 24) - 1);
}

#[test]
fn crumbs_of_a_cookie_are_one() {
    let mut rig = Rig::new();
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/"),
        (":authority", "a"),
        ("cookie", "x=1"),
        ("accept", "*/*"),
        ("cookie", "y=2"),
        ("cookie", "z=3"),
    ];
    rig.client(headers(1, true, &fields)).server(ok(1, true));
    let head = rig.last().request.head.clone().unwrap();
    assert_eq!(head.all("cookie").map(|value| value.into_owned()).collect::<Vec<_>>(), [b"x=1; y=2; z=3"]);
    let names: Vec<&[u8]> = head.fields().iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"host"[..], b"cookie", b"accept"]);
}

#[test]
fn a_late_request_is_waited_for() {
    let mut rig = Rig::new();
    rig.waiting(true).server(ok(1, false)).server(data(1, END, "abc")).check(&[]);
    assert!(rig.http.pending(S) > 0);
    rig.client(get(1, "/late")).waiting(false).check(&["1 GET /late -> 200"]);
    // It does not come.
    rig.waiting(true).server(ok(3, true)).waiting(false).client(get(5, "/")).server(ok(5, true));
    rig.check(&["1 GET /late -> 200", "5 GET / -> 200"]);
    // What is held is bounded.
    rig.waiting(true).server(ok(7, false));
    for _ in 0..5 {
        rig.server(data(7, 0, [0; 16_384]));
    }
    assert_eq!(rig.http.pending(S), 0);
}

fn sink(out: &mut Vec<Decoded>) -> Sink<'_> {
    const LIMITS: crate::decode::http1::Limits = crate::decode::http1::Limits {
        head_bytes: 65536,
        fields: 1024,
        pipelined: 1024,
        held_bytes: 65536,
        interim: 8,
    };
    Sink { limits: &LIMITS, out }
}

fn run(pieces: &[(crate::capture::record::Direction, Vec<u8>)]) -> (Decoder, Vec<Decoded>) {
    let (mut decoder, mut out) = (Decoder::new(C, How::Passive), Vec::new());
    for (time, (direction, bytes)) in (1..).zip(pieces) {
        decoder.feed(&mut sink(&mut out), *direction, Piece::Data(bytes), time);
    }
    (decoder, out)
}

fn lines(out: &[Decoded]) -> Vec<String> {
    out.iter()
        .filter_map(|item| if let Decoded::Finished(exchange) = item { Some(line(exchange)) } else { None })
        .collect()
}

#[test]
fn the_preface_tells_the_version() {
    let h2: Vec<_> =
        vec![(C, [preface(), get(1, "/")].concat()), (S, [frame(SETTINGS, 0, 0, []), ok(1, true)].concat())];
    // As it comes; byte by byte; and with the server first.
    let bytewise =
        h2.iter().flat_map(|(side, bytes)| bytes.iter().map(|byte| (*side, vec![*byte]))).collect();
    let reversed = vec![(S, frame(SETTINGS, 0, 0, [])), h2[0].clone(), (S, ok(1, true))];
    for pieces in [h2, bytewise, reversed] {
        let (decoder, out) = run(&pieces);
        assert!(decoder.is_http2());
        assert_eq!(lines(&out), ["1 GET / -> 200"]);
        for side in [C, S] {
            let fed: usize = pieces.iter().filter(|piece| piece.0 == side).map(|piece| piece.1.len()).sum();
            assert_eq!(decoder.counts(side).total() + decoder.pending(side), fed as u64);
        }
    }
    let http1 = |request: &[u8]| {
        let (mut decoder, mut out) = run(&[(C, request[..3].to_vec()), (C, request[3..].to_vec())]);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        decoder.feed(&mut sink(&mut out), S, Piece::Data(answer), 9);
        assert!(!decoder.is_http2());
        decoder.close(&mut sink(&mut out), End::Closed, 10);
        (lines(&out), out)
    };
    assert_eq!(http1(b"PRI /x HTTP/1.1\r\n\r\n").0, ["0 PRI /x -> 200"]);
    assert_eq!(http1(b"PRINT /x HTTP/1.1\r\n\r\n").0, ["0 PRINT /x -> 200"]);
    let (_, out) = http1(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    assert!(out.iter().any(|item| matches!(
        item,
        Decoded::Trouble(trouble) if trouble.reason == Reason::Malformed(Malformed::Http2)
    )));
}

#[test]
fn an_upgrade_to_h2c_makes_the_request_stream_1() {
    let request = b"GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
        HTTP2-Settings: AAEAAABkAAQAoAAA\r\n\r\n";
    let switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let answer = [frame(SETTINGS, 0, 0, []), ok(1, false), data(1, END, "abc")].concat();
    let follow = [preface(), get(3, "/next")].concat();
    let pieces = vec![
        (C, request.to_vec()),
        (S, [&switching[..], &answer].concat()),
        (C, follow.clone()),
        (S, ok(3, true)),
    ];
    let bytewise: Vec<_> =
        pieces.iter().flat_map(|(side, bytes)| bytes.iter().map(|byte| (*side, vec![*byte]))).collect();
    // The client's bytes are held until it is known what they are.
    let early = vec![pieces[0].clone(), pieces[2].clone(), pieces[1].clone(), pieces[3].clone()];
    for pieces in [pieces, bytewise, early] {
        let (decoder, out) = run(&pieces);
        assert_eq!(lines(&out), ["1 GET /up -> 200", "3 GET /next -> 200"]);
        let Some(Decoded::Finished(first)) = out.iter().find(|item| matches!(item, Decoded::Finished(_)))
        else {
            panic!("no exchange")
        };
        assert_eq!((first.key, &first.interim[..], first.response.body_bytes), (0, &[101][..], 3));
        assert_eq!(first.tunnel, None);
        let responses = out.iter().filter(|item| matches!(item, Decoded::Response { key: 0, .. })).count();
        assert_eq!(responses, 1);
        for side in [C, S] {
            let fed: usize = pieces.iter().filter(|piece| piece.0 == side).map(|piece| piece.1.len()).sum();
            assert_eq!(decoder.counts(side).total() + decoder.pending(side), fed as u64);
        }
    }
    // Refused: it stays HTTP/1.
    let refused = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    let (decoder, out) = run(&[(C, request.to_vec()), (S, refused.to_vec())]);
    assert!(!decoder.is_http2());
    assert_eq!(lines(&out), ["0 GET /up -> 200"]);
}

#[test]
fn what_one_connection_may_hold_is_bounded() {
    let limits = Limits { streams: 3, ..Limits::default() };
    let mut rig = Rig::with(limits);
    for stream in [1, 3, 5, 7] {
        rig.client(get(stream, "/"));
    }
    assert_eq!((rig.http.in_flight(), rig.reasons()), (3, vec![Reason::Pipelined]));
    rig.server([ok(7, true), ok(1, true)].concat()).client(get(9, "/9")).server(ok(9, true));
    rig.check(&["1 GET / -> 200", "9 GET /9 -> 200"]);

    let mut rig = Rig::with(Limits { heads_bytes: 300, ..Limits::default() });
    for stream in [1, 3, 5, 7] {
        rig.client(headers(
            stream,
            true,
            &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("x", &"y".repeat(90))],
        ));
    }
    assert_eq!((rig.http.in_flight(), rig.reasons()), (2, vec![Reason::Pipelined]));
    rig.server([ok(1, true), ok(3, true)].concat()).client(get(9, "/")).server(ok(9, true));
    assert_eq!(rig.lines().len(), 3);

    let mut rig = Rig::with(Limits { interim: 1, ..Limits::default() });
    rig.client(get(1, "/"));
    for _ in 0..3 {
        rig.server(headers(1, false, &[(":status", "103")]));
    }
    rig.server(ok(1, true));
    assert_eq!(rig.last().interim, [103]);
    assert!(rig.last().notes.contains(Note::ManyInterim));
}
