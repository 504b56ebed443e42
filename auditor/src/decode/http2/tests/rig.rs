//! A decoder with what came out of it, the invariants that hold after every step, and frames by hand.

use crate::assemble::{Absence, Piece};
use crate::capture::record::{Direction, How};
use crate::decode::exchange::{Decoded, Exchange, Outcome, Reason, Trouble};
use crate::decode::http1::connection::End;
use crate::decode::http2::Limits;
use crate::decode::http2::connection::Http2;
use crate::decode::http2::frame::PREFACE;

pub(super) const C: Direction = Direction::Ingress;
pub(super) const S: Direction = Direction::Egress;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

/// `END_STREAM`, and `ACK`.
pub(super) const END: u8 = 1;
pub(super) const WHOLE: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIO: u8 = 0x20;

/// A frame (RFC 9113, 4.1).
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(super) fn data(stream: u32, flags: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    frame(DATA, flags, stream, body)
}

/// A header block of literals that are not indexed (RFC 7541, 6.2.2), of lengths below 127.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).unwrap() & 0x7f);
            bytes.extend(text.bytes());
        }
    }
    bytes
}

pub(super) fn headers(stream: u32, end: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, WHOLE | u8::from(end), stream, block(fields))
}

pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a.example")];
    headers(stream, true, &fields)
}

pub(super) fn post(stream: u32, path: &str) -> Vec<u8> {
    let fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a.example")];
    headers(stream, false, &fields)
}

pub(super) fn ok(stream: u32, end: bool) -> Vec<u8> {
    headers(stream, end, &[(":status", "200"), ("server", "s")])
}

/// A setting.
pub(super) fn setting(id: u16, value: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

pub(super) fn preface() -> Vec<u8> {
    [&PREFACE[..], &frame(SETTINGS, 0, 0, [])].concat()
}

pub(super) struct Rig {
    pub(super) http: Http2,
    pub(super) out: Vec<Decoded>,
    fed: [u64; 2],
    time: u64,
}

impl Rig {
    /// A connection on which both sides have sent their settings.
    pub(super) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> Self {
        let mut rig = Self::bare(How::Passive, limits);
        rig.client(preface()).server(frame(SETTINGS, 0, 0, [])).client(frame(SETTINGS, END, 0, []));
        rig.server(frame(SETTINGS, END, 0, []));
        rig
    }

    pub(super) fn bare(how: How, limits: Limits) -> Self {
        Self { http: Http2::new(C, how, limits), out: Vec::new(), fed: [0; 2], time: 0 }
    }

    #[track_caller]
    pub(super) fn piece(&mut self, direction: Direction, piece: Piece<'_>) -> &mut Self {
        self.time += 1;
        self.fed[direction as usize] += match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Hole { len, .. } => len,
            Piece::Fin | Piece::Reset => 0,
        };
        self.http.feed(&mut self.out, direction, piece, self.time);
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
        self.http.set_waiting(&mut self.out, waiting, self.time);
        self.balance();
        self
    }

    #[track_caller]
    pub(super) fn close(&mut self) -> &mut Self {
        self.http.close(&mut self.out, End::Closed, self.time);
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

    /// Every byte fed is counted once, or held; what is needed lies ahead.
    #[track_caller]
    fn balance(&self) {
        for direction in [C, S] {
            let counted = self.http.counts(direction).total() + self.http.pending(direction);
            assert_eq!(counted, self.fed[direction as usize], "{direction:?}: {:?}", self.http);
            assert!(self.http.needed(direction).is_none_or(|needed| needed >= counted));
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

    /// One line for each exchange, in the order of their end: `stream METHOD target -> status outcome`.
    pub(super) fn lines(&self) -> Vec<String> {
        self.exchanges().map(line).collect()
    }

    #[track_caller]
    pub(super) fn check(&mut self, expected: &[&str]) -> &mut Self {
        assert_eq!(self.lines(), expected, "{:#?}", self.out);
        self
    }
}

pub(super) fn line(exchange: &Exchange) -> String {
    let request = exchange.request.head.as_ref().map_or("-".to_owned(), |head| {
        format!("{} {}", String::from_utf8_lossy(head.method()), String::from_utf8_lossy(head.target()))
    });
    let status = exchange.response.head.as_ref().map_or(0, |head| head.status());
    let stream = exchange.stream.unwrap_or(0);
    match exchange.outcome {
        Outcome::Completed => format!("{stream} {request} -> {status}"),
        outcome => format!("{stream} {request} -> {status} {outcome:?}"),
    }
}
