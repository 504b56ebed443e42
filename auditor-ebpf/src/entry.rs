//! Entries of the ring with bytes of a packet behind their record.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::{bpf_ktime_get_ns, bpf_skb_load_bytes};

use auditor_ebpf::abi::{Counter, Header, MAX_COPY};

use crate::maps::{count, emit, has_room, has_room_to_tell, waiting};

/// Room for a whole record of TLS, which servers send as a packet: 2^14 bytes of plaintext, and up to 256 more (RFC 8446,
/// 5.2). In the next power of two it would take twice of the ring, in that after it four times.
const TLS_RECORD: usize = 4096 + 16_384;

/// A record with room for `N` copied bytes.
#[repr(C)]
pub(crate) struct With<T, const N: usize> {
    record: T,
    bytes: [u8; N],
}

/// Writes `record` and `copy` bytes of the packet after it, in the smallest of the sizes that holds them. Heads have a few
/// hundred bytes: sizes are close there, because what costs most is memory of the ring that is not in the cache. With 128, 192
/// and 384 beside 256 and 512, a run took 350 ns where it had taken 410 (BPF statistics, HTTP/1.1, 2026-11-26).
#[inline(always)]
pub(crate) fn hand_over<T: Copy + 'static>(
    skb: *mut __sk_buff,
    at: u32,
    copy: u32,
    record: T,
    set_copied: impl Fn(&mut T, u32),
) {
    let mut record = record;
    let mut copy = copy;
    let waiting = waiting();
    if copy != 0 && !has_room(waiting) {
        count(Counter::RingFull, 1);
        count(Counter::RingFullBytes, u64::from(copy));
        set_copied(&mut record, 0);
        copy = 0;
    }
    if copy == 0 {
        if !has_room_to_tell(waiting) {
            return count(Counter::RingFull, 1);
        }
        emit::<T>(0, waiting, |entry| {
            entry.write(record);
            true
        });
    } else if copy <= 128 {
        emit::<With<T, 128>>(copy, waiting, |entry| {
            fill::<T, 128, 0>(skb, at, copy, record, entry, set_copied)
        });
    } else if copy <= 192 {
        emit::<With<T, 192>>(copy, waiting, |entry| {
            fill::<T, 192, 128>(skb, at, copy, record, entry, set_copied)
        });
    } else if copy <= 256 {
        emit::<With<T, 256>>(copy, waiting, |entry| {
            fill::<T, 256, 0>(skb, at, copy, record, entry, set_copied)
        });
    } else if copy <= 384 {
        emit::<With<T, 384>>(copy, waiting, |entry| {
            fill::<T, 384, 256>(skb, at, copy, record, entry, set_copied)
        });
    } else if copy <= 512 {
        emit::<With<T, 512>>(copy, waiting, |entry| {
            fill::<T, 512, 0>(skb, at, copy, record, entry, set_copied)
        });
    } else if copy <= 1024 {
        emit::<With<T, 1024>>(copy, waiting, |entry| {
            fill::<T, 1024, 0>(skb, at, copy, record, entry, set_copied)
        });
    } else if copy <= 4096 {
        emit::<With<T, 4096>>(copy, waiting, |entry| {
            fill::<T, 4096, 0>(skb, at, copy, record, entry, set_copied)
        });
    } else if copy <= 12_288 {
        emit::<With<T, 12_288>>(copy, waiting, |entry| {
            fill::<T, 12_288, 4096>(skb, at, copy, record, entry, set_copied)
        });
    } else if copy <= TLS_RECORD as u32 {
        emit::<With<T, TLS_RECORD>>(copy, waiting, |entry| {
            fill::<T, TLS_RECORD, 4096>(skb, at, copy, record, entry, set_copied)
        });
    } else if copy <= 36_864 {
        emit::<With<T, 36_864>>(copy, waiting, |entry| {
            fill::<T, 36_864, 4096>(skb, at, copy, record, entry, set_copied)
        });
    } else if copy <= 65_536 {
        emit::<With<T, 65_536>>(copy, waiting, |entry| {
            fill::<T, 65_536, 0>(skb, at, copy, record, entry, set_copied)
        });
    } else {
        emit::<With<T, MAX_COPY>>(copy, waiting, |entry| {
            fill::<T, MAX_COPY, 0>(skb, at, copy, record, entry, set_copied)
        });
    }
}

/// Fills an entry with more than `ABOVE` and at most `N` copied bytes; their difference is a power of two.
#[inline(always)]
pub(crate) fn fill<T: Copy + 'static, const N: usize, const ABOVE: usize>(
    skb: *mut __sk_buff,
    at: u32,
    copy: u32,
    mut record: T,
    entry: &mut MaybeUninit<With<T, N>>,
    set_copied: impl Fn(&mut T, u32),
) -> bool {
    const { assert!((N - ABOVE).is_power_of_two()) };
    let above = ABOVE as u32;
    // The verifier wants to see above + 1..=N: masking by a power of two less one changes nothing.
    let copy = ((copy - 1 - above) & (N as u32 - above - 1)) + above + 1;
    let entry = entry.as_mut_ptr();
    // SAFETY: the helper writes at most N bytes into the record's own N bytes, or fails.
    let status = unsafe { bpf_skb_load_bytes(skb.cast(), at, (&raw mut (*entry).bytes).cast(), copy) };
    if status != 0 {
        set_copied(&mut record, 0);
        count(Counter::CopyFailed, u64::from(copy));
    }
    // SAFETY: the record lies within the reserved entry.
    unsafe { (&raw mut (*entry).record).write(record) };
    true
}

/// The part that all records share, stamped now.
#[inline(always)]
pub(crate) fn header(kind: u8, direction: u8, flags: u16, len: u32, cookie: u64) -> Header {
    // SAFETY: the helper has no preconditions.
    let time = unsafe { bpf_ktime_get_ns() };
    Header { kind, direction, flags, len, cookie, time }
}
