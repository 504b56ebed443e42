//! The life of a connection, from `sock_ops`.

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RTO_CB,
    BPF_SOCK_OPS_RTO_CB_FLAG, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB,
    bpf_sock_ops,
};
use aya_ebpf::helpers::bpf_get_socket_cookie;
use aya_ebpf::programs::SockOpsContext;

use auditor_ebpf::abi::{
    CLOSED, CLOSED_TIMED_OUT, Closed, Counter, HOW_ACTIVE, HOW_PASSIVE, INGRESS, KIND_CLOSED,
    KIND_CONNECT_FAILED, KIND_OPENED, Tuple,
};

use crate::entry::header;
use crate::maps::{
    NOBODY, STATE_ANNOUNCED, STATE_JOINED, STATE_PASSIVE, STATE_TIMED_OUT, SocketState, count, create, emit,
    forget, state, waiting,
};
use crate::packet::{mapped, octets};
use crate::socket::opened;

/// `AF_INET`.
const INET: u32 = 2;
/// `BPF_TCP_SYN_SENT` and `BPF_TCP_CLOSE` (include/uapi/linux/bpf.h).
const SYN_SENT: u32 = 2;
const CLOSE: u32 = 7;

/// Looks at one call of `sock_ops`.
#[inline(always)]
pub(crate) fn observe(context: &SockOpsContext) {
    match context.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => follow(context),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => established(context, HOW_PASSIVE),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => established(context, HOW_ACTIVE),
        BPF_SOCK_OPS_STATE_CB if context.arg(1) == CLOSE => closed(context),
        // The third argument: no further retransmission is to come (net/ipv4/tcp_timer.c, `tcp_write_timeout`).
        BPF_SOCK_OPS_RTO_CB if context.arg(2) != 0 => timed_out(context),
        _ => {}
    }
}

/// Asks for calls at each change of state, and when retransmission timers run out.
#[inline(always)]
fn follow(context: &SockOpsContext) {
    let flags = context.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RTO_CB_FLAG;
    if context.set_cb_flags(flags as i32).is_err() {
        count(Counter::NoState, 1);
    }
}

#[inline(always)]
fn established(context: &SockOpsContext, how: u8) {
    follow(context);
    let cookie = cookie(context);
    let first = first(context);
    let passive = if how == HOW_PASSIVE { STATE_PASSIVE } else { 0 };
    // SAFETY: the context is valid.
    let socket = unsafe { (*context.ops).__bindgen_anon_2.sk };
    if socket.is_null() {
        return count(Counter::NoState, 1);
    }
    if let Some(state) = state(socket) {
        // Payload came first (TCP Fast Open towards a backend): its offsets are right, only its kind was not known.
        // SAFETY: a map's value is valid for the length of the program.
        let state = unsafe { &mut *state };
        state.flags = (state.flags & !STATE_JOINED) | passive | STATE_ANNOUNCED;
        // The SYN acknowledged nothing: where the other direction begins is known only now.
        state.first[INGRESS as usize] = first[INGRESS as usize];
        let first = state.first;
        opened(KIND_OPENED, cookie, tuple(context), first, [0; 2], how);
        return;
    }
    let announced =
        if opened(KIND_OPENED, cookie, tuple(context), first, [0; 2], how) { STATE_ANNOUNCED } else { 0 };
    create(
        socket,
        SocketState {
            first,
            highest: [0; 2],
            base: [0; 2],
            record: [0; 2],
            behind: [0; 2],
            split: [0; 2],
            cookie,
            last: NOBODY,
            flags: passive | announced,
            reserved: [0; 6],
        },
    );
}

#[inline(always)]
fn timed_out(context: &SockOpsContext) {
    // SAFETY: the context is valid.
    let socket = unsafe { (*context.ops).__bindgen_anon_2.sk };
    if socket.is_null() {
        return;
    }
    if let Some(state) = state(socket) {
        // SAFETY: a map's value is valid for the length of the program.
        unsafe { (*state).flags |= STATE_TIMED_OUT };
    }
}

#[inline(always)]
fn closed(context: &SockOpsContext) {
    let cookie = cookie(context);
    let old_state = context.arg(0);
    if old_state == SYN_SENT {
        opened(KIND_CONNECT_FAILED, cookie, tuple(context), [0; 2], [0; 2], HOW_ACTIVE);
        return;
    }
    let ops: *mut bpf_sock_ops = context.ops;
    // SAFETY: the context is valid.
    let socket = unsafe { (*ops).__bindgen_anon_2.sk };
    let state = if socket.is_null() { None } else { state(socket) };
    // SAFETY: a map's value is valid for the length of the program.
    let expired = state.is_some_and(|state| unsafe { (*state).flags } & STATE_TIMED_OUT != 0);
    // SAFETY: the context is valid for the length of the program.
    let record = unsafe {
        Closed {
            header: header(KIND_CLOSED, 0, 0, 0, cookie),
            bytes_received: (*ops).bytes_received,
            bytes_acked: (*ops).bytes_acked,
            // The kernel keeps eight times the value (net/ipv4/tcp_input.c, `tcp_rtt_estimator`).
            srtt_us: (*ops).srtt_us >> 3,
            retransmits: (*ops).total_retrans,
            segments_in: (*ops).segs_in,
            segments_out: (*ops).segs_out,
            old_state,
            how: if expired { CLOSED_TIMED_OUT } else { CLOSED },
        }
    };
    emit::<Closed>(0, waiting(), |entry| {
        entry.write(record);
        true
    });
    if state.is_some() {
        // The socket may be used again (`connect` after `AF_UNSPEC`), with nothing of this connection.
        forget(socket);
    }
}

/// Sequence numbers of the first byte of each direction.
#[inline(always)]
fn first(context: &SockOpsContext) -> [u32; 2] {
    let ops: *mut bpf_sock_ops = context.ops;
    // SAFETY: the context is valid. What came with the handshake (TCP Fast Open) has been counted already.
    unsafe { [(*ops).rcv_nxt.wrapping_sub((*ops).bytes_received as u32), (*ops).snd_nxt] }
}

#[inline(always)]
fn tuple(context: &SockOpsContext) -> Tuple {
    let ops: *const bpf_sock_ops = context.ops;
    // Each word is read on its own, whatever the family: the verifier wants each access to the context at a constant
    // place, and a volatile read is not merged with its neighbour into one at a computed place.
    macro_rules! word {
        ($($field:tt)+) => {
            // SAFETY: the context is valid for the length of the program.
            unsafe { (&raw const (*ops).$($field)+).read_volatile() }
        };
    }
    let v4 = [word!(local_ip4), word!(remote_ip4)];
    let local = [word!(local_ip6[0]), word!(local_ip6[1]), word!(local_ip6[2]), word!(local_ip6[3])];
    let remote = [word!(remote_ip6[0]), word!(remote_ip6[1]), word!(remote_ip6[2]), word!(remote_ip6[3])];
    let (local, remote) =
        if word!(family) == INET { (mapped(v4[0]), mapped(v4[1])) } else { (local, remote) };
    Tuple {
        local: octets(local),
        remote: octets(remote),
        local_port: word!(local_port) as u16,
        // In network order, in the upper half of the word on a little-endian machine.
        remote_port: u32::from_be(word!(remote_port)) as u16,
        reserved: 0,
    }
}

#[inline(always)]
fn cookie(context: &SockOpsContext) -> u64 {
    // SAFETY: the context is valid.
    unsafe { bpf_get_socket_cookie(context.ops.cast()) }
}
