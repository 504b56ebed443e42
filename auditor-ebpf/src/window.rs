//! Which bytes of a stream are copied, and the arithmetic of stream offsets. Run by the kernel programs and by userspace.
//!
//! A direction's *turn* starts when it speaks after the other side spoke. A window from the start of the turn is copied:
//! it holds the heads. Userspace may name the next offset it needs (the end of a body); what lies before is not copied,
//! and the window then starts there. So a body costs nothing, and a late or lost word from userspace costs copies, never
//! the head of the next message.

/// How many connections have a cell in the array of wants (a power of two).
pub const WANT_SLOTS: u64 = 65_536;
/// Cells in that array: two directions each.
pub const WANT_CELLS: u32 = 131_072;
/// Bits of an offset in a want; 2^48 bytes is more than a connection carries.
const WANT_BITS: u32 = 48;
const WANT_MASK: u64 = (1 << WANT_BITS) - 1;

/// The stream offset of sequence number `sequence`, given that of the stream's first byte and the highest offset seen so far.
///
/// Sequence numbers wrap every 4 GiB (RFC 9293, 3.4); the result is the place nearest to `highest`, which is right while
/// packets arrive within 2 GiB of each other. Negative: the byte lies before the first one.
#[expect(clippy::cast_possible_truncation, reason = "sequence numbers are offsets modulo 2^32")]
#[inline(always)]
pub const fn offset_of(sequence: u32, first: u32, highest: u64) -> i64 {
    let low = sequence.wrapping_sub(first);
    let ahead = low.wrapping_sub(highest as u32) as i32;
    highest as i64 + ahead as i64
}

/// The half-open range of offsets to copy, for a turn that started at `base`, of `limit` bytes, if userspace next needs `want` (0: unknown).
#[inline(always)]
pub const fn window(base: u64, want: u64, limit: u64) -> (u64, u64) {
    let start = if want > base { want } else { base };
    // A turn's first packet may be overtaken by its second: what lies a little before is wanted as well.
    let slack = base.saturating_sub(limit);
    (if want > slack { want } else { slack }, start + limit)
}

/// The cell of a connection's direction.
#[expect(clippy::cast_possible_truncation, reason = "below WANT_CELLS")]
#[inline(always)]
pub const fn want_cell(cookie: u64, direction: u8) -> u32 {
    (((cookie & (WANT_SLOTS - 1)) << 1) | (direction & 1) as u64) as u32
}

/// What to store in that cell. The upper bits tell connections that share a cell apart: one 64-bit store, never torn.
#[inline(always)]
pub const fn pack_want(cookie: u64, want: u64) -> u64 {
    let want = if want > WANT_MASK { WANT_MASK } else { want };
    (tag(cookie) << WANT_BITS) | want
}

/// The want in `cell` if it belongs to this connection, else 0.
#[inline(always)]
pub const fn unpack_want(cookie: u64, cell: u64) -> u64 {
    if cell >> WANT_BITS == tag(cookie) { cell & WANT_MASK } else { 0 }
}

#[inline(always)]
const fn tag(cookie: u64) -> u64 {
    (cookie / WANT_SLOTS) & 0xffff
}
