//! The decoder of a connection whose version of HTTP is not known before it speaks.
//!
//! HTTP/2 shows itself by its preface (RFC 9113, 3.4), or by `101 Switching Protocols` with `h2c`; all else is given to
//! HTTP/1, which says what it is not. A connection that was open before is given to both, until one finds its boundaries.

use super::exchange::Decoded;
use super::http1::connection::{Counts, End, Http1, Sink};
use super::http1::lane::Hold;
use super::http2::connection::Http2;
use super::http2::{self, PREFACE};
use crate::assemble::Piece;
use crate::capture::record::{Direction, How, Nanos};

/// The decoder of one connection.
#[derive(Debug)]
pub struct Decoder {
    requests: Direction,
    waiting: bool,
    /// Bytes of each direction that are not the decoder's.
    behind: [u64; 2],
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    /// Nothing was read.
    Fresh(Http1, Option<Box<Held>>),
    Http1(Http1),
    Http2(Box<Http2>),
    /// It was open before.
    Joined(Box<(Http1, Http2)>),
}

/// What may be HTTP/2, of each direction.
#[derive(Debug, Default)]
struct Held {
    requests: Hold,
    responses: Hold,
}

impl Decoder {
    /// A decoder for a connection whose requests come in `requests`: ingress on a client's leg, egress on a backend's.
    #[must_use]
    pub fn new(requests: Direction, how: How) -> Self {
        let http1 = Http1::new(requests, how);
        let inner = match how {
            How::Passive | How::Active => Inner::Fresh(http1, None),
            How::Joined => {
                Inner::Joined(Box::new((http1, Http2::new(requests, how, http2::Limits::default()))))
            }
        };
        Self { requests, waiting: false, behind: [0; 2], inner }
    }

    /// So many bytes at the start of a direction were read by another layer, or came before the connection was known. Comes
    /// before what follows them.
    pub fn begin_behind(&mut self, direction: Direction, len: u64) {
        match direction {
            Direction::Ingress => self.behind[0] += len,
            Direction::Egress => self.behind[1] += len,
        }
        match &mut self.inner {
            Inner::Fresh(http1, _) | Inner::Http1(http1) => http1.begin_behind(direction, len),
            Inner::Http2(http2) => http2.begin_behind(direction, len),
            Inner::Joined(both) => {
                both.0.begin_behind(direction, len);
                both.1.begin_behind(direction, len);
            }
        }
    }

    /// Two copies of bytes of this direction differ, and it is not known which the receiver took.
    pub fn contradicted(&mut self, sink: &mut Sink<'_>, direction: Direction, time: Nanos) {
        self.decide(sink);
        match &mut self.inner {
            Inner::Fresh(http1, _) | Inner::Http1(http1) => http1.contradicted(sink, direction, time),
            Inner::Http2(http2) => http2.contradicted(sink.out, direction, time),
            Inner::Joined(both) => both.0.contradicted(sink, direction, time),
        }
    }

    /// The receiver's TCP has accepted the requests up to this offset.
    pub fn set_accepted(&mut self, offset: Option<u64>) {
        match &mut self.inner {
            Inner::Fresh(http1, _) | Inner::Http1(http1) => http1.set_accepted(offset),
            Inner::Http2(_) => {}
            Inner::Joined(both) => both.0.set_accepted(offset),
        }
    }

    /// TCP did not accept what the requesting side sent from `offset` on.
    pub fn refused(&mut self, offset: u64) {
        match &mut self.inner {
            Inner::Fresh(http1, _) | Inner::Http1(http1) => http1.refused(offset),
            Inner::Http2(http2) => http2.refused(offset),
            Inner::Joined(both) => both.0.refused(offset),
        }
    }

    /// Bytes of memory that hold what is not read yet.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.inner {
            Inner::Fresh(http1, held) => {
                let held = held.as_ref().map_or(0, |held| held.requests.weight + held.responses.weight);
                http1.held_bytes() + held
            }
            Inner::Http1(http1) => http1.held_bytes(),
            Inner::Http2(http2) => http2.held_bytes(),
            Inner::Joined(both) => both.0.held_bytes() + both.1.held_bytes(),
        }
    }

    /// Gives up what is held: there is no room for it.
    pub fn release(&mut self, sink: &mut Sink<'_>, time: Nanos) {
        self.decide(sink);
        match &mut self.inner {
            Inner::Fresh(http1, _) | Inner::Http1(http1) => http1.release(sink, time),
            Inner::Http2(http2) => http2.release(sink.out, time),
            Inner::Joined(both) => {
                both.0.release(sink, time);
                both.1.release(&mut Vec::new(), time);
            }
        }
    }

    /// Takes the next piece of a direction.
    pub fn feed(&mut self, sink: &mut Sink<'_>, direction: Direction, piece: Piece<'_>, time: Nanos) {
        match &mut self.inner {
            Inner::Fresh(..) => self.fresh(sink, direction, piece, time),
            Inner::Http1(http1) => {
                if direction != self.requests
                    && let Piece::Data(bytes) = piece
                    && http1.may_become_h2c()
                {
                    return self.lines(sink, direction, bytes, time);
                }
                http1.feed(sink, direction, piece, time);
            }
            Inner::Http2(http2) => http2.feed(sink.out, direction, piece, time),
            Inner::Joined(_) => self.joined(sink, direction, piece, time),
        }
    }

    /// Says whether the requesting side's stream holds bytes back because a range before them is missing.
    pub fn set_waiting(&mut self, sink: &mut Sink<'_>, waiting: bool, time: Nanos) {
        self.waiting = waiting;
        match &mut self.inner {
            Inner::Fresh(http1, _) | Inner::Http1(http1) => http1.set_waiting(sink, waiting, time),
            Inner::Http2(http2) => http2.set_waiting(sink.out, waiting, time),
            Inner::Joined(both) => both.0.set_waiting(sink, waiting, time),
        }
    }

    /// Ends everything that is in flight.
    pub fn close(&mut self, sink: &mut Sink<'_>, end: End, time: Nanos) {
        self.decide(sink);
        match &mut self.inner {
            Inner::Fresh(http1, _) | Inner::Http1(http1) => http1.close(sink, end, time),
            Inner::Http2(http2) => http2.close(sink.out, end, time),
            Inner::Joined(both) => both.0.close(sink, end, time),
        }
    }

    /// The next stream offset of which this direction needs the bytes; see [`Http1::needed`] and [`Http2::needed`].
    #[must_use]
    pub fn needed(&self, direction: Direction) -> Option<u64> {
        match &self.inner {
            Inner::Fresh(..) => Some(self.behind(direction) + self.pending(direction)),
            Inner::Http1(http1) => http1.needed(direction),
            Inner::Http2(http2) => http2.needed(direction),
            Inner::Joined(_) => None,
        }
    }

    /// What became of the bytes of a direction.
    #[must_use]
    pub fn counts(&self, direction: Direction) -> Counts {
        match &self.inner {
            Inner::Fresh(http1, _) | Inner::Http1(http1) => http1.counts(direction),
            Inner::Http2(http2) => http2.counts(direction),
            Inner::Joined(both) => both.0.counts(direction),
        }
    }

    /// Bytes of a direction that are held and not yet counted.
    #[must_use]
    pub fn pending(&self, direction: Direction) -> u64 {
        match &self.inner {
            Inner::Fresh(_, Some(held)) => {
                if direction == self.requests {
                    held.requests.len
                } else {
                    held.responses.len
                }
            }
            Inner::Fresh(http1, None) | Inner::Http1(http1) => http1.pending(direction),
            Inner::Http2(http2) => http2.pending(direction),
            Inner::Joined(both) => both.0.pending(direction),
        }
    }

    /// Exchanges in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        match &self.inner {
            Inner::Fresh(http1, _) | Inner::Http1(http1) => http1.in_flight(),
            Inner::Http2(http2) => http2.in_flight(),
            Inner::Joined(both) => both.0.in_flight(),
        }
    }

    /// Whether it turned out to be HTTP/2.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        matches!(self.inner, Inner::Http2(_))
    }

    fn behind(&self, direction: Direction) -> u64 {
        let [ingress, egress] = self.behind;
        match direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        }
    }

    /// The first bytes of a connection.
    fn fresh(&mut self, sink: &mut Sink<'_>, direction: Direction, piece: Piece<'_>, time: Nanos) {
        let is_request = direction == self.requests;
        let Inner::Fresh(_, held) = &mut self.inner else { return };
        let (seen, settings) =
            held.as_ref().map_or((0, false), |held| (held.requests.len, held.responses.len > 0));
        let may_be = match piece {
            Piece::Data(bytes) if is_request => {
                let wanted =
                    usize::try_from(seen).ok().and_then(|seen| PREFACE.get(seen..)).unwrap_or_default();
                let shared = wanted.len().min(bytes.len());
                wanted.get(..shared) == bytes.get(..shared)
            }
            // A server may speak first, with its settings (RFC 9113, 3.4).
            Piece::Data(bytes) => settings || is_settings(bytes),
            Piece::Hole { .. } => !is_request && settings,
            Piece::Fin | Piece::Reset => false,
        };
        if !may_be {
            self.decide(sink);
            return self.feed(sink, direction, piece, time);
        }
        let held = held.get_or_insert_default();
        if is_request { &mut held.requests } else { &mut held.responses }.push(piece, time);
        let whole = held.requests.len >= PREFACE.len() as u64;
        if whole || held.responses.weight > sink.limits.held_bytes {
            self.decide(sink);
        }
    }

    /// Takes what is held for what it is, as far as that is known.
    fn decide(&mut self, sink: &mut Sink<'_>) {
        let Inner::Fresh(http1, held) = &mut self.inner else { return };
        let Held { requests, responses } = *held.take().unwrap_or_default();
        let preface = requests.len >= PREFACE.len() as u64;
        // A server that begins with settings speaks HTTP/2, also where its client's first bytes are missing.
        let settings = requests.len == 0 && responses.len > 0;
        if preface || settings {
            let mut http2 = Http2::new(self.requests, How::Passive, http2::Limits::default());
            for direction in [Direction::Ingress, Direction::Egress] {
                http2.begin_behind(direction, self.behind(direction));
            }
            http2.set_waiting(sink.out, self.waiting, 0);
            self.inner = Inner::Http2(Box::new(http2));
        } else {
            let fresh = Http1::new(self.requests, How::Passive);
            self.inner = Inner::Http1(std::mem::replace(http1, fresh));
        }
        let directions = [self.requests, self.requests.opposite()];
        for (direction, hold) in directions.into_iter().zip([requests, responses]) {
            for (kept, time) in hold.pieces {
                self.feed(sink, direction, kept.piece(), time);
            }
        }
    }

    /// Bytes of a response that may turn the connection into one of HTTP/2: line by line, as the first byte behind its head
    /// is one of HTTP/2.
    fn lines(&mut self, sink: &mut Sink<'_>, direction: Direction, bytes: &[u8], time: Nanos) {
        let mut rest = bytes;
        while let Inner::Http1(http1) = &mut self.inner
            && !rest.is_empty()
        {
            let end = memchr::memchr(b'\n', rest)
                .filter(|_| http1.may_become_h2c())
                .map_or(rest.len(), |at| at + 1);
            let (line, behind) = rest.split_at(end);
            rest = behind;
            http1.feed(sink, direction, Piece::Data(line), time);
            let Some(upgraded) = http1.take_h2c() else { continue };
            // The response to the request is one on stream 1; 101 is not.
            sink.out.pop_if(
                |last| matches!(last, Decoded::Response { key, .. } if *key == upgraded.exchange.key),
            );
            let limits = http2::Limits::default();
            let settings = upgraded.settings.as_deref();
            let mut http2 =
                Http2::upgraded(self.requests, limits, upgraded.exchange, settings, upgraded.read);
            http2.set_waiting(sink.out, self.waiting, time);
            self.inner = Inner::Http2(Box::new(http2));
            for (kept, seen) in upgraded.held.into_iter().flat_map(|hold| hold.pieces) {
                self.feed(sink, self.requests, kept.piece(), seen);
            }
        }
        if !rest.is_empty() {
            self.feed(sink, direction, Piece::Data(rest), time);
        }
    }

    /// A connection that was open before: whoever finds its boundaries has it.
    fn joined(&mut self, sink: &mut Sink<'_>, direction: Direction, piece: Piece<'_>, time: Nanos) {
        let Inner::Joined(both) = &mut self.inner else { return };
        let (http1, http2) = both.as_mut();
        let before = sink.out.len();
        let mut other = Vec::new();
        http2.feed(&mut other, direction, piece, time);
        if http2.is_in_step() {
            let (_, mut http2) = *std::mem::replace(both, Box::new(fresh(self.requests)));
            http2.set_waiting(&mut other, self.waiting, time);
            sink.out.append(&mut other);
            self.inner = Inner::Http2(Box::new(http2));
            return;
        }
        http1.feed(sink, direction, piece, time);
        let found = sink.out.iter().skip(before).any(|item| matches!(item, Decoded::Request { .. }));
        if found || piece == Piece::Reset {
            let (http1, _) = *std::mem::replace(both, Box::new(fresh(self.requests)));
            self.inner = Inner::Http1(http1);
        }
    }
}

fn fresh(requests: Direction) -> (Http1, Http2) {
    (Http1::new(requests, How::Passive), Http2::new(requests, How::Passive, http2::Limits::default()))
}

/// Whether bytes begin with the header of `SETTINGS`, as far as they go.
fn is_settings(bytes: &[u8]) -> bool {
    // A length of at most 255, no flags, no stream.
    let fits = |(at, byte): (usize, &u8)| match at {
        2 => byte % 6 == 0,
        3 => *byte == 4,
        _ => *byte == 0,
    };
    bytes.iter().take(9).enumerate().all(fits)
}
