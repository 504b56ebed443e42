//! What bytes are while boundaries are known: heads, bodies, tunnels.

use std::sync::Arc;

use super::{Http1, Role, Sink};
use crate::assemble::{Absence, Piece};
use crate::capture::record::Nanos;
use crate::decode::http1::exchange::{Decoded, Exchange, Outcome, Reason};
use crate::decode::http1::framing::{self, Length};
use crate::decode::http1::head::{self, Head, Kind, Parsed};
use crate::decode::http1::lane::{Body, Partial, State};
use crate::decode::http1::malformed::Malformed;
use crate::decode::http1::notes::Note;

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
                    if self.begins_probe(role, rest) {
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

    /// Bytes where a message starts or a head goes on. Gives how many were taken; none if the state has changed.
    fn head(&mut self, sink: &mut Sink<'_>, role: Role, bytes: &[u8], time: Nanos) -> usize {
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
            None if partial.bytes.len() > limits.head_bytes => Err(Malformed::HeadTooLarge),
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

    /// A request's head is complete. False if it is not taken and the state has changed.
    fn request_head(
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
    fn response_head(
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
        let Some(exchange) = self.queue.front_mut() else { return true };
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
            sink.out.push(Decoded::Request { key, head, time });
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
