//! Takes a header off the start of a direction; what is none passes through as it came.
//!
//! Consumes the pieces of the direction that the header would be in; produces [`Part`]s: those pieces, and perhaps a header
//! before them. Invariant: the bytes of the parts are the bytes of the pieces, in their order. A direction without a
//! header costs a look at its first byte.

use super::{Header, Parser, Progress};
use crate::assemble::{Absence, Piece};
use crate::capture::record::{How, Nanos};

/// What a direction consists of.
#[derive(Debug)]
pub enum Part<'a> {
    /// A header; comes once, first.
    Header(Box<Header>),
    /// Bytes within a header that are not there; they are counted in the header's length.
    Missing(u64, Absence),
    /// The start of a header that ends before its length says; so many bytes.
    Cut(u64),
    /// What belongs to the next protocol.
    Next(Piece<'a>),
}

/// The start of a direction.
#[derive(Debug)]
pub struct Preamble(State);

#[derive(Debug)]
enum State {
    /// Nothing has come.
    Start,
    /// What has come may be a header.
    Reading(Box<Reading>),
    /// Behind it.
    Over,
}

#[derive(Debug)]
struct Reading {
    parser: Parser,
    since: Nanos,
    taken: u64,
}

impl Preamble {
    /// The start of a direction of a connection that came to be known in this way: of one that was open before, it is over.
    #[must_use]
    pub fn new(how: How) -> Self {
        Self(match how {
            How::Passive | How::Active => State::Start,
            How::Joined => State::Over,
        })
    }

    /// Takes the next piece.
    pub fn feed(&mut self, piece: Piece<'_>, time: Nanos, out: &mut dyn FnMut(Part<'_>, Nanos)) {
        if let State::Start = self.0 {
            self.0 = match piece {
                Piece::Data([b'P' | b'\r', ..]) => {
                    State::Reading(Box::new(Reading { parser: Parser::default(), since: time, taken: 0 }))
                }
                _ => State::Over,
            };
        }
        let State::Reading(reading) = &mut self.0 else { return out(Part::Next(piece), time) };
        let (found, len) = match piece {
            Piece::Data(bytes) => (reading.parser.push(bytes).ok(), bytes.len() as u64),
            Piece::Hole { len, .. } => (reading.parser.skip(len), len),
            Piece::Fin | Piece::Reset => (None, 0),
        };
        let (header, own) = match found {
            Some(Progress::Incomplete) => {
                reading.taken += len;
                (None, len)
            }
            Some(Progress::Whole(header, own)) => {
                self.0 = State::Over;
                (Some(header), own as u64)
            }
            None => {
                self.give_up(out);
                return out(Part::Next(piece), time);
            }
        };
        if let Piece::Hole { reason, .. } = piece {
            out(Part::Missing(own, reason), time);
        }
        if let Some(header) = header {
            out(Part::Header(header), time);
        }
        if let Some(rest) = behind(piece, own) {
            out(Part::Next(rest), time);
        }
    }

    /// The header will not be completed: what was held of it is passed on.
    pub fn give_up(&mut self, out: &mut dyn FnMut(Part<'_>, Nanos)) {
        let State::Reading(reading) = std::mem::replace(&mut self.0, State::Over) else { return };
        let Reading { parser, since, taken } = *reading;
        if parser.is_certain() {
            out(Part::Cut(taken), since);
        } else if !parser.held().is_empty() {
            out(Part::Next(Piece::Data(parser.held())), since);
        }
    }

    /// Whether something is held of which it is not known whether it is a header.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        matches!(&self.0, State::Reading(reading) if !reading.parser.is_certain())
    }
}

/// What is left of a piece behind its first bytes.
fn behind(piece: Piece<'_>, own: u64) -> Option<Piece<'_>> {
    match piece {
        Piece::Data(bytes) => {
            let rest = bytes.get(usize::try_from(own).ok()?..).filter(|rest| !rest.is_empty())?;
            Some(Piece::Data(rest))
        }
        Piece::Hole { len, reason } => {
            let len = len.checked_sub(own).filter(|len| *len > 0)?;
            Some(Piece::Hole { len, reason })
        }
        Piece::Fin | Piece::Reset => Some(piece),
    }
}
