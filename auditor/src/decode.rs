//! Decoding: the pieces of a connection's two directions become messages, and messages become exchanges.
//!
//! Consumes [`Piece`](crate::assemble::Piece)s. Pure: no clock, no I/O. What cannot be understood is never guessed at; it
//! is counted and reported.

pub mod connection;
pub mod exchange;
pub mod forwarding;
pub mod hpack;
pub mod http1;
pub mod http2;
pub mod legs;
pub mod malformed;
pub mod notes;
pub mod proxy_protocol;
