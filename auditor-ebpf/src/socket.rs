//! Sockets as packets show them: those without state, what userspace is told of each once, and ends that only the wire tells.

use aya_ebpf::bindings::{__sk_buff, bpf_sock};
use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_sk_fullsock, bpf_tcp_sock};

use auditor_ebpf::abi::{
    CLOSED_ON_WIRE, Closed, Counter, EGRESS, Early, HOW_ACTIVE, HOW_JOINED, HOW_PASSIVE, KIND_CLOSED,
    KIND_EARLY, KIND_OPENED, KIND_TRANSLATED, MAX_COPY, Opened, Tuple,
};

use crate::entry::{hand_over, header};
use crate::maps::{
    NO_RECORDS, NOBODY, STATE_ANNOUNCED, STATE_FIN, STATE_JOINED, STATE_PASSIVE, SocketState, count, create,
    emit, forget, waiting,
};
use crate::packet::{FIN, Packet, RST, mapped, octets};
use crate::segment::wire_flags;

/// `BPF_TCP_LISTEN` (include/uapi/linux/bpf.h).
const LISTEN: u32 = 10;
/// `AF_INET`.
const INET: u32 = 2;

/// A packet of a socket without state: a listener's, or one that was open before the programs were attached.
#[inline(always)]
pub(crate) fn first_seen(
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
pub(crate) fn announce(
    skb: *mut __sk_buff,
    state: &mut SocketState,
    packet: &Packet,
    direction: u8,
    cookie: u64,
) {
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
pub(crate) fn compare(skb: *mut __sk_buff, socket: *mut bpf_sock, packet: &Packet, cookie: u64) {
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

/// Ends a socket of which the kernel will not tell the end: by RST, or by FIN both ways.
#[inline(always)]
pub(crate) fn end_from_wire(
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
