//! The chunked transfer coding (RFC 9112, 7.1), read as it comes: nothing is held but trailers, within the bound of heads.
//!
//! Tolerated: a line feed alone after a size or after a chunk's data, white space after the size. Not within an extension:
//! there servers disagree where the line ends, so the boundary is not certain.

use super::Limits;
use super::fields::{Fields, scan};
use super::malformed::Malformed;

/// Where in the coding the next byte stands.
#[derive(Debug)]
pub(super) enum Chunked {
    /// In a size; so many digits were read.
    Size { value: u64, digits: u8 },
    /// Behind a size.
    AfterSize { value: u64 },
    /// In an extension.
    Extension { value: u64 },
    /// Behind the carriage return that ends the line of a size.
    SizeEnd { value: u64 },
    /// In a chunk's data, of which so much is left.
    Data(u64),
    /// Behind the data.
    DataEnd { carriage: bool },
    /// In the trailer section, with its bytes so far.
    Trailers(Vec<u8>),
    /// Behind everything.
    Done,
}

/// What a step took.
pub(super) struct Step {
    /// Bytes taken.
    pub(super) taken: usize,
    /// Whether they were data, or else framing.
    pub(super) data: bool,
    /// The trailers, once they are complete and if there are any.
    pub(super) trailers: Option<Box<Fields>>,
}

impl Default for Chunked {
    fn default() -> Self {
        Self::Size { value: 0, digits: 0 }
    }
}

impl Chunked {
    /// Bytes of data that follow before framing comes again.
    pub(super) fn data_left(&self) -> u64 {
        if let Self::Data(left) = self { *left } else { 0 }
    }

    /// Skips data that is not there; the caller has asked [`Self::data_left`].
    pub(super) fn skip(&mut self, len: u64) {
        if let Self::Data(left) = self {
            *left = left.saturating_sub(len);
            if *left == 0 {
                *self = Self::DataEnd { carriage: false };
            }
        }
    }

    /// Takes from `bytes`, which are not empty, at least one.
    pub(super) fn step(&mut self, bytes: &[u8], limits: &Limits) -> Result<Step, Malformed> {
        if let Self::Data(left) = *self {
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            self.skip(taken as u64);
            return Ok(Step { taken, data: true, trailers: None });
        }
        if let Self::Trailers(held) = self {
            let (taken, trailers) = read_trailers(held, bytes, limits)?;
            if let Some(fields) = trailers {
                *self = Self::Done;
                let trailers = (!fields.is_empty()).then(|| Box::new(fields));
                return Ok(Step { taken, data: false, trailers });
            }
            return Ok(Step { taken, data: false, trailers: None });
        }
        let mut taken = 0;
        for byte in bytes {
            if matches!(self, Self::Data(_) | Self::Trailers(_) | Self::Done) {
                break;
            }
            self.framing(*byte)?;
            taken += 1;
        }
        Ok(Step { taken, data: false, trailers: None })
    }

    fn framing(&mut self, byte: u8) -> Result<(), Malformed> {
        *self = match (&*self, byte) {
            (Self::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                // More than sixteen digits do not fit; leading zeros beyond that serve nobody but an attacker.
                if *digits >= 16 {
                    return Err(Malformed::Chunk);
                }
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                Self::Size { value: value << 4 | digit, digits: digits + 1 }
            }
            (Self::Size { digits: 0, .. }, _) => return Err(Malformed::Chunk),
            (Self::Size { value, .. } | Self::AfterSize { value }, b' ' | b'\t') => {
                Self::AfterSize { value: *value }
            }
            (Self::Size { value, .. } | Self::AfterSize { value }, b';') => Self::Extension { value: *value },
            (Self::Size { value, .. } | Self::AfterSize { value } | Self::Extension { value }, b'\r') => {
                Self::SizeEnd { value: *value }
            }
            (Self::Size { value, .. } | Self::AfterSize { value } | Self::SizeEnd { value }, b'\n') => {
                match *value {
                    0 => Self::Trailers(Vec::new()),
                    value => Self::Data(value),
                }
            }
            (Self::Extension { value }, byte) if byte != b'\n' && byte != 0 => {
                Self::Extension { value: *value }
            }
            (Self::DataEnd { carriage: false }, b'\r') => Self::DataEnd { carriage: true },
            (Self::DataEnd { .. }, b'\n') => Self::default(),
            _ => return Err(Malformed::Chunk),
        };
        Ok(())
    }
}

/// Collects the trailer section; gives the bytes taken, and the fields once the empty line is there.
fn read_trailers(
    held: &mut Vec<u8>,
    bytes: &[u8],
    limits: &Limits,
) -> Result<(usize, Option<Fields>), Malformed> {
    // The section may be the empty line alone, which is the common case and needs no copy.
    if held.is_empty() && bytes.starts_with(b"\r\n") {
        return Ok((2, Some(Fields::default())));
    }
    let before = held.len();
    let room = (limits.head_bytes + 1).saturating_sub(before).min(bytes.len());
    held.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    let end = match held.as_slice() {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => super::head::find_end(held, before.saturating_sub(2)),
    };
    match end {
        Some(end) if end <= limits.head_bytes => {
            held.truncate(end);
            let scan = scan(held, 0, limits);
            if scan.defect == Some(Malformed::TooManyFields) {
                return Err(Malformed::TooManyFields);
            }
            Ok((end - before, Some(Fields::new(held.as_slice().into(), scan.lines))))
        }
        None if held.len() <= limits.head_bytes => Ok((room, None)),
        _ => Err(Malformed::HeadTooLarge),
    }
}
