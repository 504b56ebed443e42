//! Records out of pieces: a header of 5 bytes, then a fragment, of which parts may be absent (RFC 8446, 5.1).
//!
//! A record that lies whole in one piece is not copied. Of others the bytes that are there are collected; a part that is
//! not there is a [`Gap`]. Nothing is kept between records.

use auditor_ebpf::window::fragment_len;

use crate::assemble::Absence;

/// Bytes of a header.
pub(super) const HEADER: usize = 5;

/// What a record carries, as its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentType {
    ChangeCipherSpec,
    Alert,
    Handshake,
    ApplicationData,
    Heartbeat,
}

impl ContentType {
    pub(super) fn from_wire(code: u8) -> Option<Self> {
        match code {
            20 => Some(Self::ChangeCipherSpec),
            21 => Some(Self::Alert),
            22 => Some(Self::Handshake),
            23 => Some(Self::ApplicationData),
            24 => Some(Self::Heartbeat),
            _ => None,
        }
    }
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) content: ContentType,
    /// As on the wire: part of what the tag covers.
    pub(super) bytes: [u8; HEADER],
    pub(super) len: usize,
}

/// Why bytes are not a record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    NotTls,
    TooLong,
}

impl Header {
    pub(super) fn parse(bytes: [u8; HEADER]) -> Result<Self, BadHeader> {
        let [content, ..] = bytes;
        let wire = bytes.iter().fold(0, |header, byte| header << 8 | u64::from(*byte));
        let content = ContentType::from_wire(content).ok_or(BadHeader::NotTls)?;
        // The kernel walks by the same rule.
        let Some(len) = fragment_len(wire).and_then(|len| usize::try_from(len).ok()) else {
            let empty = fragment_len(wire & !0xffff);
            return Err(if empty.is_some() { BadHeader::TooLong } else { BadHeader::NotTls });
        };
        Ok(Self { content, bytes, len })
    }
}

/// A part of a fragment that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) reason: Absence,
}

/// What stands between a header and the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    /// The bytes that are there, end to end.
    bytes: &'a [u8],
    /// Sorted, not overlapping, not empty.
    gaps: &'a [Gap],
    len: usize,
}

/// A part of a fragment: where it starts, and its bytes or what is known of their absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Present(usize, &'a [u8]),
    Absent(Gap),
}

impl<'a> Fragment<'a> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All of it, if nothing is absent.
    pub(super) fn whole(&self) -> Option<&'a [u8]> {
        self.gaps.is_empty().then_some(self.bytes)
    }

    /// Why parts are absent: because one was lost, or all were only left out.
    pub(super) fn absence(&self) -> Absence {
        let lost = self.gaps.iter().any(|gap| gap.reason == Absence::Lost);
        if lost { Absence::Lost } else { Absence::Unwanted }
    }

    /// Its parts, in order, without holes between them.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part<'a>> {
        let (mut rest, mut at) = (self.bytes, 0);
        let last = Gap { at: self.len, len: 0, reason: Absence::Unwanted };
        self.gaps.iter().copied().chain([last]).flat_map(move |gap| {
            let (present, behind) = rest.split_at_checked(gap.at.saturating_sub(at)).unwrap_or((rest, &[]));
            let start = at;
            rest = behind;
            at = gap.at + gap.len;
            let present = (!present.is_empty()).then_some(Part::Present(start, present));
            let absent = (gap.len > 0).then_some(Part::Absent(gap));
            present.into_iter().chain(absent)
        })
    }

    /// The parts of `from..to`.
    pub(super) fn parts_within(&self, from: usize, to: usize) -> impl Iterator<Item = Part<'a>> {
        self.parts().filter_map(move |part| match part {
            Part::Present(at, bytes) => {
                let skip = from.saturating_sub(at).min(bytes.len());
                let stop = to.saturating_sub(at).min(bytes.len());
                let bytes = bytes.get(skip..stop).filter(|bytes| !bytes.is_empty())?;
                Some(Part::Present(at + skip, bytes))
            }
            Part::Absent(gap) => {
                let start = gap.at.max(from);
                let stop = (gap.at + gap.len).min(to);
                (start < stop).then(|| Part::Absent(Gap { at: start, len: stop - start, reason: gap.reason }))
            }
        })
    }

    /// The bytes `from..to`, if they are there and lie together.
    pub(super) fn range(&self, from: usize, to: usize) -> Option<&'a [u8]> {
        self.parts().find_map(|part| match part {
            Part::Present(at, bytes) => bytes.get(from.checked_sub(at)?..to.checked_sub(at)?),
            Part::Absent(_) => None,
        })
    }

    /// The longest present part that ends at `end`, with its start.
    pub(super) fn tail(&self, end: usize) -> Option<(usize, &'a [u8])> {
        self.parts_within(0, end).last().and_then(|part| match part {
            Part::Present(at, bytes) if at + bytes.len() == end => Some((at, bytes)),
            _ => None,
        })
    }
}

/// A fragment with its own bytes.
#[derive(Debug, Default)]
pub(super) struct Collected {
    bytes: Vec<u8>,
    gaps: Vec<Gap>,
    len: usize,
}

impl Collected {
    pub(super) fn fragment(&self) -> Fragment<'_> {
        Fragment { bytes: &self.bytes, gaps: &self.gaps, len: self.len }
    }

    fn copy(fragment: &Fragment<'_>) -> Self {
        Self { bytes: fragment.bytes.into(), gaps: fragment.gaps.into(), len: fragment.len }
    }

    fn push_gap(&mut self, len: usize, reason: Absence) {
        match self.gaps.last_mut() {
            Some(last) if last.at + last.len == self.len && last.reason == reason => last.len += len,
            _ => self.gaps.push(Gap { at: self.len, len, reason }),
        }
        self.len += len;
    }
}

/// A record that is complete, held back or about to be read.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) header: Header,
    pub(super) fragment: Collected,
}

impl Held {
    pub(super) fn copy(header: Header, fragment: &Fragment<'_>) -> Box<Self> {
        Box::new(Self { header, fragment: Collected::copy(fragment) })
    }

    /// Bytes on the wire.
    pub(super) fn wire_len(&self) -> usize {
        HEADER + self.header.len
    }

    /// Bytes in memory.
    pub(super) fn weight(&self) -> usize {
        self.fragment.bytes.len()
    }
}

/// What a step of the reader gave.
pub(super) enum Step<'a> {
    /// The input is used up, the record is not complete.
    More,
    /// A record, and what follows it.
    Borrowed(Header, Fragment<'a>, &'a [u8]),
    /// The same, put together from several pieces.
    Collected(Box<Held>, &'a [u8]),
    /// The five bytes before these are no header.
    Bad(BadHeader, &'a [u8]),
}

/// Finds the records of one direction.
#[derive(Debug, Default)]
pub(super) struct Reader {
    header: [u8; HEADER],
    have: u8,
    partial: Option<Box<Held>>,
}

impl Reader {
    /// Bytes of the stream that are held of an incomplete record, whether there or not.
    pub(super) fn pending(&self) -> usize {
        usize::from(self.have) + self.partial.as_ref().map_or(0, |partial| partial.fragment.len)
    }

    /// Bytes of memory they take.
    pub(super) fn weight(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.fragment.bytes.capacity())
    }

    /// The header of the record that is being read, and how much of its fragment has come.
    pub(super) fn current(&self) -> Option<(Header, usize)> {
        self.partial.as_ref().map(|partial| (partial.header, partial.fragment.len))
    }

    /// Gives up what is held of an incomplete record; its boundaries stay known where its header was read.
    pub(super) fn forget_bytes(&mut self) {
        if let Some(partial) = &mut self.partial {
            let len = partial.fragment.len;
            partial.fragment = Collected::default();
            if len > 0 {
                partial.fragment.push_gap(len, Absence::Lost);
            }
        }
    }

    /// Gives up an incomplete record and tells how many bytes of the stream it was.
    pub(super) fn clear(&mut self) -> usize {
        let pending = self.pending();
        *self = Self::default();
        pending
    }

    /// Reads from `bytes`, which are not empty.
    pub(super) fn step<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        let mut rest = bytes;
        if usize::from(self.have) < HEADER {
            let have = usize::from(self.have);
            let take = (HEADER - have).min(rest.len());
            let (head, tail) = rest.split_at(take);
            if let Some(space) = self.header.get_mut(have..have + take) {
                space.copy_from_slice(head);
            }
            self.have += u8::try_from(take).unwrap_or(0);
            rest = tail;
            if usize::from(self.have) < HEADER {
                return Step::More;
            }
        }
        let mut partial = match self.partial.take() {
            Some(partial) => partial,
            None => {
                let header = match Header::parse(self.header) {
                    Ok(header) => header,
                    Err(bad) => return Step::Bad(bad, rest),
                };
                if let Some((bytes, rest)) = rest.split_at_checked(header.len) {
                    self.have = 0;
                    return Step::Borrowed(header, Fragment { bytes, gaps: &[], len: header.len }, rest);
                }
                Box::new(Held { header, fragment: Collected::default() })
            }
        };
        let missing = partial.header.len.saturating_sub(partial.fragment.len);
        let (taken, behind) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
        // Grows with what comes: a header promises more than its sender may ever send.
        partial.fragment.bytes.extend_from_slice(taken);
        partial.fragment.len += taken.len();
        if taken.len() == missing {
            self.have = 0;
            Step::Collected(partial, behind)
        } else {
            self.partial = Some(partial);
            Step::More
        }
    }

    /// Reads a hole of at most `len` bytes, as far as it lies in a fragment: how much it took, and the record if that
    /// completes it. None: the hole begins in or before a header, and what follows it has no place.
    pub(super) fn step_hole(&mut self, len: u64, reason: Absence) -> Option<(u64, Option<Box<Held>>)> {
        let mut partial = match self.partial.take() {
            Some(partial) => partial,
            None if usize::from(self.have) == HEADER => {
                Box::new(Held { header: Header::parse(self.header).ok()?, fragment: Collected::default() })
            }
            None => return None,
        };
        let missing = partial.header.len.saturating_sub(partial.fragment.len);
        let taken = usize::try_from(len).unwrap_or(usize::MAX).min(missing);
        if taken > 0 {
            partial.fragment.push_gap(taken, reason);
        }
        if taken == missing {
            self.have = 0;
            return Some((taken as u64, Some(partial)));
        }
        self.partial = Some(partial);
        Some((taken as u64, None))
    }
}

#[cfg(test)]
mod tests;
