//! HPACK (RFC 7541): the header blocks of one direction of an HTTP/2 connection become fields.
//!
//! Consumes whole blocks in their order; gives each field to a function, without a copy where that is possible. Unlike an
//! endpoint, an observer may have missed blocks: after [`Decoder::lose`] the entries that the dynamic table held, or may
//! have been given meanwhile, are unknown, and a field that refers to one comes as [`Field::Unknown`]. Indices count from
//! the newest entry (2.3.3), so what is inserted later is known again, and nothing that is unknown can be taken for
//! something else.
//!
//! Invariants: a value that comes out is the one that was encoded; memory is that of [`TABLE_BYTES`] and of one literal.

mod huffman;
mod reader;
mod statics;
mod table;
#[cfg(test)]
mod tests;

use reader::{Reader, Text};
use table::Table;

/// What the dynamic table is before settings say otherwise (RFC 9113, 6.5.2).
pub const DEFAULT_TABLE_BYTES: u32 = 4096;
/// Bytes of a dynamic table that are remembered, counted as in RFC 7541, 4.1. An encoder may be allowed more (browsers allow
/// 64 KiB): its oldest entries are unknown then.
pub const TABLE_BYTES: usize = 64 * 1024;
/// Memory for literals that is kept from one block to the next.
const SCRATCH_KEPT: usize = 1024;

/// Why a block cannot be decoded. The table is not in step any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// The block ends within a field.
    #[error("a header block that ends within a field")]
    Truncated,
    /// An integer of 2^32 or more, or with more octets than any below needs (5.1).
    #[error("an integer that is too large in a header block")]
    Integer,
    /// Padding of a string that is longer than 7 bits or not all ones, or the code for the end within it (5.2).
    #[error("an invalid Huffman code in a header block")]
    Huffman,
    /// An index of 0, or one that the table cannot have (2.3.3).
    #[error("a reference beyond the table in a header block")]
    Index,
    /// A change of the table's size to more than the peer's settings allow (6.3).
    #[error("a table size beyond what the settings allow")]
    TableSize,
    /// A change of the table's size behind a field (4.2).
    #[error("a change of the table's size behind a field")]
    LateTableSize,
}

/// A decoded field, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// Name and value.
    Known {
        /// The name as it was encoded.
        name: &'a [u8],
        /// The value.
        value: &'a [u8],
    },
    /// The name is that of an entry that was lost.
    Unnamed {
        /// The value, which was a literal.
        value: &'a [u8],
    },
    /// Name and value are those of an entry that was lost.
    Unknown,
}

/// The decoder of one direction.
#[derive(Debug, Default)]
pub struct Decoder {
    table: Table,
    scratch: Vec<u8>,
}

impl Decoder {
    /// The largest table that the encoder may choose (`SETTINGS_HEADER_TABLE_SIZE` of its peer). None: not known.
    ///
    /// A smaller one takes effect when the encoder says so in its next block (RFC 7541, 4.2).
    pub fn set_limit(&mut self, bytes: Option<u32>) {
        self.table.set_limit(bytes.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)));
    }

    /// Blocks were missed: what the table holds is not known from here on.
    pub fn lose(&mut self) {
        self.table.lose();
    }

    /// Whether a reference may be to an entry that is not known.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.table.is_lost()
    }

    /// Bytes that the known entries count (RFC 7541, 4.1), at most [`TABLE_BYTES`].
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        self.table.bytes()
    }

    /// Decodes a block, and gives each field to `each`, in order.
    ///
    /// # Errors
    ///
    /// The block is invalid: a connection error of type `COMPRESSION_ERROR` (RFC 9113, 4.3). Fields before that were given.
    pub fn decode(&mut self, block: &[u8], mut each: impl FnMut(Field<'_>)) -> Result<(), Error> {
        let result = self.fields(block, &mut each);
        if self.scratch.capacity() > SCRATCH_KEPT {
            self.scratch = Vec::new();
        }
        result
    }

    fn fields(&mut self, block: &[u8], each: &mut impl FnMut(Field<'_>)) -> Result<(), Error> {
        let mut reader = Reader::new(block);
        let mut begun = false;
        while let Some(first) = reader.peek() {
            // The four forms of RFC 7541, 6, by the highest bits of the first octet.
            match first {
                0x80.. => {
                    let index = reader.integer(7)?;
                    each(self.table.field(index)?);
                }
                0x40..=0x7f => self.literal(&mut reader, 6, true, each)?,
                0x20..=0x3f => {
                    if begun {
                        return Err(Error::LateTableSize);
                    }
                    let bytes = reader.integer(5)?;
                    self.table.resize(usize::try_from(bytes).map_err(|_| Error::Integer)?)?;
                    continue;
                }
                0x00..=0x1f => self.literal(&mut reader, 4, false, each)?,
            }
            begun = true;
        }
        Ok(())
    }

    /// A literal: its name by index or as a string, its value as a string (6.2).
    fn literal(
        &mut self,
        reader: &mut Reader<'_>,
        prefix: u8,
        insert: bool,
        each: &mut impl FnMut(Field<'_>),
    ) -> Result<(), Error> {
        let Self { table, scratch } = self;
        scratch.clear();
        let index = reader.integer(prefix)?;
        let name = if index == 0 { Some(reader.string(scratch)?) } else { None };
        let value = reader.string(scratch)?;
        let value = value.of(scratch);
        let name = match &name {
            Some(name) => Some(name.of(scratch)),
            None => table.name(index)?,
        };
        each(match name {
            Some(name) => Field::Known { name, value },
            None => Field::Unnamed { value },
        });
        if insert {
            let entry = table::Entry::new(name, value);
            table.insert(entry);
        }
        Ok(())
    }
}

impl Text<'_> {
    fn of<'a>(&'a self, scratch: &'a [u8]) -> &'a [u8] {
        match self {
            Text::Plain(bytes) => bytes,
            Text::Decoded { start, end } => scratch.get(*start..*end).unwrap_or_default(),
        }
    }
}
