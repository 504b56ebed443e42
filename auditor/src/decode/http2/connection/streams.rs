//! Streams: bodies, and how exchanges end.

use super::Http2;
use crate::assemble::Absence;
use crate::capture::record::Nanos;
use crate::decode::exchange::{Decoded, Exchange, Message, Outcome};
use crate::decode::http2::frame::{HEADER_BYTES, Role};
use crate::decode::notes::Note;

/// `NO_ERROR` (RFC 9113, 7).
const NO_ERROR: u32 = 0;

impl Http2 {
    fn message(&mut self, role: Role, stream: u32) -> Option<&mut Message> {
        let exchange = self.streams.get_mut(&stream)?;
        let message = match role {
            Role::Request => &mut exchange.request,
            Role::Response => &mut exchange.response,
        };
        (!message.done).then_some(message)
    }

    /// Bytes of a body.
    pub(super) fn body(&mut self, role: Role, stream: u32, len: u64, absent: Option<Absence>) {
        self.lane_mut(role).count_body(len, absent);
        let Some(exchange) = self.streams.get_mut(&stream) else { return };
        let message = match role {
            Role::Request => &mut exchange.request,
            Role::Response => &mut exchange.response,
        };
        if message.done {
            return;
        }
        message.wire_bytes += len;
        if let Some(reason) = absent {
            message.absent(len, reason);
        }
        match (&mut exchange.tunnel, role) {
            (Some([client, _]), Role::Request) => *client += len,
            (Some([_, server]), Role::Response) => *server += len,
            (None, _) => message.body_bytes += len,
        }
    }

    /// Padding of a body that is not there.
    pub(super) fn padding(&mut self, role: Role, stream: u32, len: u64, absent: Absence) {
        self.lane_mut(role).count_body(len, Some(absent));
        if let Some(message) = self.message(role, stream) {
            message.wire_bytes += len;
            message.absent(len, absent);
        }
    }

    /// A frame of a body begins.
    pub(super) fn data_header(&mut self, role: Role, stream: u32) {
        self.data_framing(role, stream, HEADER_BYTES as u64);
    }

    /// Framing of a body: headers, padding.
    pub(super) fn data_framing(&mut self, role: Role, stream: u32, len: u64) {
        if let Some(message) = self.message(role, stream) {
            message.wire_bytes += len;
        }
    }

    /// A side has sent all it will on a stream.
    pub(super) fn end_stream(&mut self, out: &mut Vec<Decoded>, role: Role, stream: u32, time: Nanos) {
        let Some(exchange) = self.streams.get_mut(&stream) else { return };
        match role {
            Role::Request if exchange.request.done => return,
            Role::Response if exchange.response.done => return,
            Role::Request => {
                exchange.request.done = true;
                exchange.request.end = Some(time);
                if has_other_length(exchange) {
                    exchange.notes.insert(Note::LengthMismatch);
                }
            }
            Role::Response => {
                exchange.response.done = true;
                exchange.response.end = Some(time);
                if !exchange.request.done {
                    exchange.notes.insert(Note::EarlyResponse);
                }
            }
        }
        if exchange.request.done && exchange.response.done {
            self.finish(out, stream, Outcome::Completed);
        }
    }

    /// `RST_STREAM` (6.4): neither side sends more.
    pub(super) fn reset_stream(
        &mut self,
        out: &mut Vec<Decoded>,
        role: Role,
        stream: u32,
        code: Option<u32>,
    ) {
        let Some(exchange) = self.streams.get(&stream) else { return };
        let outcome = match role {
            // 8.1: the response is whole, and the rest of the request is not wanted.
            Role::Response if exchange.response.done && code == Some(NO_ERROR) => Outcome::Completed,
            Role::Response => Outcome::ResetByServer,
            Role::Request => Outcome::ResetByClient,
        };
        self.finish(out, stream, outcome);
    }

    /// `GOAWAY` (6.8): of the server, it will not answer what is above `last`.
    pub(super) fn go_away(&mut self, out: &mut Vec<Decoded>, role: Role, last: u32) {
        if role == Role::Request {
            return;
        }
        let refused = self.streams.range(last.saturating_add(1)..);
        let refused: Vec<u32> = refused
            .filter(|(_, exchange)| exchange.response.head.is_none())
            .map(|(stream, _)| *stream)
            .collect();
        for stream in refused {
            self.finish(out, stream, Outcome::ResetByServer);
        }
    }

    /// Makes room for one more exchange, and for a head of so many bytes: those whose end may have been missed go first.
    pub(super) fn make_room(&mut self, out: &mut Vec<Decoded>, bytes: usize) -> bool {
        while self.streams.len() >= self.limits.streams
            || self.heads_bytes.saturating_add(bytes) > self.limits.heads_bytes
        {
            let hit = self.streams.iter().find(|(_, exchange)| exchange.response.hit);
            let Some(stream) = hit.map(|(stream, _)| *stream) else { return false };
            self.finish(out, stream, Outcome::Incomplete);
        }
        true
    }

    /// An exchange is over. One that is neither a request nor a response does not come out.
    pub(super) fn finish(&mut self, out: &mut Vec<Decoded>, stream: u32, outcome: Outcome) {
        let Some(mut exchange) = self.streams.remove(&stream) else { return };
        for message in [&exchange.request, &exchange.response] {
            let head = message.head.as_ref().map_or(0, |head| head.raw().len());
            let trailers = message.trailers.as_ref().map_or(0, |fields| fields.raw.len());
            self.heads_bytes = self.heads_bytes.saturating_sub(head + trailers);
        }
        let hit = exchange.request.hit || exchange.response.hit;
        exchange.outcome = if hit { Outcome::Incomplete } else { outcome };
        if hit {
            exchange.notes.insert(Note::FramingLost);
        }
        if exchange.request.head.is_some() || exchange.response.head.is_some() {
            out.push(Decoded::Finished(exchange));
        }
    }
}

/// Whether the body of a request is not as long as its head says (8.1.1).
fn has_other_length(exchange: &Exchange) -> bool {
    if exchange.tunnel.is_some() || exchange.request.hit {
        return false;
    }
    let Some(declared) = exchange.request.head.as_ref().and_then(|head| head.get("content-length")) else {
        return false;
    };
    let declared = std::str::from_utf8(&declared).ok().and_then(|digits| digits.parse::<u64>().ok());
    declared != Some(exchange.request.body_bytes)
}
