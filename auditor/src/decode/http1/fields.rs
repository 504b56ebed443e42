//! Field lines (RFC 9112, section 5): the bytes as they came, and where in them the names and values are.
//!
//! Invariant: every span lies within the bytes. Names are compared without case, values are bytes.

use std::borrow::Cow;

use memchr::{memchr, memchr3};

use super::Limits;
use super::malformed::Malformed;
use super::notes::{Note, Notes};

/// A part of the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::decode) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// The bytes from `start` to `end`; offsets are below [`u32::MAX`] because heads are bounded (asserted by [`clamp`]).
    pub(in crate::decode) fn new(start: usize, end: usize) -> Self {
        let start = clamp(start);
        Self { start, len: clamp(end).saturating_sub(start) }
    }

    pub(in crate::decode) fn of(self, raw: &[u8]) -> &[u8] {
        let start = self.start as usize;
        raw.get(start..start + self.len as usize).unwrap_or_default()
    }

    fn end(self) -> usize {
        self.start as usize + self.len as usize
    }
}

fn clamp(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Where the value of a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decode) struct Place(Span);

/// Field names that framing and routing ask for, noted while the lines are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) host: u16,
    pub(super) content_length: bool,
    pub(super) transfer_encoding: bool,
    pub(super) upgrade: bool,
}

/// Field lines and the bytes that hold them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    pub(in crate::decode) raw: Box<[u8]>,
    lines: Vec<(Span, Span)>,
    /// A bit for each name there may be: most names that are asked for are not there.
    names: u64,
}

/// The bit of a name in [`Fields::names`], by its length and first letter.
fn bit(name: &[u8]) -> u64 {
    let first = name.first().map_or(0, |byte| usize::from(byte.to_ascii_lowercase()));
    1 << ((name.len() + 11 * first) % 64)
}

impl Fields {
    /// From bytes, and where in them names and values are.
    pub(in crate::decode) fn new(raw: Box<[u8]>, lines: Vec<(Span, Span)>) -> Self {
        let names = lines.iter().fold(0, |names, (name, _)| names | bit(name.of(&raw)));
        Self { raw, lines, names }
    }

    /// How many lines there are; a folded one counts once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The first value of `name`, without surrounding white space, unfolded.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.spans(name).next().map(|span| unfold(span.of(&self.raw)))
    }

    /// Where the first line of `name` is: to be found once, and read with [`Self::at`] as often as it is needed.
    pub(in crate::decode) fn place(&self, name: &str) -> Option<Place> {
        self.spans(name).next().map(Place)
    }

    /// The value at a place of these fields, as [`Self::get`] gives it.
    pub(in crate::decode) fn at(&self, Place(span): Place) -> Cow<'_, [u8]> {
        unfold(span.of(&self.raw))
    }

    /// Every value of `name`, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
        self.spans(name).map(|span| unfold(span.of(&self.raw)))
    }

    /// Every line: name and value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Cow<'_, [u8]>)> {
        self.lines.iter().map(|(name, value)| (name.of(&self.raw), unfold(value.of(&self.raw))))
    }

    /// Every value of `name` as it stands in the bytes.
    pub(super) fn raw_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.spans(name).map(|span| span.of(&self.raw))
    }

    fn spans(&self, name: &str) -> impl Iterator<Item = Span> {
        let is_name = move |span: Span| {
            span.len as usize == name.len() && span.of(&self.raw).eq_ignore_ascii_case(name.as_bytes())
        };
        let lines = if self.names & bit(name.as_bytes()) == 0 { &[] } else { self.lines.as_slice() };
        lines.iter().filter(move |(key, _)| is_name(*key)).map(|(_, value)| *value)
    }
}

/// A folded value with each line break and the white space around it as one space (RFC 9112, 5.2).
fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut whole = Vec::with_capacity(value.len());
    for line in value.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if !line.is_empty() && !whole.is_empty() {
            whole.push(b' ');
        }
        whole.extend_from_slice(line);
    }
    Cow::Owned(whole)
}

/// The outcome of reading field lines.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) lines: Vec<(Span, Span)>,
    pub(super) known: Known,
    pub(super) notes: Notes,
    /// The first thing that makes the boundaries of the message uncertain.
    pub(super) defect: Option<Malformed>,
    /// A line holds a NUL or a bare carriage return.
    pub(super) odd: Option<Malformed>,
    /// Behind the empty line that ends the section; none if it is not there yet.
    pub(super) end: Option<usize>,
}

/// Reads field lines of `bytes` from `at` on, up to and including the empty line.
pub(super) fn scan(bytes: &[u8], at: usize, limits: &Limits) -> Scan {
    let mut scan = Scan { lines: Vec::with_capacity(16), ..Scan::default() };
    let mut at = at;
    while let Some(line) = line_at(bytes, at) {
        if line.bare {
            scan.notes.insert(Note::BareLf);
        }
        if line.text.is_empty() {
            scan.end = Some(line.next);
            break;
        }
        scan.odd = scan.odd.or(line.odd);
        scan.line(bytes, at, line.text, limits);
        at = line.next;
    }
    scan
}

/// A line without its end.
pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    /// Where the next one starts.
    pub(super) next: usize,
    /// Ended by a line feed alone.
    pub(super) bare: bool,
    /// It holds a NUL or a bare carriage return.
    pub(super) odd: Option<Malformed>,
}

/// The line that starts at `at`. None while its end is not there.
pub(super) fn line_at(bytes: &[u8], at: usize) -> Option<Line<'_>> {
    let mut odd = None;
    let mut from = at;
    loop {
        let found = from + memchr3(b'\n', b'\r', 0, bytes.get(from..)?)?;
        let (next, bare) = match bytes.get(found..)? {
            [b'\n', ..] => (found + 1, true),
            [b'\r', b'\n', ..] => (found + 2, false),
            [b'\r'] => return None,
            [byte, ..] => {
                let found = if *byte == 0 { Malformed::Nul } else { Malformed::BareCr };
                odd = odd.or(Some(found));
                (0, false)
            }
            [] => return None,
        };
        if next > 0 {
            return Some(Line { text: bytes.get(at..found)?, next, bare, odd });
        }
        from = found + 1;
    }
}

impl Scan {
    fn line(&mut self, bytes: &[u8], at: usize, line: &[u8], limits: &Limits) {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return self.fold(bytes, at, line);
        }
        if self.lines.len() >= limits.fields {
            self.defect.get_or_insert(Malformed::TooManyFields);
            return;
        }
        let token = line.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(line.len());
        let regular = token > 0 && line.get(token) == Some(&b':');
        let colon = if regular { Some(token) } else { memchr(b':', line) };
        let name = line.get(..colon.unwrap_or(line.len())).unwrap_or_default();
        if !regular {
            self.notes.insert(Note::OddField);
            if reads_as_framing(name) {
                self.defect.get_or_insert(Malformed::FieldName);
            }
        }
        let mut value = colon.and_then(|colon| line.get(colon + 1..)).unwrap_or_default();
        while let [b' ' | b'\t', rest @ ..] = value {
            value = rest;
        }
        let start = at + line.len() - value.len();
        while let [rest @ .., b' ' | b'\t'] = value {
            value = rest;
        }
        self.lines.push((Span::new(at, at + name.len()), Span::new(start, start + value.len())));
        self.know(name);
    }

    fn know(&mut self, name: &[u8]) {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.known.host = self.known.host.saturating_add(1),
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.known.upgrade = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => self.known.content_length = true,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.known.transfer_encoding = true,
            _ => {}
        }
    }

    fn fold(&mut self, bytes: &[u8], at: usize, line: &[u8]) {
        self.notes.insert(Note::Folded);
        let Some((name, value)) = self.lines.last_mut() else {
            self.defect.get_or_insert(Malformed::LeadingSpace);
            return;
        };
        let name = name.of(bytes);
        if name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.defect.get_or_insert(Malformed::FoldedFraming);
        }
        if self.defect == Some(Malformed::TooManyFields) {
            return;
        }
        let text = line.trim_ascii_end();
        if value.end() <= at && !text.trim_ascii_start().is_empty() {
            *value = Span::new(value.start as usize, at + text.len());
        }
    }
}

/// Whether somebody could read this name as one of those that frame the message, for instance without its white space.
fn reads_as_framing(name: &[u8]) -> bool {
    let like = |wanted: &[u8]| {
        let mut letters = name.iter().filter(|byte| is_token_byte(**byte));
        wanted.iter().all(|byte| letters.next().is_some_and(|letter| letter.eq_ignore_ascii_case(byte)))
    };
    name.len() >= 14 && (like(b"content-length") || like(b"transfer-encoding"))
}

/// `token` of RFC 9110, 5.6.2.
pub(super) fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte))
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}

/// Which bytes a token may hold: looked up rather than compared, for each byte of each name is asked about.
#[expect(clippy::indexing_slicing, reason = "in a constant: what is out of bounds does not compile")]
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = u8::MAX;
    while byte > 0 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
        byte -= 1;
    }
    table
};
