//! One connection of a capture file: from its packets to its records.
//!
//! Consumes TCP segments, produces [`Record`]s. Both ends are hostile, so a packet moves the state only as its receiver
//! would let it (RFC 9293, 3.10.7; RFC 5961): else a stray SYN, RST or far sequence number would hide what follows.
//! Invariants: `Opened` before any segment, `Closed` once and last; nothing between is invented: every payload byte is
//! delivered or counted. A reset that its receiver may have refused ends the connection only if nothing follows.

mod handshake;
mod id;
mod reset;
mod side;

use std::net::SocketAddr;

use id::identify;
use side::Side;

use super::Counters;
use super::packet::Segment as Packet;
use super::perspective::{Perspective, Role};
use crate::capture::record::{ConnectionId, Direction, How, Nanos, Record, Segment, Tuple};

/// Bytes of payload on SYNs that are kept until it is known whether they were accepted, over all connections.
const MAX_HELD_BYTES: usize = 4 << 20;

/// What a segment is looked at with.
pub(super) struct Context<'a, 'o> {
    pub(super) time: Nanos,
    pub(super) counters: &'a mut Counters,
    pub(super) perspective: &'a mut Perspective<'o>,
    /// Bytes held by all connections, see [`MAX_HELD_BYTES`].
    pub(super) held_bytes: &'a mut usize,
    pub(super) sink: &'a mut dyn FnMut(Record<'_>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Handshake,
    Open,
    /// Over; kept so that what comes late opens nothing.
    Ended {
        at: Nanos,
    },
}

/// A SYN that would begin another connection between the same ends, if its receiver takes it up.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    from: usize,
    first: u32,
    len: u32,
    time: Nanos,
}

/// A reset that may have been refused.
#[derive(Clone, Copy, Debug)]
struct DoubtfulReset {
    from: usize,
    time: Nanos,
}

/// Payload of a SYN.
struct Held {
    len: u32,
    bytes: Box<[u8]>,
}

/// What to do with the segment's connection.
pub(super) enum Next {
    /// The segment was dealt with.
    Done,
    /// The segment has ended this connection and begun another between the same ends.
    Another(Box<Connection>),
}

pub(super) struct Connection {
    id: ConnectionId,
    ends: [SocketAddr; 2],
    client: usize,
    sides: [Side; 2],
    state: State,
    /// It was open once: a handshake that failed leaves less behind.
    was_open: bool,
    /// How it was announced, if it was.
    role: Option<Role>,
    /// Payload went by before the role was known.
    missed: bool,
    joined: bool,
    /// Bytes of payload on the client's SYN, kept or not.
    syn_len: u32,
    held: Option<Held>,
    candidate: Option<Candidate>,
    doubtful_reset: Option<DoubtfulReset>,
}

impl Connection {
    fn new(ends: [SocketAddr; 2], client: usize, first: u32, time: Nanos) -> Self {
        let mut connection = Self {
            id: ConnectionId(0),
            ends,
            client,
            sides: [Side::default(); 2],
            state: State::Handshake,
            was_open: false,
            role: None,
            missed: false,
            joined: false,
            syn_len: 0,
            held: None,
            candidate: None,
            doubtful_reset: None,
        };
        connection.id = identify(connection.end(client), connection.end(1 - client), time, first);
        connection
    }

    /// The connection that `packet`, of end `from`, begins; none if it begins none.
    pub(super) fn begin(
        ends: [SocketAddr; 2],
        from: usize,
        packet: &Packet<'_>,
        context: &mut Context<'_, '_>,
    ) -> Option<Self> {
        if packet.rst {
            return None;
        }
        let mut connection = match (packet.syn, packet.ack) {
            (true, None) => Self::handshake(ends, from, packet.sequence.wrapping_add(1), context.time),
            (true, Some(ack)) => Self::handshake(ends, 1 - from, ack, context.time),
            (false, Some(ack)) if packet.len > 0 => {
                let client = 1 - context.perspective.server(ends, from);
                let mut connection = Self::new(ends, client, packet.sequence, context.time);
                connection.join(from, packet.sequence, ack);
                connection
            }
            _ => return None,
        };
        if packet.syn && packet.ack.is_none() {
            connection.hold(packet, context);
            connection.side(from).seen = true;
        } else {
            connection.segment_here(from, packet, context);
        }
        Some(connection)
    }

    fn handshake(ends: [SocketAddr; 2], client: usize, first: u32, time: Nanos) -> Self {
        let mut connection = Self::new(ends, client, first, time);
        connection.side(client).first = Some(first);
        connection
    }

    /// Offsets count from here: `from` sends `sequence` and has received up to `ack`.
    fn join(&mut self, from: usize, sequence: u32, ack: u32) {
        *self.side(from) = Side { first: Some(sequence), ..Side::default() };
        *self.side(1 - from) = Side { first: Some(ack), acked: Some(0), ..Side::default() };
        self.state = State::Open;
        self.was_open = true;
        self.joined = true;
    }

    /// Takes a segment of end `from`.
    pub(super) fn segment(
        &mut self,
        from: usize,
        packet: &Packet<'_>,
        context: &mut Context<'_, '_>,
    ) -> Next {
        if packet.syn && !packet.rst {
            match self.syn(from, packet, context) {
                Some(next) => return next,
                None => {
                    self.segment_here(from, packet, context);
                    return Next::Done;
                }
            }
        }
        if let State::Ended { .. } = self.state {
            self.late(from, packet, context.counters);
        } else {
            self.segment_here(from, packet, context);
        }
        Next::Done
    }

    /// Whether it ended so long before `time` that what comes now is not late but new.
    pub(super) fn forgotten(&self, time: Nanos, linger: Nanos) -> bool {
        matches!(self.state, State::Ended { at } if time.saturating_sub(at) > linger)
    }

    /// Ends the connection at `context.time`, if it has not ended.
    pub(super) fn finish(&mut self, context: &mut Context<'_, '_>) {
        let state = self.state;
        self.state = State::Ended { at: context.time };
        self.release_held(0, context);
        match state {
            State::Ended { .. } => {}
            State::Handshake => context.counters.unfinished_handshakes += 1,
            State::Open if self.role.is_none() => context.counters.foreign_connections += 1,
            State::Open => {
                if let Some(DoubtfulReset { from, time }) = self.doubtful_reset {
                    self.emit_reset(from, time, context);
                }
                (context.sink)(Record::Closed { id: self.id, time: context.time, totals: None });
            }
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    /// A segment that belongs to this connection, which has not ended.
    fn segment_here(&mut self, from: usize, packet: &Packet<'_>, context: &mut Context<'_, '_>) {
        if packet.rst {
            self.reset(from, packet, context);
            return;
        }
        // No receiver takes a segment without an acknowledgment (RFC 9293, 3.10.7.4).
        let Some(ack) = packet.ack else {
            context.counters.implausible_bytes += u64::from(packet.len);
            return;
        };
        let sequence = if packet.syn { packet.sequence.wrapping_add(1) } else { packet.sequence };
        if self.state == State::Handshake {
            if packet.syn {
                // The last one counts: the server may have forgotten the one before.
                self.side(from).first = Some(sequence);
            }
            if from == self.client && self.peek(1 - from).first.is_none() {
                self.side(1 - from).first = Some(ack);
            }
            if from != self.client && self.peek(from).first.is_none() && (packet.len > 0 || packet.fin) {
                self.side(from).first = Some(sequence);
            }
        }
        let Some(offset) = self.peek(from).offset(sequence) else { return };
        let end = offset + i64::from(packet.len);
        let limit = i64::try_from(self.peek(from).limit()).unwrap_or(i64::MAX);
        // A server whose handshake is not complete takes nothing but what acknowledges that very handshake.
        let peer = self.peek(1 - from);
        let wrong =
            self.state == State::Handshake && from == self.client && peer.seen && peer.first != Some(ack);
        let joined = self.joined;
        if wrong || end > limit || !self.side(1 - from).acknowledge(ack, joined) {
            context.counters.implausible_bytes += u64::from(packet.len);
            return;
        }
        self.side(from).seen = true;
        // A sender that goes on was not reset by what looked like its reset.
        if self.doubtful_reset.is_some_and(|reset| reset.from == from) {
            self.doubtful_reset = None;
        }
        if self.state == State::Handshake {
            let speaks = packet.len > 0 || packet.fin;
            if !speaks && (packet.syn || from != self.client) {
                return;
            }
            self.open(from, offset, context);
        }
        if packet.len > 0 || packet.fin {
            self.payload(from, offset, sequence, ack, packet, context);
        }
        if self.sides.iter().all(Side::fin_acked) {
            self.finish(context);
        }
    }

    /// Reports the connection if it is the controller's, and was not reported.
    fn announce(&mut self, context: &mut Context<'_, '_>) {
        if self.role.is_some() {
            return;
        }
        let (client, server) = (self.end(self.client), self.end(1 - self.client));
        self.role = context.perspective.role(client, server);
        let Some(role) = self.role else { return };
        if role == Role::Passive {
            context.perspective.learn(server.ip(), context.counters);
        }
        context.counters.connections += 1;
        context.counters.joined += u64::from(self.joined);
        let how = match role {
            _ if self.joined => How::Joined,
            Role::Passive => How::Passive,
            Role::Active => How::Active,
        };
        let local = self.local(role);
        let first = [1 - local, local].map(|end| self.peek(end).first.unwrap_or(0));
        (context.sink)(Record::Opened {
            id: self.id,
            time: context.time,
            tuple: self.tuple(role),
            how,
            first,
            start: [0; 2],
        });
    }

    fn payload(
        &mut self,
        from: usize,
        mut offset: i64,
        sequence: u32,
        ack: u32,
        packet: &Packet<'_>,
        context: &mut Context<'_, '_>,
    ) {
        if self.role.is_none() {
            let missed = self.missed;
            self.missed |= packet.len > 0;
            if context.perspective.role(self.end(self.client), self.end(1 - self.client)).is_some() && missed
            {
                // Known to be the controller's only now: as if it began here.
                self.join(from, sequence, ack);
                self.side(from).seen = true;
                offset = 0;
            }
            self.announce(context);
        }
        let before = u32::try_from(offset.min(0).unsigned_abs()).unwrap_or(u32::MAX).min(packet.len);
        let len = packet.len - before;
        let start = u64::try_from(offset + i64::from(before));
        let Ok(start) = start else {
            context.counters.before_first_bytes += u64::from(packet.len);
            return;
        };
        context.counters.before_first_bytes += u64::from(before);
        let end = start + u64::from(len);
        let side = self.side(from);
        side.highest = side.highest.max(end);
        if packet.fin {
            side.fin = Some(end);
        }
        let bytes = packet.bytes.get(before as usize..).unwrap_or(&[]);
        let Some(role) = self.role else {
            context.counters.foreign_bytes += u64::from(len);
            return;
        };
        if len == 0 && !packet.fin {
            return;
        }
        context.counters.delivered_bytes += u64::from(len);
        let direction = self.direction(role, from);
        let segment =
            Segment { direction, offset: start, len, bytes, fin: packet.fin, rst: false, received: None };
        (context.sink)(Record::Segment { id: self.id, time: context.time, segment });
    }

    /// A segment after the end.
    fn late(&self, from: usize, packet: &Packet<'_>, counters: &mut Counters) {
        if packet.rst {
            counters.reset_bytes += u64::from(packet.len);
            return;
        }
        counters.after_end_bytes += u64::from(packet.len);
        let side = self.peek(from);
        let end = side.offset(packet.sequence).map_or(0, |offset| offset + i64::from(packet.len));
        let beyond = u64::try_from(end).unwrap_or(0).saturating_sub(side.highest);
        counters.after_end_new_bytes += beyond.min(u64::from(packet.len));
    }

    fn local(&self, role: Role) -> usize {
        match role {
            Role::Passive => 1 - self.client,
            Role::Active => self.client,
        }
    }

    fn tuple(&self, role: Role) -> Tuple {
        let local = self.local(role);
        Tuple { local: self.end(local), remote: self.end(1 - local) }
    }

    fn direction(&self, role: Role, from: usize) -> Direction {
        if from == self.local(role) { Direction::Egress } else { Direction::Ingress }
    }

    fn end(&self, which: usize) -> SocketAddr {
        let [a, b] = self.ends;
        if which == 0 { a } else { b }
    }

    fn peek(&self, which: usize) -> &Side {
        let [a, b] = &self.sides;
        if which == 0 { a } else { b }
    }

    fn side(&mut self, which: usize) -> &mut Side {
        let [a, b] = &mut self.sides;
        if which == 0 { a } else { b }
    }
}
