//! Arbitrary pieces of both directions. Every byte is counted once, what is needed lies ahead, and a key names one request.

#![no_main]

use std::collections::HashSet;

use auditor::assemble::{Absence, Piece};
use auditor::capture::record::{Direction, How};
use auditor::decode::http1::Limits;
use auditor::decode::http1::connection::{End, Http1, Sink};
use auditor::decode::http1::exchange::Decoded;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Step {
    Data { client: bool, bytes: Vec<u8> },
    Text { client: bool, which: u8 },
    Hole { client: bool, len: u16, lost: bool },
    Fin { client: bool },
    Reset { client: bool },
    Waiting(bool),
}

/// Whole parts of messages, so that few steps lead far.
const TEXTS: [&str; 14] = [
    "GET / HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n",
    "HEAD / HTTP/1.1\r\n",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\n",
    "\r\n",
];

fuzz_target!(|input: (bool, bool, Vec<Step>)| {
    let (joined, small, steps) = input;
    let limits = if small {
        Limits { head_bytes: 60, fields: 2, pipelined: 2, held_bytes: 90, interim: 1 }
    } else {
        Limits::default()
    };
    let mut http = Http1::new(Direction::Ingress, if joined { How::Joined } else { How::Passive });
    let (mut out, mut fed) = (Vec::new(), [0u64; 2]);
    for (time, step) in (0u64..).zip(&steps) {
        let mut sink = Sink { limits: &limits, out: &mut out };
        let (client, piece) = match step {
            Step::Data { bytes, .. } if bytes.is_empty() => continue,
            Step::Hole { len: 0, .. } => continue,
            Step::Data { client, bytes } => (*client, Piece::Data(bytes)),
            Step::Text { client, which } => {
                (*client, Piece::Data(TEXTS[usize::from(*which) % TEXTS.len()].as_bytes()))
            }
            Step::Hole { client, len, lost } => {
                let reason = if *lost { Absence::Lost } else { Absence::Unwanted };
                (*client, Piece::Hole { len: u64::from(*len), reason })
            }
            Step::Fin { client } => (*client, Piece::Fin),
            Step::Reset { client } => (*client, Piece::Reset),
            Step::Waiting(waiting) => {
                http.set_waiting(&mut sink, *waiting, time);
                continue;
            }
        };
        let direction = if client { Direction::Ingress } else { Direction::Egress };
        fed[direction as usize] += match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Hole { len, .. } => len,
            Piece::Fin | Piece::Reset => 0,
        };
        http.feed(&mut sink, direction, piece, time);
        balance(&http, fed);
    }
    http.close(&mut Sink { limits: &limits, out: &mut out }, End::Closed, u64::MAX);
    balance(&http, fed);
    assert_eq!(http.in_flight(), 0);
    let (mut requests, mut finished) = (HashSet::new(), HashSet::new());
    for item in &out {
        match item {
            Decoded::Request { key, .. } => assert!(requests.insert(*key)),
            Decoded::Finished(exchange) => {
                assert!(finished.insert(exchange.key));
                assert!(exchange.request.head.is_none() || requests.contains(&exchange.key));
            }
            Decoded::Response { .. } | Decoded::Trouble(_) => {}
        }
    }
    assert!(requests.is_subset(&finished));
});

fn balance(http: &Http1, fed: [u64; 2]) {
    for direction in [Direction::Ingress, Direction::Egress] {
        let counted = http.counts(direction).total() + http.pending(direction);
        assert_eq!(counted, fed[direction as usize]);
        assert!(http.needed(direction).is_none_or(|needed| needed >= counted));
    }
}
