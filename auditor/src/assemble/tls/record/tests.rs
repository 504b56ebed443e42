//! Records in any pieces are the same records; gaps stand where they were.

use proptest::prelude::*;

use super::*;

/// Contents, length of the fragment, the bytes that are there, the gaps.
type Seen = (ContentType, usize, Vec<u8>, Vec<Gap>);

fn note(seen: &mut Vec<Seen>, header: &Header, fragment: &Fragment<'_>) {
    let (mut bytes, mut gaps) = (vec![], vec![]);
    for part in fragment.parts() {
        match part {
            Part::Present(_, present) => bytes.extend(present),
            Part::Absent(gap) => gaps.push(gap),
        }
    }
    assert_eq!(header.len, bytes.len() + gaps.iter().map(|gap| gap.len).sum::<usize>());
    seen.push((header.content, fragment.len(), bytes, gaps));
}

fn data(reader: &mut Reader, seen: &mut Vec<Seen>, mut bytes: &[u8]) -> Result<(), BadHeader> {
    while !bytes.is_empty() {
        match reader.step(bytes) {
            Step::More => return Ok(()),
            Step::Borrowed(header, fragment, rest) => {
                note(seen, &header, &fragment);
                bytes = rest;
            }
            Step::Collected(held, rest) => {
                note(seen, &held.header, &held.fragment.fragment());
                bytes = rest;
            }
            Step::Bad(bad, _) => return Err(bad),
        }
    }
    Ok(())
}

fn stream(lens: &[usize]) -> Vec<u8> {
    let mut bytes = vec![];
    for (index, len) in lens.iter().enumerate() {
        bytes.extend([20 + u8::try_from(index % 5).unwrap(), 3, 3]);
        bytes.extend(u16::try_from(*len).unwrap().to_be_bytes());
        bytes.extend((0..*len).map(|at| u8::try_from(at % 256).unwrap()));
    }
    bytes
}

proptest! {
    #[test]
    fn any_cut(lens in prop::collection::vec(0usize..300, 1..8), cuts in prop::collection::vec(1usize..50, 1..20)) {
        let bytes = stream(&lens);
        let (mut whole, mut cut) = (vec![], vec![]);
        data(&mut Reader::default(), &mut whole, &bytes).unwrap();
        prop_assert_eq!(whole.iter().map(|it| it.1).collect::<Vec<_>>(), lens);
        let mut reader = Reader::default();
        let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            data(&mut reader, &mut cut, piece).unwrap();
            rest = behind;
        }
        prop_assert_eq!(whole, cut);
        prop_assert_eq!(reader.pending(), 0);
        prop_assert!(reader.partial.is_none());
    }

    #[test]
    fn parts_cover_any_range(cuts in prop::collection::vec((0usize..20, 1usize..20), 0..6), range in (0usize..200, 0usize..200)) {
        let mut collected = Collected::default();
        for (present, absent) in cuts {
            collected.bytes.extend((0..present).map(|it| u8::try_from(it).unwrap()));
            collected.len += present;
            collected.push_gap(absent, Absence::Lost);
        }
        let fragment = collected.fragment();
        let (from, to) = (range.0.min(range.1).min(fragment.len()), range.0.max(range.1).min(fragment.len()));
        let mut at = from;
        for part in fragment.parts_within(from, to) {
            let (start, len) = match part {
                Part::Present(start, bytes) => (start, bytes.len()),
                Part::Absent(gap) => (gap.at, gap.len),
            };
            prop_assert_eq!(start, at);
            prop_assert!(len > 0);
            at += len;
        }
        prop_assert_eq!(at, to);
    }
}

#[test]
fn a_hole_in_a_fragment_is_a_gap() {
    let mut reader = Reader::default();
    let mut seen = vec![];
    let bytes = stream(&[20, 4]);
    data(&mut reader, &mut seen, &bytes[..8]).unwrap();
    assert_eq!(reader.step_hole(7, Absence::Unwanted).unwrap().0, 7);
    data(&mut reader, &mut seen, &bytes[15..]).unwrap();
    assert_eq!(seen[0].3, [Gap { at: 3, len: 7, reason: Absence::Unwanted }]);
    assert_eq!(seen[1].1, 4);
}

#[test]
fn a_hole_that_ends_a_record_completes_it_and_one_in_a_header_loses_the_place() {
    let mut reader = Reader::default();
    let mut seen = vec![];
    let bytes = stream(&[20, 4]);
    data(&mut reader, &mut seen, &bytes[..5]).unwrap();
    let (taken, record) = reader.step_hole(22, Absence::Lost).unwrap();
    assert_eq!(taken, 20);
    assert_eq!(record.unwrap().fragment.gaps, [Gap { at: 0, len: 20, reason: Absence::Lost }]);
    assert!(reader.step_hole(2, Absence::Lost).is_none());
}

#[test]
fn what_is_no_header() {
    for (bytes, expected) in [
        (&[19, 3, 3, 0, 1][..], BadHeader::NotTls),
        (&[23, 2, 3, 0, 1], BadHeader::NotTls),
        (&[23, 3, 5, 0, 1], BadHeader::NotTls),
        (b"GET /", BadHeader::NotTls),
        (&[23, 3, 3, 0x48, 0x01], BadHeader::TooLong),
    ] {
        assert_eq!(data(&mut Reader::default(), &mut vec![], bytes), Err(expected));
    }
    assert_eq!(data(&mut Reader::default(), &mut vec![], &[23, 3, 3, 0x48, 0x00]), Ok(()));
}
