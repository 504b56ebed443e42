//! Which bytes of a stream are copied, and the arithmetic of stream offsets. Run by the kernel programs and by userspace.
//!
//! A direction's *turn* starts when it speaks after the other side spoke. A window from the start of the turn is copied:
//! it holds the heads. Userspace may name the next offset it needs (the end of a body); what lies before is not copied,
//! and the window then starts there. So a body costs nothing, and a late or lost word from userspace costs copies, never
//! the head of the next message.
//!
//! Of a direction that carries TLS the headers of records are needed wherever they stand. Where the kernel knows where they
//! do, it copies around each boundary ([`BEFORE`], [`BEHIND`]) and leaves out the rest; where it does not, it copies all.

/// How many connections have a cell in the array of wants (a power of two).
pub const WANT_SLOTS: u64 = 65_536;
/// Cells in that array: two directions each.
pub const WANT_CELLS: u32 = 131_072;
/// Bits of an offset in a want; 2^47 bytes is more than a connection carries.
const WANT_BITS: u32 = 47;
const WANT_MASK: u64 = (1 << WANT_BITS) - 1;
/// Set in a want: what lies before it is records of TLS.
const WANT_TLS: u64 = 1 << WANT_BITS;
/// Where the bits begin that tell connections apart.
const TAG_SHIFT: u32 = 48;

/// Bytes of a TLS record's header (RFC 8446, 5.1).
pub const RECORD_HEADER: u64 = 5;
/// The longest fragment of a record that any version allows (RFC 5246, 6.2.3).
pub const MAX_FRAGMENT: u64 = (1 << 14) + 2048;
/// Copied before a boundary: the tag, and the bytes ahead of it. In TLS 1.3 those end with the type of the contents, behind
/// which zeros may stand (RFC 8446, 5.2).
pub const BEFORE: u64 = 32;
/// Copied from a boundary on: the header, and the explicit part of a nonce (RFC 5288, 3).
pub const BEHIND: u64 = RECORD_HEADER + 8;

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

/// The next offset that userspace needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// The offset; 0 if it has not said.
    pub offset: u64,
    /// What lies before it is records of TLS, whose boundaries are needed all the same.
    pub tls: bool,
}

/// What to store in that cell. The upper bits tell connections that share a cell apart: one 64-bit store, never torn.
#[inline(always)]
pub const fn pack_want(cookie: u64, want: Want) -> u64 {
    let offset = if want.offset > WANT_MASK { WANT_MASK } else { want.offset };
    (tag(cookie) << TAG_SHIFT) | if want.tls { WANT_TLS } else { 0 } | offset
}

/// The want in `cell` if it belongs to this connection, else none.
#[inline(always)]
pub const fn unpack_want(cookie: u64, cell: u64) -> Want {
    if cell >> TAG_SHIFT == tag(cookie) {
        Want { offset: cell & WANT_MASK, tls: cell & WANT_TLS != 0 }
    } else {
        Want { offset: 0, tls: false }
    }
}

/// How long the fragment is that follows a record's header, whose five bytes are the lowest of `header`, the first highest.
/// None: it is no header. Versions are 0x0300 to 0x0304; the minor number of a first record may be anything (RFC 8446, 5.1:
/// ignored).
#[inline(always)]
pub const fn fragment_len(header: u64) -> Option<u64> {
    let (content, major, minor) = (header >> 32 & 0xff, header >> 24 & 0xff, header >> 16 & 0xff);
    let len = header & 0xffff;
    let known = content >= 20 && content <= 24 && major == 3 && minor <= 4;
    if known && len <= MAX_FRAGMENT { Some(len) } else { None }
}

/// Whether these five bytes, as in [`fragment_len`], begin a header of the PROXY protocol (its text, 2.1 and 2.2), behind which
/// records may begin.
#[inline(always)]
pub const fn is_proxy(header: u64) -> bool {
    const VERSION_1: u64 = u64::from_be_bytes(*b"\0\0\0PROXY");
    const VERSION_2: u64 = u64::from_be_bytes(*b"\0\0\0\r\n\r\n\0");
    header == VERSION_1 || header == VERSION_2
}

#[inline(always)]
const fn tag(cookie: u64) -> u64 {
    (cookie / WANT_SLOTS) & 0xffff
}
