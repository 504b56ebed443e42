//! The static and the dynamic table (RFC 7541, 2.3), the latter with entries that are not known.
//!
//! Invariants: known entries are the newest of the encoder's table, in its order; together they count at most
//! [`TABLE_BYTES`] and at most the encoder's size. Where that leaves no room for another entry, there is no unknown one.

use std::collections::VecDeque;

use super::statics::STATIC;
use super::{DEFAULT_TABLE_BYTES, Error, Field, TABLE_BYTES};

/// What an entry counts beside its name and value (4.1).
const OVERHEAD: usize = 32;

/// An entry of the dynamic table.
#[derive(Debug)]
pub(super) struct Entry {
    /// Name and value.
    bytes: Box<[u8]>,
    /// Where the value starts; none: the name is not known.
    name: Option<usize>,
}

impl Entry {
    pub(super) fn new(name: Option<&[u8]>, value: &[u8]) -> Self {
        let known = name.unwrap_or_default();
        Self { bytes: [known, value].concat().into_boxed_slice(), name: name.map(<[u8]>::len) }
    }

    /// What it counts; at least, if its name is not known.
    fn size(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }

    fn name(&self) -> Option<&[u8]> {
        self.bytes.get(..self.name?)
    }

    fn field(&self) -> Field<'_> {
        match self.name.and_then(|at| self.bytes.split_at_checked(at)) {
            Some((name, value)) => Field::Known { name, value },
            None => Field::Unnamed { value: &self.bytes },
        }
    }
}

/// Both tables, under one range of indices.
#[derive(Debug)]
pub(super) struct Table {
    /// Newest first.
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The size that the encoder has chosen; the largest that it can have chosen, if that was missed.
    size: usize,
    /// The largest that it may choose.
    limit: usize,
    /// There may be older entries, which are not known.
    lost: bool,
}

impl Default for Table {
    fn default() -> Self {
        let size = DEFAULT_TABLE_BYTES as usize;
        Self { entries: VecDeque::new(), bytes: 0, size, limit: size, lost: false }
    }
}

impl Table {
    pub(super) fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets what it holds. The encoder may have changed its size as well.
    pub(super) fn lose(&mut self) {
        self.entries = VecDeque::new();
        self.bytes = 0;
        self.size = self.size.max(self.limit);
        self.lost = true;
        self.settle();
    }

    /// The encoder says how large its table is from here on.
    pub(super) fn resize(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes > self.limit {
            return Err(Error::TableSize);
        }
        self.size = bytes;
        self.evict(0);
        self.settle();
        Ok(())
    }

    /// Adds an entry, and lets go of as many of the oldest as it takes (4.4).
    pub(super) fn insert(&mut self, entry: Entry) {
        let size = entry.size();
        self.evict(size);
        if size <= self.size.min(TABLE_BYTES) {
            self.bytes += size;
            self.entries.push_front(entry);
            self.settle();
        } else if size <= self.size {
            // The encoder has it; here is no room.
            self.lost = true;
        } else {
            self.lost = false;
        }
    }

    /// The field at an index.
    pub(super) fn field(&self, index: u32) -> Result<Field<'_>, Error> {
        match self.find(index)? {
            Found::Static(name, value) => Ok(Field::Known { name: name.as_bytes(), value: value.as_bytes() }),
            Found::Dynamic(entry) => Ok(entry.field()),
            Found::Lost => Ok(Field::Unknown),
        }
    }

    /// The name at an index; none if it is not known.
    pub(super) fn name(&self, index: u32) -> Result<Option<&[u8]>, Error> {
        match self.find(index)? {
            Found::Static(name, _) => Ok(Some(name.as_bytes())),
            Found::Dynamic(entry) => Ok(entry.name()),
            Found::Lost => Ok(None),
        }
    }

    fn find(&self, index: u32) -> Result<Found<'_>, Error> {
        let index = usize::try_from(index).ok().and_then(|index| index.checked_sub(1)).ok_or(Error::Index)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Ok(Found::Static(name, value));
        }
        let age = index - STATIC.len();
        if let Some(entry) = self.entries.get(age) {
            return Ok(Found::Dynamic(entry));
        }
        // An entry that old has room only if all between it and the known ones have.
        let unknown = age - self.entries.len() + 1;
        let fits =
            unknown.checked_mul(OVERHEAD).is_some_and(|least| least <= self.size.saturating_sub(self.bytes));
        if self.lost && fits { Ok(Found::Lost) } else { Err(Error::Index) }
    }

    /// Makes room for `more` bytes.
    fn evict(&mut self, more: usize) {
        while self.bytes.saturating_add(more) > self.size.min(TABLE_BYTES) {
            let Some(entry) = self.entries.pop_back() else { break };
            self.bytes -= entry.size();
            // Only for want of room here: the encoder has it still.
            self.lost |= self.bytes + entry.size() + more <= self.size;
        }
    }

    /// Where the known entries leave no room, there are no others.
    fn settle(&mut self) {
        if self.size.saturating_sub(self.bytes) < OVERHEAD {
            self.lost = false;
        }
    }
}

enum Found<'a> {
    Static(&'static str, &'static str),
    Dynamic(&'a Entry),
    Lost,
}
