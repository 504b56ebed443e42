//! Any conversation, cut in any way, gives what was said: requests, responses, bodies, trailers, in any order of streams.

use proptest::prelude::*;

use super::rig::{
    C, CONTINUATION, DATA, END, HEADERS, PADDED, PRIO, Rig, S, WHOLE, block, data, frame, get, headers,
    setting,
};
use crate::assemble::{Absence, Piece};
use crate::capture::record::Direction;

/// One request with its response; where its frames stand among those of other streams is drawn as well.
#[derive(Clone, Debug)]
struct Turn {
    method: &'static str,
    bodies: [Vec<Vec<u8>>; 2],
    trailers: [bool; 2],
    interim: bool,
    status: &'static str,
    /// How its heads are cut into frames, and padded.
    cut: Option<prop::sample::Index>,
    padding: u8,
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(get(4001, "/evil")),
        Just(b"GET /evil HTTP/1.1\r\n\r\n".to_vec()),
        Just(super::rig::preface()),
        prop::collection::vec(any::<u8>(), 0..60),
    ]
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let bodies = || prop::collection::vec(content(), 0..4);
    let turn = (
        prop::sample::select(vec!["GET", "POST", "HEAD", "PURGE"]),
        (bodies(), bodies()),
        any::<[bool; 2]>(),
        any::<bool>(),
        prop::sample::select(vec!["200", "204", "404", "500"]),
        prop::option::of(any::<prop::sample::Index>()),
        0u8..4,
    );
    let turn = turn.prop_map(|(method, (sent, received), trailers, interim, status, cut, padding)| Turn {
        method,
        bodies: [sent, received],
        trailers,
        interim,
        status,
        cut,
        padding,
    });
    prop::collection::vec(turn, 1..8)
}

impl Turn {
    /// A head in one or two frames, perhaps padded.
    fn head(&self, stream: u32, end: bool, fields: &[(&str, &str)]) -> Vec<u8> {
        let block = block(fields);
        let at = self.cut.map_or(block.len(), |cut| cut.index(block.len() + 1));
        let (first, rest) = block.split_at(at);
        let last = if self.cut.is_some() { 0 } else { WHOLE };
        let mut payload = vec![];
        if self.padding > 0 {
            payload.push(self.padding);
        }
        payload.extend([0, 0, 0, 0, 200]);
        payload.extend(first);
        payload.extend(vec![0; self.padding.into()]);
        let flags = PRIO | last | u8::from(end) | if self.padding > 0 { PADDED } else { 0 };
        let mut bytes = frame(HEADERS, flags, stream, payload);
        if self.cut.is_some() {
            bytes.extend(frame(CONTINUATION, WHOLE, stream, rest));
        }
        bytes
    }

    fn body(&self, stream: u32, side: usize) -> Vec<Vec<u8>> {
        let mut frames: Vec<Vec<u8>> = Vec::new();
        let bodies = &self.bodies[side];
        for (index, body) in bodies.iter().enumerate() {
            let end = u8::from(index + 1 == bodies.len() && !self.trailers[side]);
            let padded = [&[self.padding][..], body, &vec![0; self.padding.into()]].concat();
            frames.push(frame(DATA, end | PADDED, stream, padded));
        }
        if self.trailers[side] {
            frames.push(headers(stream, true, &[("a-trailer", "t")]));
        }
        frames
    }

    fn ends_at_once(&self, side: usize) -> bool {
        self.bodies[side].is_empty() && !self.trailers[side]
    }

    fn request(&self, stream: u32) -> Vec<Vec<u8>> {
        let path = format!("/{stream}");
        let fields = [
            (":method", self.method),
            (":scheme", "http"),
            (":path", &path),
            (":authority", "a"),
            ("x", "y"),
        ];
        let mut frames = vec![self.head(stream, self.ends_at_once(0), &fields)];
        frames.extend(self.body(stream, 0));
        frames
    }

    fn response(&self, stream: u32) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        if self.interim {
            frames.push(self.head(stream, false, &[(":status", "103"), ("link", "x")]));
        }
        frames.push(self.head(stream, self.ends_at_once(1), &[(":status", self.status), ("server", "s")]));
        frames.extend(self.body(stream, 1));
        frames
    }

    fn line(&self, stream: u32) -> String {
        let len = |side: usize| self.bodies[side].iter().map(Vec::len).sum::<usize>();
        let interim = usize::from(self.interim);
        format!(
            "{} /{stream} {} -> {} {} {interim} {:?}",
            self.method,
            len(0),
            self.status,
            len(1),
            self.trailers
        )
    }
}

/// Frames of several streams in one order, each stream's own order kept: `picks` draws from whom the next one comes.
fn interleave(mut streams: Vec<std::vec::IntoIter<Vec<u8>>>, picks: &[prop::sample::Index]) -> Vec<u8> {
    let (mut bytes, mut pick) = (Vec::new(), picks.iter().cycle());
    // Streams open in their order.
    for stream in &mut streams {
        bytes.extend(stream.next().unwrap_or_default());
    }
    while !streams.is_empty() {
        let at = pick.next().unwrap().index(streams.len());
        match streams[at].next() {
            Some(frame) => bytes.extend(frame),
            None => drop(streams.remove(at)),
        }
    }
    bytes
}

fn lines(rig: &Rig) -> Vec<String> {
    let mut exchanges: Vec<_> = rig.exchanges().collect();
    exchanges.sort_by_key(|exchange| exchange.stream);
    let line = |exchange: &&crate::decode::exchange::Exchange| {
        let (request, response) = (&exchange.request, &exchange.response);
        let head = request.head.as_ref().unwrap();
        format!(
            "{} {} {} -> {} {} {} {:?}",
            String::from_utf8_lossy(head.method()),
            String::from_utf8_lossy(head.target()),
            request.body_bytes,
            response.head.as_ref().unwrap().status(),
            response.body_bytes,
            exchange.interim.len(),
            [request.trailers.is_some(), response.trailers.is_some()],
        )
    };
    exchanges.iter().map(line).collect()
}

proptest! {
    #[test]
    fn any_order_and_cut_gives_what_was_said(
        turns in turns(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..30),
        sizes in prop::collection::vec(1usize..200, 1..20),
    ) {
        let stream = |index: usize| 2 * u32::try_from(index).unwrap() + 1;
        let frames = |make: &dyn Fn(&Turn, u32) -> Vec<Vec<u8>>| {
            turns.iter().enumerate().map(|(index, turn)| make(turn, stream(index)).into_iter()).collect()
        };
        let requests = interleave(frames(&|turn, stream| turn.request(stream)), &picks);
        let responses = interleave(frames(&|turn, stream| turn.response(stream)), &picks);
        let mut rig = Rig::new();
        // The heads of all requests come before any response; beyond that, the two sides mix.
        let mut sides = [(C, &requests[..]), (S, &responses[..])];
        let heads: usize = turns.iter().enumerate().map(|(index, turn)| turn.request(stream(index))[0].len()).sum();
        feed(&mut rig, C, &requests[..heads], &sizes);
        sides[0].1 = &requests[heads..];
        for (turn, size) in sizes.iter().cycle().enumerate() {
            if sides.iter().all(|(_, rest)| rest.is_empty()) {
                break;
            }
            let (direction, rest) = &mut sides[turn % 2];
            let (piece, behind) = rest.split_at((*size).min(rest.len()));
            *rest = behind;
            if !piece.is_empty() {
                rig.piece(*direction, Piece::Data(piece));
            }
        }
        let expected: Vec<String> =
            turns.iter().enumerate().map(|(index, turn)| turn.line(stream(index))).collect();
        prop_assert_eq!(lines(&rig), expected);
        prop_assert_eq!(rig.reasons(), []);
        prop_assert_eq!(rig.http.in_flight(), 0);
        rig.close();
    }

    /// What the decoder says that it does not need may be missing.
    #[test]
    fn what_is_not_needed_is_not_missed(bodies in prop::collection::vec(0usize..5000, 1..12), copied in 1usize..300) {
        let mut bytes = Vec::new();
        let mut stream = 1;
        for len in &bodies {
            bytes.extend(super::rig::post(stream, "/up"));
            bytes.extend(data(stream, END, vec![0x41; *len]));
            stream += 2;
        }
        let mut rig = Rig::new();
        rig.server(frame(super::rig::SETTINGS, 0, 0, setting(3, 100)));
        let base = rig.http.needed(C).unwrap();
        let mut at = 0;
        while at < bytes.len() {
            let needed = usize::try_from(rig.http.needed(C).unwrap() - base).unwrap();
            if needed > at {
                rig.hole(C, (needed - at) as u64, Absence::Unwanted);
                at = needed;
            } else {
                let end = (at + copied).min(bytes.len());
                rig.client(&bytes[at..end]);
                at = end;
            }
        }
        rig.close();
        let seen: Vec<u64> = rig.exchanges().map(|exchange| exchange.request.body_bytes).collect();
        prop_assert_eq!(seen, bodies.iter().map(|len| *len as u64).collect::<Vec<_>>());
        prop_assert_eq!(rig.reasons(), []);
    }
}

fn feed(rig: &mut Rig, direction: Direction, bytes: &[u8], sizes: &[usize]) {
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        rig.piece(direction, Piece::Data(piece));
        rest = behind;
    }
}
