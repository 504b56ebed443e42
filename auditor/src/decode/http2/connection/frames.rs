//! Bytes become frames, and frames of control do what they do.

use super::Http2;
use crate::assemble::{Absence, Piece};
use crate::capture::record::Nanos;
use crate::decode::exchange::{Decoded, Reason, Trouble};
use crate::decode::http2::defect::Defect;
use crate::decode::http2::frame::{Frame, HEADER_BYTES, Kind, PREFACE, Role, flag};
use crate::decode::http2::lane::{Part, Payload, State};

/// What frames of which the first bytes matter take: a code, or a stream and a code.
const SMALL: usize = 8;

impl Http2 {
    pub(super) fn data(&mut self, out: &mut Vec<Decoded>, role: Role, bytes: &[u8], time: Nanos) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match &mut self.lane_mut(role).state {
                State::Header => self.header(out, role, rest, time),
                State::Payload(payload) => {
                    let payload = *payload;
                    self.payload(out, role, payload, rest, time)
                }
                State::Preface(read) => {
                    let read = *read;
                    self.preface(out, role, read, rest, time)
                }
                State::Lost(_) => self.search(out, role, rest, time),
                State::Unread(_) => {
                    self.unread(role, rest.len() as u64, None);
                    rest.len()
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    pub(super) fn hole(
        &mut self,
        out: &mut Vec<Decoded>,
        role: Role,
        len: u64,
        reason: Absence,
        time: Nanos,
    ) {
        let mut rest = len;
        while rest > 0 {
            match &mut self.lane_mut(role).state {
                State::Payload(payload) => {
                    let payload = *payload;
                    rest -= self.skip(out, role, payload, rest, reason, time);
                }
                State::Preface(_) | State::Header => self.lose(out, role, Reason::Hole(reason), time),
                State::Lost(lost) => {
                    lost.search.hole(rest);
                    self.unread(role, rest, Some(reason));
                    rest = 0;
                }
                State::Unread(_) => {
                    self.unread(role, rest, Some(reason));
                    rest = 0;
                }
            }
        }
    }

    /// RFC 9113, 3.4.
    fn preface(
        &mut self,
        out: &mut Vec<Decoded>,
        role: Role,
        read: usize,
        bytes: &[u8],
        time: Nanos,
    ) -> usize {
        let wanted = PREFACE.get(read..).unwrap_or_default();
        let taken = wanted.len().min(bytes.len());
        if wanted.get(..taken) != bytes.get(..taken) {
            self.refuse(out, role, Defect::Preface, time);
            return 0;
        }
        let lane = self.lane_mut(role);
        lane.count_framing(taken);
        lane.state = if taken == wanted.len() { State::Header } else { State::Preface(read + taken) };
        taken
    }

    /// A frame's header, or a part of it. Gives how many bytes it took.
    fn header(&mut self, out: &mut Vec<Decoded>, role: Role, bytes: &[u8], time: Nanos) -> usize {
        let lane = self.lane_mut(role);
        if lane.filled == 0 {
            (lane.frame_offset, lane.first) = (lane.offset, time);
        }
        let taken = lane.fill(bytes, HEADER_BYTES);
        lane.count_framing(taken);
        if lane.filled < HEADER_BYTES {
            return taken;
        }
        let frame = Frame::parse(&lane.buffer);
        // The response to a request that is late: what came of this frame is held with what follows.
        if role == Role::Response
            && self.waiting
            && frame.kind == Kind::Headers
            && frame.stream > self.highest
            && self.request.in_step()
        {
            let lane = &mut self.response;
            lane.filled = 0;
            lane.counts.framing -= HEADER_BYTES as u64;
            lane.offset -= HEADER_BYTES as u64;
            let (header, first) = (lane.buffer, lane.first);
            self.hold(Piece::Data(&header), first);
            if let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
                self.hold(Piece::Data(rest), time);
            }
            return bytes.len();
        }
        self.lane_mut(role).filled = 0;
        if let Err(defect) = self.frame(role, &frame) {
            self.refuse(out, role, defect, time);
            return taken;
        }
        let payload = Payload::new(frame);
        if payload.part == Part::Body || payload.part == Part::PadLength {
            self.data_header(role, frame.stream);
        }
        self.lane_mut(role).state = State::Payload(payload);
        if frame.length == 0 {
            self.complete(out, role, &payload, time);
        }
        taken
    }

    /// Whether a frame may stand here.
    fn frame(&mut self, role: Role, frame: &Frame) -> Result<(), Defect> {
        let max_frame = match role {
            Role::Request => self.response.settings.max_frame(),
            Role::Response => self.request.settings.max_frame(),
        };
        let highest = self.highest;
        let certain = !self.uncertain && self.request.in_step();
        let lane = self.lane_mut(role);
        if frame.length > max_frame {
            return Err(Defect::FrameSize);
        }
        lane.largest = lane.largest.max(frame.length);
        if !lane.begun {
            lane.begun = true;
            if frame.kind != Kind::Settings || frame.has(flag::ACK) {
                return Err(Defect::FirstFrame);
            }
        }
        frame.check(role)?;
        match &lane.block {
            Some(block) if frame.kind != Kind::Continuation || frame.stream != block.stream => {
                return Err(Defect::Continuation);
            }
            None if frame.kind == Kind::Continuation => return Err(Defect::Continuation),
            _ => {}
        }
        // 5.1: of an idle stream only HEADERS and PRIORITY may be sent, by either side.
        let idle = role == Role::Request
            && frame.stream % 2 == 1
            && frame.stream > highest
            && matches!(frame.kind, Kind::Data | Kind::RstStream | Kind::WindowUpdate);
        if idle && certain {
            return Err(Defect::IdleStream);
        }
        if idle {
            self.highest = frame.stream;
        }
        Ok(())
    }

    /// Some of a payload. Gives how many bytes it took, which is at least one.
    fn payload(
        &mut self,
        out: &mut Vec<Decoded>,
        role: Role,
        payload: Payload,
        bytes: &[u8],
        time: Nanos,
    ) -> usize {
        let left = payload.left as usize;
        let bound = self.limits.head_bytes;
        let here = bytes.get(..left).unwrap_or(bytes);
        let lane = self.lane_mut(role);
        let taken = match payload.part {
            Part::PadLength => {
                let padding = here.first().copied().map_or(0, u32::from);
                // 6.1: as long as the payload or longer.
                if padding >= payload.frame.length {
                    self.refuse(out, role, Defect::Padding, time);
                    return 0;
                }
                lane.count_framing(1);
                if let State::Payload(payload) = &mut lane.state {
                    (payload.padding, payload.part) = (padding, Part::Body);
                }
                self.data_framing(role, payload.frame.stream, 1);
                1
            }
            Part::Body => {
                let body = here.len().min(left.saturating_sub(payload.padding as usize));
                self.body(role, payload.frame.stream, body as u64, None);
                let padding = here.len() - body;
                self.lane_mut(role).count_framing(padding);
                self.data_framing(role, payload.frame.stream, padding as u64);
                here.len()
            }
            Part::Fields if here.len() == left && lane.partial.is_empty() => {
                lane.count_framing(left);
                if let State::Payload(payload) = &mut lane.state {
                    payload.left = 0;
                }
                self.fields(out, role, &payload, here, time);
                return left;
            }
            Part::Fields => {
                // Beside the bound of a block, its first frame has padding, priority or a promised stream.
                lane.keep_fields(here, bound.saturating_add(HEADER_BYTES + usize::from(u8::MAX)));
                lane.count_framing(here.len());
                here.len()
            }
            Part::Settings => {
                let taken = lane.fill(here, 6);
                lane.count_framing(taken);
                if lane.filled == 6 {
                    lane.filled = 0;
                    let [i0, i1, v0, v1, v2, v3, ..] = lane.buffer;
                    if let Err(defect) = lane.settings.entry([i0, i1, v0, v1, v2, v3]) {
                        self.refuse(out, role, defect, time);
                        return taken;
                    }
                }
                taken
            }
            Part::Small => {
                let taken = lane.fill(here, SMALL);
                let taken = if taken == 0 { here.len() } else { taken };
                lane.count_framing(taken);
                taken
            }
            Part::Skip => {
                lane.count_framing(here.len());
                here.len()
            }
        };
        self.advance(out, role, taken, time);
        taken
    }

    /// Some of a payload is not there. Gives how much of it.
    fn skip(
        &mut self,
        out: &mut Vec<Decoded>,
        role: Role,
        payload: Payload,
        len: u64,
        reason: Absence,
        time: Nanos,
    ) -> u64 {
        let taken = len.min(payload.left.into());
        let lane = self.lane_mut(role);
        if let State::Payload(payload) = &mut lane.state {
            payload.damaged = true;
            if payload.part == Part::PadLength {
                payload.part = Part::Body;
            }
        }
        match payload.part {
            Part::PadLength | Part::Body => {
                let body = taken.min(payload.left.saturating_sub(payload.padding).into());
                self.body(role, payload.frame.stream, body, Some(reason));
                self.padding(role, payload.frame.stream, taken - body, reason);
            }
            Part::Skip => lane.count_body(taken, Some(reason)),
            Part::Fields | Part::Settings | Part::Small => {
                let offset = lane.offset;
                lane.count_unread(taken, Some(reason));
                let (direction, reason) = (self.direction(role), Reason::Hole(reason));
                out.push(Decoded::Trouble(Trouble { direction, offset, bytes: taken, reason, time }));
            }
        }
        self.advance(out, role, usize::try_from(taken).unwrap_or(usize::MAX), time);
        taken
    }

    /// So many bytes of a payload were taken.
    fn advance(&mut self, out: &mut Vec<Decoded>, role: Role, taken: usize, time: Nanos) {
        let State::Payload(payload) = &mut self.lane_mut(role).state else { return };
        payload.left = payload.left.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
        let payload = *payload;
        if payload.left == 0 {
            self.complete(out, role, &payload, time);
        }
    }

    /// A frame is at its end.
    fn complete(&mut self, out: &mut Vec<Decoded>, role: Role, payload: &Payload, time: Nanos) {
        let frame = &payload.frame;
        let lane = self.lane_mut(role);
        let filled = std::mem::take(&mut lane.filled);
        match frame.kind {
            Kind::Headers | Kind::PushPromise | Kind::Continuation if payload.part == Part::Fields => {
                let partial = std::mem::take(&mut lane.partial);
                return self.fields(out, role, payload, &partial, time);
            }
            _ => lane.state = State::Header,
        }
        if payload.part == Part::Skip {
            return;
        }
        let [b0, b1, b2, b3, b4, b5, b6, b7, _] = lane.buffer;
        match frame.kind {
            Kind::Data if frame.has(flag::END_STREAM) => self.end_stream(out, role, frame.stream, time),
            Kind::RstStream => {
                let code = u32::from_be_bytes([b0, b1, b2, b3]);
                self.reset_stream(out, role, frame.stream, (filled >= 4 && !payload.damaged).then_some(code));
            }
            Kind::GoAway if filled >= SMALL && !payload.damaged => {
                let _code = u32::from_be_bytes([b4, b5, b6, b7]);
                self.go_away(out, role, u32::from_be_bytes([b0 & 0x7f, b1, b2, b3]));
            }
            Kind::Settings if frame.has(flag::ACK) => {
                match role {
                    Role::Request => self.response.settings.acknowledge(),
                    Role::Response => self.request.settings.acknowledge(),
                }
                self.obey();
            }
            Kind::Settings => {
                if payload.damaged {
                    lane.settings.miss();
                } else {
                    lane.settings.announce(false);
                }
                self.obey();
            }
            _ => {}
        }
    }
}
