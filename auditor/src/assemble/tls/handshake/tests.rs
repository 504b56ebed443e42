//! Messages in any parts are the same messages; what is absent or too long is passed over.

use proptest::prelude::*;

use super::*;

fn message(kind: u8, len: usize) -> Vec<u8> {
    let mut bytes = u32::try_from(len).unwrap().to_be_bytes().to_vec();
    bytes[0] = kind;
    bytes.resize(HEADER + len, kind);
    bytes
}

fn read(messages: &mut Messages, mut bytes: &[u8], limit: usize) -> Vec<(u8, Result<usize, Unread>)> {
    let mut seen = vec![];
    while let Some(message) = messages.step(&mut bytes, limit) {
        seen.push((message.kind, message.body.map(|body| body.len())));
    }
    seen
}

proptest! {
    #[test]
    fn any_cut(lens in prop::collection::vec(0usize..100, 1..6), cuts in prop::collection::vec(1usize..30, 1..20)) {
        let bytes: Vec<u8> = lens.iter().flat_map(|len| message(7, *len)).collect();
        let expected: Vec<_> =
            lens.iter().map(|len| (7, if *len > 80 { Err(Unread::TooLong) } else { Ok(*len) })).collect();
        let mut messages = Messages::default();
        let (mut rest, mut cuts, mut seen) = (&bytes[..], cuts.iter().cycle(), vec![]);
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            seen.extend(read(&mut messages, piece, 80));
            prop_assert!(messages.weight() <= 160);
            rest = behind;
        }
        prop_assert_eq!(seen, expected);
        prop_assert!(messages.at_boundary());
    }
}

#[test]
fn an_absent_part_is_passed_over_by_the_length() {
    let mut messages = Messages::default();
    let bytes = [message(11, 50), message(20, 3)].concat();
    assert_eq!(read(&mut messages, &bytes[..20], 99), []);
    assert!(messages.skip(10).is_none());
    assert_eq!(read(&mut messages, &bytes[30..], 99), [(11, Err(Unread::Absent)), (20, Ok(3))]);
}

#[test]
fn an_absent_header_loses_the_place_until_keys_change() {
    let mut messages = Messages::default();
    assert!(messages.skip(10).is_none());
    assert_eq!(read(&mut messages, &message(20, 3), 99), []);
    messages.reset();
    assert_eq!(read(&mut messages, &message(20, 3), 99), [(20, Ok(3))]);
}

#[test]
fn an_absent_part_that_goes_over_the_end_loses_the_place() {
    let mut messages = Messages::default();
    let bytes = message(11, 50);
    assert_eq!(read(&mut messages, &bytes[..20], 99), []);
    let message = messages.skip(60).unwrap();
    assert_eq!((message.kind, message.body.map(|body| body.len())), (11, Err(Unread::Absent)));
    assert!(!messages.at_boundary());
}
