//! Bytes that are missing, boundaries that are found again, and connections that were open before.

use proptest::prelude::*;

use super::rig::{
    C, DATA, END, HEADERS, PING, PRIO, RST_STREAM, Rig, S, SETTINGS, WHOLE, WINDOW_UPDATE, block, data,
    frame, get, headers, ok, post, setting,
};
use crate::assemble::Absence;
use crate::capture::record::How;
use crate::decode::exchange::{Outcome, Reason};
use crate::decode::http2::Limits;
use crate::decode::notes::Note;

const LOST: Reason = Reason::Hole(Absence::Lost);

/// `x-known: 1`, added to the table; later `0xbe` while nothing else is.
const INSERT: &[u8] = b"\x40\x07x-known\x011";

fn request(stream: u32, path: &str, more: &[u8]) -> Vec<u8> {
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")];
    frame(HEADERS, WHOLE | END, stream, [&block(&fields), more].concat())
}

/// More than a window of frames that a client may send at any time, none of which opens a stream.
fn quiet() -> Vec<u8> {
    frame(PING, 0, 0, [7; 8]).repeat(1000)
}

#[test]
fn a_hole_in_a_body_changes_nothing() {
    let mut rig = Rig::new();
    let body = data(1, END, [0; 1000]);
    rig.client(post(1, "/")).client(&body[..109]).hole(C, 800, Absence::Lost).client(&body[909..]);
    rig.client(get(3, "/")).server([ok(1, true), ok(3, true)].concat());
    rig.check(&["1 POST / -> 200", "3 GET / -> 200"]);
    let first = rig.exchanges().next().unwrap();
    assert_eq!((first.request.body_bytes, first.missing_bytes()), (1000, 800));
    assert_eq!(rig.reasons(), []);
}

#[test]
fn a_hole_in_a_head_leaves_the_boundaries() {
    for reason in [Absence::Lost, Absence::Unwanted] {
        let mut rig = Rig::new();
        rig.client(request(1, "/one", INSERT));
        let second = request(3, "/two", INSERT);
        rig.client(&second[..20]).hole(C, 5, reason).client(&second[25..]);
        // The table is lost with it: what the third refers to may be either entry.
        rig.client(request(5, "/three", &[0xbe, 0xbf]));
        // The fourth adds one, which is certain.
        rig.client(request(7, "/four", &[INSERT, &[0xbe, 0xbf]].concat()));
        rig.server([ok(1, true), ok(3, true), ok(5, true), ok(7, true)].concat());
        rig.check(&[
            "1 GET /one -> 200",
            "3 - -> 200 Incomplete",
            "5 GET /three -> 200",
            "7 GET /four -> 200",
        ]);
        let all: Vec<_> = rig.exchanges().collect();
        assert!(all[1].notes.contains(Note::HeadMissing));
        assert!(all[2].notes.contains(Note::UnknownFields) && all[3].notes.contains(Note::UnknownFields));
        let head = |index: usize| all[index].request.head.as_ref().unwrap();
        assert!(!head(2).is_whole() && head(2).get("x-known").is_none());
        assert_eq!(head(3).all("x-known").count(), 2);
        assert!(all.iter().all(|exchange| exchange.malformed.is_none()));
        assert_eq!(rig.reasons(), [Reason::Hole(reason)]);
        rig.close();
    }
}

#[test]
fn a_hole_in_a_response_head() {
    let mut rig = Rig::new();
    let head = ok(1, false);
    rig.client([get(1, "/1"), get(3, "/3")].concat())
        .server(&head[..12])
        .hole(S, 5, Absence::Lost)
        .server(&head[17..]);
    rig.server(data(1, END, "abc")).server(ok(3, true));
    rig.check(&["1 GET /1 -> 0 Incomplete", "3 GET /3 -> 200"]);
    assert_eq!(rig.exchanges().next().unwrap().response.body_bytes, 3);
    assert_eq!(rig.reasons(), [LOST]);
}

#[test]
fn a_status_that_is_lost_is_not_guessed() {
    let mut rig = Rig::new();
    rig.client([get(1, "/1"), get(3, "/3"), get(5, "/5")].concat());
    // `:status: 302` is added to the table.
    rig.server(frame(HEADERS, WHOLE | END, 1, b"\x48\x03302")).server(&ok(3, true)[..10]);
    rig.hole(S, ok(3, true).len() as u64 - 10, Absence::Lost);
    rig.server(frame(HEADERS, WHOLE, 5, [0xbe])).server(data(5, END, []));
    rig.check(&["1 GET /1 -> 302", "3 GET /3 -> 0 Incomplete", "5 GET /5 -> 0"]);
    assert!(
        rig.last().notes.contains(Note::UnknownFields) && !rig.last().notes.contains(Note::MalformedResponse)
    );
}

#[test]
fn settings_that_are_missing_bound_nothing() {
    let mut rig = Rig::new();
    let settings = frame(SETTINGS, 0, 0, setting(1, 1 << 16));
    rig.server(&settings[..9]).hole(S, 6, Absence::Lost).client(frame(SETTINGS, END, 0, []));
    let grow = [&[0x3f, 0xe1, 0xff, 0x03][..], &request(1, "/", &[])[9..]].concat();
    rig.client(frame(HEADERS, WHOLE | END, 1, grow)).server(ok(1, true)).check(&["1 GET / -> 200"]);
    assert_eq!(rig.reasons(), [LOST]);
}

#[test]
fn requests_are_found_again_when_one_chain_is_left() {
    let mut rig = Rig::new();
    rig.client(request(1, "/before", INSERT)).client(post(3, "/body")).server(ok(1, true));
    rig.hole(C, 1, Absence::Lost);
    // Somewhere in a frame, from here to the next boundary.
    rig.client([b'x'; 100]);
    assert_eq!((rig.reasons(), rig.http.needed(C)), (vec![LOST], None));
    rig.client(request(5, "/not-yet", &[])).server(ok(5, true));
    rig.client(quiet()).client(quiet());
    assert_ne!(rig.http.needed(C), None);
    rig.client(request(7, "/after", &[0xbe])).server([ok(7, true), ok(3, true)].concat()).close();
    rig.check(&["1 GET /before -> 200", "7 GET /after -> 200", "3 POST /body -> 200 Incomplete"]);
    let after = rig.exchanges().nth(1).unwrap();
    assert!(after.notes.contains(Note::UnknownFields));
    assert_eq!(after.request.head.as_ref().unwrap().get("x-known"), None);
}

#[test]
fn a_body_that_holds_frames_leaves_two_chains() {
    // The payload of one DATA frame is a chain of frames with a request; so is what stands between the true frames.
    let mut rig = Rig::new();
    rig.client(post(1, "/upload"));
    let evil = [get(3, "/evil"), frame(PING, 0, 0, [0; 8])].concat();
    let mut wire = Vec::new();
    for _ in 0..20 {
        // Ends with a false DATA whose payload is the next true header.
        let mut body = evil.repeat(80);
        body.extend([0, 0, 9, DATA, 0, 0, 0, 0, 1]);
        wire.extend(data(1, 0, body));
    }
    rig.hole(C, 40, Absence::Lost);
    for piece in wire.chunks(1460) {
        rig.client(piece);
    }
    rig.server(ok(3, true)).close();
    assert!(rig.lines().iter().all(|line| !line.contains("evil")), "{:?}", rig.lines());
}

#[test]
fn responses_are_found_again() {
    let mut rig = Rig::new();
    rig.client([get(1, "/1"), get(3, "/3")].concat()).server(ok(1, false)).hole(S, 30, Absence::Unwanted);
    // A download: full frames, then the end and another response.
    for _ in 0..3 {
        rig.server(data(1, 0, [0x55; 16_384]));
    }
    rig.server(data(1, END, [0x55; 100]))
        .server(ok(3, true))
        .client(get(5, "/5"))
        .server(ok(5, true))
        .close();
    rig.check(&["1 GET /1 -> 200 Incomplete", "3 GET /3 -> 200", "5 GET /5 -> 200"]);
    let notes: Vec<bool> =
        rig.exchanges().map(|exchange| exchange.notes.contains(Note::Resynchronized)).collect();
    assert_eq!(notes, [false, true, false]);
    assert_eq!(rig.exchanges().next().unwrap().outcome, Outcome::Incomplete);
}

#[test]
fn a_joined_connection_is_read_once_its_boundaries_are_certain() {
    let mut rig = Rig::bare(How::Joined, Limits::default());
    let settled = |rig: &mut Rig| {
        rig.client(&get(101, "/cut")[20..]).client(quiet()).client(quiet()).server(&ok(101, true)[12..]);
        rig.server(data(99, 0, [0; 16_384]))
            .server(data(99, 0, [0; 16_384]))
            .server(frame(PING, 0, 0, [0; 8]));
    };
    settled(&mut rig);
    assert!(rig.http.is_in_step() && rig.reasons() == [Reason::Joined]);
    // What ends a stream that was open before is no request.
    rig.client(headers(103, true, &[("a-trailer", "x")])).client(frame(
        HEADERS,
        WHOLE | END,
        105,
        [0xbe, 0xbf],
    ));
    rig.client(request(107, "/seen", &[0xc0])).client(request(109, "/and-this", &[]));
    rig.server([ok(107, true), ok(109, true)].concat()).close();
    rig.check(&["107 GET /seen -> 200", "109 GET /and-this -> 200"]);
    assert!(rig.exchanges().next().unwrap().notes.contains(Note::UnknownFields));
}

#[test]
fn text_and_zeros_are_no_boundaries() {
    for filler in [0u8, b'a', 0xff, 1, 4] {
        let mut rig = Rig::bare(How::Joined, Limits::default());
        for _ in 0..200 {
            rig.client([filler; 1460]).server([filler; 1460]);
        }
        assert!(!rig.http.is_in_step(), "{filler}");
        rig.close().check(&[]);
        assert_eq!(rig.reasons(), [Reason::Joined]);
    }
}

/// Frames of a client with a few streams, as bytes, and the paths of its requests.
fn conversation() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let step = prop_oneof![
        3 => (any::<bool>(), 0usize..5).prop_map(|(insert, refer)| (0u8, usize::from(insert) * 10 + refer)),
        3 => (0usize..3000).prop_map(|len| (1u8, len)),
        1 => Just((2u8, 0)),
        1 => Just((3u8, 0)),
    ];
    prop::collection::vec(step, 1..60).prop_map(|steps| {
        let (mut frames, mut stream, mut entries) = (Vec::new(), 1, 0);
        for (kind, number) in steps {
            frames.push(match kind {
                0 => {
                    stream += 2;
                    let mut more = Vec::new();
                    if number >= 10 {
                        more.extend(format!("\x40\x04x-in\x05{stream:05}").into_bytes());
                        entries += 1;
                    }
                    let index = number % 10;
                    if index < entries {
                        more.push(0xbe + u8::try_from(index).unwrap());
                    }
                    let path = format!("/{stream}");
                    let fields =
                        [(":method", "PUT"), (":scheme", "http"), (":path", &path), (":authority", "a")];
                    frame(HEADERS, WHOLE, stream, [&block(&fields), &more[..]].concat())
                }
                1 => data(stream, 0, get(stream + 2, "/evil").repeat(number / 60)),
                2 => frame(PING, 0, 0, [0; 8]),
                _ => frame(WINDOW_UPDATE, 0, 0, [0, 0, 1, 0]),
            });
        }
        frames
    })
}

proptest! {
    /// Whatever is missing: no request that was not made, none twice, and no field that it did not have.
    #[test]
    fn losses_invent_nothing(
        frames in conversation(),
        holes in prop::collection::vec((any::<prop::sample::Index>(), 1usize..200), 1..4),
        unwanted: bool,
        size in 1usize..3000,
    ) {
        let mut whole = Rig::new();
        let (open, tail) = (post(1, "/open"), quiet());
        let said = open.len() + frames.concat().len();
        let bytes = [open, frames.concat(), tail.clone(), tail, request(9001, "/end", &[INSERT, &[0xbe]].concat())].concat();
        whole.client(&bytes).close();
        let mut lossy = Rig::new();
        let mut gone = vec![false; bytes.len()];
        for (at, len) in holes {
            // So much stands behind it that it can be found again.
            let at = at.index(said);
            gone.iter_mut().skip(at).take(len).for_each(|gone| *gone = true);
        }
        let reason = if unwanted { Absence::Unwanted } else { Absence::Lost };
        let mut at = 0;
        while at < bytes.len() {
            let len = gone[at..].iter().take(size).take_while(|missing| **missing == gone[at]).count();
            if gone[at] {
                lossy.hole(C, len as u64, reason);
            } else {
                lossy.client(&bytes[at..at + len]);
            }
            at += len;
        }
        lossy.close();
        for seen in lossy.exchanges() {
            let Some(head) = &seen.request.head else { continue };
            let truth = whole.exchanges().find(|exchange| exchange.key == seen.key);
            let Some(truth) = truth else { return Err(TestCaseError::fail(format!("invented: {seen:?}"))) };
            let true_head = truth.request.head.as_ref().unwrap();
            for (name, value) in head.fields().iter() {
                prop_assert!(true_head.fields().iter().any(|(n, v)| n == name && v == value));
            }
            prop_assert_eq!(head.target(), true_head.target());
            prop_assert!(head.is_whole() || head.fields().len() <= true_head.fields().len());
            prop_assert!(!head.is_whole() || head.fields().len() == true_head.fields().len());
        }
        let mut keys: Vec<u64> = lossy.exchanges().map(|exchange| exchange.key).collect();
        keys.sort_unstable();
        keys.dedup();
        prop_assert_eq!(keys.len(), lossy.exchanges().count());
        prop_assert!(lossy.exchanges().any(|exchange| exchange.stream == Some(9001)), "not found again");
    }
}

#[test]
fn a_reset_that_is_not_whole_is_one() {
    let mut rig = Rig::new();
    let reset = frame(RST_STREAM, 0, 1, [0; 4]);
    rig.client(get(1, "/")).server(ok(1, false)).server(&reset[..9]).hole(S, 4, Absence::Lost);
    rig.check(&["1 GET / -> 200 ResetByServer"]);
    let with_priority =
        [&[0, 0, 0, 0, 9][..], &block(&[(":method", "GET"), (":scheme", "http"), (":path", "/")])].concat();
    rig.client(frame(HEADERS, WHOLE | END | PRIO, 3, with_priority)).server(ok(3, true));
    assert_eq!(rig.lines().len(), 2);
}
