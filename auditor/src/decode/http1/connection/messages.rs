//! What bytes are while boundaries are known, and what a complete head means for those that follow: body, tunnel, next message.

use std::sync::Arc;

use super::{Http1, Role, Sink};
use crate::assemble::{Absence, Piece};
use crate::capture::record::Nanos;
use crate::decode::http1::exchange::{Decoded, Exchange, Outcome, Reason};
use crate::decode::http1::framing::{self, Length};
use crate::decode::http1::head::Head;
use crate::decode::http1::lane::{Body, State};
use crate::decode::http1::notes::Note;

impl Http1 {
    pub(super) fn data(&mut self, sink: &mut Sink<'_>, role: Role, bytes: &[u8], time: Nanos) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match &self.lane(role).state {
                State::Head => self.head(sink, role, rest, time),
                State::Body(_) => self.body(sink, role, rest, time),
                State::Tunnel => self.tunnel(role, rest.len() as u64, None),
                State::Wait => {
                    self.hold(sink, role, Piece::Data(rest), time);
                    rest.len()
                }
                State::Unread(_) => {
                    if self.begins_probe(role, rest, time) {
                        0
                    } else {
                        self.unread(role, rest.len() as u64, None)
                    }
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    pub(super) fn hole(&mut self, sink: &mut Sink<'_>, role: Role, len: u64, reason: Absence, time: Nanos) {
        let mut rest = len;
        while rest > 0 {
            let taken = match &self.lane(role).state {
                State::Body(_) => self.skip(sink, role, rest, reason, time),
                State::Tunnel => {
                    self.tunnel(role, rest, Some(reason));
                    rest
                }
                State::Unread(_) => {
                    self.unread(role, rest, Some(reason));
                    rest
                }
                State::Head if role == Role::Request || !self.response_is_early() => 0,
                State::Head | State::Wait => {
                    self.hold(sink, role, Piece::Hole { len: rest, reason }, time);
                    rest
                }
            };
            if taken == 0 {
                self.lose(sink, role, Reason::Hole(reason), time);
            }
            rest -= taken;
        }
    }

    /// A request's head is complete. False if it is not taken and the state has changed.
    pub(super) fn request_head(
        &mut self,
        sink: &mut Sink<'_>,
        head: Head,
        len: usize,
        first: Nanos,
        time: Nanos,
    ) -> bool {
        let probing = self.request.probe.is_some();
        if probing && !self.queue.is_empty() {
            // One turn with two messages proves nothing.
            self.lose(sink, Role::Request, Reason::Joined, time);
            return false;
        }
        if self.queue.len() >= sink.limits.pipelined {
            self.lose(sink, Role::Request, Reason::Pipelined, time);
            return false;
        }
        let key = self.request.offset;
        self.request.partial = None;
        self.request.count_framing(len);
        let mut exchange = Exchange::new(key, first);
        let mut notes = head.notes();
        let length = framing::request(&head, &mut notes);
        let head = Arc::new(head);
        exchange.notes = notes;
        exchange.may_switch = head.is_connect() || head.known().upgrade;
        exchange.request.head_bytes = len as u64;
        exchange.request.head_complete = Some(time);
        exchange.request.head = Some(Arc::clone(&head));
        exchange.malformed = length.err();
        exchange.request.done = length.is_err();
        self.queue.push_back(exchange);
        if !probing {
            sink.out.push(Decoded::Request { key, head, time });
        }
        match length {
            Ok(Length::Exact(0)) => self.end_message(sink, Role::Request, time),
            Ok(Length::Exact(left)) => self.request.state = State::Body(Body::Exact(left)),
            Ok(Length::Chunked) => self.request.state = State::Body(Body::Chunked(Default::default())),
            Ok(Length::Close) => self.request.state = State::Body(Body::Close),
            Ok(Length::Tunnel) => self.request.state = State::Tunnel,
            Err(malformed) => self.lose(sink, Role::Request, Reason::Malformed(malformed), time),
        }
        true
    }

    /// A response's head is complete.
    pub(super) fn response_head(
        &mut self,
        sink: &mut Sink<'_>,
        head: Head,
        len: usize,
        first: Nanos,
        time: Nanos,
    ) -> bool {
        self.confirm(sink, time);
        self.response.partial = None;
        self.response.count_framing(len);
        let accepted = self.accepted;
        let Some(exchange) = self.queue.front_mut() else { return true };
        if accepted < exchange.key.saturating_add(exchange.request.head_bytes) {
            // Said before TCP had the request: it answers something else, or nothing (RFC 9110, 15.5.9).
            exchange.notes.insert(Note::Refused);
        }
        if head.status() < 200 && head.status() != 101 {
            if exchange.interim.len() < sink.limits.interim {
                exchange.interim.push(head.status());
            } else {
                exchange.notes.insert(Note::ManyInterim);
            }
            return true;
        }
        if !exchange.request.done {
            exchange.notes.insert(Note::EarlyResponse);
        }
        let method = exchange.request.head.as_ref().map_or(&b""[..], |head| head.method());
        let mut notes = head.notes();
        let length = framing::response(&head, method, &mut notes);
        exchange.notes.extend(notes);
        let head = Arc::new(head);
        let message = &mut exchange.response;
        message.first = Some(first);
        message.head_complete = Some(time);
        message.head_bytes = len as u64;
        message.head = Some(Arc::clone(&head));
        sink.out.push(Decoded::Response { key: exchange.key, head, time });
        if length != Ok(Length::Tunnel) && self.queue.len() == 1 && matches!(self.request.state, State::Wait)
        {
            self.request.state = State::Head;
        }
        match length {
            Ok(Length::Exact(0)) => self.end_message(sink, Role::Response, time),
            Ok(Length::Exact(left)) => self.response.state = State::Body(Body::Exact(left)),
            Ok(Length::Chunked) => self.response.state = State::Body(Body::Chunked(Default::default())),
            Ok(Length::Close) => self.response.state = State::Body(Body::Close),
            Ok(Length::Tunnel) => self.switch(sink),
            Err(malformed) => self.lose(sink, Role::Response, Reason::Malformed(malformed), time),
        }
        true
    }

    fn body(&mut self, sink: &mut Sink<'_>, role: Role, bytes: &[u8], time: Nanos) -> usize {
        let (lane, message) = match role {
            Role::Request => (&mut self.request, self.queue.back_mut().map(|exchange| &mut exchange.request)),
            Role::Response => {
                (&mut self.response, self.queue.front_mut().map(|exchange| &mut exchange.response))
            }
        };
        let progress = message.map(|message| lane.read_body(message, bytes, sink.limits));
        match progress {
            Some(Ok(progress)) => {
                if progress.complete {
                    self.end_message(sink, role, time);
                }
                usize::try_from(progress.taken).unwrap_or(bytes.len())
            }
            Some(Err(malformed)) => {
                self.lose(sink, role, Reason::Malformed(malformed), time);
                0
            }
            None => {
                self.lose(sink, role, Reason::NoRequest, time);
                0
            }
        }
    }

    fn skip(&mut self, sink: &mut Sink<'_>, role: Role, len: u64, reason: Absence, time: Nanos) -> u64 {
        let (lane, message) = match role {
            Role::Request => (&mut self.request, self.queue.back_mut().map(|exchange| &mut exchange.request)),
            Role::Response => {
                (&mut self.response, self.queue.front_mut().map(|exchange| &mut exchange.response))
            }
        };
        let Some(message) = message else { return 0 };
        let progress = lane.skip_body(message, len, reason);
        if progress.complete {
            self.end_message(sink, role, time);
        }
        progress.taken
    }

    fn tunnel(&mut self, role: Role, len: u64, absent: Option<Absence>) -> usize {
        self.lane_mut(role).count_tunnel(len, absent);
        if let Some(exchange) = self.queue.front_mut() {
            let [client, server] = exchange.tunnel.get_or_insert_default();
            let (side, message) = match role {
                Role::Request => (client, &mut exchange.request),
                Role::Response => (server, &mut exchange.response),
            };
            *side += len;
            if let Some(reason) = absent {
                message.absent(len, reason);
            }
        }
        usize::try_from(len).unwrap_or(usize::MAX)
    }

    /// From here on the connection belongs to another protocol.
    fn switch(&mut self, sink: &mut Sink<'_>) {
        for mut exchange in self.queue.drain(1..) {
            exchange.outcome = Outcome::Incomplete;
            sink.out.push(Decoded::Finished(exchange));
        }
        if let Some(exchange) = self.queue.front_mut() {
            self.h2c = super::upgrade::to_h2c(exchange);
            exchange.tunnel = Some([0, 0]);
            if !exchange.may_switch {
                exchange.notes.insert(Note::UnaskedUpgrade);
            }
            if !exchange.request.done {
                exchange.request.done = true;
                exchange.request.hit = true;
            }
        }
        self.response.state = State::Tunnel;
        if !matches!(self.request.state, State::Unread(_)) {
            self.request.state = State::Tunnel;
            if let Some(partial) = self.request.partial.take() {
                self.tunnel(Role::Request, partial.bytes.len() as u64, None);
            }
        }
    }

    /// The message that `role` is in has ended.
    pub(super) fn end_message(&mut self, sink: &mut Sink<'_>, role: Role, time: Nanos) {
        let state = match role {
            Role::Request => {
                let Some(exchange) = self.queue.back_mut() else { return };
                exchange.request.done = true;
                exchange.request.end = Some(time);
                if exchange.may_switch && exchange.response.head.is_none() {
                    State::Wait
                } else {
                    State::Head
                }
            }
            Role::Response => {
                let Some(exchange) = self.queue.front_mut() else { return };
                exchange.response.done = true;
                exchange.response.end = Some(time);
                State::Head
            }
        };
        self.lane_mut(role).state = state;
        self.finish_complete(sink);
    }
}
