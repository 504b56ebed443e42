//! Integers and strings of a header block (RFC 7541, 5).

use super::{Error, huffman};

/// What is left of a block.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// A string: as it stands in the block, or a part of the scratch that it was decoded into.
#[derive(Debug)]
pub(super) enum Text<'a> {
    Plain(&'a [u8]),
    Decoded { start: usize, end: usize },
}

/// Octets that may follow the prefix of an integer: five hold the 32 bits that any number here needs.
const MAX_CONTINUATION: u32 = 5;

impl<'a> Reader<'a> {
    pub(super) fn new(block: &'a [u8]) -> Self {
        Self { rest: block }
    }

    /// The next octet, which stays.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn octet(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.rest.split_first().ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    /// An integer with a prefix of so many bits, 1 to 7 (5.1).
    pub(super) fn integer(&mut self, prefix: u8) -> Result<u32, Error> {
        let mask = 0x7fu8 >> 7u8.saturating_sub(prefix);
        let first = self.octet()? & mask;
        if first < mask {
            return Ok(first.into());
        }
        let mut value = u64::from(mask);
        for place in 0..MAX_CONTINUATION {
            let octet = self.octet()?;
            value += u64::from(octet & 0x7f) << (7 * place);
            if octet & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| Error::Integer);
            }
        }
        Err(Error::Integer)
    }

    /// A string (5.2); one in Huffman's code is added to `scratch`.
    pub(super) fn string(&mut self, scratch: &mut Vec<u8>) -> Result<Text<'a>, Error> {
        let coded = self.peek().ok_or(Error::Truncated)? & 0x80 != 0;
        let len = usize::try_from(self.integer(7)?).map_err(|_| Error::Integer)?;
        let (text, rest) = self.rest.split_at_checked(len).ok_or(Error::Truncated)?;
        self.rest = rest;
        if !coded {
            return Ok(Text::Plain(text));
        }
        let start = scratch.len();
        huffman::decode(text, scratch)?;
        Ok(Text::Decoded { start, end: scratch.len() })
    }
}
