//! HTTP/2 (RFC 9113): the two directions of a connection become exchanges, one for each stream with a request.
//!
//! The same comes out as for HTTP/1 ([`Decoded`](crate::decode::exchange::Decoded)). Boundaries come from the lengths of
//! frames alone. Where a direction breaks the rules of a connection, or boundaries are lost and not found again, no later
//! byte of it is read. Bodies are counted and not held.

pub mod connection;
pub mod defect;

mod frame;
mod lane;
mod list;
mod search;
mod settings;
#[cfg(test)]
mod tests;

pub(in crate::decode) use frame::PREFACE;

/// What one connection may make the decoder hold. Over a bound, what does not fit is not read, and that is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a header block as encoded, and of a head or trailer section as decoded (names, values and 4 bytes a field).
    pub head_bytes: usize,
    /// Fields of a head or a trailer section.
    pub fields: usize,
    /// Frames of one header block.
    pub block_frames: u32,
    /// Exchanges in flight.
    pub streams: usize,
    /// Bytes of their heads, all together.
    pub heads_bytes: usize,
    /// Bytes held back because the request that they answer may be late.
    pub held_bytes: usize,
    /// Interim responses remembered for one request; more are counted only.
    pub interim: usize,
}

impl Default for Limits {
    /// Heads as for HTTP/1. Blocks of 64 KiB in frames of the default size are five; 64 take what any client sends and end
    /// a flood of `CONTINUATION`. Streams: servers allow 100 to 250 at once, Envoy 1,024; gRPC may have thousands.
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            fields: 1024,
            block_frames: 64,
            streams: 4096,
            heads_bytes: 8 * 1024 * 1024,
            held_bytes: 64 * 1024,
            interim: 8,
        }
    }
}
