//! The bytes at a message's start: a head, perhaps in parts, or none.

use std::sync::Arc;

use super::{Http1, Role, Sink};
use crate::assemble::Piece;
use crate::capture::record::Nanos;
use crate::decode::http1::exchange::{Decoded, Exchange, Reason};
use crate::decode::http1::head::{self, Head, Kind, Parsed};
use crate::decode::http1::lane::{Partial, State};
use crate::decode::http1::malformed::Malformed;

/// What the bytes at a message's start turned out to be.
enum Found {
    /// A head, its length, and how many of the given bytes it took.
    Whole { head: Head, len: usize, taken: usize, first: Nanos },
    /// Not all of a head; so many of the given bytes are held.
    Partial(usize),
    /// No head; so many of the given bytes are held.
    Bad(Malformed, usize),
}

impl Http1 {
    /// Bytes where a message starts or a head goes on. Gives how many were taken; none if the state has changed.
    pub(super) fn head(&mut self, sink: &mut Sink<'_>, role: Role, bytes: &[u8], time: Nanos) -> usize {
        if self.lane(role).partial.is_none() {
            match role {
                Role::Request => {
                    // RFC 9112, 2.2: empty lines before a request line are skipped.
                    let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                    if empty > 0 {
                        self.request.count_framing(empty);
                        return empty;
                    }
                }
                Role::Response if self.response_is_early() => {
                    self.hold(sink, role, Piece::Data(bytes), time);
                    return bytes.len();
                }
                Role::Response if !self.response_is_awaited() => {
                    return self.unexpected_response(sink, time);
                }
                Role::Response => {}
            }
        }
        let held = self.lane(role).partial.is_some();
        match self.find_head(sink, role, bytes, time) {
            Found::Partial(taken) => taken,
            Found::Whole { head, len, taken, first } => {
                let accepted = match role {
                    Role::Request => self.request_head(sink, head, len, first, time),
                    Role::Response => self.response_head(sink, head, len, first, time),
                };
                // What was not held when it was refused is read again, as what it is then.
                if accepted || held { taken } else { 0 }
            }
            Found::Bad(malformed, taken) => {
                match role {
                    Role::Request => self.bad_request(sink, malformed, bytes, time),
                    Role::Response => self.lose(sink, role, Reason::Malformed(malformed), time),
                }
                taken
            }
        }
    }

    fn find_head(&mut self, sink: &Sink<'_>, role: Role, bytes: &[u8], time: Nanos) -> Found {
        let limits = sink.limits;
        let kind = match role {
            Role::Request => Kind::Request,
            Role::Response => Kind::Response,
        };
        let lane = self.lane_mut(role);
        let Some(partial) = &mut lane.partial else {
            return match head::parse(kind, bytes, limits) {
                Ok(Parsed::Whole(head, len)) => Found::Whole { head, len, taken: len, first: time },
                Ok(Parsed::Partial) => {
                    let searched = bytes.len().saturating_sub(2);
                    lane.partial = Some(Box::new(Partial { bytes: bytes.to_vec(), searched, since: time }));
                    Found::Partial(bytes.len())
                }
                Err(malformed) => Found::Bad(malformed, 0),
            };
        };
        let before = partial.bytes.len();
        let taken = (limits.head_bytes + 1).saturating_sub(before).min(bytes.len());
        partial.bytes.extend_from_slice(bytes.get(..taken).unwrap_or(bytes));
        let parsed = match head::find_end(&partial.bytes, partial.searched) {
            Some(end) => head::parse(kind, partial.bytes.get(..end).unwrap_or_default(), limits),
            None if partial.bytes.len() > limits.head_bytes => head::parse(kind, &partial.bytes, limits),
            None => head::plausible(kind, &partial.bytes).map(|()| Parsed::Partial),
        };
        partial.searched = partial.bytes.len().saturating_sub(2);
        match parsed {
            Ok(Parsed::Whole(head, len)) => {
                partial.bytes.truncate(len);
                Found::Whole { head, len, taken: len.saturating_sub(before), first: partial.since }
            }
            Ok(Parsed::Partial) => Found::Partial(taken),
            Err(malformed) => Found::Bad(malformed, taken),
        }
    }

    /// The bytes at a request's start are no request. If the server answers, the two are an exchange all the same.
    fn bad_request(&mut self, sink: &mut Sink<'_>, malformed: Malformed, bytes: &[u8], time: Nanos) {
        let (key, probing) = (self.request.offset, self.request.probe.is_some());
        // A version 2 header of the PROXY protocol starts with what looks like empty lines, then a NUL.
        let first = self.request.partial.as_ref().map_or(bytes, |partial| &partial.bytes).first();
        let malformed = if malformed == Malformed::NotHttp && key == 4 && first == Some(&0) {
            Malformed::ProxyProtocol
        } else {
            malformed
        };
        if !probing {
            self.answer_to_bad(sink, malformed, bytes, time);
        }
        self.lose(sink, Role::Request, Reason::Malformed(malformed), time);
    }

    /// Queues an exchange for bytes that are no request.
    fn answer_to_bad(&mut self, sink: &mut Sink<'_>, malformed: Malformed, bytes: &[u8], time: Nanos) {
        if self.queue.len() >= sink.limits.pipelined {
            return;
        }
        let key = self.request.offset;
        let (held, since) = match &self.request.partial {
            Some(partial) => (partial.bytes.as_slice(), partial.since),
            None => (bytes, time),
        };
        let mut exchange = Exchange::new(key, since);
        exchange.malformed = Some(malformed);
        exchange.request.done = true;
        if matches!(malformed, Malformed::HeadTooLarge | Malformed::Unfinished)
            && let Ok(head) = head::parse_cut(held, sink.limits)
        {
            let head = Arc::new(head);
            exchange.notes = head.notes();
            exchange.request.head = Some(Arc::clone(&head));
            // It never was complete; that it is none may be known much later, by the answer.
            sink.out.push(Decoded::Request { key, head, time: since });
        }
        self.queue.push_back(exchange);
    }

    /// A response begins and no request waits for one. Takes nothing.
    fn unexpected_response(&mut self, sink: &mut Sink<'_>, time: Nanos) -> usize {
        let unfinished = matches!(self.request.state, State::Head) && self.request.partial.is_some();
        if unfinished && self.request.probe.is_none() && self.queue.is_empty() {
            // The server did not wait for the end of the head: it timed out, or did not like what it saw.
            self.answer_to_bad(sink, Malformed::Unfinished, &[], time);
            self.lose(sink, Role::Request, Reason::Malformed(Malformed::Unfinished), time);
        } else {
            self.lose(sink, Role::Response, Reason::NoRequest, time);
        }
        0
    }
}
