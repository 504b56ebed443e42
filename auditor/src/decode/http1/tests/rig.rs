//! A decoder with what came out of it, and the invariants that hold after every step.

use crate::assemble::{Absence, Piece};
use crate::capture::record::{Direction, How};
use crate::decode::http1::Limits;
use crate::decode::http1::connection::{End, Http1, Sink};
use crate::decode::http1::exchange::{Decoded, Exchange, Outcome, Reason, Trouble};

pub(super) const C: Direction = Direction::Ingress;
pub(super) const S: Direction = Direction::Egress;

pub(super) struct Rig {
    pub(super) http: Http1,
    pub(super) limits: Limits,
    pub(super) out: Vec<Decoded>,
    fed: [u64; 2],
    time: u64,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(How::Passive, Limits::default())
    }

    pub(super) fn joined() -> Self {
        Self::with(How::Joined, Limits::default())
    }

    pub(super) fn with(how: How, limits: Limits) -> Self {
        Self { http: Http1::new(C, how), limits, out: Vec::new(), fed: [0; 2], time: 0 }
    }

    #[track_caller]
    pub(super) fn piece(&mut self, direction: Direction, piece: Piece<'_>) -> &mut Self {
        self.piece_at(direction, piece, self.time + 1)
    }

    #[track_caller]
    pub(super) fn piece_at(&mut self, direction: Direction, piece: Piece<'_>, time: u64) -> &mut Self {
        self.time = self.time.max(time);
        self.fed[direction as usize] += match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Hole { len, .. } => len,
            Piece::Fin | Piece::Reset => 0,
        };
        let mut sink = Sink { limits: &self.limits, out: &mut self.out };
        self.http.feed(&mut sink, direction, piece, time);
        self.balance();
        self
    }

    #[track_caller]
    pub(super) fn client(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.piece(C, Piece::Data(bytes.as_ref()))
    }

    #[track_caller]
    pub(super) fn server(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.piece(S, Piece::Data(bytes.as_ref()))
    }

    #[track_caller]
    pub(super) fn hole(&mut self, direction: Direction, len: u64, reason: Absence) -> &mut Self {
        self.piece(direction, Piece::Hole { len, reason })
    }

    pub(super) fn waiting(&mut self, waiting: bool) -> &mut Self {
        let mut sink = Sink { limits: &self.limits, out: &mut self.out };
        self.http.set_waiting(&mut sink, waiting, self.time);
        self.balance();
        self
    }

    #[track_caller]
    pub(super) fn close(&mut self) -> &mut Self {
        let mut sink = Sink { limits: &self.limits, out: &mut self.out };
        self.http.close(&mut sink, End::Closed, self.time);
        self.balance();
        assert_eq!((self.http.pending(C), self.http.pending(S), self.http.in_flight()), (0, 0, 0));
        for direction in [C, S] {
            let told: u64 = self.troubles().filter(|t| t.direction == direction).map(|t| t.bytes).sum();
            let counts = self.http.counts(direction);
            assert!(told >= counts.unparsed, "{direction:?}: told of {told}, {counts:?}");
            assert!(told <= counts.unparsed + counts.missing, "{direction:?}: told of {told}, {counts:?}");
        }
        self
    }

    /// Every byte fed is counted once, or held.
    #[track_caller]
    fn balance(&self) {
        for direction in [C, S] {
            let counted = self.http.counts(direction).total() + self.http.pending(direction);
            assert_eq!(counted, self.fed[direction as usize], "{direction:?}: {:?}", self.http);
        }
    }

    pub(super) fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.out
            .iter()
            .filter_map(|item| if let Decoded::Finished(exchange) = item { Some(&**exchange) } else { None })
    }

    pub(super) fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        self.out
            .iter()
            .filter_map(|item| if let Decoded::Trouble(trouble) = item { Some(trouble) } else { None })
    }

    pub(super) fn reasons(&self) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = self.troubles().map(|trouble| trouble.reason).collect();
        reasons.dedup();
        reasons
    }

    pub(super) fn last(&self) -> &Exchange {
        self.exchanges().last().expect("an exchange")
    }

    /// One line for each exchange: `METHOD target -> status outcome`.
    pub(super) fn lines(&self) -> Vec<String> {
        self.exchanges().map(line).collect()
    }

    #[track_caller]
    pub(super) fn check(&mut self, expected: &[&str]) -> &mut Self {
        assert_eq!(self.lines(), expected, "{:#?}", self.out);
        self
    }
}

fn line(exchange: &Exchange) -> String {
    let request = exchange.request.head.as_ref().map_or("-".to_owned(), |head| {
        format!("{} {}", String::from_utf8_lossy(head.method()), String::from_utf8_lossy(head.target()))
    });
    let status = exchange.response.head.as_ref().map_or(0, |head| head.status());
    match exchange.outcome {
        Outcome::Completed => format!("{request} -> {status}"),
        outcome => format!("{request} -> {status} {outcome:?}"),
    }
}
