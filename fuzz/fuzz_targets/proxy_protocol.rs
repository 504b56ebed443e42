//! Arbitrary bytes as the start of a direction, in arbitrary pieces. What comes out is what went in; a header is the same
//! however it was split, and read again from its own bytes.

#![no_main]

use auditor::assemble::{Absence, Piece};
use auditor::capture::record::How;
use auditor::decode::proxy_protocol::{Header, Parser, Part, Preamble, Progress};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, Vec<u8>, Vec<u8>)| {
    let (start, rest, cuts) = input;
    let start: &[u8] = match start % 4 {
        0 => b"",
        1 => b"PROXY TCP4 ",
        2 => b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0",
        _ => b"\r\n\r\n\0\r\nQUIT\n",
    };
    let bytes = [start, &rest].concat();
    let whole = Parser::default().push(&bytes);
    if let Ok(Progress::Whole(header, taken)) = &whole {
        assert_eq!(header.len as usize, *taken);
        assert_eq!(Parser::default().push(&bytes[..*taken]), whole);
        assert_eq!(Parser::default().push(&bytes[..*taken - 1]), Ok(Progress::Incomplete));
    }
    let (header, passed) = run(&bytes, &cuts, false);
    let taken = match &whole {
        Ok(Progress::Whole(expected, taken)) => {
            assert_eq!(header.as_deref(), Some(&**expected));
            *taken
        }
        _ => {
            assert_eq!(header, None);
            0
        }
    };
    assert!(bytes[taken..].ends_with(&passed));
    run(&bytes, &cuts, true);
});

/// Feeds the bytes in pieces; with `holes`, every other piece is not there. Gives the header and what was passed on.
fn run(bytes: &[u8], cuts: &[u8], holes: bool) -> (Option<Box<Header>>, Vec<u8>) {
    let (mut preamble, mut rest) = (Preamble::new(How::Passive), bytes);
    let (mut header, mut passed, mut total) = (None, Vec::new(), 0);
    let mut take = |part: Part<'_>| match part {
        Part::Header(found) => {
            assert!(header.is_none() && passed.is_empty());
            total += u64::from(found.len);
            header = Some(found);
        }
        Part::Cut(len) => total += len,
        Part::Missing(..) => assert!(holes),
        Part::Next(Piece::Data(bytes)) => {
            total += bytes.len() as u64;
            passed.extend_from_slice(bytes);
        }
        Part::Next(Piece::Hole { len, .. }) => total += len,
        Part::Next(Piece::Fin | Piece::Reset) => {}
    };
    let mut cuts = cuts.iter();
    let mut missing = false;
    while !rest.is_empty() {
        let len = cuts.next().map_or(rest.len(), |cut| usize::from(*cut) + 1);
        let (piece, behind) = rest.split_at(len.min(rest.len()));
        let given = if holes && missing {
            Piece::Hole { len: piece.len() as u64, reason: Absence::Lost }
        } else {
            Piece::Data(piece)
        };
        preamble.feed(given, 1, &mut |part, _| take(part));
        (rest, missing) = (behind, !missing);
    }
    preamble.give_up(&mut |part, _| take(part));
    assert_eq!(total, bytes.len() as u64);
    (header, passed)
}
