//! A packet of a socket: finds the socket's state, copies what is wanted, advances the state.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::helpers::{
    bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_sk_fullsock, bpf_skb_load_bytes, bpf_tcp_sock,
};

use auditor_ebpf::abi::{
    CLOSED_ON_WIRE, Closed, Counter, EGRESS, Early, FLAG_FIN, FLAG_RST, HOW_ACTIVE, HOW_JOINED, HOW_PASSIVE,
    Header, INGRESS, KIND_CLOSED, KIND_EARLY, KIND_OPENED, KIND_SEGMENT, KIND_TRANSLATED, MAX_COPY, Opened,
    Segment, Tuple,
};
use auditor_ebpf::window::{Want, offset_of, window};

use crate::maps::{
    NO_RECORDS, NOBODY, STATE_ANNOUNCED, STATE_COMPARED, STATE_FIN, STATE_JOINED, STATE_PASSIVE, SocketState,
    count, create, emit, forget, has_room, has_room_for_bodies, has_room_to_tell, limit, state, waiting,
    want,
};
use crate::packet::{FIN, Packet, Parsed, RST, mapped, octets, parse};
use crate::walk::{blur, get, walk};

/// `BPF_TCP_LISTEN` (include/uapi/linux/bpf.h).
const LISTEN: u32 = 10;
/// `AF_INET`.
const INET: u32 = 2;
/// Largest receive window of TCP (RFC 7323, 2.3).
const MAX_WINDOW: i32 = 1 << 30;
/// Bytes of a turn that are copied without asking what userspace wants or how full the ring is.
const SURE: u64 = 2048;

/// Room for a whole record of TLS, which servers send as a packet: 2^14 bytes of plaintext, and up to 256 more (RFC 8446,
/// 5.2). In the next power of two it would take twice of the ring, in that after it four times.
const TLS_RECORD: usize = 4096 + 16_384;

/// A record with room for `N` copied bytes.
#[repr(C)]
struct With<T, const N: usize> {
    record: T,
    bytes: [u8; N],
}

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

/// A packet of a socket without state: a listener's, or one that was open before the programs were attached.
#[inline(always)]
fn first_seen(
    skb: *mut __sk_buff,
    socket: *mut bpf_sock,
    packet: &Packet,
    direction: u8,
) -> Option<*mut SocketState> {
    if packet.len == 0 {
        return None;
    }
    // SAFETY: not null. A request or time-wait socket has no full socket and no payload of its own.
    let socket = unsafe { bpf_sk_fullsock(socket) };
    if socket.is_null() {
        return None;
    }
    // SAFETY: the context is valid.
    let cookie = unsafe { bpf_get_socket_cookie(skb.cast()) };
    // SAFETY: a full socket.
    if unsafe { (*socket).state } == LISTEN {
        early(skb, packet, direction, cookie);
        return None;
    }
    // SAFETY: a full socket; the result is checked.
    let tcp = unsafe { bpf_tcp_sock(socket) };
    if tcp.is_null() {
        count(Counter::NoState, 1);
        return None;
    }
    // What TCP has counted says where in the stream the connection stands.
    // SAFETY: not null.
    let (received, acked, next, una, sent) = unsafe {
        ((*tcp).bytes_received, (*tcp).bytes_acked, (*tcp).rcv_nxt, (*tcp).snd_una, (*tcp).snd_nxt)
    };
    let highest = [received, acked + u64::from(sent.wrapping_sub(una))];
    create(
        socket,
        SocketState {
            first: [next.wrapping_sub(received as u32), una.wrapping_sub(acked as u32)],
            highest,
            base: highest,
            record: [NO_RECORDS; 2],
            behind: [0; 2],
            split: [0; 2],
            cookie,
            last: NOBODY,
            flags: STATE_JOINED,
            reserved: [0; 6],
        },
    )
}

/// Tells userspace of a connection whose `Opened` record it does not have.
#[inline(always)]
fn announce(skb: *mut __sk_buff, state: &mut SocketState, packet: &Packet, direction: u8, cookie: u64) {
    let how = if state.flags & STATE_JOINED != 0 {
        HOW_JOINED
    } else if state.flags & STATE_PASSIVE != 0 {
        HOW_PASSIVE
    } else {
        HOW_ACTIVE
    };
    let start = if how == HOW_JOINED { state.highest } else { [0; 2] };
    if opened(KIND_OPENED, cookie, packet.tuple(skb, direction), state.first, start, how) {
        state.flags |= STATE_ANNOUNCED;
    }
}

/// Writes an [`Opened`].
#[inline(always)]
pub(crate) fn opened(kind: u8, cookie: u64, tuple: Tuple, first: [u32; 2], start: [u64; 2], how: u8) -> bool {
    emit::<Opened>(0, waiting(), |record| {
        let header = header(kind, 0, 0, 0, cookie);
        record.write(Opened { header, tuple, first, start, how, reserved: [0; 7] });
        true
    })
}

/// Reports the backend's own address where the packet goes elsewhere than the socket was connected to.
#[inline(always)]
fn compare(skb: *mut __sk_buff, socket: *mut bpf_sock, packet: &Packet, cookie: u64) {
    // SAFETY: not null.
    let socket = unsafe { bpf_sk_fullsock(socket) };
    if socket.is_null() {
        return;
    }
    let tuple = packet.tuple(skb, EGRESS);
    macro_rules! word {
        ($($field:tt)+) => {
            // SAFETY: a full socket; volatile so that each access stays at a constant place, for the verifier.
            unsafe { (&raw const (*socket).$($field)+).read_volatile() }
        };
    }
    let v6 = [word!(dst_ip6[0]), word!(dst_ip6[1]), word!(dst_ip6[2]), word!(dst_ip6[3])];
    let v4 = word!(dst_ip4);
    let connected = octets(if word!(family) == INET { mapped(v4) } else { v6 });
    let port = u16::from_be(word!(dst_port));
    if connected != tuple.remote || port != tuple.remote_port {
        opened(KIND_TRANSLATED, cookie, tuple, [0; 2], [0; 2], 0);
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

/// Payload for a connection whose socket does not exist yet: the handshake is not complete, or its completion was deferred.
#[inline(always)]
fn early(skb: *mut __sk_buff, packet: &Packet, direction: u8, cookie: u64) {
    count(Counter::Early, 1);
    let copy = if packet.len > MAX_COPY as u32 { MAX_COPY as u32 } else { packet.len };
    let record = Early {
        header: header(KIND_EARLY, direction, wire_flags(packet), packet.len, cookie),
        tuple: packet.tuple(skb, direction),
        sequence: packet.sequence,
        copied: copy,
    };
    hand_over(skb, packet.payload, copy, record, |record, copied| record.copied = copied);
}

/// Writes `record` and `copy` bytes of the packet after it, in the smallest of six sizes that holds them.
#[inline(always)]
fn hand_over<T: Copy + 'static>(
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
    } else if copy <= 256 {
        emit::<With<T, 256>>(copy, waiting, |entry| {
            fill::<T, 256, 0>(skb, at, copy, record, entry, set_copied)
        });
    } else if copy <= 1024 {
        emit::<With<T, 1024>>(copy, waiting, |entry| {
            fill::<T, 1024, 0>(skb, at, copy, record, entry, set_copied)
        });
    } else if copy <= 4096 {
        emit::<With<T, 4096>>(copy, waiting, |entry| {
            fill::<T, 4096, 0>(skb, at, copy, record, entry, set_copied)
        });
    } else if copy <= TLS_RECORD as u32 {
        emit::<With<T, TLS_RECORD>>(copy, waiting, |entry| {
            fill::<T, TLS_RECORD, 4096>(skb, at, copy, record, entry, set_copied)
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
fn fill<T: Copy + 'static, const N: usize, const ABOVE: usize>(
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

/// Ends a socket of which the kernel will not tell the end: by RST, or by FIN both ways.
#[inline(always)]
fn end_from_wire(
    socket: *mut bpf_sock,
    packet: &Packet,
    direction: u8,
    cookie: u64,
    state: &mut SocketState,
) {
    if packet.flags & FIN != 0 {
        state.flags |= STATE_FIN << (direction & 1);
    }
    const BOTH: u8 = STATE_FIN | STATE_FIN << 1;
    if packet.flags & RST == 0 && state.flags & BOTH != BOTH {
        return;
    }
    emit::<Closed>(0, waiting(), |record| {
        record.write(Closed {
            header: header(KIND_CLOSED, 0, 0, 0, cookie),
            bytes_received: 0,
            bytes_acked: 0,
            srtt_us: 0,
            retransmits: 0,
            segments_in: 0,
            segments_out: 0,
            old_state: 0,
            how: CLOSED_ON_WIRE,
        });
        true
    });
    forget(socket);
}

#[inline(always)]
fn wire_flags(packet: &Packet) -> u16 {
    (if packet.flags & FIN != 0 { FLAG_FIN } else { 0 })
        | (if packet.flags & RST != 0 { FLAG_RST } else { 0 })
}

/// The part that all records share, stamped now.
#[inline(always)]
pub(crate) fn header(kind: u8, direction: u8, flags: u16, len: u32, cookie: u64) -> Header {
    // SAFETY: the helper has no preconditions.
    let time = unsafe { bpf_ktime_get_ns() };
    Header { kind, direction, flags, len, cookie, time }
}
