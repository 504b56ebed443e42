//! The beginning of a connection: SYN, SYN-ACK, and the first segment after them.
//!
//! A SYN for a connection that is open changes nothing until its receiver takes it up: an attacker may send one into its
//! own connection to make what follows look like another's.

use super::{Candidate, Connection, Context, Held, MAX_HELD_BYTES, Next, Packet, State};
use crate::capture::record::{Record, Segment};

impl Connection {
    /// A SYN or SYN-ACK. None: the segment belongs to this connection, its payload too.
    pub(super) fn syn(
        &mut self,
        from: usize,
        packet: &Packet<'_>,
        context: &mut Context<'_, '_>,
    ) -> Option<Next> {
        let first = packet.sequence.wrapping_add(1);
        let same = self.peek(from).first == Some(first);
        let ended = self.has_ended();
        let another = match packet.ack {
            // What never opened may be tried again with the same number.
            None if ended => !same || !self.was_open,
            Some(_) if ended => !same,
            // Nobody there to take it up or to refuse it: only this end was captured.
            None => !same && from == self.client && !self.peek(1 - from).seen,
            Some(_) => false,
        };
        if another {
            self.finish(context);
            return Self::begin(self.ends, from, packet, context).map(Box::new).map(Next::Another);
        }
        match packet.ack {
            _ if ended => {}
            Some(ack) => {
                let taken_up = |candidate: &Candidate| {
                    candidate.from != from && ack.wrapping_sub(candidate.first) <= candidate.len
                };
                if let Some(candidate) = self.candidate.filter(taken_up) {
                    self.finish(context);
                    let mut next =
                        Self::handshake(self.ends, candidate.from, candidate.first, candidate.time);
                    next.side(candidate.from).seen = true;
                    next.syn_len = candidate.len;
                    next.segment_here(from, packet, context);
                    return Some(Next::Another(Box::new(next)));
                }
                let answers = from != self.client && self.acks_handshake(ack);
                if self.state == State::Handshake && answers {
                    return None;
                }
                // Where the server's bytes begin was taken from the client's word, which was wrong.
                if !same && answers && !self.peek(from).seen {
                    self.finish(context);
                    return Self::begin(self.ends, from, packet, context).map(Box::new).map(Next::Another);
                }
            }
            // Both ends may open at once (RFC 9293, 3.5).
            None if self.state == State::Handshake
                && from != self.client
                && self.peek(from).first.is_none() =>
            {
                self.side(from).first = Some(first);
                self.side(from).seen = true;
                context.counters.handshake_bytes += u64::from(packet.len);
                return Some(Next::Done);
            }
            // A SYN-ACK that nobody asked for may have come before.
            None if !same || (self.state == State::Handshake && from != self.client) => {
                self.candidate = Some(Candidate { from, first, len: packet.len, time: context.time });
            }
            None => {}
        }
        if !same {
            context.counters.stray_syns += 1;
        }
        context.counters.handshake_bytes += u64::from(packet.len);
        Some(Next::Done)
    }

    /// Whether `ack` answers the client's SYN: its payload may be acknowledged too, or a part of it.
    pub(super) fn acks_handshake(&self, ack: u32) -> bool {
        self.peek(self.client).first.is_some_and(|first| ack.wrapping_sub(first) <= self.syn_len)
    }

    /// The handshake is complete: the client spoke again (at `offset`), or the server already sends payload.
    pub(super) fn open(&mut self, from: usize, offset: i64, context: &mut Context<'_, '_>) {
        self.state = State::Open;
        self.was_open = true;
        self.announce(context);
        let accepted = match self.peek(self.client).acked {
            Some(acked) => acked,
            // The answer was not captured; a client goes on behind its payload only if that was accepted.
            None if from == self.client => u64::try_from(offset).unwrap_or(0),
            None => 0,
        };
        self.release_held(accepted, context);
    }

    /// Keeps the payload of the client's SYN until it is known whether it was accepted (RFC 7413).
    pub(super) fn hold(&mut self, packet: &Packet<'_>, context: &mut Context<'_, '_>) {
        self.syn_len = packet.len;
        if packet.len == 0 {
            return;
        }
        if *context.held_bytes + packet.bytes.len() > MAX_HELD_BYTES {
            context.counters.handshake_bytes += u64::from(packet.len);
            return;
        }
        *context.held_bytes += packet.bytes.len();
        self.held = Some(Held { len: packet.len, bytes: packet.bytes.into() });
    }

    /// Delivers the first `accepted` bytes of the SYN's payload, and lets go of the rest.
    pub(super) fn release_held(&mut self, accepted: u64, context: &mut Context<'_, '_>) {
        let Some(Held { len, bytes }) = self.held.take() else { return };
        *context.held_bytes = context.held_bytes.saturating_sub(bytes.len());
        let accepted = u32::try_from(accepted).unwrap_or(u32::MAX).min(len);
        context.counters.handshake_bytes += u64::from(len - accepted);
        if accepted == 0 {
            return;
        }
        let side = self.side(self.client);
        side.highest = side.highest.max(u64::from(accepted));
        let Some(role) = self.role else {
            self.missed = true;
            context.counters.foreign_bytes += u64::from(accepted);
            return;
        };
        context.counters.delivered_bytes += u64::from(accepted);
        let bytes = bytes.get(..accepted as usize).unwrap_or(&bytes);
        let direction = self.direction(role, self.client);
        let segment =
            Segment { direction, offset: 0, len: accepted, bytes, fin: false, rst: false, received: None };
        (context.sink)(Record::Segment { id: self.id, time: context.time, segment });
    }
}
