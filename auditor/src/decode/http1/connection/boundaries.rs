//! Turns, and what happens where boundaries are lost, found again, or where the connection ends.

use super::{End, Http1, Role, Sink, Turn};
use crate::assemble::Absence;
use crate::capture::record::Nanos;
use crate::decode::http1::exchange::{Decoded, Exchange, Outcome, Reason, Trouble};
use crate::decode::http1::head::{self, Kind};
use crate::decode::http1::lane::{Body, Probe, State, Unread};
use crate::decode::http1::malformed::Malformed;
use crate::decode::http1::notes::Note;

impl Http1 {
    /// Notes who speaks, and when. `bytes` are the first ones, if they were copied.
    ///
    /// A turn starts where both the order of delivery and the times say so: what one side's stream held back, and gives out
    /// late, was not said now.
    pub(super) fn turn(&mut self, role: Role, bytes: Option<&[u8]>, time: Nanos) {
        let [requests, responses] = &mut self.spoke;
        let (own, other) = match role {
            Role::Request => (requests, *responses),
            Role::Response => (responses, *requests),
        };
        let starts = self.last.replace(role) != Some(role) && other >= *own && time >= other;
        *own = time.max(*own);
        match role {
            Role::Request if starts => {
                let passing =
                    matches!(&self.request.state, State::Unread(unread) if unread.reason.is_passing());
                // What lies beyond what TCP had accepted may be the middle of another copy.
                let whole = self.accepted == u64::MAX || self.accepted == self.request.offset;
                if passing && whole && self.heard && self.request.probe.is_none() {
                    self.begin_probe(Role::Request, self.request.offset);
                }
                let turn = Turn { requests: self.request.offset, responses: self.response.reached(), time };
                self.turn = self.request.at_boundary().then_some(turn);
            }
            Role::Request => {}
            Role::Response => {
                // An interim response comes in the middle of a request.
                let interim = bytes.is_some_and(|bytes| {
                    bytes.starts_with(b"HTTP/1.1 1") || bytes.starts_with(b"HTTP/1.0 1")
                });
                self.heard = !interim || (self.heard && !starts);
            }
        }
    }

    fn begin_probe(&mut self, role: Role, turn: u64) {
        let lane = self.lane_mut(role);
        if let State::Unread(unread) = lane.state {
            lane.probe = Some(Box::new(Probe { unread, counts: lane.counts, turn }));
            lane.state = State::Head;
        }
    }

    /// Whether a lost direction of responses may be read again from these bytes on. If so, its state has changed.
    pub(super) fn begins_probe(&mut self, role: Role, bytes: &[u8], time: Nanos) -> bool {
        if role == Role::Request {
            return false;
        }
        let found = self.turn.filter(|turn| {
            self.response.offset == turn.responses
                && time >= turn.time
                && self.queue.iter().any(|exchange| exchange.key >= turn.requests && !exchange.response.done)
        });
        if let Some(turn) = found
            && head::plausible(Kind::Response, bytes).is_ok()
        {
            self.begin_probe(role, turn.requests);
            return true;
        }
        // An answer that is none: then what it answers was no request either.
        self.fall_back(Role::Request);
        false
    }

    /// A response's head was read: what was tried is true.
    pub(super) fn confirm(&mut self, sink: &mut Sink<'_>, time: Nanos) {
        if let Some(probe) = self.response.probe.take() {
            self.report(sink, Role::Response, probe.unread, time);
            while let Some(exchange) = self.queue.pop_front_if(|exchange| exchange.key < probe.turn) {
                finish(sink, exchange, Outcome::Incomplete);
            }
        } else if self.request.probe.is_none() {
            return;
        }
        let Some(exchange) = self.queue.front_mut() else { return };
        exchange.notes.insert(Note::Resynchronized);
        let (key, head, complete) =
            (exchange.key, exchange.request.head.clone(), exchange.request.head_complete);
        if let Some(probe) = self.request.probe.take() {
            self.report(sink, Role::Request, probe.unread, time);
            if let Some(head) = head {
                sink.out.push(Decoded::Request { key, head, time: complete.unwrap_or(time) });
            }
        }
    }

    /// What was tried was wrong: all of it is not understood.
    fn fall_back(&mut self, role: Role) {
        let lane = self.lane_mut(role);
        let Some(probe) = lane.probe.take() else { return };
        let Probe { unread, counts, .. } = *probe;
        let missing = lane.counts.missing;
        let bytes = lane.counts.total() - counts.total();
        lane.counts = counts;
        lane.counts.missing = missing;
        lane.counts.unparsed += bytes - (missing - counts.missing);
        lane.state = State::Unread(Unread { bytes: unread.bytes + bytes, ..unread });
        lane.drop_partial();
        // The turn's answer has begun and proves nothing: no second try at the same bytes.
        self.turn = None;
        if role == Role::Request {
            self.queue.clear();
        }
    }

    /// Bytes while boundaries are not known.
    pub(super) fn unread(&mut self, role: Role, len: u64, absent: Option<Absence>) -> usize {
        self.lane_mut(role).count_unread(len, absent);
        if role == Role::Response
            && let Some(exchange) = self.queue.front_mut()
            && exchange.response.hit
        {
            exchange.response.wire_bytes += len;
            if let Some(reason) = absent {
                exchange.response.absent(len, reason);
            }
        }
        usize::try_from(len).unwrap_or(usize::MAX)
    }

    /// From here on the boundaries of a direction are not known.
    pub(super) fn lose(&mut self, sink: &mut Sink<'_>, role: Role, reason: Reason, time: Nanos) {
        if self.request.probe.is_some() {
            self.fall_back(Role::Request);
        }
        if self.lane(role).probe.is_some() {
            return self.fall_back(role);
        }
        if let State::Unread(unread) = &self.lane(role).state
            && unread.reason.is_passing()
        {
            return;
        }
        let direction = self.direction(role);
        let lane = self.lane_mut(role);
        let offset = lane.offset;
        let bytes = lane.drop_partial();
        lane.state = State::Unread(Unread { reason, from: lane.offset, bytes: 0 });
        sink.out.push(Decoded::Trouble(Trouble { direction, offset, bytes, reason, time }));
        match role {
            Role::Request => {
                if let Some(exchange) = self.queue.back_mut()
                    && !exchange.request.done
                {
                    exchange.request.hit = true;
                    exchange.request.done = true;
                    exchange.notes.insert(Note::FramingLost);
                    if let Reason::Malformed(malformed) = reason {
                        exchange.malformed = Some(malformed);
                    }
                }
                self.finish_complete(sink);
            }
            Role::Response => {
                self.turn = None;
                if let Some(exchange) = self.queue.front_mut()
                    && !exchange.response.done
                {
                    exchange.response.hit = true;
                    exchange.notes.insert(Note::FramingLost);
                }
            }
        }
    }

    pub(super) fn fin(&mut self, sink: &mut Sink<'_>, role: Role, time: Nanos) {
        self.first_fin.get_or_insert(role);
        self.lane_mut(role).fin = true;
        if role == Role::Response && matches!(self.response.state, State::Body(Body::Close)) {
            self.end_message(sink, role, time);
        }
    }

    /// Finishes exchanges of which both messages have ended.
    pub(super) fn finish_complete(&mut self, sink: &mut Sink<'_>) {
        while let Some(exchange) =
            self.queue.pop_front_if(|exchange| exchange.request.done && exchange.response.done)
        {
            let hit = exchange.request.hit || exchange.response.hit;
            finish(sink, exchange, if hit { Outcome::Incomplete } else { Outcome::Completed });
        }
    }

    /// Nothing more comes: everything in flight ends.
    pub(super) fn end(&mut self, sink: &mut Sink<'_>, end: End, reset_by: Option<Role>, time: Nanos) {
        if self.response.hold.is_some() {
            self.unhold(sink, Role::Response, time);
        }
        if self.request.hold.is_some() {
            self.unhold(sink, Role::Request, time);
        }
        for role in [Role::Request, Role::Response] {
            self.fall_back(role);
            if self.lane(role).partial.is_some() {
                self.lose(sink, role, Reason::Malformed(Malformed::Unfinished), time);
            }
        }
        while let Some(mut exchange) = self.queue.pop_front() {
            if exchange.tunnel.is_some() && end == End::Closed {
                exchange.response.end = Some(time);
            }
            let outcome = self.outcome(&exchange, end, reset_by);
            finish(sink, exchange, outcome);
        }
        self.queue = std::collections::VecDeque::new();
        for role in [Role::Request, Role::Response] {
            if let State::Unread(unread) = self.lane(role).state {
                self.report(sink, role, unread, time);
            }
            let lane = self.lane_mut(role);
            lane.state = State::Unread(Unread { reason: Reason::AfterEnd, from: lane.offset, bytes: 0 });
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(&self.request.state, State::Unread(unread) if unread.reason == Reason::AfterEnd)
    }

    fn outcome(&self, exchange: &Exchange, end: End, reset_by: Option<Role>) -> Outcome {
        // Its response may be in what was not understood.
        let unread = !exchange.response.done && matches!(self.response.state, State::Unread(_));
        if exchange.request.hit || exchange.response.hit || unread || end == End::Lost {
            return Outcome::Incomplete;
        }
        if end == End::TimedOut {
            return Outcome::TimedOut;
        }
        match (reset_by, self.first_fin) {
            (Some(Role::Request), _) => Outcome::ResetByClient,
            (Some(Role::Response), _) => Outcome::ResetByServer,
            (None, Some(_)) if exchange.tunnel.is_some() => Outcome::Completed,
            (None, Some(Role::Request)) => Outcome::ClosedByClient,
            (None, Some(Role::Response)) => Outcome::ClosedByServer,
            (None, None) => Outcome::Vanished,
        }
    }

    /// Tells of what has not been told of a stretch.
    fn report(&self, sink: &mut Sink<'_>, role: Role, unread: Unread, time: Nanos) {
        let Unread { reason, from: offset, bytes } = unread;
        if bytes > 0 {
            let direction = self.direction(role);
            sink.out.push(Decoded::Trouble(Trouble { direction, offset, bytes, reason, time }));
        }
    }
}

/// Gives an exchange out, unless it is neither a request nor a response.
fn finish(sink: &mut Sink<'_>, mut exchange: Box<Exchange>, outcome: Outcome) {
    exchange.outcome = outcome;
    if exchange.request.head.is_some() || exchange.response.head.is_some() {
        sink.out.push(Decoded::Finished(exchange));
    }
}
