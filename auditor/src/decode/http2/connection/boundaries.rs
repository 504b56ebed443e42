//! What happens where boundaries are lost, found again, or where the connection ends.

use super::Http2;
use crate::capture::record::Nanos;
use crate::decode::exchange::{Decoded, Exchange, Outcome, Reason, Trouble};
use crate::decode::http1::connection::End;
use crate::decode::http2::defect::Defect;
use crate::decode::http2::frame::{Frame, Kind, Role};
use crate::decode::http2::lane::{Block, Cut, Lost, Part, Payload, State, Unread};
use crate::decode::http2::search::{Rules, Search, largest_frame};
use crate::decode::malformed::Malformed;

/// Streams that may have been opened in bytes that were missed, at most.
const MISSED_STREAMS: u32 = 1 << 14;

impl Http2 {
    /// The direction breaks the rules: nothing more of it is read.
    pub(super) fn refuse(&mut self, out: &mut Vec<Decoded>, role: Role, defect: Defect, time: Nanos) {
        self.lose(out, role, Reason::Malformed(Malformed::Connection(defect)), time);
    }

    /// From here on the boundaries of a direction are not known.
    pub(super) fn lose(&mut self, out: &mut Vec<Decoded>, role: Role, reason: Reason, time: Nanos) {
        if matches!(reason, Reason::Hole(_)) {
            self.abandon(out, role, Cut::Hole, time);
        }
        let (direction, highest) = (self.direction(role), self.highest);
        let allowed = match role {
            Role::Request => self.response.settings.max_frame(),
            Role::Response => self.request.settings.max_frame(),
        };
        let certain = !self.uncertain && self.request.in_step();
        let lane = self.lane_mut(role);
        let unread = Unread { reason, from: lane.offset, bytes: 0 };
        lane.filled = 0;
        lane.begun = true;
        lane.partial = Vec::new();
        lane.block = None;
        lane.hpack.lose();
        lane.state = if matches!(reason, Reason::Hole(_)) {
            // Settings may have been among what was missed.
            lane.settings.miss();
            let stream = if certain { highest.saturating_add(MISSED_STREAMS) } else { u32::MAX };
            let rules = Rules { role, frame: largest_frame(allowed, lane.largest), stream };
            State::Lost(Box::new(Lost { unread, search: Search::new(rules, lane.offset) }))
        } else {
            State::Unread(unread)
        };
        let offset = lane.offset;
        self.obey();
        out.push(Decoded::Trouble(Trouble { direction, offset, bytes: 0, reason, time }));
        match role {
            Role::Request => {
                self.uncertain = true;
                for exchange in self.streams.values_mut().filter(|exchange| !exchange.request.done) {
                    exchange.request.done = true;
                    exchange.request.hit = true;
                    if let Reason::Malformed(malformed) = reason {
                        exchange.malformed.get_or_insert(malformed);
                    }
                }
                self.finish_complete(out);
            }
            Role::Response => {
                for exchange in self.streams.values_mut().filter(|exchange| !exchange.response.done) {
                    exchange.response.hit = true;
                }
            }
        }
    }

    /// A header block will not come to its end.
    fn abandon(&mut self, out: &mut Vec<Decoded>, role: Role, cut: Cut, time: Nanos) {
        let lane = self.lane_mut(role);
        lane.partial = Vec::new();
        let block = match (lane.block.take(), &lane.state) {
            (Some(block), _) => Some(*block),
            (None, State::Payload(Payload { frame, part: Part::Fields, .. })) => {
                Some(Block::unseen(frame, lane.frame_offset, lane.first))
            }
            _ => None,
        };
        if let Some(mut block) = block {
            block.cut = Some(cut);
            self.block(out, role, block, &[], time);
        }
    }

    /// Bytes while boundaries are searched for. Gives how many it took.
    pub(super) fn search(&mut self, out: &mut Vec<Decoded>, role: Role, bytes: &[u8], time: Nanos) -> usize {
        let State::Lost(lost) = &mut self.lane_mut(role).state else { return 0 };
        let Some(found) = lost.search.feed(bytes) else {
            self.unread(role, bytes.len() as u64, None);
            return bytes.len();
        };
        let ahead = found.offset.saturating_sub(self.lane(role).offset);
        let taken = usize::try_from(ahead).unwrap_or(usize::MAX).min(bytes.len());
        self.unread(role, taken as u64, None);
        let unread = self.lane(role).unread();
        let lane = self.lane_mut(role);
        // Up to the boundary, the rest of a frame of which nothing is known.
        let left = u32::try_from(ahead - taken as u64).unwrap_or(u32::MAX);
        let frame = Frame { length: left, kind: Kind::Unknown, flags: 0, stream: 0 };
        lane.state = if left > 0 {
            State::Payload(Payload { frame, left, padding: 0, part: Part::Skip, damaged: true })
        } else {
            State::Header
        };
        lane.block = found.continues.map(|stream| {
            let frame = Frame { stream, ..frame };
            let mut block = Block::unseen(&frame, lane.offset, time);
            // What it is is not known.
            block.push = true;
            Box::new(block)
        });
        lane.hpack.lose();
        if let Some(unread) = unread {
            self.report(out, role, unread, time);
        }
        taken
    }

    fn finish_complete(&mut self, out: &mut Vec<Decoded>) {
        let done: Vec<u32> = self
            .streams
            .iter()
            .filter(|(_, exchange)| exchange.request.done && exchange.response.done)
            .map(|(stream, _)| *stream)
            .collect();
        for stream in done {
            self.finish(out, stream, Outcome::Completed);
        }
    }

    /// Nothing more comes: everything in flight ends.
    pub(super) fn end(&mut self, out: &mut Vec<Decoded>, end: End, reset_by: Option<Role>, time: Nanos) {
        self.waiting = false;
        while let Some(hold) = self.response.hold.take() {
            for (kept, seen) in hold.pieces {
                self.deliver(out, Role::Response, kept.piece(), seen);
            }
        }
        self.over = true;
        for role in [Role::Request, Role::Response] {
            if self.is_in_block(role) {
                let (direction, offset) = (self.direction(role), self.lane(role).offset);
                let reason = Reason::Malformed(Malformed::Unfinished);
                out.push(Decoded::Trouble(Trouble { direction, offset, bytes: 0, reason, time }));
                self.abandon(out, role, Cut::Unfinished, time);
            }
        }
        let streams: Vec<u32> = self.streams.keys().copied().collect();
        for stream in streams {
            let Some(exchange) = self.streams.get(&stream) else { continue };
            let outcome = self.outcome(exchange, end, reset_by);
            self.finish(out, stream, outcome);
        }
        for role in [Role::Request, Role::Response] {
            if let Some(unread) = self.lane(role).unread() {
                self.report(out, role, unread, time);
            }
            let lane = self.lane_mut(role);
            lane.partial = Vec::new();
            lane.state = State::Unread(Unread { reason: Reason::AfterEnd, from: lane.offset, bytes: 0 });
        }
    }

    fn is_in_block(&self, role: Role) -> bool {
        let lane = self.lane(role);
        let in_fields = matches!(&lane.state, State::Payload(payload) if payload.part == Part::Fields);
        lane.in_step() && (lane.block.as_ref().is_some_and(|block| !block.push) || in_fields)
    }

    fn outcome(&self, exchange: &Exchange, end: End, reset_by: Option<Role>) -> Outcome {
        if end == End::Lost {
            return Outcome::Incomplete;
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
    fn report(&self, out: &mut Vec<Decoded>, role: Role, unread: Unread, time: Nanos) {
        let Unread { reason, from: offset, bytes } = unread;
        if bytes > 0 {
            let direction = self.direction(role);
            out.push(Decoded::Trouble(Trouble { direction, offset, bytes, reason, time }));
        }
    }
}
