//! Header blocks, and what they are: a request, a response, trailers, or nothing that is told of.

use std::sync::Arc;

use super::Http2;
use crate::capture::record::Nanos;
use crate::decode::exchange::{Decoded, Exchange, Reason, Trouble};
use crate::decode::http2::Limits;
use crate::decode::http2::defect::{Defect, FieldDefect};
use crate::decode::http2::frame::{HEADER_BYTES, Kind, Role, flag};
use crate::decode::http2::lane::{Block, Cut, Payload, State};
use crate::decode::http2::list::List;
use crate::decode::malformed::Malformed;
use crate::decode::notes::Note;

/// Bytes of a head where heads take too much already.
const FEW: usize = 1024;

impl Http2 {
    /// A frame with fields is at its end; `bytes` is its payload, as far as it was kept.
    pub(super) fn fields(
        &mut self,
        out: &mut Vec<Decoded>,
        role: Role,
        payload: &Payload,
        bytes: &[u8],
        time: Nanos,
    ) {
        let frame = &payload.frame;
        let limits = self.limits;
        let lane = self.lane_mut(role);
        lane.state = State::Header;
        let (mut block, fragment) = match lane.block.take() {
            Some(mut block) => {
                block.wire += (HEADER_BYTES as u64) + u64::from(frame.length);
                block.frames += 1;
                (block, bytes)
            }
            None if payload.damaged => {
                (Box::new(Block::unseen(frame, lane.frame_offset, lane.first)), &[][..])
            }
            None => match Block::begin(frame, bytes, lane.frame_offset, lane.first) {
                Ok((block, fragment))
                    if frame.has(flag::END_HEADERS) && fragment.len() <= limits.head_bytes =>
                {
                    return self.block(out, role, block, fragment, time);
                }
                Ok((block, fragment)) => (Box::new(block), fragment),
                Err(defect) => return self.refuse(out, role, defect, time),
            },
        };
        if payload.damaged {
            block.cut = Some(Cut::Hole);
        }
        if block.frames > limits.block_frames {
            block.cut.get_or_insert(Cut::TooLarge);
        }
        block.append(fragment, limits.head_bytes);
        if frame.kind == Kind::Continuation && bytes.len() < frame.length as usize && !payload.damaged {
            block.cut.get_or_insert(Cut::TooLarge);
        }
        if frame.has(flag::END_HEADERS) {
            let bytes = std::mem::take(&mut block.bytes);
            self.block(out, role, *block, &bytes, time);
        } else {
            self.lane_mut(role).block = Some(block);
        }
    }

    /// A header block is at its end, or will not come to it.
    pub(super) fn block(
        &mut self,
        out: &mut Vec<Decoded>,
        role: Role,
        block: Block,
        bytes: &[u8],
        time: Nanos,
    ) {
        let mut list = List::new(bytes.len(), &self.bounds(role));
        let hpack = &mut self.lane_mut(role).hpack;
        let result = match block.cut {
            None => hpack.decode(bytes, |field| list.push(field)),
            Some(cut) => {
                // What is there of it may be shown; what it did to the table is not known.
                let result = match cut {
                    Cut::TooLarge => hpack.decode(bytes, |field| list.push(field)),
                    Cut::Hole | Cut::Unfinished => Ok(()),
                };
                hpack.lose();
                list.cut(cut.malformed().unwrap_or(Malformed::Unfinished));
                result.or(Ok(()))
            }
        };
        if let Err(error) = result {
            return self.refuse(out, role, Defect::Hpack(error), time);
        }
        if let Some(malformed) = list.passed().filter(|_| matches!(block.cut, None | Some(Cut::TooLarge))) {
            let (direction, offset) = (self.direction(role), block.offset);
            let reason = Reason::Malformed(malformed);
            out.push(Decoded::Trouble(Trouble { direction, offset, bytes: 0, reason, time }));
        }
        match role {
            _ if block.push => {}
            Role::Request => self.request_block(out, block, list, time),
            Role::Response => self.response_block(out, &block, list, time),
        }
    }

    /// What one block may take: little, where what is held is too much. A request's head is judged once it is there.
    fn bounds(&self, role: Role) -> Limits {
        let full = self.heads_bytes > self.limits.heads_bytes;
        let head_bytes = if full && role == Role::Response { FEW } else { self.limits.head_bytes };
        Limits { head_bytes: head_bytes.min(self.limits.head_bytes), ..self.limits }
    }

    fn request_block(&mut self, out: &mut Vec<Decoded>, block: Block, list: List, time: Nanos) {
        let id = block.stream;
        if let Some(exchange) = self.streams.get_mut(&id) {
            if exchange.request.hit && exchange.request.done {
                // The end of a request of which a part was missed.
                return;
            }
            if exchange.request.done {
                // 5.1: closed, or half closed. In step, the server takes it for an error; else its beginning was missed.
                return self.stray(out, &block, time);
            }
            let (trailers, notes, malformed) = list.trailers();
            let message = &mut exchange.request;
            let before = message.trailers.take().map_or(0, |fields| fields.raw.len());
            self.heads_bytes = self.heads_bytes.saturating_sub(before);
            message.wire_bytes += block.wire;
            self.heads_bytes += trailers.as_ref().map_or(0, |fields| fields.raw.len());
            message.trailers = trailers;
            exchange.notes.extend(notes);
            if block.cut == Some(Cut::Hole) {
                message.hit = true;
            } else {
                let unended = (!block.end_stream).then_some(Malformed::Fields(FieldDefect::Trailers));
                exchange.malformed = exchange.malformed.or(malformed).or(unended);
            }
            if block.end_stream {
                self.end_stream(out, Role::Request, id, time);
            }
            return;
        }
        if id <= self.highest {
            // Trailers may have been on their way when the server reset the stream.
            if !block.end_stream {
                self.stray(out, &block, time);
            }
            return;
        }
        self.highest = id;
        if self.uncertain {
            // 8.1: what ends a stream and has no pseudo-header field may be the trailers of a request that was missed.
            if block.end_stream && !list.has_pseudo() {
                return self.stray(out, &block, time);
            }
            self.uncertain = false;
        }
        self.request_head(out, block, list, time);
    }

    /// A stream opens.
    fn request_head(&mut self, out: &mut Vec<Decoded>, block: Block, list: List, time: Nanos) {
        let mut exchange = Exchange::new(block.offset, block.first);
        exchange.stream = Some(block.stream);
        exchange.request.head_bytes = block.wire;
        exchange.request.head_complete = Some(time);
        exchange.response.hit = !self.response.in_step();
        match block.cut {
            Some(cut @ (Cut::Hole | Cut::Unfinished)) => {
                exchange.notes.insert(Note::HeadMissing);
                exchange.request.hit = true;
                exchange.malformed = cut.malformed();
            }
            Some(Cut::TooLarge) | None => {
                let (head, malformed) = list.request();
                exchange.notes = head.notes();
                exchange.may_switch = head.method() == b"CONNECT";
                exchange.malformed = malformed;
                exchange.request.head = Some(Arc::new(head));
            }
        }
        let bytes = exchange.request.head.as_ref().map_or(0, |head| head.raw().len());
        if !self.make_room(out, bytes) {
            let direction = self.direction(Role::Request);
            self.request.count_refused(block.wire);
            let (offset, bytes) = (block.offset, block.wire);
            return out.push(Decoded::Trouble(Trouble {
                direction,
                offset,
                bytes,
                reason: Reason::Pipelined,
                time,
            }));
        }
        self.heads_bytes += bytes;
        if let Some(head) = &exchange.request.head {
            out.push(Decoded::Request { key: exchange.key, head: Arc::clone(head), time });
        }
        self.streams.insert(block.stream, exchange);
        if block.end_stream {
            self.end_stream(out, Role::Request, block.stream, time);
        }
    }

    fn response_block(&mut self, out: &mut Vec<Decoded>, block: &Block, list: List, time: Nanos) {
        // Of pushed streams, and of requests that were not seen or are over, nothing is told.
        let Some(exchange) = self.streams.get_mut(&block.stream) else { return };
        let missed = block.cut == Some(Cut::Hole);
        if exchange.response.head.is_none() && !exchange.response.done {
            let interim = list.status().filter(|status| (100..200).contains(status));
            if let Some(status) = interim.filter(|_| !block.end_stream) {
                if exchange.interim.len() < self.limits.interim {
                    exchange.interim.push(status);
                } else {
                    exchange.notes.insert(Note::ManyInterim);
                }
                return;
            }
            // What ends the stream without a status may be trailers, where the response can have begun in what was missed.
            let trailers = block.end_stream && !list.has_pseudo() && exchange.response.hit;
            if missed || trailers {
                exchange.response.hit = true;
                exchange.response.wire_bytes += block.wire;
            } else {
                self.response_head(out, block, list, time);
            }
        } else if !exchange.response.done {
            let (trailers, notes, malformed) = list.trailers();
            exchange.response.wire_bytes += block.wire;
            let before = exchange.response.trailers.take().map_or(0, |fields| fields.raw.len());
            self.heads_bytes += trailers.as_ref().map_or(0, |fields| fields.raw.len());
            self.heads_bytes = self.heads_bytes.saturating_sub(before);
            exchange.response.trailers = trailers;
            exchange.notes.extend(notes);
            exchange.response.hit |= missed;
            if malformed.is_some() && !missed {
                exchange.notes.insert(Note::MalformedResponse);
            }
        }
        if block.end_stream {
            self.end_stream(out, Role::Response, block.stream, time);
        }
    }

    fn response_head(&mut self, out: &mut Vec<Decoded>, block: &Block, list: List, time: Nanos) {
        let Some(exchange) = self.streams.get_mut(&block.stream) else { return };
        let head = Arc::new(list.response());
        self.heads_bytes += head.raw().len();
        exchange.notes.extend(head.notes());
        if exchange.response.hit && head.status() != 0 {
            exchange.response.hit = false;
            exchange.notes.insert(Note::Resynchronized);
        }
        let message = &mut exchange.response;
        message.first = Some(block.first);
        message.head_complete = Some(time);
        message.head_bytes = block.wire;
        message.ended_by_head = block.end_stream;
        message.head = Some(Arc::clone(&head));
        out.push(Decoded::Response { key: exchange.key, head: Arc::clone(&head), time });
        // 8.5: the stream belongs to another protocol; what its client has sent already does as well.
        if exchange.may_switch && (200..300).contains(&head.status()) {
            exchange.tunnel = Some([exchange.request.body_bytes, 0]);
            exchange.request.body_bytes = 0;
        }
    }

    /// A block on a stream where none may be: it is no request, and what it is is not known.
    fn stray(&mut self, out: &mut Vec<Decoded>, block: &Block, time: Nanos) {
        if block.cut == Some(Cut::Hole) {
            return;
        }
        let reason = Reason::Malformed(Malformed::Connection(Defect::Stream));
        let direction = self.direction(Role::Request);
        self.request.count_refused(block.wire);
        let (offset, bytes) = (block.offset, block.wire);
        out.push(Decoded::Trouble(Trouble { direction, offset, bytes, reason, time }));
    }
}
