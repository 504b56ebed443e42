//! A walk over the headers of TLS records: of a body that nobody needs, only what stands around boundaries is copied.
//!
//! Begins with the first byte of a direction, if that is a record's. The place is lost where a header does not come in order,
//! or where a packet holds more of them than the verifier lets a program walk; it is found again where the direction's next
//! turn begins with a header. A turn may begin in the middle of a record, and what stands there may look like a header: then
//! what userspace needs is left out, until the next turn. It reads each header itself and never takes our word for its place,
//! so that the worst outcome is a loss that it tells of. Without the place nothing is left out while the ring has room for
//! bodies.

use aya_ebpf::bindings::__sk_buff;

use auditor_ebpf::window::{BEFORE, BEHIND, RECORD_HEADER, fragment_len, is_proxy};

use crate::maps::{NO_RECORDS, SocketState};
use crate::packet::load;
use crate::segment::Stretch;

/// Boundaries of a packet that are told one by one; with more of them it is copied.
const TOLD: u32 = 12;
/// Boundaries that are walked in a packet that is copied.
const WALKED: u32 = 48;
/// More than is ever copied at a boundary.
const MOST: u64 = 64;

/// What a walk has told of a packet.
pub(crate) struct Walk {
    /// Where what it has not told of begins.
    pub(crate) at: u64,
    /// How many bytes of the rest are to be copied, if the walk came to the packet's end; else all may be.
    pub(crate) tail: Option<u32>,
}

/// Walks through a packet. `sparse`: nothing of it is copied but what stands around boundaries, and that is told. `turns`: the
/// direction begins a turn here, and a record with it if the place is not known.
///
/// What changes from step to step is read anew from the state, or blurred: else the verifier follows each step apart from
/// all others to the end of the program.
#[inline(always)]
pub(crate) fn walk(stretch: &Stretch, sparse: bool, turns: bool, state: &mut SocketState) -> Walk {
    let Stretch { skb, start, end, direction, .. } = *stretch;
    let side = (direction & 1) as usize;
    let all = |at| Walk { at, tail: None };
    let record = state.record[side];
    if record < start {
        let split = state.split[side];
        state.split[side] = 0;
        if split != 0 && record + (split >> 40) == start {
            let header = gather(skb, stretch.place(start), end - start, split);
            if header >> 40 < RECORD_HEADER {
                state.split[side] = header;
                return all(start);
            }
            let header = header & 0xff_ffff_ffff;
            let Some(len) = fragment_len(header) else {
                if record == 0 && !is_proxy(header) {
                    state.record[side] = NO_RECORDS;
                }
                return all(start);
            };
            state.record[side] = record + RECORD_HEADER + len;
        } else if turns {
            state.record[side] = start;
        } else {
            return all(start);
        }
    }
    let mut at = start;
    let mut steps = 0;
    while sparse && steps < TOLD {
        steps += 1;
        let (record, behind) = (get(&state.record[side]), get(&state.behind[side]));
        let near = record.saturating_sub(BEFORE);
        let near = if near < end { near } else { end };
        if near > at {
            let copy = behind.saturating_sub(at);
            if copy > MOST || copy > near - at {
                break;
            }
            // What is left of the packet is told with its flags.
            if near == end {
                return Walk { at, tail: Some(copy as u32) };
            }
            stretch.tell(at, near, copy as u32);
            at = near;
        }
        at = blur(state, at);
        if record >= end {
            return Walk { at, tail: Some((end - at) as u32) };
        }
        if !step(stretch, state, side) {
            break;
        }
    }
    steps = 0;
    while steps < WALKED {
        steps += 1;
        if get(&state.record[side]) >= end || !step(stretch, state, side) {
            break;
        }
    }
    all(blur(state, at))
}

/// The value, of which the verifier knows nothing any more: ways that led to different ones become the same to it.
#[inline(always)]
pub(crate) fn blur(state: &SocketState, value: u64) -> u64 {
    value ^ get(&state.cookie) ^ get(&state.cookie)
}

/// Reads what the verifier shall know nothing of.
#[inline(always)]
pub(crate) fn get(cell: &u64) -> u64 {
    // SAFETY: it is a reference.
    unsafe { (&raw const *cell).read_volatile() }
}

#[inline(always)]
pub(crate) fn set(cell: &mut u64, value: u64) {
    // SAFETY: it is a reference.
    unsafe { (&raw mut *cell).write_volatile(value) };
}

/// Reads the header at the place that is known, and moves on. False: it is none, or not whole.
#[inline(always)]
fn step(stretch: &Stretch, state: &mut SocketState, side: usize) -> bool {
    let record = get(&state.record[side]);
    let Stretch { skb, end, .. } = *stretch;
    let at = stretch.place(record);
    // No header has stood anywhere but at the first byte.
    let none = get(&state.behind[side]) <= BEHIND;
    set(&mut state.behind[side], record + BEHIND);
    if record + RECORD_HEADER > end {
        state.split[side] = gather(skb, at, end - record, 0);
        return false;
    }
    let Some([content, major, minor, high, low]) = load::<5>(skb, at) else { return false };
    let header = u64::from(content) << 32
        | u64::from(major) << 24
        | u64::from(minor) << 16
        | u64::from(high) << 8
        | u64::from(low);
    if let Some(len) = fragment_len(header) {
        set(&mut state.record[side], record + RECORD_HEADER + len);
        return true;
    }
    // Behind a header of the PROXY protocol the next turn begins with a record, or there are none.
    if none && !(record == 0 && is_proxy(header)) {
        set(&mut state.record[side], NO_RECORDS);
    }
    false
}

/// Adds up to `count` bytes to what has come of a header.
#[inline(always)]
fn gather(skb: *mut __sk_buff, at: u32, count: u64, split: u64) -> u64 {
    let mut split = split;
    let mut taken = 0;
    while taken < 4 {
        if u64::from(taken) >= count || split >> 40 >= RECORD_HEADER {
            break;
        }
        let Some([byte]) = load::<1>(skb, at + taken) else { break };
        let bytes = (split & 0xff_ffff_ffff) << 8 | u64::from(byte);
        split = ((split >> 40) + 1) << 40 | bytes;
        taken += 1;
    }
    split
}
