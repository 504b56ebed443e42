//! Both directions of one connection.
//!
//! Consumes the pieces of each direction, in its order; produces [`Decoded`]. Each direction is read by itself; streams,
//! settings and the order of stream numbers tie them together. Rules that keep events from being invented:
//!
//! - What is no valid frame ends the direction that it is in.
//! - A boundary that was lost is found again by elimination only (`search`), and header blocks since the loss count as
//!   missed: a field that refers to one of them is unknown.
//! - A stream that may have been opened in bytes that were missed has a request only if its block shows that it is one.

use std::collections::BTreeMap;

use super::Limits;
use super::frame::{MAX_FRAME, Role};
use super::lane::{Lane, Lost, Part, State, Unread};
use super::search::{Rules, Search, largest_frame};
use super::settings::Settings;
use crate::assemble::{Absence, Piece};
use crate::capture::record::{Direction, How, Nanos};
use crate::decode::exchange::{Decoded, Exchange, Reason};
use crate::decode::http1::connection::{Counts, End};
use crate::decode::http1::lane::Hold;
use crate::decode::notes::Note;

mod blocks;
mod boundaries;
mod frames;
mod streams;

/// The decoder of one connection: about 1 KiB while nothing is in flight, beside the tables of both directions.
#[derive(Debug)]
pub struct Http2 {
    limits: Limits,
    requests: Direction,
    request: Lane,
    response: Lane,
    /// Exchanges in flight, by stream.
    streams: BTreeMap<u32, Box<Exchange>>,
    /// Bytes of their heads.
    heads_bytes: usize,
    /// The highest stream that the requesting side used.
    highest: u32,
    /// Streams above it may have been opened in bytes that were missed.
    uncertain: bool,
    /// The requesting side's stream waits for a missing range.
    waiting: bool,
    first_fin: Option<Role>,
    over: bool,
}

impl Http2 {
    /// A decoder for a connection whose requests come in `requests`: ingress on a client's leg, egress on a backend's.
    #[must_use]
    pub fn new(requests: Direction, how: How, limits: Limits) -> Self {
        let lane = |role| match how {
            How::Passive | How::Active => {
                let state = if role == Role::Request { State::Preface(0) } else { State::Header };
                Lane::new(state, Settings::new())
            }
            How::Joined => {
                let rules = Rules { role, frame: largest_frame(MAX_FRAME, 0), stream: u32::MAX };
                let unread = Unread { reason: Reason::Joined, from: 0, bytes: 0 };
                let mut lane = Lane::new(
                    State::Lost(Box::new(Lost { unread, search: Search::new(rules, 0) })),
                    Settings::missed(),
                );
                lane.hpack.set_limit(None);
                lane
            }
        };
        Self {
            limits,
            requests,
            request: lane(Role::Request),
            response: lane(Role::Response),
            streams: BTreeMap::new(),
            heads_bytes: 0,
            highest: 0,
            uncertain: how == How::Joined,
            waiting: false,
            first_fin: None,
            over: false,
        }
    }

    /// A decoder for what follows `101 Switching Protocols` with `h2c` (RFC 7540, 3.2): the request of HTTP/1.1 is stream 1,
    /// half closed. `settings`: the payload of `HTTP2-Settings`; `read`: what became of each direction's bytes so far,
    /// requests first.
    #[must_use]
    pub fn upgraded(
        requests: Direction,
        limits: Limits,
        mut exchange: Box<Exchange>,
        settings: Option<&[u8]>,
        read: [Counts; 2],
    ) -> Self {
        let mut http2 = Self::new(requests, How::Passive, limits);
        let [request, response] = read;
        for (lane, counts) in [(&mut http2.request, request), (&mut http2.response, response)] {
            (lane.offset, lane.counts) = (counts.total(), counts);
        }
        match settings {
            Some(payload) => {
                let valid =
                    payload.as_chunks().0.iter().all(|entry| http2.request.settings.entry(*entry).is_ok());
                http2.request.settings.announce(true);
                if !valid {
                    http2.request.settings.miss();
                }
            }
            None => http2.request.settings.miss(),
        }
        http2.obey();
        exchange.stream = Some(1);
        exchange.request.done = true;
        http2.heads_bytes += exchange.request.head.as_ref().map_or(0, |head| head.raw().len());
        http2.highest = 1;
        http2.streams.insert(1, exchange);
        http2
    }

    /// So many bytes at the start of a direction were read by another layer, or came before the connection was known. Comes
    /// before what follows them.
    pub fn begin_behind(&mut self, direction: Direction, len: u64) {
        let lane = self.lane_mut(self.role(direction));
        lane.offset += len;
        lane.counts.framing += len;
        if let State::Lost(lost) = &mut lane.state {
            lost.unread.from += len;
            lost.search.hole(len);
        }
    }

    /// Two copies of bytes of this direction differ, and it is not known which the receiver took: nothing of it is read any
    /// more.
    pub fn contradicted(&mut self, out: &mut Vec<Decoded>, direction: Direction, time: Nanos) {
        let role = self.role(direction);
        self.streams.values_mut().for_each(|exchange| exchange.notes.insert(Note::Contradicted));
        if !matches!(self.lane(role).state, State::Unread(_)) {
            self.lose(out, role, Reason::Contradicted, time);
        }
    }

    /// TCP did not accept what the requesting side sent from `offset` on.
    pub fn refused(&mut self, offset: u64) {
        let open =
            self.streams.values_mut().filter(|exchange| !exchange.request.done || exchange.key >= offset);
        open.for_each(|exchange| exchange.notes.insert(Note::Refused));
    }

    /// Takes the next piece of a direction.
    pub fn feed(&mut self, out: &mut Vec<Decoded>, direction: Direction, piece: Piece<'_>, time: Nanos) {
        let role = self.role(direction);
        if piece == Piece::Reset {
            return self.end(out, End::Closed, Some(role), time);
        }
        self.deliver(out, role, piece, time);
        self.settle(out, time);
    }

    /// Says whether the requesting side's stream holds bytes back because a range before them is missing. While it does,
    /// a response on a stream that is not known is held: its request may be what is late.
    pub fn set_waiting(&mut self, out: &mut Vec<Decoded>, waiting: bool, time: Nanos) {
        if self.waiting != waiting {
            self.waiting = waiting;
            self.settle(out, time);
        }
    }

    /// Ends everything that is in flight.
    pub fn close(&mut self, out: &mut Vec<Decoded>, end: End, time: Nanos) {
        self.end(out, end, None, time);
    }

    /// The next stream offset of which this direction needs the bytes: behind the body it is in, [`u64::MAX`] if none will
    /// ever be needed. None while boundaries are searched for.
    #[must_use]
    pub fn needed(&self, direction: Direction) -> Option<u64> {
        let lane = self.lane(self.role(direction));
        let next = lane.offset.saturating_add(self.pending(direction));
        match &lane.state {
            State::Payload(payload) if matches!(payload.part, Part::Body | Part::Skip) => {
                Some(next.saturating_add(payload.left.into()))
            }
            State::Preface(_) | State::Header | State::Payload(_) => Some(next),
            State::Lost(_) => None,
            State::Unread(_) => Some(u64::MAX),
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
        self.lane(self.role(direction)).hold.as_ref().map_or(0, |hold| hold.len)
    }

    /// Bytes of memory that hold what is not read yet.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let hold = self.response.hold.as_ref().map_or(0, |hold| hold.weight);
        hold + self.request.partial.capacity() + self.response.partial.capacity()
    }

    /// Gives up what is held: there is no room for it.
    pub fn release(&mut self, out: &mut Vec<Decoded>, time: Nanos) {
        self.waiting = false;
        self.settle(out, time);
        for role in [Role::Request, Role::Response] {
            if self.lane(role).partial.capacity() > 0 {
                self.lose(out, role, Reason::Held, time);
            }
        }
    }

    /// Exchanges in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.streams.len()
    }

    /// Whether the boundaries of either direction are known: of a connection that was open before, whether it is HTTP/2.
    #[must_use]
    pub fn is_in_step(&self) -> bool {
        self.request.in_step() || self.response.in_step()
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

    fn deliver(&mut self, out: &mut Vec<Decoded>, role: Role, piece: Piece<'_>, time: Nanos) {
        if self.lane(role).hold.is_some() {
            return self.hold(piece, time);
        }
        match piece {
            Piece::Data(bytes) => self.data(out, role, bytes, time),
            Piece::Hole { len, reason } => self.hole(out, role, len, reason, time),
            Piece::Fin | Piece::Reset => {
                self.first_fin.get_or_insert(role);
                self.lane_mut(role).fin = true;
            }
        }
    }

    /// Keeps a piece of the answering side until its request has come, or what was missing before it is given up.
    fn hold(&mut self, piece: Piece<'_>, time: Nanos) {
        let hold = self.response.hold.get_or_insert_default();
        hold.push(piece, time);
        if hold.weight > self.limits.held_bytes {
            self.waiting = false;
        }
    }

    /// Delivers what is held, where that need not be any longer.
    fn settle(&mut self, out: &mut Vec<Decoded>, time: Nanos) {
        while !self.waiting
            && let Some(hold) = self.response.hold.take()
        {
            let Hold { pieces, .. } = *hold;
            for (kept, seen) in pieces {
                self.deliver(out, Role::Response, kept.piece(), seen);
            }
        }
        if self.request.fin && self.response.fin && !self.over {
            self.end(out, End::Closed, None, time);
        }
    }

    /// What each side announced bounds the other's table.
    fn obey(&mut self) {
        self.request.hpack.set_limit(self.response.settings.table());
        self.response.hpack.set_limit(self.request.settings.table());
    }

    /// Bytes that are not understood; `absent` if they are not there.
    fn unread(&mut self, role: Role, len: u64, absent: Option<Absence>) {
        self.lane_mut(role).count_unread(len, absent);
    }
}
