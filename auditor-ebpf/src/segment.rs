//! A packet of a socket: finds the socket's state, copies what is wanted, advances the state.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::bpf_tcp_sock;

use auditor_ebpf::abi::{Counter, EGRESS, FLAG_FIN, FLAG_RST, INGRESS, KIND_SEGMENT, MAX_COPY, Segment};
use auditor_ebpf::window::{Want, offset_of, window};

use crate::entry::{With, fill, hand_over, header};
use crate::maps::{
    NO_RECORDS, STATE_ANNOUNCED, STATE_COMPARED, STATE_JOINED, STATE_PASSIVE, SocketState, count, emit,
    has_room, has_room_for_bodies, has_room_to_tell, limit, state, waiting, want,
};
use crate::packet::{FIN, Packet, Parsed, RST, parse};
use crate::socket::{announce, compare, end_from_wire, first_seen};
use crate::walk::{blur, get, walk};

/// Largest receive window of TCP (RFC 7323, 2.3).
const MAX_WINDOW: i32 = 1 << 30;
/// Bytes of a turn that are copied without asking what userspace wants or how full the ring is.
const SURE: u64 = 2048;

/// Looks at one packet on its way in or out.
#[inline(always)]
pub(crate) fn observe(skb: *mut __sk_buff, direction: u8) {
    // SAFETY: the context is valid; the verifier checks that a null socket is never used.
    let socket = unsafe { (*skb).__bindgen_anon_2.sk };
    if socket.is_null() {
        return;
    }
    let packet = match parse(skb) {
        Parsed::Tcp(packet) => packet,
        Parsed::Udp(at) => return crate::datagram::observe(skb, socket, at),
        Parsed::Other => return count(Counter::NotTcp, 1),
        Parsed::Unreadable => return count(Counter::Unreadable, 1),
    };
    if packet.len == 0 && packet.flags & (FIN | RST) == 0 {
        return;
    }
    // No closure: it would be a function of its own, whose stack counts on top of this one's.
    let state = match state(socket) {
        Some(state) => state,
        None => match first_seen(skb, socket, &packet, direction) {
            Some(state) => state,
            None => return,
        },
    };
    // SAFETY: not null; the result is checked.
    let tcp = unsafe { bpf_tcp_sock(socket) };
    if tcp.is_null() {
        return count(Counter::NoState, 1);
    }
    // SAFETY: not null.
    let next = unsafe { (*tcp).rcv_nxt };
    // TCP will drop it whatever its window is: it must not move what is known of the stream.
    if direction == INGRESS && packet.sequence.wrapping_sub(next) as i32 > MAX_WINDOW {
        return count(Counter::OutOfWindow, 1);
    }
    // SAFETY: a map's value is valid for the length of the program. Another CPU may run for the same socket: each field
    // is one store, and the worst outcome is a byte copied twice or a window that starts a little early.
    let state = unsafe { &mut *state };
    let cookie = state.cookie;
    if state.flags & STATE_ANNOUNCED == 0 {
        announce(skb, state, &packet, direction, cookie);
    }
    if direction == EGRESS && state.flags & STATE_COMPARED == 0 {
        state.flags |= STATE_COMPARED;
        compare(skb, socket, &packet, cookie);
    }
    segment(skb, &packet, direction, cookie, next, state);
    // A reset counts at exactly the next byte (RFC 5961, 3.2), if it comes from the peer.
    let obeyed = direction == EGRESS || packet.flags & RST == 0 || packet.sequence == next;
    if state.flags & STATE_JOINED != 0 && obeyed {
        end_from_wire(socket, &packet, direction, cookie, state);
    }
}

/// Hands on a packet's payload: what lies in the window is copied, the rest is told as seen.
#[inline(always)]
fn segment(
    skb: *mut __sk_buff,
    packet: &Packet,
    direction: u8,
    cookie: u64,
    next: u32,
    state: &mut SocketState,
) {
    let side = (direction & 1) as usize;
    let flags = wire_flags(packet);
    let offset = offset_of(packet.sequence, state.first[side], state.highest[side]);
    // Before the first byte: a keep-alive probe (RFC 9293, 3.8.4) or a retransmission older than the capture.
    let before = if offset < 0 { (-offset) as u64 } else { 0 };
    if before > u64::from(packet.len) || (before == u64::from(packet.len) && flags == 0) {
        return;
    }
    let start = if offset < 0 { 0 } else { offset as u64 };
    let end = start + u64::from(packet.len) - before;
    let ingress = INGRESS as usize;
    let received = offset_of(next, state.first[ingress], state.highest[ingress]);
    let received = if received < 0 { 0 } else { received as u64 };
    // What came in counts once TCP has accepted it: a packet that it drops moves nothing.
    let (known, from) = if direction == INGRESS {
        (received, if start < received { start } else { received })
    } else {
        (state.highest[side], start)
    };
    let turns = state.last != direction && packet.len != 0 && end > known;
    if turns {
        state.last = direction;
        state.base[side] = from;
    }
    let highest = if direction == INGRESS { received } else { end };
    if highest > state.highest[side] {
        state.highest[side] = highest;
    }
    let base = state.base[side];
    let sure = start >= base && end - base <= SURE;
    let want = if sure { Want { offset: 0, tls: false } } else { want(cookie, direction) };
    let (mut lower, mut upper) = if sure {
        (start, end)
    } else {
        let requests =
            state.flags & STATE_JOINED != 0 || (state.flags & STATE_PASSIVE != 0) == (direction == INGRESS);
        let limit = limit(requests);
        let (lower, upper) = window(base, want.offset, limit);
        // Where nobody walks, a boundary of records may stand anywhere before the want.
        let walks = want.tls && (state.record[side] != NO_RECORDS || has_room_for_bodies());
        (if walks { base.saturating_sub(limit) } else { lower }, upper)
    };
    // Whatever led here: the verifier goes through the rest once.
    let sparse = blur(state, u64::from((want.tls && end <= want.offset) || start >= upper)) != 0;
    (lower, upper) = (blur(state, lower), blur(state, upper));
    let stretch = Stretch {
        skb,
        payload: blur(state, u64::from(packet.payload) + before) as u32,
        start: blur(state, start),
        end: blur(state, end),
        direction,
        cookie,
        received: blur(state, received),
    };
    let Stretch { start, end, .. } = stretch;
    let mut at = start;
    if state.record[side] != NO_RECORDS {
        let walked = walk(&stretch, sparse, turns && stretch.start == from, state);
        at = walked.at;
        if let Some(copy) = walked.tail {
            (lower, upper) = (at, at + u64::from(copy));
        } else if sparse && !has_room_for_bodies() {
            // The boundaries in it are not told: userspace loses its place, which is better than that others lose heads.
            upper = at;
        } else if upper < end && get(&state.record[side]) >= start {
            // It is known where records are, and the walk has not told of those behind.
            upper = end;
        }
    }
    if at < lower && lower < end {
        // What precedes the window, told for itself: the copied bytes of a record are a prefix.
        stretch.tell(at, lower, 0);
        at = lower;
    }
    let stop = if upper < end { upper } else { end };
    let copy = if at >= lower && at < stop { stop - at } else { 0 };
    let copy = if copy > MAX_COPY as u64 { MAX_COPY as u64 } else { copy };
    if copy < end - at {
        count(Counter::UnwantedBytes, end - at - copy);
    }
    let record = stretch.record(at, end, copy as u32, flags);
    hand_over(skb, stretch.place(at), copy as u32, record, |record, copied| record.copied = copied);
}

/// The payload of a packet, as a stretch of its direction's stream.
pub(crate) struct Stretch {
    pub(crate) skb: *mut __sk_buff,
    /// Where in the packet it begins.
    payload: u32,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) direction: u8,
    cookie: u64,
    received: u64,
}

impl Stretch {
    /// Where in the packet an offset is.
    #[inline(always)]
    pub(crate) fn place(&self, at: u64) -> u32 {
        self.payload + (at - self.start) as u32
    }

    #[inline(always)]
    fn record(&self, at: u64, stop: u64, copied: u32, flags: u16) -> Segment {
        Segment {
            header: header(KIND_SEGMENT, self.direction, flags, (stop - at) as u32, self.cookie),
            offset: at,
            received: self.received,
            copied,
            reserved: 0,
        }
    }

    /// Tells of `at..stop`, of which no more is needed than at most 64 bytes, and those first.
    #[inline(always)]
    pub(crate) fn tell(&self, at: u64, stop: u64, copy: u32) {
        count(Counter::UnwantedBytes, stop - at - u64::from(copy));
        let waiting = waiting();
        if !has_room_to_tell(waiting) {
            return count(Counter::RingFull, 1);
        }
        let mut copy = copy;
        if copy != 0 && !has_room(waiting) {
            count(Counter::RingFull, 1);
            count(Counter::RingFullBytes, u64::from(copy));
            copy = 0;
        }
        let record = self.record(at, stop, copy, 0);
        if copy == 0 {
            emit::<Segment>(0, waiting, |entry| {
                entry.write(record);
                true
            });
        } else {
            // So little that it finds room where bodies do not.
            let place = self.place(at);
            emit::<With<Segment, 64>>(copy, waiting, |entry| {
                fill::<Segment, 64, 0>(self.skb, place, copy, record, entry, |record, copied| {
                    record.copied = copied
                })
            });
        }
    }
}

#[inline(always)]
pub(crate) fn wire_flags(packet: &Packet) -> u16 {
    (if packet.flags & FIN != 0 { FLAG_FIN } else { 0 })
        | (if packet.flags & RST != 0 { FLAG_RST } else { 0 })
}
