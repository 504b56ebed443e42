//! Both directions of one connection.
//!
//! Consumes the pieces of each direction, in its order; produces [`Decoded`]. Requests queue for their responses in order
//! (RFC 9112, 9.3). Two rules keep events from being invented:
//!
//! - Once the boundaries of requests are not certain, no later byte of that direction is read as a request.
//! - Boundaries of responses that were lost, and those of a connection that was open before or of which two copies differ,
//!   are found only where both sides take turns: the requesting side, at a boundary, begins to speak after the other has,
//!   and the first bytes of the answer are a response's head. Of a connection that was open before or contradicted, the
//!   first such turn must follow something that the answering side said, or a body in flight could pass for a request.

use std::collections::VecDeque;

use super::Limits;
use super::exchange::{Decoded, Exchange, Reason};
use super::lane::{Body, Hold, Lane, State, Unread};
use super::notes::Note;
use crate::assemble::{Absence, Piece};
use crate::capture::record::{Direction, How, Nanos};

pub use super::lane::Counts;

mod boundaries;
mod heads;
mod messages;
mod upgrade;

/// Where the decoder puts what it has to say, and the bounds it keeps.
#[derive(Debug)]
pub struct Sink<'a> {
    /// The bounds.
    pub limits: &'a Limits,
    /// Grows by what one call brings; the caller drains it.
    pub out: &'a mut Vec<Decoded>,
}

/// Why nothing more will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The connection is over.
    Closed,
    /// The peer answered no more.
    TimedOut,
    /// It may go on, but is no longer followed.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Request,
    Response,
}

/// A turn of the requesting side.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Stream offset where it began.
    requests: u64,
    /// How far the other side was then.
    responses: u64,
    /// When it began.
    time: Nanos,
}

/// The decoder of one connection: about 300 bytes while nothing is in flight.
#[derive(Debug)]
pub struct Http1 {
    requests: Direction,
    request: Lane,
    response: Lane,
    queue: VecDeque<Box<Exchange>>,
    /// Who spoke last.
    last: Option<Role>,
    /// When each side spoke last: requests, responses.
    spoke: [Nanos; 2],
    /// The requesting side's turn, if it began at a boundary.
    turn: Option<Turn>,
    /// The answering side has said something, other than an interim response, in its last turn.
    heard: bool,
    /// The requesting side's stream waits for a missing range.
    waiting: bool,
    /// How far the receiver's TCP had accepted the requests; [`u64::MAX`] if it does not say.
    accepted: u64,
    first_fin: Option<Role>,
    /// The connection goes on as HTTP/2, which is not read here.
    h2c: bool,
}

impl Http1 {
    /// A decoder for a connection whose requests come in `requests`: ingress on a client's leg, egress on a backend's.
    #[must_use]
    pub fn new(requests: Direction, how: How) -> Self {
        let state = || match how {
            How::Passive | How::Active => State::Head,
            How::Joined => State::Unread(Unread { reason: Reason::Joined, from: 0, bytes: 0 }),
        };
        Self {
            requests,
            request: Lane::new(state()),
            response: Lane::new(state()),
            queue: VecDeque::new(),
            last: None,
            spoke: [0; 2],
            turn: None,
            heard: false,
            waiting: false,
            accepted: u64::MAX,
            first_fin: None,
            h2c: false,
        }
    }

    /// Takes the next piece of a direction.
    pub fn feed(&mut self, sink: &mut Sink<'_>, direction: Direction, piece: Piece<'_>, time: Nanos) {
        let role = self.role(direction);
        if piece == Piece::Reset {
            return self.end(sink, End::Closed, Some(role), time);
        }
        self.deliver(sink, role, piece, time);
        self.settle(sink, time);
    }

    /// So many bytes at the start of a direction were read by another layer, or came before the connection was known. Comes
    /// before what follows them.
    pub fn begin_behind(&mut self, direction: Direction, len: u64) {
        let lane = self.lane_mut(self.role(direction));
        lane.offset += len;
        lane.counts.framing += len;
        if let State::Unread(unread) = &mut lane.state {
            unread.from += len;
        }
    }

    /// Says whether the requesting side's stream holds bytes back because a range before them is missing. While it does,
    /// a response that no request explains is held: its request may be what is late.
    pub fn set_waiting(&mut self, sink: &mut Sink<'_>, waiting: bool, time: Nanos) {
        if self.waiting != waiting {
            self.waiting = waiting;
            self.settle(sink, time);
        }
    }

    /// Ends everything that is in flight.
    pub fn close(&mut self, sink: &mut Sink<'_>, end: End, time: Nanos) {
        self.end(sink, end, None, time);
    }

    /// The next stream offset of which this direction needs the bytes: behind the body it is in, [`u64::MAX`] if none will
    /// ever be needed. None: not known before the other side has spoken; the start of a turn is needed.
    #[must_use]
    pub fn needed(&self, direction: Direction) -> Option<u64> {
        let lane = self.lane(self.role(direction));
        let next = lane.offset.saturating_add(lane.pending());
        match &lane.state {
            State::Head | State::Wait => Some(next),
            State::Body(Body::Exact(left)) => Some(next.saturating_add(*left)),
            State::Body(Body::Chunked(chunked)) => Some(next.saturating_add(chunked.data_left())),
            State::Body(Body::Close) | State::Tunnel => Some(u64::MAX),
            State::Unread(_) => match &self.request.state {
                State::Unread(unread) if !unread.reason.is_passing() => Some(u64::MAX),
                _ => None,
            },
        }
    }

    /// What became of the bytes of a direction.
    #[must_use]
    pub fn counts(&self, direction: Direction) -> Counts {
        self.lane(self.role(direction)).counts
    }

    /// Bytes of a direction that are held and not yet counted.
    #[must_use]
    pub fn pending(&self, direction: Direction) -> u64 {
        self.lane(self.role(direction)).pending()
    }

    /// Two copies of bytes of this direction differ, and it is not known which the receiver took: where its messages begin
    /// is not known either, until both sides take turns.
    pub fn contradicted(&mut self, sink: &mut Sink<'_>, direction: Direction, time: Nanos) {
        self.queue.iter_mut().for_each(|exchange| exchange.notes.insert(Note::Contradicted));
        let role = self.role(direction);
        if !matches!(self.lane(role).state, State::Unread(_) | State::Tunnel) {
            if self.lane(role).hold.is_some() {
                self.unhold(sink, role, time);
            }
            self.lose(sink, role, Reason::Contradicted, time);
            self.settle(sink, time);
        }
    }

    /// The receiver's TCP has accepted the requests up to this offset.
    pub fn set_accepted(&mut self, offset: Option<u64>) {
        self.accepted = offset.unwrap_or(u64::MAX);
    }

    /// TCP did not accept what the requesting side sent from `offset` on.
    pub fn refused(&mut self, offset: u64) {
        for exchange in self.queue.iter_mut().rev().take_while(|exchange| exchange.requested_to() > offset) {
            exchange.notes.insert(Note::Refused);
        }
    }

    /// Bytes of memory that hold what is not read yet.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.request.held_bytes() + self.response.held_bytes()
    }

    /// Gives up what is held: there is no room for it.
    pub fn release(&mut self, sink: &mut Sink<'_>, time: Nanos) {
        for role in [Role::Request, Role::Response] {
            if self.lane(role).hold.is_some() {
                self.unhold(sink, role, time);
            }
            if self.lane(role).partial.is_some() {
                self.lose(sink, role, Reason::Held, time);
            }
        }
    }

    /// Exchanges in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.queue.len()
    }

    fn role(&self, direction: Direction) -> Role {
        if direction == self.requests { Role::Request } else { Role::Response }
    }

    fn direction(&self, role: Role) -> Direction {
        match role {
            Role::Request => self.requests,
            Role::Response => self.requests.opposite(),
        }
    }

    fn lane(&self, role: Role) -> &Lane {
        match role {
            Role::Request => &self.request,
            Role::Response => &self.response,
        }
    }

    fn lane_mut(&mut self, role: Role) -> &mut Lane {
        match role {
            Role::Request => &mut self.request,
            Role::Response => &mut self.response,
        }
    }

    fn deliver(&mut self, sink: &mut Sink<'_>, role: Role, piece: Piece<'_>, time: Nanos) {
        if self.lane(role).hold.is_some() {
            return self.hold(sink, role, piece, time);
        }
        match piece {
            Piece::Data(bytes) => {
                self.turn(role, Some(bytes), time);
                self.data(sink, role, bytes, time);
            }
            Piece::Hole { len, reason } => {
                // When lost bytes were sent is not known: they make no turn.
                if reason == Absence::Unwanted {
                    self.turn(role, None, time);
                }
                self.hole(sink, role, len, reason, time);
            }
            Piece::Fin | Piece::Reset => self.fin(sink, role, time),
        }
    }

    /// Keeps a piece until it is known what it is. Over the bound it is taken for what it is if nothing more becomes known.
    fn hold(&mut self, sink: &mut Sink<'_>, role: Role, piece: Piece<'_>, time: Nanos) {
        let hold = self.lane_mut(role).hold.get_or_insert_default();
        hold.push(piece, time);
        if hold.weight > sink.limits.held_bytes {
            self.unhold(sink, role, time);
        }
    }

    /// What is held will not become known.
    fn unhold(&mut self, sink: &mut Sink<'_>, role: Role, time: Nanos) {
        match role {
            Role::Request => self.lose(sink, role, Reason::Held, time),
            Role::Response => self.waiting = false,
        }
        self.settle(sink, time);
    }

    /// Delivers what is held, where it is known by now what it is.
    fn settle(&mut self, sink: &mut Sink<'_>, time: Nanos) {
        loop {
            let role = if self.response.hold.is_some() && !self.response_is_early() {
                Role::Response
            } else if self.request.hold.is_some() && !matches!(self.request.state, State::Wait) && !self.h2c {
                Role::Request
            } else {
                break;
            };
            let Some(hold) = self.lane_mut(role).hold.take() else { break };
            let Hold { pieces, .. } = *hold;
            for (kept, seen) in pieces {
                self.deliver(sink, role, kept.piece(), seen);
            }
        }
        if self.request.fin && self.response.fin && !self.is_over() {
            self.end(sink, End::Closed, None, time);
        }
    }

    /// Whether a response begins whose request may be in a range that is missing.
    fn response_is_early(&self) -> bool {
        self.waiting && self.response.at_boundary() && !self.response_is_awaited()
    }

    fn response_is_awaited(&self) -> bool {
        self.queue.front().is_some_and(|exchange| !exchange.response.done)
    }
}
