//! The arithmetic of offsets and windows against models that cannot overflow.

use auditor_ebpf::window::{
    WANT_CELLS, WANT_SLOTS, Want, fragment_len, offset_of, pack_want, unpack_want, want_cell, window,
};
use proptest::prelude::*;

/// Offsets that a connection can reach, those around a wrap more often than chance has it.
fn offsets() -> impl Strategy<Value = u64> {
    let around_wrap = (0u64..1 << 16, -3i64..=3)
        .prop_map(|(wraps, by)| ((wraps << 32) | (1 << 31)).saturating_add_signed(by << 30));
    prop_oneof![0u64..1 << 48, around_wrap, 0u64..16]
}

/// The sequence number of `offset`.
fn sequence_of(offset: i128, first: u32) -> u32 {
    u32::try_from((i128::from(first) + offset).rem_euclid(1 << 32)).expect("below 2^32")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Whatever lies within 2 GiB of the highest offset is placed exactly, before the first byte as well.
    #[test]
    fn an_offset_is_found_again(highest in offsets(), first: u32, distance in -(1i64 << 31)..(1i64 << 31)) {
        let offset = i128::from(highest) + i128::from(distance);
        let sequence = sequence_of(offset, first);
        prop_assert_eq!(i128::from(offset_of(sequence, first, highest)), offset);
    }

    /// Of all places that a sequence number may mean, it is the nearest, the earlier of two equally near.
    #[test]
    fn it_is_the_nearest_place(sequence: u32, first: u32, highest in offsets()) {
        let found = i128::from(offset_of(sequence, first, highest));
        prop_assert_eq!(sequence_of(found, first), sequence);
        let distance = found - i128::from(highest);
        prop_assert!((-(1i128 << 31)..1i128 << 31).contains(&distance), "{}", distance);
    }

    /// A stream that is followed step by step is never lost, however long it is.
    #[test]
    fn a_long_stream_is_followed(first: u32, steps in prop::collection::vec(0u32..1 << 31, 1..64)) {
        let mut offset = 0u64;
        let mut highest = 0u64;
        for step in steps {
            offset += u64::from(step);
            let found = offset_of(sequence_of(i128::from(offset), first), first, highest);
            prop_assert_eq!(u64::try_from(found), Ok(offset));
            highest = offset;
        }
    }

    /// From where the window starts, `limit` bytes are copied; the start is the turn's, or what is wanted if that is later.
    #[test]
    fn the_window_holds_what_is_needed(base in offsets(), want in offsets(), limit in 0u64..1 << 20) {
        let (start, end) = window(base, want, limit);
        prop_assert!(start <= end);
        let needed = base.max(want);
        prop_assert_eq!(end, needed + limit, "where it ends");
        prop_assert!(start <= needed, "the needed byte is in it");
        // Nothing is copied that userspace said it does not need, and before the turn no more than it may be overtaken by.
        prop_assert!(start >= want && start >= base.saturating_sub(limit));
        prop_assert!(start == want || start == base.saturating_sub(limit), "not a byte less");
    }

    /// A want is read back by the connection that wrote it, up to 2^47 - 1.
    #[test]
    fn a_want_is_read_back(cookie: u64, offset: u64, tls: bool) {
        let most = (1u64 << 47) - 1;
        let read = unpack_want(cookie, pack_want(cookie, Want { offset, tls }));
        prop_assert_eq!(read, Want { offset: offset.min(most), tls });
    }

    /// Another connection that shares the cell reads nothing from it.
    #[test]
    fn a_want_is_not_read_by_another(cookie in 0u64..1 << 32, other in 1u64..1 << 16, offset in offsets(), tls: bool) {
        let sharing = cookie ^ (other * WANT_SLOTS);
        prop_assert_eq!(want_cell(sharing, 0), want_cell(cookie, 0));
        prop_assert_eq!(unpack_want(sharing, pack_want(cookie, Want { offset, tls })), Want::default());
    }

    /// Cells lie within the array, and the directions of a connection have each its own.
    #[test]
    fn cells_lie_within_the_array(cookie: u64, other: u64) {
        let cells = [want_cell(cookie, 0), want_cell(cookie, 1)];
        prop_assert!(cells.iter().all(|cell| *cell < WANT_CELLS));
        prop_assert_ne!(cells[0], cells[1]);
        let same_slot = cookie % WANT_SLOTS == other % WANT_SLOTS;
        prop_assert_eq!(want_cell(other, 1) == cells[1], same_slot);
        prop_assert_ne!(want_cell(other, 1), cells[0]);
    }
}

/// RFC 8446, 5.1 and 5.2; RFC 5246, 6.2.1 and 6.2.3; RFC 6520 for heartbeats.
#[test]
fn headers_of_records() {
    for (header, len) in [
        (0x16_0301_0200, Some(512)),
        (0x17_0303_4011, Some(16_401)),
        (0x15_0303_0002, Some(2)),
        (0x14_0303_0001, Some(1)),
        (0x18_0303_0003, Some(3)),
        (0x17_0303_4800, Some(18_432)),
        (0x17_0303_4801, None),
        (0x13_0303_0001, None),
        (0x19_0303_0001, None),
        (0x17_0203_0001, None),
        (0x17_0305_0001, None),
        // `GET /`.
        (0x47_4554_202f, None),
    ] {
        assert_eq!(fragment_len(header), len, "{header:x}");
    }
}

#[test]
fn the_empty_cell_wants_nothing() {
    for cookie in [0, 1, WANT_SLOTS - 1, WANT_SLOTS, u64::MAX] {
        assert_eq!(unpack_want(cookie, 0), Want::default());
    }
}

#[test]
fn at_the_edges() {
    // sequence, first, highest, expected
    for (sequence, first, highest, expected) in [
        (0, 0, 0, 0),
        (0, u32::MAX, 0, 1),
        (u32::MAX, 0, 0, -1),
        (0x7fff_ffff, 0, 0, 0x7fff_ffff),
        (0x8000_0000, 0, 0, -0x8000_0000),
        (0, 0, 0x8000_0000, 0),
        (0, 0, 0x8000_0001, 0x1_0000_0000),
        (5, 6, 0x1_0000_0000, 0xffff_ffff),
    ] {
        assert_eq!(offset_of(sequence, first, highest), expected, "{sequence} {first} {highest}");
    }
}
