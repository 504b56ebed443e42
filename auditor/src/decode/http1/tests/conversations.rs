//! Whole conversations through [`Stream`] and the decoder: however the bytes are cut, repeated and reordered, and whatever
//! bodies hold, the exchanges are those of the model, and no others.

use proptest::prelude::*;

use super::rig::{C, Rig, S};
use crate::assemble::stream::{Limits, Stream};
use crate::assemble::{Absence, Piece};
use crate::capture::record::{Direction, Segment};
use crate::decode::http1::exchange::{Decoded, Outcome};

#[derive(Clone, Debug)]
enum Body {
    None,
    Sized(Vec<u8>),
    Chunked(Vec<Vec<u8>>, bool),
}

#[derive(Clone, Debug)]
struct Turn {
    method: &'static str,
    body: Body,
    interim: bool,
    status: u16,
    answer: Body,
    /// The next request is sent before this one is answered.
    pipelined: bool,
}

impl Body {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => out.extend_from_slice(b"\r\n"),
            Self::Sized(bytes) => {
                out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
            }
            Self::Chunked(chunks, trailers) => {
                out.extend_from_slice(b"transfer-encoding: Chunked\r\n\r\n");
                for chunk in chunks {
                    out.extend_from_slice(format!("{:x};ext=\"1\"\r\n", chunk.len()).as_bytes());
                    out.extend_from_slice(chunk);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(if *trailers { b"0\r\nT: v\r\n\r\n" } else { b"0\r\n\r\n" });
            }
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Sized(bytes) => bytes.len() as u64,
            Self::Chunked(chunks, _) => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
        }
    }
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
        Just(b"\r\n0\r\n\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 1..40),
    ];
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.concat())
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::None),
        content().prop_map(Body::Sized),
        (prop::collection::vec(content(), 0..4), any::<bool>())
            .prop_map(|(chunks, t)| Body::Chunked(chunks, t)),
    ]
}

fn turn() -> impl Strategy<Value = Turn> {
    let method = prop::sample::select(vec!["GET", "POST", "HEAD", "OPTIONS", "purge"]);
    let status = prop::sample::select(vec![200, 204, 304, 404, 500]);
    (method, body(), any::<bool>(), status, body(), any::<bool>()).prop_map(
        |(method, body, interim, status, answer, pipelined)| {
            // Without a length a response ends with the connection: the last one is made so below.
            let answer = if matches!(answer, Body::None) { Body::Sized(Vec::new()) } else { answer };
            Turn { method, body, interim, status, answer, pipelined }
        },
    )
}

/// A run of bytes that one side sends.
type Burst = (Direction, Vec<u8>);

/// The bytes of a conversation in the order in which they can be sent, and what is to come out: one line an exchange.
fn script(turns: &[Turn], until_close: Option<&[u8]>) -> (Vec<Burst>, Vec<String>) {
    let (mut bursts, mut lines, mut owed) = (Vec::new(), Vec::new(), Vec::new());
    for (index, turn) in turns.iter().enumerate() {
        let mut request = format!("{} /{index}?q HTTP/1.1\r\nHost: a.example\r\n", turn.method).into_bytes();
        turn.body.write(&mut request);
        bursts.push((C, request));
        let interim = if turn.interim { "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" } else { "" };
        let mut response = format!("{interim}HTTP/1.1 {} Reason\r\nServer: s\r\n", turn.status).into_bytes();
        let empty = turn.method == "HEAD" || matches!(turn.status, 204 | 304);
        let last = index + 1 == turns.len();
        let received = match until_close {
            Some(bytes) if last && !empty => {
                response.extend_from_slice(b"\r\n");
                response.extend_from_slice(bytes);
                bytes.len() as u64
            }
            _ if empty => {
                response.extend_from_slice(b"Content-Length: 1234\r\n\r\n");
                0
            }
            _ => {
                turn.answer.write(&mut response);
                turn.answer.len()
            }
        };
        owed.push((S, response));
        if !turn.pipelined || last {
            bursts.append(&mut owed);
        }
        let (sent, interim) = (turn.body.len(), usize::from(turn.interim));
        lines.push(format!("{} /{index}?q {sent} -> {} {received} {interim}", turn.method, turn.status));
    }
    (bursts, lines)
}

/// Cuts for a burst, as fractions of it; whether each piece comes twice; and the order of the pieces.
type Cuts = (Vec<prop::sample::Index>, Vec<bool>, u64);

/// The segments of all bursts: in each burst cut, repeated, and shuffled. Bursts of one side in a row are one.
fn segments(bursts: &[Burst], cuts: &[Cuts]) -> Vec<(Direction, u64, Vec<u8>)> {
    let mut joined: Vec<Burst> = Vec::new();
    for (direction, bytes) in bursts {
        match joined.last_mut() {
            Some((last, all)) if last == direction => all.extend_from_slice(bytes),
            _ => joined.push((*direction, bytes.clone())),
        }
    }
    let mut offsets = [0u64; 2];
    let mut all = Vec::new();
    for ((direction, bytes), (cuts, twice, seed)) in joined.iter().zip(cuts.iter().cycle()) {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let mut burst = Vec::new();
        for (pair, twice) in at.windows(2).zip(twice.iter().cycle()) {
            let start = offsets[*direction as usize] + pair[0] as u64;
            burst.push((*direction, start, bytes[pair[0]..pair[1]].to_vec()));
            if *twice {
                // A repetition that begins earlier and so overlaps what came before.
                let early = pair[0].saturating_sub(3);
                let start = offsets[*direction as usize] + early as u64;
                burst.push((*direction, start, bytes[early..pair[1]].to_vec()));
            }
        }
        let mut state = *seed | 1;
        for index in (1..burst.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            burst.swap(index, usize::try_from(state >> 33).unwrap() % (index + 1));
        }
        offsets[*direction as usize] += bytes.len() as u64;
        all.append(&mut burst);
    }
    all
}

/// Both streams of a connection, before its decoder. A segment takes one unit of time.
struct Wire {
    rig: Rig,
    streams: [Stream; 2],
    limits: Limits,
    time: u64,
}

impl Wire {
    /// Lets `act` work on a stream and feeds what it gives out.
    fn step(&mut self, direction: Direction, act: impl FnOnce(&mut Stream, &mut dyn FnMut(Piece<'_>, u64))) {
        let mut pieces = Vec::new();
        act(&mut self.streams[direction as usize], &mut |piece, time| {
            let piece = match piece {
                Piece::Data(bytes) => Ok(bytes.to_vec()),
                Piece::Hole { len, reason } => Err(Some((len, reason))),
                Piece::Fin | Piece::Reset => Err(None),
            };
            pieces.push((piece, time));
        });
        for (piece, time) in &pieces {
            let piece = match piece {
                Ok(bytes) => Piece::Data(bytes),
                Err(Some((len, reason))) => Piece::Hole { len: *len, reason: *reason },
                Err(None) => Piece::Fin,
            };
            self.rig.piece_at(direction, piece, *time);
        }
        self.rig.waiting(self.streams[C as usize].is_waiting());
    }

    fn push(&mut self, segment: &Segment<'_>) {
        let (limits, time) = (self.limits, self.time);
        self.step(segment.direction, |stream, mut out| stream.push(&limits, segment, time, &mut out));
        for direction in [C, S] {
            self.step(direction, |stream, mut out| stream.expire(&limits, time, &mut out));
        }
        self.time += 1;
    }
}

/// Runs segments through both streams and the decoder. `skip`: bytes that the decoder does not need are not copied.
/// `age`: for how many segments a missing one is waited for.
fn run(segments: &[(Direction, u64, Vec<u8>)], skip: bool, age: u64) -> Rig {
    let limits = Limits { age, ..Limits::default() };
    let mut wire = Wire { rig: Rig::new(), streams: [Stream::new(), Stream::new()], limits, time: 0 };
    let mut ends = [0u64; 2];
    for (direction, offset, bytes) in segments {
        let (direction, len) = (*direction, u32::try_from(bytes.len()).unwrap());
        let end = offset + u64::from(len);
        let unneeded = wire.rig.http.needed(direction).is_some_and(|needed| needed >= end);
        let bytes: &[u8] = if skip && unneeded { &[] } else { bytes };
        ends[direction as usize] = ends[direction as usize].max(end);
        wire.push(&Segment {
            direction,
            offset: *offset,
            len,
            bytes,
            fin: false,
            rst: false,
            received: None,
        });
    }
    for direction in [S, C] {
        let offset = ends[direction as usize];
        wire.push(&Segment { direction, offset, len: 0, bytes: &[], fin: true, rst: false, received: None });
    }
    for direction in [C, S] {
        wire.step(direction, |stream, mut out| stream.finish(None, 0, &mut out));
    }
    wire.rig.close();
    wire.rig
}

fn check(rig: &Rig, expected: &[String]) -> Result<(), TestCaseError> {
    let lines: Vec<String> = rig
        .exchanges()
        .map(|exchange| {
            let request = exchange.request.head.as_ref().unwrap();
            format!(
                "{} {} {} -> {} {} {}",
                String::from_utf8_lossy(request.method()),
                String::from_utf8_lossy(request.target()),
                exchange.request.body_bytes,
                exchange.response.head.as_ref().map_or(0, |head| head.status()),
                exchange.response.body_bytes,
                exchange.interim.len()
            )
        })
        .collect();
    prop_assert_eq!(&lines, expected);
    prop_assert!(rig.exchanges().all(|exchange| exchange.outcome == Outcome::Completed));
    prop_assert_eq!(rig.troubles().count(), 0);
    let heads =
        rig.out.iter().filter(|item| matches!(item, Decoded::Request { .. } | Decoded::Response { .. }));
    prop_assert_eq!(heads.count(), expected.len() * 2);
    for direction in [C, S] {
        prop_assert_eq!(rig.http.counts(direction).unparsed + rig.http.counts(direction).missing, 0);
    }
    // Each message's parts add up to what its direction carried, but for interim heads.
    let wire: u64 =
        rig.exchanges().map(|exchange| exchange.request.head_bytes + exchange.request.wire_bytes).sum();
    prop_assert_eq!(wire, rig.http.counts(C).total());
    Ok(())
}

fn conversation() -> impl Strategy<Value = (Vec<Turn>, Option<Vec<u8>>)> {
    (prop::collection::vec(turn(), 1..6), prop::option::of(content()))
}

fn cuts() -> impl Strategy<Value = Vec<Cuts>> {
    let one = (
        prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        prop::collection::vec(any::<bool>(), 1..6),
        any::<u64>(),
    );
    prop::collection::vec(one, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_cut_and_order_gives_the_model((turns, until_close) in conversation(), cuts in cuts()) {
        let (bursts, expected) = script(&turns, until_close.as_deref());
        check(&run(&segments(&bursts, &cuts), false, u64::MAX), &expected)?;
    }

    #[test]
    fn what_is_not_needed_is_not_missed((turns, until_close) in conversation(), cuts in cuts()) {
        let (bursts, expected) = script(&turns, until_close.as_deref());
        check(&run(&segments(&bursts, &cuts), true, u64::MAX), &expected)?;
    }

    /// A segment of a request, though not the last of its burst, is seen only after the answer.
    #[test]
    fn a_late_request_gets_its_answer(
        (turns, until_close) in conversation(),
        cuts in cuts(),
        late in any::<prop::sample::Index>(),
    ) {
        let (bursts, expected) = script(&turns, until_close.as_deref());
        let mut segments = segments(&bursts, &cuts);
        let from = late.index(segments.len());
        let burst_end = segments[from..].iter().position(|(direction, ..)| *direction == S).map(|at| from + at);
        let answer_end = burst_end.map(|start| {
            segments[start..].iter().position(|(direction, ..)| *direction == C).map_or(segments.len(), |at| start + at)
        });
        if let (Some(burst_end), Some(answer_end)) = (burst_end, answer_end)
            && segments[from].0 == C
        {
            let end = segments[from].1 + segments[from].2.len() as u64;
            if segments[..burst_end].iter().any(|(direction, at, bytes)| *direction == C && *at >= end && !bytes.is_empty()) {
                segments[from..answer_end].rotate_left(1);
            }
        }
        check(&run(&segments, false, u64::MAX), &expected)?;
    }

    /// With bytes lost, nothing comes out that was not sent: every request is one of the model's, in order, and an answer is
    /// the one that the model gives it.
    #[test]
    fn losses_invent_nothing(
        (turns, until_close) in conversation(),
        cuts in cuts(),
        lost in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        age in 1..30u64,
    ) {
        let (bursts, _) = script(&turns, until_close.as_deref());
        let mut segments = segments(&bursts, &cuts);
        for index in lost {
            if segments.len() > 1 {
                segments.remove(index.index(segments.len()));
            }
        }
        let rig = run(&segments, false, age);
        let mut last = None;
        for exchange in rig.exchanges() {
            let Some(head) = &exchange.request.head else { continue };
            let index: usize = std::str::from_utf8(head.path()).unwrap()[1..].parse().unwrap();
            prop_assert!(last.is_none_or(|last| last < index));
            last = Some(index);
            prop_assert_eq!(head.method(), turns[index].method.as_bytes());
            if let Some(response) = &exchange.response.head {
                prop_assert_eq!(response.status(), turns[index].status);
            }
        }
    }
}

#[test]
fn every_cut_in_two_gives_the_same() {
    let turns = [
        Turn {
            method: "POST",
            body: Body::Sized(b"GET /evil HTTP/1.1\r\n\r\n".to_vec()),
            interim: true,
            status: 200,
            answer: Body::Chunked(vec![b"HTTP/1.1 500 Evil\r\n\r\n".to_vec(), b"x".to_vec()], true),
            pipelined: false,
        },
        Turn {
            method: "HEAD",
            body: Body::None,
            interim: false,
            status: 200,
            answer: Body::None,
            pipelined: false,
        },
    ];
    let (bursts, expected) = script(&turns, None);
    for (index, (_, bytes)) in bursts.iter().enumerate() {
        for cut in 0..=bytes.len() {
            let mut rig = Rig::new();
            for (at, (direction, bytes)) in bursts.iter().enumerate() {
                let (a, b) = if at == index { bytes.split_at(cut) } else { bytes.split_at(0) };
                for part in [a, b].into_iter().filter(|part| !part.is_empty()) {
                    rig.piece(*direction, Piece::Data(part));
                }
            }
            rig.close();
            check(&rig, &expected).unwrap();
        }
    }
    let mut rig = Rig::new();
    rig.hole(S, 1, Absence::Lost).close().check(&[]);
}
