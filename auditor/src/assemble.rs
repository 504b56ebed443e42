//! Assembly: segments in the order of their arrival become, for each direction of a connection, bytes in the order of
//! the stream, with every byte that is not there named as a hole.
//!
//! Consumes [`Segment`](crate::capture::record::Segment)s, produces [`Piece`]s. The pieces of a stream, laid end to end,
//! cover it from offset 0 without overlap: a consumer that adds up their lengths knows each one's offset.

pub mod stream;
pub mod tls;

mod held;
mod unconfirmed;

/// The next thing in a direction, in the order of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes. Never empty.
    Data(&'a [u8]),
    /// Bytes that are not there.
    Hole {
        /// How many; never 0.
        len: u64,
        /// Why.
        reason: Absence,
    },
    /// The direction ended here (FIN). Nothing but a reset follows.
    Fin,
    /// The sender of this direction reset the connection. Nothing follows.
    Reset,
}

/// Why bytes of a stream are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Absence {
    /// They were seen and not copied, because nobody needed them.
    Unwanted,
    /// They were never seen, or came after the waiting for them was over.
    Lost,
}
