//! UDP of a socket: counted by the controller's port, and not read (QUIC, and with it HTTP/3, is).

use aya_ebpf::bindings::{__sk_buff, bpf_sock};

use auditor_ebpf::abi::Counter;

use crate::maps::{count, count_datagrams};

/// Length of the header (RFC 768).
const HEADER: u32 = 8;

/// Counts one packet, whose header begins at `at`. On egress it may be several that the device will separate (`UDP_SEGMENT`,
/// udp(7)): they count as one, with the payload of all.
#[inline(always)]
pub(crate) fn observe(skb: *mut __sk_buff, socket: *mut bpf_sock, at: u32) {
    // SAFETY: the context is valid, the socket is not null. Its port is in host order (struct bpf_sock, include/uapi/linux/bpf.h).
    let (total, port) = unsafe { ((*skb).len, (*socket).src_port) };
    count(Counter::Udp, 1);
    count_datagrams(port, 1, u64::from(total.saturating_sub(at + HEADER)));
}
