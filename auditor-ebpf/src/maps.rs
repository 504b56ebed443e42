//! The maps: the ring, the state that hangs on each socket, and two arrays that userspace maps into its memory.
//!
//! `WANTS` and `COUNTERS` are memory-mappable, so that the process that decodes needs no `bpf()` call and no right to it.

use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::mem::MaybeUninit;
use core::ptr;

use auditor_ebpf::abi::{COUNTERS as CELLS_PER_CPU, Counter, DATAGRAM_CELLS};
use auditor_ebpf::window::{WANT_CELLS, Want, unpack_want, want_cell};
use aya_ebpf::bindings::{
    BPF_F_MMAPABLE, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_SK_STORAGE_GET_F_CREATE,
    bpf_sock,
};
use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::helpers::generated::{bpf_sk_storage_delete, bpf_sk_storage_get};
use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ringbuf_query};
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::{Array, RingBuf};

/// What the kernel keeps for a socket.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SocketState {
    /// Sequence number of offset 0, by direction.
    pub(crate) first: [u32; 2],
    /// How far each direction has come: what TCP has accepted, and what was seen of what it sends.
    pub(crate) highest: [u64; 2],
    /// Where the current turn began, by direction.
    pub(crate) base: [u64; 2],
    /// Where the next header of a TLS record stands, by direction; [`NO_RECORDS`] where there are none. Less than what was
    /// seen of the direction: not known.
    pub(crate) record: [u64; 2],
    /// Where what is needed behind the last header ends.
    pub(crate) behind: [u64; 2],
    /// What has come of a header that is not whole: its bytes, above them their number.
    pub(crate) split: [u64; 2],
    /// The socket's name, so that it need not be asked for each packet.
    pub(crate) cookie: u64,
    /// The direction that spoke last; [`NOBODY`] before the first byte.
    pub(crate) last: u8,
    /// `STATE_` bits.
    pub(crate) flags: u8,
    /// Always zero.
    pub(crate) reserved: [u8; 6],
}

/// [`SocketState::record`] of a direction that does not carry TLS from its first byte on.
pub(crate) const NO_RECORDS: u64 = u64::MAX;
/// [`SocketState::last`] before any payload.
pub(crate) const NOBODY: u8 = 0xff;
/// The `Opened` record has reached the ring.
pub(crate) const STATE_ANNOUNCED: u8 = 1;
/// The controller accepted this connection.
pub(crate) const STATE_PASSIVE: u8 = 2;
/// No `sock_ops` call will come for this socket: its end must be read from the wire.
pub(crate) const STATE_JOINED: u8 = 4;
/// The address on the wire was compared with that of the socket.
pub(crate) const STATE_COMPARED: u8 = 8;
/// Ingress FIN seen; shifted by one, egress.
pub(crate) const STATE_FIN: u8 = 16;
/// The last retransmission was not answered: TCP gives the connection up.
pub(crate) const STATE_TIMED_OUT: u8 = 64;

/// Records on their way to userspace. The size is set when loading.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// One word for each program that the controller has begun to run. Where there is no room, who reads has been woken.
#[map]
static EXECS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Wakes who reads [`EXECS`].
#[inline(always)]
pub(crate) fn wake() {
    if let Some(mut entry) = EXECS.reserve::<u64>(0) {
        entry.write(0);
        entry.submit(u64::from(BPF_RB_FORCE_WAKEUP));
    }
}

/// State of each socket, kept on the socket itself: found without a look-up, gone with the socket, never evicted.
#[btf_map]
static SOCKETS: SkStorage<SocketState> = SkStorage::new();

/// The state of a socket, if it has one.
#[inline(always)]
pub(crate) fn state(socket: *mut bpf_sock) -> Option<*mut SocketState> {
    let map = (&raw const SOCKETS).cast_mut().cast();
    // SAFETY: the address of the map's definition is the map, once loaded; the socket is not null.
    let state = unsafe { bpf_sk_storage_get(map, socket.cast(), ptr::null_mut(), 0) };
    (!state.is_null()).then_some(state.cast())
}

/// Gives a socket its state; none, and counted, if there is no memory for it.
#[inline(always)]
pub(crate) fn create(socket: *mut bpf_sock, mut state: SocketState) -> Option<*mut SocketState> {
    let map = (&raw const SOCKETS).cast_mut().cast();
    let initial = (&raw mut state).cast();
    // SAFETY: as above; the helper copies the initial value.
    let made =
        unsafe { bpf_sk_storage_get(map, socket.cast(), initial, u64::from(BPF_SK_STORAGE_GET_F_CREATE)) };
    if made.is_null() {
        count(Counter::NoState, 1);
    }
    (!made.is_null()).then_some(made.cast())
}

/// Takes a socket's state away.
#[inline(always)]
pub(crate) fn forget(socket: *mut bpf_sock) {
    // SAFETY: as above. A failure means that there was none.
    unsafe { bpf_sk_storage_delete((&raw const SOCKETS).cast_mut().cast(), socket.cast()) };
}

/// The next offset that userspace needs, by connection and direction.
#[map]
static WANTS: Array<u64> = Array::with_max_entries(WANT_CELLS, BPF_F_MMAPABLE);

/// What was counted: UDP by port, all else by CPU. The size is set when loading, from the number of possible CPUs.
#[map]
static COUNTERS: Array<u64> = Array::with_max_entries(DATAGRAM_CELLS + 16 * CELLS_PER_CPU, BPF_F_MMAPABLE);

/// Bytes of a turn that are always copied where requests travel. Set when loading.
#[unsafe(no_mangle)]
static REQUEST_WINDOW: u64 = 65_536;
/// Bytes of a turn that are always copied where responses travel. Set when loading.
#[unsafe(no_mangle)]
static RESPONSE_WINDOW: u64 = 20_480;
/// Fill of the ring up to which bodies are copied. Set when loading.
#[unsafe(no_mangle)]
static BULK_BYTES: u64 = 2 << 20;
/// Fill of the ring past which no payload is copied: what is left is for records, so that the end of a connection, and
/// what was not copied, is still told. Set when loading.
#[unsafe(no_mangle)]
static COPY_BYTES: u64 = 7 << 20;
/// Fill of the ring past which packets are not told of at all: what is left is for the beginnings and ends of connections,
/// so that the reader does not follow for ever what is over. Set when loading.
#[unsafe(no_mangle)]
static TELL_BYTES: u64 = 15 << 19;
/// Fill of the ring, and each multiple of it, at which its reader is woken: a power of two. Set when loading.
#[unsafe(no_mangle)]
static WAKE_BYTES: u64 = 1 << 20;

/// What an entry has in the ring ahead of its bytes (`BPF_RINGBUF_HDR_SZ`, include/uapi/linux/bpf.h).
const ENTRY_HEADER: u64 = 8;

/// Bytes of a turn that are copied when the ring is nearly full.
const SMALL: u64 = 4096;

/// How much of a turn is copied: up to [`BULK_BYTES`] as long as the ring has as little waiting, so that a body in chunks
/// is followed until userspace says what it needs of it; else the window, so that heads find room whatever bodies do; and
/// past three quarters of the ring little of it, so that those of ordinary size do whatever long ones do.
#[inline(always)]
pub(crate) fn limit(requests: bool) -> u64 {
    let cell = if requests { &raw const REQUEST_WINDOW } else { &raw const RESPONSE_WINDOW };
    // SAFETY: initialised statics; the reads are volatile because the loader replaces the values.
    let (window, bulk) = unsafe { (cell.read_volatile(), (&raw const BULK_BYTES).read_volatile()) };
    let waiting = waiting();
    if waiting < bulk && bulk > window {
        bulk
    } else if waiting > bulk + bulk / 2 && window > SMALL {
        SMALL
    } else {
        window
    }
}

/// Counts.
#[inline(always)]
pub(crate) fn count(reason: Counter, amount: u64) {
    // SAFETY: the helper has no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    add(DATAGRAM_CELLS + cpu * CELLS_PER_CPU + reason as u32, amount);
}

/// Counts a packet of UDP by the controller's port.
#[inline(always)]
pub(crate) fn count_datagrams(port: u32, packets: u64, bytes: u64) {
    let cell = 2 * (port & 0xffff);
    add(cell, packets);
    add(cell + 1, bytes);
}

#[inline(always)]
fn add(cell: u32, amount: u64) {
    if let Some(cell) = COUNTERS.get_ptr(cell) {
        // SAFETY: a map's cell is valid and aligned for the length of the program. Atomic because a softirq may
        // interrupt a program on the same CPU between load and store, and for cells that all CPUs share.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(cell.cast_mut(), amount) };
    }
}

/// The offset that userspace next needs.
#[inline(always)]
pub(crate) fn want(cookie: u64, direction: u8) -> Want {
    match WANTS.get_ptr(want_cell(cookie, direction)) {
        // SAFETY: as above; userspace stores whole 64-bit words.
        Some(cell) => unpack_want(cookie, unsafe { cell.read_volatile() }),
        None => Want { offset: 0, tls: false },
    }
}

/// Fills a record in place and hands it over, or counts what was lost. `waiting`: bytes in the ring just now; `fill` returns
/// false to give the record up.
#[inline(always)]
pub(crate) fn emit<T: 'static>(
    payload: u32,
    waiting: u64,
    fill: impl FnOnce(&mut MaybeUninit<T>) -> bool,
) -> bool {
    let Some(mut entry) = EVENTS.reserve::<T>(0) else {
        count(Counter::RingFull, 1);
        count(Counter::RingFullBytes, u64::from(payload));
        return false;
    };
    if !fill(&mut entry) {
        entry.discard(u64::from(BPF_RB_NO_WAKEUP));
        return false;
    }
    entry.submit(wakeup(waiting, size_of::<T>()));
    true
}

/// Whether the ring has room for bodies.
#[inline(always)]
pub(crate) fn has_room_for_bodies() -> bool {
    // SAFETY: an initialised static that the loader replaces.
    waiting() < unsafe { (&raw const BULK_BYTES).read_volatile() }
}

/// Whether the ring has room for payload.
#[inline(always)]
pub(crate) fn has_room(waiting: u64) -> bool {
    // SAFETY: an initialised static that the loader replaces.
    waiting <= unsafe { (&raw const COPY_BYTES).read_volatile() }
}

/// Whether the ring has room for records of packets.
#[inline(always)]
pub(crate) fn has_room_to_tell(waiting: u64) -> bool {
    // SAFETY: an initialised static that the loader replaces.
    waiting <= unsafe { (&raw const TELL_BYTES).read_volatile() }
}

/// A wakeup costs microseconds on the controller's own thread: only for the record with which the ring fills past a multiple of
/// the mark, which is a power of two. Two that pass one at once may both miss it; then it is the next that wakes.
#[inline(always)]
fn wakeup(waiting: u64, size: usize) -> u64 {
    // SAFETY: an initialised static that the loader replaces.
    let mark = unsafe { (&raw const WAKE_BYTES).read_volatile() };
    let after = waiting + size as u64 + ENTRY_HEADER;
    let passes = (waiting ^ after) & mark.wrapping_neg() != 0;
    u64::from(if passes { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}

/// Bytes in the ring that have not been read.
#[inline(always)]
pub(crate) fn waiting() -> u64 {
    // SAFETY: the ring is a live map; the helper only reads its positions.
    unsafe { bpf_ringbuf_query((&raw const EVENTS).cast_mut().cast(), u64::from(BPF_RB_AVAIL_DATA)) }
}
