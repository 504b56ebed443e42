//! One connection: its two streams, its decoder, and what is told of it at its end.

use std::sync::Arc;

use auditor_ebpf::window::Want;

use crate::assemble::Piece;
use crate::assemble::stream::{self, Stream};
use crate::assemble::tls::context;
use crate::capture::record::{ConnectionId, Direction, How, Nanos, Segment, Totals};
use crate::decode::http1::connection::End;
use crate::decode::legs::{Leg, Party};

use super::hellos::Hello;
use super::layers::{Layers, Scope};

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) party: Arc<Party>,
    /// Where its streams begin to be told of.
    start: [u64; 2],
    ingress: Stream,
    egress: Stream,
    layers: Layers,
    /// Requests seen so far.
    pub(super) requests: u64,
    /// The connection became a tunnel.
    pub(super) tunnel: bool,
    /// What it turned out to speak instead of HTTP/1.
    pub(super) foreign: Option<crate::decode::http1::malformed::Malformed>,
    /// Who reset it.
    pub(super) reset: Option<Direction>,
    /// What the source was last told.
    needed: [Want; 2],
    /// Its `ClientHello`, by which it is known, and its number among those that have said one.
    pub(super) registered: Option<(u64, Hello)>,
    /// The connection that the same TLS is passed on over.
    pub(super) partner: Option<ConnectionId>,
    /// It is among those that are known to hold bytes.
    pub(super) listed: bool,
    /// The last time anything was seen.
    pub(super) last: Nanos,
}

/// An advance that is worth a word to the source.
const WORTHWHILE: u64 = 4096;

impl Connection {
    pub(super) fn new(party: Party, start: [u64; 2]) -> Self {
        let requests = match party.leg {
            Leg::Client => Direction::Ingress,
            Leg::Backend => Direction::Egress,
        };
        Self {
            start,
            ingress: Stream::starting_at(start[0]),
            egress: Stream::starting_at(start[1]),
            layers: Layers::new(requests, party.how, start),
            requests: 0,
            tunnel: false,
            foreign: None,
            reset: None,
            needed: start.map(|offset| Want { offset, tls: false }),
            registered: None,
            partner: None,
            listed: false,
            last: party.opened,
            party: Arc::new(party),
        }
    }

    /// Its start was seen after all: it is one that the controller opened.
    pub(super) fn becomes(&mut self, how: How, leg: Leg) {
        let party = Arc::make_mut(&mut self.party);
        (party.how, party.leg) = (how, leg);
    }

    /// Takes a segment; whatever becomes readable goes to the decoder.
    pub(super) fn push(
        &mut self,
        segment: &Segment<'_>,
        time: Nanos,
        limits: &super::Limits,
        scope: &mut Scope<'_>,
    ) {
        self.last = time;
        let Self { ingress, egress, layers, party, reset, .. } = self;
        if let Some(received) = segment.received {
            ingress.accepted(received, time, &mut |piece, seen| {
                layers.feed(scope, party, Direction::Ingress, piece, seen);
            });
        }
        if party.leg == Leg::Client {
            layers.set_accepted(ingress.known_accepted());
        }
        let direction = segment.direction;
        let stream = match direction {
            Direction::Ingress => &mut *ingress,
            Direction::Egress => egress,
        };
        let contradictions = stream.counts().contradictions;
        // Before what follows the copy is read: where that begins is not known.
        let contradicted = stream.is_contradicted_by(segment);
        if contradicted {
            layers.contradicted(scope, direction, time);
        }
        stream.push(&limits.stream, segment, time, &mut |piece, seen| {
            if piece == Piece::Reset {
                *reset = Some(direction);
            }
            layers.feed(scope, party, direction, piece, seen);
        });
        if !contradicted && stream.counts().contradictions != contradictions {
            layers.contradicted(scope, direction, time);
        }
        self.tell_waiting(scope, time);
    }

    /// Gives up missing ranges that were waited for long enough.
    pub(super) fn expire(&mut self, limits: &super::Limits, now: Nanos, scope: &mut Scope<'_>) {
        let Self { ingress, egress, layers, party, .. } = self;
        ingress.expire(&limits.stream, now, &mut |piece, seen| {
            layers.feed(scope, party, Direction::Ingress, piece, seen);
        });
        egress.expire(&limits.stream, now, &mut |piece, seen| {
            layers.feed(scope, party, Direction::Egress, piece, seen);
        });
        layers.expire(scope, party, now);
        self.tell_waiting(scope, now);
    }

    /// A secret has come, and it [`Self::awaits`] some.
    pub(super) fn secrets_arrived(&mut self, time: Nanos, scope: &mut Scope<'_>) {
        self.layers.secrets_arrived(scope, &mut self.party, time);
    }

    /// Its `ClientHello`, if it has said one.
    pub(super) fn hello(&self) -> Option<Hello> {
        self.layers.hello()
    }

    /// Whether the controller has said anything on it.
    pub(super) fn is_answered(&self) -> bool {
        self.bytes()[1] > 0
    }

    /// Whether secrets would serve that have not come.
    pub(super) fn awaits(&self) -> bool {
        self.layers.awaits()
    }

    /// Gives up all that waits or is not whole: there is no room for it.
    pub(super) fn release(&mut self, now: Nanos, scope: &mut Scope<'_>) {
        let Self { ingress, egress, layers, party, .. } = self;
        ingress.release(now, &mut |piece, seen| layers.feed(scope, party, Direction::Ingress, piece, seen));
        egress.release(now, &mut |piece, seen| layers.feed(scope, party, Direction::Egress, piece, seen));
        layers.release(scope, party, now);
        self.tell_waiting(scope, now);
    }

    /// Nothing will follow. Gives the bytes that were read and that the controller's TCP has refused.
    pub(super) fn finish(
        &mut self,
        end: End,
        totals: Option<Totals>,
        now: Nanos,
        scope: &mut Scope<'_>,
    ) -> u64 {
        let Self { ingress, egress, layers, party, reset, .. } = self;
        let received = totals.map(|totals| totals.bytes_received);
        let timed_out = totals.is_some_and(|totals| totals.timed_out);
        if timed_out {
            ingress.refuse_reset();
        }
        // Where only the wire told of the end, TCP had accepted what it said last.
        let accepted = received.or(ingress.known_accepted().filter(|_| end == End::Closed));
        let refused = accepted.map_or(0, |accepted| ingress.refused(accepted));
        if let Some(accepted) = accepted
            && refused > 0
            && party.leg == Leg::Client
        {
            layers.refused(accepted);
        }
        ingress.finish(received, now, &mut |piece, seen| {
            if piece == Piece::Reset {
                reset.get_or_insert(Direction::Ingress);
            }
            layers.feed(scope, party, Direction::Ingress, piece, seen);
        });
        // Without what handshake and end count for, which depends on who did which.
        let sent = totals.map_or(0, |totals| totals.bytes_acked.saturating_sub(2));
        egress.reach(sent, now, &mut |piece, seen| layers.feed(scope, party, Direction::Egress, piece, seen));
        egress
            .finish(None, now, &mut |piece, seen| layers.feed(scope, party, Direction::Egress, piece, seen));
        let aborted = !timed_out && totals.is_some_and(|totals| totals.aborted);
        if aborted && reset.is_none() {
            *reset = Some(Direction::Egress);
            layers.feed(scope, party, Direction::Egress, Piece::Reset, now);
        }
        layers.close(scope, party, if timed_out { End::TimedOut } else { end }, now);
        refused
    }

    /// Whether a stream waits for a missing range until a certain time.
    pub(super) fn has_deadline(&self, limits: &stream::Limits, tls: &context::Limits) -> bool {
        self.ingress.deadline(limits).is_some()
            || self.egress.deadline(limits).is_some()
            || self.layers.has_deadline(tls)
    }

    /// Whether it speaks TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.layers.is_tls()
    }

    /// Copied bytes that are held back, or are part of what is not whole.
    pub(super) fn held(&self) -> usize {
        self.ingress.held_bytes() + self.egress.held_bytes() + self.layers.held_bytes()
    }

    /// Segments, ends and resets that contradict what was seen before, and bytes beyond the end.
    pub(super) fn contradictions(&self) -> (u64, u64) {
        let counts = [self.ingress.counts(), self.egress.counts()];
        let each = |count: &stream::Counts| {
            [count.contradictions, count.ends_refused, count.resets_refused]
                .map(u64::from)
                .iter()
                .sum::<u64>()
        };
        (counts.iter().map(each).sum(), counts.iter().map(|count| count.beyond_bytes).sum())
    }

    /// Whether it turned out to be HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.layers.is_http2()
    }

    /// Payload bytes of the stream, received and sent.
    pub(super) fn bytes(&self) -> [u64; 2] {
        let [ingress, egress] = self.start;
        [self.ingress.offset() - ingress, self.egress.offset() - egress]
    }

    /// The offset that the source should be told is needed next, if that is news: far from what it was told, so that many
    /// small chunks cost a word each few kilobytes, or further than its window would reach by itself.
    pub(super) fn news(&mut self, direction: Direction) -> Option<Want> {
        let reached = match direction {
            Direction::Ingress => self.ingress.offset(),
            Direction::Egress => self.egress.offset(),
        };
        let mut needed = self.layers.needed(direction);
        let tls = self.layers.needs_boundaries(direction);
        if self.layers.is_tls() && direction == Direction::Ingress {
            // What TCP has not accepted may come again, and is compared.
            needed = needed.map(|needed| match self.ingress.known_accepted() {
                Some(accepted) if needed < u64::MAX => needed.min(accepted),
                _ => needed,
            });
        }
        let told = self.needed.get_mut(direction as usize)?;
        let wrong = told.offset > needed.unwrap_or(reached);
        let next = Want { offset: needed.unwrap_or(reached), tls };
        if wrong {
            // What the last word came from proved wrong.
            *told = next;
            return Some(next);
        }
        needed?;
        if next.offset < told.offset.saturating_add(WORTHWHILE) && (tls || !told.tls) {
            return None;
        }
        *told = next;
        Some(next)
    }

    fn tell_waiting(&mut self, scope: &mut Scope<'_>, now: Nanos) {
        let requests = match self.party.leg {
            Leg::Client => &self.ingress,
            Leg::Backend => &self.egress,
        };
        let waiting = requests.is_waiting();
        self.layers.set_waiting(scope, waiting, now);
    }
}
