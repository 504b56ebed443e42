//! Arbitrary frames and pieces of both directions. Every byte is counted once, what is needed lies ahead, a key names one
//! request, and no more is held than the limits allow.

#![no_main]

use std::collections::HashSet;

use auditor::assemble::{Absence, Piece};
use auditor::capture::record::{Direction, How};
use auditor::decode::connection::Decoder;
use auditor::decode::exchange::Decoded;
use auditor::decode::http1;
use auditor::decode::http1::connection::{End, Sink};
use auditor::decode::http2::Limits;
use auditor::decode::http2::connection::Http2;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Step {
    Data { client: bool, bytes: Vec<u8> },
    Frame { client: bool, kind: u8, flags: u8, stream: u8, payload: Vec<u8> },
    Text { client: bool, which: u8, stream: u8 },
    Hole { client: bool, len: u16, lost: bool },
    Fin { client: bool },
    Reset { client: bool },
    Waiting(bool),
}

/// Blocks that are valid, so that few steps lead far.
const BLOCKS: [&[u8]; 6] =
    [&[0x82, 0x84, 0x86, 0x41, 1, b'a'], &[0x83, 0x84, 0x86, 0xbe], &[0x88], &[0x88, 0x40, 1, b'x', 1, b'y'], &[0xbe], &[0x3f, 0x01]];

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

fuzz_target!(|input: (bool, bool, bool, Vec<Step>)| {
    let (joined, small, greeted, steps) = input;
    let how = if joined { How::Joined } else { How::Passive };
    let limits = if small {
        Limits { head_bytes: 60, fields: 3, block_frames: 3, streams: 3, heads_bytes: 200, held_bytes: 90, interim: 1 }
    } else {
        Limits::default()
    };
    let mut http2 = Http2::new(Direction::Ingress, how, limits);
    let mut decoder = Decoder::new(Direction::Ingress, how);
    let (mut out, mut other, mut fed) = (Vec::new(), Vec::new(), [0u64; 2]);
    let http1 = http1::Limits::default();
    let mut give = |http2: &mut Http2, out: &mut Vec<Decoded>, client: bool, piece: Piece<'_>, time: u64| {
        let direction = if client { Direction::Ingress } else { Direction::Egress };
        fed[direction as usize] += match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Hole { len, .. } => len,
            Piece::Fin | Piece::Reset => 0,
        };
        http2.feed(out, direction, piece, time);
        decoder.feed(&mut Sink { limits: &http1, out: &mut other }, direction, piece, time);
        for direction in [Direction::Ingress, Direction::Egress] {
            let counted = http2.counts(direction).total() + http2.pending(direction);
            assert_eq!(counted, fed[direction as usize]);
            assert!(http2.needed(direction).is_none_or(|needed| needed >= counted));
            let counted = decoder.counts(direction).total() + decoder.pending(direction);
            assert_eq!(counted, fed[direction as usize]);
        }
        assert!(http2.in_flight() <= limits.streams);
    };
    if greeted {
        let hello = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat();
        give(&mut http2, &mut out, true, Piece::Data(&hello), 0);
        give(&mut http2, &mut out, false, Piece::Data(&frame(4, 0, 0, &[])), 0);
    }
    for (time, step) in (1u64..).zip(&steps) {
        match step {
            Step::Data { bytes, .. } if bytes.is_empty() => {}
            Step::Hole { len: 0, .. } => {}
            Step::Data { client, bytes } => give(&mut http2, &mut out, *client, Piece::Data(bytes), time),
            Step::Frame { client, kind, flags, stream, payload } => {
                let bytes = frame(kind % 11, *flags, *stream, payload);
                give(&mut http2, &mut out, *client, Piece::Data(&bytes), time);
            }
            Step::Text { client, which, stream } => {
                let bytes = frame(1, 4 | which >> 7, *stream, BLOCKS[usize::from(*which) % BLOCKS.len()]);
                give(&mut http2, &mut out, *client, Piece::Data(&bytes), time);
            }
            Step::Hole { client, len, lost } => {
                let reason = if *lost { Absence::Lost } else { Absence::Unwanted };
                give(&mut http2, &mut out, *client, Piece::Hole { len: u64::from(*len), reason }, time);
            }
            Step::Fin { client } => give(&mut http2, &mut out, *client, Piece::Fin, time),
            Step::Reset { client } => give(&mut http2, &mut out, *client, Piece::Reset, time),
            Step::Waiting(waiting) => http2.set_waiting(&mut out, *waiting, time),
        }
    }
    http2.close(&mut out, End::Closed, u64::MAX);
    decoder.close(&mut Sink { limits: &http1, out: &mut other }, End::Closed, u64::MAX);
    assert_eq!((http2.in_flight(), decoder.in_flight()), (0, 0));
    for out in [&out, &other] {
        let (mut requests, mut finished) = (HashSet::new(), HashSet::new());
        for item in out {
            match item {
                Decoded::Request { key, .. } => assert!(requests.insert(*key)),
                Decoded::Finished(exchange) => {
                    assert!(finished.insert(exchange.key));
                    assert!(exchange.request.head.is_none() || requests.contains(&exchange.key));
                    let _ = exchange.grpc();
                }
                Decoded::Response { .. } | Decoded::Trouble(_) => {}
            }
        }
        assert!(requests.is_subset(&finished));
    }
});
