//! The start of a direction: what is taken off, and what passes through.

use proptest::prelude::*;

use super::super::{Part, Preamble};
use super::{INET, two};
use crate::assemble::{Absence, Piece};
use crate::capture::record::How;

/// What came out, in short: `H` and its length, `M` missing, `C` cut, the bytes, `-` for bytes that are not there, `.` the end.
fn run(how: How, pieces: &[Piece<'_>]) -> String {
    let (mut preamble, mut out) = (Preamble::new(how), String::new());
    let mut note = |part: Part<'_>| match part {
        Part::Header(header) => out += &format!("H{} ", header.len),
        Part::Missing(len, _) => out += &format!("M{len} "),
        Part::Cut(len) => out += &format!("C{len} "),
        Part::Next(Piece::Data(bytes)) => out += &String::from_utf8_lossy(bytes),
        Part::Next(Piece::Hole { len, .. }) => out += &"-".repeat(usize::try_from(len).unwrap()),
        Part::Next(Piece::Fin | Piece::Reset) => out += ".",
    };
    for piece in pieces {
        preamble.feed(*piece, 1, &mut |part, _| note(part));
    }
    preamble.give_up(&mut |part, _| note(part));
    assert!(!preamble.is_unsure());
    out
}

const LINE: &[u8] = b"PROXY UNKNOWN\r\n";

fn hole(len: u64) -> Piece<'static> {
    Piece::Hole { len, reason: Absence::Lost }
}

#[test]
fn parts() {
    let check = |pieces: &[Piece<'_>], expected: &str| {
        assert_eq!(run(How::Passive, pieces), expected, "{pieces:?}");
    };
    let v2 = two(0x21, 0x11, &[&INET[..], &[4, 0, 9]].concat());
    check(&[Piece::Data(LINE), Piece::Data(b"GET")], "H15 GET");
    check(&[Piece::Data(&[LINE, b"GET"].concat()), Piece::Fin], "H15 GET.");
    check(&[Piece::Data(b"PRO"), Piece::Data(b"XY "), Piece::Data(b"UNKNOWN\r\n")], "H15 ");
    // None, found out late: nothing is lost, and only the start is looked at.
    check(&[Piece::Data(b"GET"), Piece::Data(LINE)], "GETPROXY UNKNOWN\r\n");
    check(&[Piece::Data(b"P"), Piece::Data(b"OST")], "POST");
    check(&[Piece::Data(b"\r"), Piece::Data(b"\n"), Piece::Data(b"GET")], "\r\nGET");
    check(&[Piece::Data(LINE), Piece::Data(LINE)], "H15 PROXY UNKNOWN\r\n");
    // The end, or a hole, where it is not known yet.
    check(&[Piece::Data(b"PROXY "), Piece::Fin], "PROXY .");
    check(&[Piece::Data(b"PROXY "), hole(3)], "PROXY ---");
    check(&[Piece::Data(b"PROXY ")], "PROXY ");
    check(&[hole(3), Piece::Data(LINE)], "---PROXY UNKNOWN\r\n");
    check(&[Piece::Fin], ".");
    check(&[], "");
    // Behind the addresses of version 2 its end is known.
    check(&[Piece::Data(&v2[..28]), Piece::Fin], "C28 .");
    check(&[Piece::Data(&v2[..28]), hole(1)], "M1 C29 ");
    check(&[Piece::Data(&v2[..28]), hole(5), Piece::Data(b"GET")], "M3 H31 --GET");
    check(&[Piece::Data(&v2[..20]), hole(11)], &(String::from_utf8_lossy(&v2[..20]) + "-----------"));
}

#[test]
fn a_connection_that_was_open_before_has_no_start() {
    assert_eq!(run(How::Joined, &[Piece::Data(LINE)]), "PROXY UNKNOWN\r\n");
}

proptest! {
    /// Whatever comes: the parts are the pieces.
    #[test]
    fn nothing_is_lost(
        start in prop_oneof![Just(&b""[..]), Just(LINE), Just(&b"PROXY TCP4 1.1.1.1 1"[..])],
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
        at in 0usize..60,
    ) {
        let whole = [start, &bytes].concat();
        let (a, b) = whole.split_at(at.min(whole.len()));
        let pieces: Vec<Piece<'_>> = [a, b].into_iter().filter(|p| !p.is_empty()).map(Piece::Data).collect();
        let mut preamble = Preamble::new(How::Active);
        let mut total = 0;
        let mut count = |part: Part<'_>| total += match part {
            Part::Header(header) => u64::from(header.len),
            Part::Cut(len) => len,
            Part::Next(Piece::Data(bytes)) => bytes.len() as u64,
            _ => 0,
        };
        pieces.iter().for_each(|piece| preamble.feed(*piece, 1, &mut |part, _| count(part)));
        preamble.give_up(&mut |part, _| count(part));
        prop_assert_eq!(total, whole.len() as u64);
    }
}
