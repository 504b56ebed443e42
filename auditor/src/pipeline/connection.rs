//! One connection: its two streams, its decoder, and what is told of it at its end.

use std::sync::Arc;

use crate::assemble::Piece;
use crate::assemble::stream::{self, Stream};
use crate::capture::record::{Direction, How, Nanos, Segment};
use crate::decode::connection::Decoder;
use crate::decode::http1::connection::{End, Sink};
use crate::decode::legs::{Leg, Party};

/// The state of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) party: Arc<Party>,
    ingress: Stream,
    egress: Stream,
    pub(super) http: Decoder,
    /// Requests seen so far.
    pub(super) requests: u64,
    /// The connection became a tunnel.
    pub(super) tunnel: bool,
    /// What it turned out to speak instead of HTTP/1.
    pub(super) foreign: Option<crate::decode::http1::malformed::Malformed>,
    /// Who reset it.
    pub(super) reset: Option<Direction>,
    /// What the source was last told.
    needed: [u64; 2],
    /// The last time anything was seen.
    pub(super) last: Nanos,
}

/// An advance that is worth a word to the source.
const WORTHWHILE: u64 = 4096;

impl Connection {
    pub(super) fn new(party: Party) -> Self {
        let requests = match party.leg {
            Leg::Client => Direction::Ingress,
            Leg::Backend => Direction::Egress,
        };
        Self {
            ingress: Stream::new(),
            egress: Stream::new(),
            http: Decoder::new(requests, party.how),
            requests: 0,
            tunnel: false,
            foreign: None,
            reset: None,
            needed: [0; 2],
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
        sink: &mut Sink<'_>,
    ) {
        self.last = time;
        let Self { ingress, egress, http, reset, .. } = self;
        let stream = match segment.direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        };
        let direction = segment.direction;
        stream.push(&limits.stream, segment, time, &mut |piece, seen| {
            if piece == Piece::Reset {
                *reset = Some(direction);
            }
            http.feed(sink, direction, piece, seen);
        });
        self.tell_waiting(sink, time);
    }

    /// Gives up missing ranges that were waited for long enough.
    pub(super) fn expire(&mut self, limits: &super::Limits, now: Nanos, sink: &mut Sink<'_>) {
        let Self { ingress, egress, http, .. } = self;
        ingress
            .expire(&limits.stream, now, &mut |piece, seen| http.feed(sink, Direction::Ingress, piece, seen));
        egress
            .expire(&limits.stream, now, &mut |piece, seen| http.feed(sink, Direction::Egress, piece, seen));
        self.tell_waiting(sink, now);
    }

    /// Nothing will follow.
    pub(super) fn finish(&mut self, end: End, aborted: bool, now: Nanos, sink: &mut Sink<'_>) {
        let Self { ingress, egress, http, .. } = self;
        ingress.finish(now, &mut |piece, seen| http.feed(sink, Direction::Ingress, piece, seen));
        egress.finish(now, &mut |piece, seen| http.feed(sink, Direction::Egress, piece, seen));
        if aborted && self.reset.is_none() {
            self.reset = Some(Direction::Egress);
            self.http.feed(sink, Direction::Egress, Piece::Reset, now);
        }
        self.http.close(sink, end, now);
    }

    /// Whether a stream waits for a missing range.
    pub(super) fn is_waiting(&self) -> bool {
        self.ingress.is_waiting() || self.egress.is_waiting()
    }

    /// Copied bytes that are held back.
    pub(super) fn held(&self) -> usize {
        self.ingress.held_bytes() + self.egress.held_bytes()
    }

    /// Segments, ends and resets that contradict what was seen before, and bytes beyond the end.
    pub(super) fn contradictions(&self) -> (u64, u64) {
        let counts = [self.ingress.counts(), self.egress.counts()];
        let each = |count: &stream::Counts| u64::from(count.contradictions) + u64::from(count.resets_refused);
        (counts.iter().map(each).sum(), counts.iter().map(|count| count.beyond_bytes).sum())
    }

    /// Payload bytes of the stream, received and sent.
    pub(super) fn bytes(&self) -> [u64; 2] {
        [self.ingress.offset(), self.egress.offset()]
    }

    /// The offset that the source should be told is needed next, if that is news: far from what it was told, so that many
    /// small chunks cost a word each few kilobytes, or further than its window would reach by itself.
    pub(super) fn news(&mut self, direction: Direction) -> Option<u64> {
        let needed = self.http.needed(direction)?;
        let told = self.needed.get_mut(direction as usize)?;
        if needed < told.saturating_add(WORTHWHILE) {
            return None;
        }
        *told = needed;
        Some(needed)
    }

    fn tell_waiting(&mut self, sink: &mut Sink<'_>, now: Nanos) {
        let requests = match self.party.leg {
            Leg::Client => &self.ingress,
            Leg::Backend => &self.egress,
        };
        let waiting = requests.is_waiting();
        self.http.set_waiting(sink, waiting, now);
    }
}
