//! HTTP/1.0 and HTTP/1.1 (RFC 9112): the two directions of a connection become exchanges, a request with its response.
//!
//! Message boundaries come from the framing alone, never from what bytes look like: no byte of a body can become an event.
//! Where the framing of requests is not certain, nothing after that is read as a request.

pub mod connection;
pub mod fields;
pub mod head;

pub use super::{exchange, malformed, notes};

mod chunked;
mod framing;
pub(in crate::decode) mod lane;
mod target;
#[cfg(test)]
mod tests;

/// What one connection may make the decoder hold. Over a bound, the direction is no longer read, and that is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head or of a trailer section, from its first line to the empty line that ends it.
    pub head_bytes: usize,
    /// Header lines of a head or a trailer section.
    pub fields: usize,
    /// Requests that wait for their response.
    pub pipelined: usize,
    /// Bytes held back until it is known what they are (after CONNECT or Upgrade, or before a request that is late).
    pub held_bytes: usize,
    /// Interim responses remembered for one request; more are counted only.
    pub interim: usize,
}

impl Default for Limits {
    /// Heads: nginx takes 32 KiB (`large_client_header_buffers`), `HAProxy` 16 KiB (`tune.bufsize`), Envoy 60 KiB, Go 1 MiB
    /// (`DefaultMaxHeaderBytes`); Envoy takes 100 lines, `HAProxy` 101, Go any number. 64 KiB and 1,024 lines take what all
    /// but Go take; a larger head still becomes a request, cut and marked.
    fn default() -> Self {
        Self { head_bytes: 64 * 1024, fields: 1024, pipelined: 1024, held_bytes: 64 * 1024, interim: 8 }
    }
}
