//! Arbitrary segments into a stream. The pieces add up to its offset, its bounds hold, and it ends at most once.

#![no_main]

use auditor::assemble::Piece;
use auditor::assemble::stream::{Limits, Stream};
use auditor::capture::record::{Direction, Segment};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Step {
    Segment { offset: u16, len: u16, copied: u8, fill: u8, fin: bool },
    Far { offset: u64, len: u32 },
    Reset { offset: u16, egress: bool },
    Expire,
}

fuzz_target!(|input: (u8, u8, Vec<Step>)| {
    let limits = Limits { bytes: usize::from(input.0), ranges: usize::from(input.1), age: 3 };
    let mut stream = Stream::new();
    let (mut out, mut ends, mut resets) = (0u64, 0, 0);
    for (time, step) in (0u64..).zip(input.2) {
        let mut bytes = Vec::new();
        let mut segment =
            Segment { direction: Direction::Ingress, offset: 0, len: 0, bytes: &[], fin: false, rst: false, received: None };
        let mut take = |piece: Piece<'_>, _| match piece {
            Piece::Data(bytes) => {
                assert!(!bytes.is_empty() && ends == 0);
                out += bytes.len() as u64;
            }
            Piece::Hole { len, .. } => {
                assert!(len > 0 && ends == 0);
                out += len;
            }
            Piece::Fin => ends += 1,
            Piece::Reset => resets += 1,
        };
        match step {
            Step::Segment { offset, len, copied, fill, fin } => {
                bytes.resize(usize::from(copied), fill);
                segment = Segment { offset: offset.into(), len: len.into(), fin, ..segment };
            }
            Step::Far { offset, len } => segment = Segment { offset, len, ..segment },
            Step::Reset { offset, egress } => {
                let direction = if egress { Direction::Egress } else { Direction::Ingress };
                segment = Segment { direction, offset: offset.into(), rst: true, ..segment };
            }
            Step::Expire => {
                stream.expire(&limits, time, &mut take);
                continue;
            }
        }
        stream.push(&limits, &Segment { bytes: &bytes, ..segment }, time, &mut take);
        // Each range takes room of its own (the property test of the stream has the same bound).
        assert!(stream.held_bytes() <= limits.bytes + limits.ranges * 64);
        if resets > 0 {
            break;
        }
    }
    stream.finish(None, u64::MAX, &mut |piece, _| match piece {
        Piece::Data(bytes) => out += bytes.len() as u64,
        Piece::Hole { len, .. } => out += len,
        Piece::Fin | Piece::Reset => ends += 1,
    });
    assert!(ends <= 1 && !stream.is_waiting());
    assert_eq!(out, stream.offset());
});
