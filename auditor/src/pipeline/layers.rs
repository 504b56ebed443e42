//! What lies on a connection's two streams, one above the other: a header of the PROXY protocol, then TLS, then HTTP.
//!
//! Consumes the pieces of both directions; gives each layer what those below it leave. A header can only be at the start of
//! the direction of requests, and ahead of everything else, TLS included (section 2 of its specification). Its source goes
//! into the [`Party`], as do the facts of TLS. Invariant: without TLS each byte is HTTP's, or counted as read ahead of it
//! ([`Decoder::begin_behind`]), so that HTTP's offsets are the stream's.

mod tls;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::hellos::Hello;
use crate::assemble::Piece;
use crate::assemble::tls::context::{Context, Limits};
use crate::assemble::tls::plausible::{Plausible, plausible};
use crate::capture::record::{Direction, How, Nanos};
use crate::decode::connection::Decoder;
use crate::decode::exchange::{Decoded, Reason, Trouble};
use crate::decode::http1::connection::{End, Sink};
use crate::decode::legs::Party;
use crate::decode::malformed::Malformed;
use crate::decode::proxy_protocol::{Defect, Part, Preamble};
use tls::Secure;

/// What the layers of all connections share.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    pub(super) http: Sink<'a>,
    pub(super) tls: &'a mut Context,
}

/// The decoders of a connection.
#[derive(Debug)]
pub(super) struct Layers {
    requests: Direction,
    preamble: Preamble,
    above: Above,
    /// The stream of requests waits for a missing range.
    waiting: bool,
}

/// What lies behind the preamble.
#[derive(Debug)]
struct Above {
    requests: Direction,
    transport: Transport,
    http: Decoder,
}

#[derive(Debug)]
enum Transport {
    /// So few bytes of the requesting side, if any, that it is not known.
    Unknown(Vec<u8>),
    Plain,
    Tls(Box<Secure>),
}

impl Layers {
    /// `start`: the offsets where the two streams begin to be told of.
    pub(super) fn new(requests: Direction, how: How, start: [u64; 2]) -> Self {
        let mut http = Decoder::new(requests, how);
        http.begin_behind(Direction::Ingress, start[0]);
        http.begin_behind(Direction::Egress, start[1]);
        let transport = match how {
            How::Passive | How::Active => Transport::Unknown(Vec::new()),
            // Without the handshake nothing of it could be read.
            How::Joined => Transport::Plain,
        };
        let above = Above { requests, transport, http };
        Self { requests, preamble: Preamble::new(how), above, waiting: false }
    }

    /// Takes the next piece of a direction.
    pub(super) fn feed(
        &mut self,
        scope: &mut Scope<'_>,
        party: &mut Arc<Party>,
        direction: Direction,
        piece: Piece<'_>,
        time: Nanos,
    ) {
        let Self { requests, preamble, above, waiting } = self;
        if direction == *requests {
            preamble.feed(piece, time, &mut |part, time| above.take(scope, party, part, time));
            return;
        }
        // Who takes what was sent for a header waits for all of it before it speaks.
        if preamble.is_unsure() && !*waiting {
            preamble.give_up(&mut |part, time| above.take(scope, party, part, time));
        }
        above.feed(scope, party, direction, piece, time);
    }

    /// Says whether the stream of requests waits for a missing range.
    pub(super) fn set_waiting(&mut self, scope: &mut Scope<'_>, waiting: bool, time: Nanos) {
        self.waiting = waiting;
        self.above.http.set_waiting(&mut scope.http, waiting, time);
    }

    /// Two copies of bytes of a direction differ, and it is not known which the receiver took. TLS does not tell them apart: a
    /// client can encrypt two requests with one key.
    pub(super) fn contradicted(&mut self, scope: &mut Scope<'_>, direction: Direction, time: Nanos) {
        self.above.http.contradicted(&mut scope.http, direction, time);
    }

    /// TCP has accepted the requests up to this offset.
    pub(super) fn set_accepted(&mut self, offset: Option<u64>) {
        if !self.is_tls() {
            self.above.http.set_accepted(offset);
        }
    }

    /// TCP did not accept what the requesting side sent from `offset` on.
    pub(super) fn refused(&mut self, offset: u64) {
        // Where that is in the plaintext is not known: of TLS, all that is unanswered may be meant.
        let offset = if self.is_tls() { 0 } else { offset };
        self.above.http.refused(offset);
    }

    /// A secret has come, and it [`Self::awaits`] some.
    pub(super) fn secrets_arrived(&mut self, scope: &mut Scope<'_>, party: &mut Arc<Party>, time: Nanos) {
        if let Transport::Tls(secure) = &mut self.above.transport {
            secure.secrets_arrived(&mut self.above.http, scope, party, time);
        }
    }

    /// The client's hello, if it speaks TLS and has said one.
    pub(super) fn hello(&self) -> Option<Hello> {
        match &self.above.transport {
            Transport::Tls(secure) => secure.hello(),
            Transport::Unknown(_) | Transport::Plain => None,
        }
    }

    /// Whether secrets would serve that have not come.
    pub(super) fn awaits(&self) -> bool {
        matches!(&self.above.transport, Transport::Tls(secure) if secure.awaits())
    }

    /// Whether something is held back until a certain time.
    pub(super) fn has_deadline(&self, limits: &Limits) -> bool {
        matches!(&self.above.transport, Transport::Tls(secure) if secure.has_deadline(limits))
    }

    /// Gives up what waited long enough at `now`.
    pub(super) fn expire(&mut self, scope: &mut Scope<'_>, party: &mut Arc<Party>, now: Nanos) {
        if let Transport::Tls(secure) = &mut self.above.transport {
            secure.expire(&mut self.above.http, scope, party, now);
        }
    }

    /// Bytes of memory that hold what is not read yet.
    pub(super) fn held_bytes(&self) -> usize {
        let http = self.above.http.held_bytes();
        match &self.above.transport {
            Transport::Tls(secure) => http + secure.held_bytes(),
            Transport::Unknown(_) | Transport::Plain => http,
        }
    }

    /// Gives up what is held of a message: there is no room for it.
    pub(super) fn release(&mut self, scope: &mut Scope<'_>, party: &mut Arc<Party>, time: Nanos) {
        if let Transport::Tls(secure) = &mut self.above.transport {
            secure.release(&mut self.above.http, scope, party, time);
        }
        self.above.http.release(&mut scope.http, time);
    }

    /// Nothing will follow.
    pub(super) fn close(&mut self, scope: &mut Scope<'_>, party: &mut Arc<Party>, end: End, time: Nanos) {
        let Self { preamble, above, .. } = self;
        preamble.give_up(&mut |part, time| above.take(scope, party, part, time));
        if let Transport::Tls(secure) = &mut above.transport {
            secure.finish(&mut above.http, scope, party, time);
        }
        above.plain(scope, time);
        above.http.close(&mut scope.http, end, time);
    }

    /// Whether it turned out to be HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.above.http.is_http2()
    }

    /// Whether it speaks TLS.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self.above.transport, Transport::Tls(_))
    }

    /// Whether the boundaries of records are needed in what is not; see [`Tls::needs_boundaries`].
    ///
    /// [`Tls::needs_boundaries`]: crate::assemble::tls::Tls::needs_boundaries
    pub(super) fn needs_boundaries(&self, direction: Direction) -> bool {
        matches!(&self.above.transport, Transport::Tls(secure) if secure.needs_boundaries(direction))
    }

    /// The next stream offset of which a direction needs the bytes; see [`Decoder::needed`], and [`Tls::needed`] for what is
    /// needed before it all the same where it speaks TLS.
    ///
    /// [`Tls::needed`]: crate::assemble::tls::Tls::needed
    pub(super) fn needed(&self, direction: Direction) -> Option<u64> {
        match &self.above.transport {
            Transport::Unknown(_) | Transport::Plain => self.above.http.needed(direction),
            Transport::Tls(secure) => secure.needed(&self.above.http, direction),
        }
    }
}

impl Above {
    /// Takes what was found at, or behind, the start of the direction of requests.
    fn take(&mut self, scope: &mut Scope<'_>, party: &mut Arc<Party>, part: Part<'_>, time: Nanos) {
        let direction = self.requests;
        let mut trouble = |reason, bytes| {
            scope.http.out.push(Decoded::Trouble(Trouble { direction, offset: 0, bytes, reason, time }));
        };
        match part {
            Part::Next(piece) => self.feed(scope, party, direction, piece, time),
            Part::Missing(len, absence) => trouble(Reason::Hole(absence), len),
            Part::Cut(len) => {
                trouble(Reason::Malformed(Malformed::ProxyProtocol), len);
                self.http.begin_behind(direction, len);
            }
            Part::Header(header) => {
                let len = u64::from(header.len);
                if header.defect.is_some_and(|defect| defect != Defect::Missing) {
                    trouble(Reason::Malformed(Malformed::ProxyProtocol), len);
                }
                self.http.begin_behind(direction, len);
                Arc::make_mut(party).proxied = Some(Arc::new(*header));
            }
        }
    }

    fn feed(
        &mut self,
        scope: &mut Scope<'_>,
        party: &mut Arc<Party>,
        direction: Direction,
        piece: Piece<'_>,
        time: Nanos,
    ) {
        match &mut self.transport {
            Transport::Plain => self.http.feed(&mut scope.http, direction, piece, time),
            Transport::Tls(secure) => secure.feed(&mut self.http, scope, party, direction, piece, time),
            Transport::Unknown(first) => match piece {
                Piece::Data(bytes) if direction == self.requests => {
                    first.extend_from_slice(bytes);
                    let first = std::mem::take(first);
                    match plausible(&first) {
                        Plausible::Unknown => self.transport = Transport::Unknown(first),
                        Plausible::NotTls => {
                            self.transport = Transport::Plain;
                            self.http.feed(&mut scope.http, direction, Piece::Data(&first), time);
                        }
                        Plausible::Tls => {
                            // Its plaintext has offsets of its own.
                            self.http = Decoder::new(self.requests, How::Passive);
                            let mut secure = Box::new(Secure::new(self.requests));
                            secure.feed(&mut self.http, scope, party, direction, Piece::Data(&first), time);
                            self.transport = Transport::Tls(secure);
                        }
                    }
                }
                // A server of TLS does not speak first.
                _ => {
                    self.plain(scope, time);
                    self.http.feed(&mut scope.http, direction, piece, time);
                }
            },
        }
    }

    /// It is no TLS, if that is not known.
    fn plain(&mut self, scope: &mut Scope<'_>, time: Nanos) {
        if let Transport::Unknown(first) = &mut self.transport {
            let first = std::mem::take(first);
            self.transport = Transport::Plain;
            if !first.is_empty() {
                self.http.feed(&mut scope.http, self.requests, Piece::Data(&first), time);
            }
        }
    }
}
