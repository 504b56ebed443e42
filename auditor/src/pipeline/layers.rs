//! What lies on a connection's two streams, one above the other: a header of the PROXY protocol, then HTTP.
//!
//! Consumes the pieces of both directions; gives each layer what those below it leave. A header can only be at the start of
//! the direction of requests, and ahead of everything else, TLS included (section 2 of its specification). Its source goes
//! into the [`Party`]. Invariant: each byte is HTTP's, or counted as read ahead of it ([`Decoder::begin_behind`]), so that HTTP's
//! offsets are the stream's.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::assemble::Piece;
use crate::capture::record::{Direction, How, Nanos};
use crate::decode::connection::Decoder;
use crate::decode::http1::connection::{End, Sink};
use crate::decode::http1::exchange::{Decoded, Reason, Trouble};
use crate::decode::http1::malformed::Malformed;
use crate::decode::legs::Party;
use crate::decode::proxy_protocol::{Defect, Part, Preamble};

/// The decoders of a connection.
#[derive(Debug)]
pub(super) struct Layers {
    requests: Direction,
    preamble: Preamble,
    http: Decoder,
    /// The stream of requests waits for a missing range.
    waiting: bool,
}

impl Layers {
    /// `start`: the offsets where the two streams begin to be told of.
    pub(super) fn new(requests: Direction, how: How, start: [u64; 2]) -> Self {
        let mut http = Decoder::new(requests, how);
        http.begin_behind(Direction::Ingress, start[0]);
        http.begin_behind(Direction::Egress, start[1]);
        Self { requests, preamble: Preamble::new(how), http, waiting: false }
    }

    /// Takes the next piece of a direction.
    pub(super) fn feed(
        &mut self,
        sink: &mut Sink<'_>,
        party: &mut Arc<Party>,
        direction: Direction,
        piece: Piece<'_>,
        time: Nanos,
    ) {
        let Self { requests, preamble, http, waiting } = self;
        if direction == *requests {
            preamble.feed(piece, time, &mut |part, time| take(http, sink, party, direction, part, time));
            return;
        }
        // Who takes what was sent for a header waits for all of it before it speaks.
        if preamble.is_unsure() && !*waiting {
            preamble.give_up(&mut |part, time| take(http, sink, party, *requests, part, time));
        }
        http.feed(sink, direction, piece, time);
    }

    /// Says whether the stream of requests waits for a missing range.
    pub(super) fn set_waiting(&mut self, sink: &mut Sink<'_>, waiting: bool, time: Nanos) {
        self.waiting = waiting;
        self.http.set_waiting(sink, waiting, time);
    }

    /// Two copies of bytes differ, and it is not known which the receiver took.
    pub(super) fn contradicted(&mut self) {
        self.http.contradicted();
    }

    /// TCP did not accept what the requesting side sent from `offset` on.
    pub(super) fn refused(&mut self, offset: u64) {
        self.http.refused(offset);
    }

    /// Bytes of memory that hold what is not read yet.
    pub(super) fn held_bytes(&self) -> usize {
        self.http.held_bytes()
    }

    /// Gives up what is held of a head: there is no room for it.
    pub(super) fn release(&mut self, sink: &mut Sink<'_>, time: Nanos) {
        self.http.release(sink, time);
    }

    /// Nothing will follow.
    pub(super) fn close(&mut self, sink: &mut Sink<'_>, party: &mut Arc<Party>, end: End, time: Nanos) {
        let Self { requests, preamble, http, .. } = self;
        preamble.give_up(&mut |part, time| take(http, sink, party, *requests, part, time));
        http.close(sink, end, time);
    }

    /// Whether it turned out to be HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.http.is_http2()
    }

    /// The next stream offset of which a direction needs the bytes; see [`Decoder::needed`].
    pub(super) fn needed(&self, direction: Direction) -> Option<u64> {
        self.http.needed(direction)
    }
}

/// Takes what was found at, or behind, the start of the direction of requests.
fn take(
    http: &mut Decoder,
    sink: &mut Sink<'_>,
    party: &mut Arc<Party>,
    direction: Direction,
    part: Part<'_>,
    time: Nanos,
) {
    let mut trouble = |reason, bytes| {
        sink.out.push(Decoded::Trouble(Trouble { direction, offset: 0, bytes, reason, time }));
    };
    match part {
        Part::Next(piece) => http.feed(sink, direction, piece, time),
        Part::Missing(len, absence) => trouble(Reason::Hole(absence), len),
        Part::Cut(len) => {
            trouble(Reason::Malformed(Malformed::ProxyProtocol), len);
            http.begin_behind(direction, len);
        }
        Part::Header(header) => {
            let len = u64::from(header.len);
            if header.defect.is_some_and(|defect| defect != Defect::Missing) {
                trouble(Reason::Malformed(Malformed::ProxyProtocol), len);
            }
            http.begin_behind(direction, len);
            Arc::make_mut(party).proxied = Some(Arc::new(*header));
        }
    }
}
