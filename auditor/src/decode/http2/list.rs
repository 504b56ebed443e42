//! A field list (RFC 9113, 8.2 and 8.3) on its way to becoming a [`Head`], so that all that reads heads reads both versions.
//!
//! The fields are kept one a line. `:authority` becomes `host`, and comes first; the crumbs of `cookie` become one value
//! (8.2.3). What breaks the rules is kept as it came, and the first thing that does is noted.

use super::Limits;
use super::defect::FieldDefect;
use crate::decode::hpack::Field;
use crate::decode::http1::fields::{Fields, Span};
use crate::decode::http1::head::{Head, Pseudo, Start};
use crate::decode::malformed::Malformed;
use crate::decode::notes::{Note, Notes};

/// The fields of a block, as they come.
#[derive(Debug)]
pub(super) struct List {
    raw: Vec<u8>,
    lines: Vec<(Span, Span)>,
    bounds: (usize, usize),
    method: Option<Span>,
    path: Option<Span>,
    authority: Option<Span>,
    pseudo: Pseudo,
    status: Option<u16>,
    /// Lines that are `cookie`.
    cookies: u32,
    hosts: u32,
    defect: Option<FieldDefect>,
    /// A bound was passed: the rest is not kept.
    cut: Option<Malformed>,
    unknown: bool,
    /// A field that is no pseudo-header field has come.
    regular: bool,
}

impl List {
    /// For a block of about this length.
    pub(super) fn new(block: usize, limits: &Limits) -> Self {
        Self {
            raw: Vec::with_capacity((block * 2 + 256).min(limits.head_bytes)),
            lines: Vec::with_capacity(16),
            bounds: (limits.head_bytes, limits.fields),
            method: None,
            path: None,
            authority: None,
            pseudo: Pseudo::default(),
            status: None,
            cookies: 0,
            hosts: 0,
            defect: None,
            cut: None,
            unknown: false,
            regular: false,
        }
    }

    /// Adds a field.
    pub(super) fn push(&mut self, field: Field<'_>) {
        match field {
            Field::Known { name, value } => self.known(name, value),
            Field::Unnamed { .. } | Field::Unknown => self.unknown = true,
        }
    }

    /// The block has an end that was not read.
    pub(super) fn cut(&mut self, why: Malformed) {
        self.cut.get_or_insert(why);
    }

    /// The bound that was passed.
    pub(super) fn passed(&self) -> Option<Malformed> {
        self.cut
    }

    /// Whether a pseudo-header field is among what is known: then these are no trailers.
    pub(super) fn has_pseudo(&self) -> bool {
        self.method.is_some()
            || self.path.is_some()
            || self.authority.is_some()
            || self.pseudo != Pseudo::default()
            || self.status.is_some()
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    fn known(&mut self, name: &[u8], value: &[u8]) {
        let (max_bytes, max_fields) = self.bounds;
        if self.cut.is_some() {
            return;
        }
        if self.raw.len() + name.len() + value.len() + 4 > max_bytes {
            return self.cut(Malformed::HeadTooLarge);
        }
        if self.lines.len() >= max_fields {
            return self.cut(Malformed::TooManyFields);
        }
        if !is_value(value) {
            self.defect(FieldDefect::Value);
        }
        match name.split_first() {
            Some((b':', rest)) => self.pseudo(rest, name, value),
            _ => self.regular(name, value),
        }
    }

    fn write(&mut self, name: &[u8], value: &[u8]) -> (Span, Span) {
        let start = self.raw.len();
        self.raw.extend_from_slice(name);
        self.raw.extend_from_slice(b": ");
        self.raw.extend_from_slice(value);
        self.raw.extend_from_slice(b"\r\n");
        let named = start + name.len();
        (Span::new(start, named), Span::new(named + 2, named + 2 + value.len()))
    }

    /// 8.3: known names, each once, before all else.
    fn pseudo(&mut self, rest: &[u8], name: &[u8], value: &[u8]) {
        if self.regular {
            self.defect(FieldDefect::Pseudo);
        }
        if rest == b"authority" {
            if self.authority.is_some() {
                return self.defect(FieldDefect::Repeated);
            }
            let line = self.write(b"host", value);
            self.authority = Some(line.1);
            self.lines.insert(0, line);
            return;
        }
        let (_, span) = self.write(name, value);
        let slot = match rest {
            b"method" => &mut self.method,
            b"path" => &mut self.path,
            b"scheme" => &mut self.pseudo.scheme,
            b"protocol" => &mut self.pseudo.protocol,
            b"status" => {
                let repeated = self.status.is_some();
                match status(value) {
                    _ if repeated => self.defect(FieldDefect::Repeated),
                    Some(status) => self.status = Some(status),
                    None => self.defect(FieldDefect::Value),
                }
                return;
            }
            _ => return self.defect(FieldDefect::Pseudo),
        };
        if slot.is_some() {
            return self.defect(FieldDefect::Repeated);
        }
        *slot = Some(span);
    }

    fn regular(&mut self, name: &[u8], value: &[u8]) {
        self.regular = true;
        if !is_name(name) {
            self.defect(FieldDefect::Name);
        }
        match name {
            // 8.2.2.
            b"connection" | b"proxy-connection" | b"keep-alive" | b"transfer-encoding" | b"upgrade" => {
                self.defect(FieldDefect::Connection);
            }
            b"te" if value != b"trailers" => self.defect(FieldDefect::Connection),
            b"cookie" => self.cookies += 1,
            b"host" => {
                self.hosts += 1;
                if self.authority.is_some_and(|authority| authority.of(&self.raw) != value) {
                    self.defect(FieldDefect::Authority);
                }
            }
            _ => {}
        }
        let line = self.write(name, value);
        self.lines.push(line);
    }

    fn defect(&mut self, defect: FieldDefect) {
        self.defect.get_or_insert(defect);
    }

    /// 8.2.3: the crumbs of `cookie` as one.
    fn join_cookies(&mut self) {
        if self.cookies < 2 {
            return;
        }
        let is_cookie = |line: &(Span, Span)| line.0.of(&self.raw) == b"cookie";
        let crumbs: Vec<&[u8]> =
            self.lines.iter().filter(|line| is_cookie(line)).map(|line| line.1.of(&self.raw)).collect();
        let whole = crumbs.join(&b"; "[..]);
        let first = self.lines.iter().position(is_cookie);
        let raw = &self.raw;
        self.lines.retain(|line| line.0.of(raw) != b"cookie");
        let line = self.write(b"cookie", &whole);
        self.lines.insert(first.unwrap_or(0).min(self.lines.len()), line);
    }

    fn notes(&self) -> Notes {
        let mut notes = Notes::default();
        if self.unknown {
            notes.insert(Note::UnknownFields);
        }
        let repeats = self.authority.is_some() && self.defect == Some(FieldDefect::Authority);
        if self.hosts > 1 || repeats {
            notes.insert(Note::SeveralHosts);
        }
        notes
    }

    fn fields(self) -> Fields {
        Fields::new(self.raw.into_boxed_slice(), self.lines)
    }

    /// The head of a request, and why it is malformed.
    pub(super) fn request(mut self) -> (Head, Option<Malformed>) {
        self.join_cookies();
        let malformed = self.cut.or_else(|| self.request_defect().map(Malformed::Fields));
        let notes = self.notes();
        let raw = &self.raw;
        let connect = self.method.is_some_and(|method| method.of(raw) == b"CONNECT");
        let target = match self.pseudo.protocol {
            None if connect => self.authority,
            _ => self.path,
        };
        let start =
            Start::Request { method: self.method.unwrap_or_default(), target: target.unwrap_or_default() };
        let pseudo = self.pseudo;
        (Head::http2(self.fields(), start, pseudo, notes), malformed)
    }

    /// 8.3.1, 8.5, and RFC 8441, 4.
    fn request_defect(&self) -> Option<FieldDefect> {
        if self.defect.is_some() || self.unknown {
            return self.defect;
        }
        if self.status.is_some() {
            return Some(FieldDefect::Pseudo);
        }
        let Some(method) = self.method else { return Some(FieldDefect::Missing) };
        let (method, protocol) = (method.of(&self.raw), self.pseudo.protocol.is_some());
        if method == b"CONNECT" && !protocol {
            return match (self.authority, self.path, self.pseudo.scheme) {
                (None, _, _) => Some(FieldDefect::Missing),
                (Some(_), None, None) => None,
                _ => Some(FieldDefect::Pseudo),
            };
        }
        if protocol && method != b"CONNECT" {
            return Some(FieldDefect::Pseudo);
        }
        let (Some(path), Some(_)) = (self.path, self.pseudo.scheme) else {
            return Some(FieldDefect::Missing);
        };
        if protocol && self.authority.is_none() {
            return Some(FieldDefect::Missing);
        }
        let path = path.of(&self.raw);
        let fits = path.first() == Some(&b'/') || (path == b"*" && method == b"OPTIONS");
        (!fits).then_some(FieldDefect::Path)
    }

    /// The head of a response. Its status is 0 where it is not known.
    pub(super) fn response(mut self) -> Head {
        let mut notes = self.notes();
        let asks = self.method.is_some() || self.path.is_some() || self.pseudo != Pseudo::default();
        let refused = self.defect.is_some()
            || asks
            || self.authority.is_some()
            || self.cut.is_some()
            || (self.status.is_none() && !self.unknown);
        if refused {
            notes.insert(Note::MalformedResponse);
        }
        self.join_cookies();
        let start = Start::Response { status: self.status.unwrap_or(0), reason: Span::default() };
        Head::http2(self.fields(), start, Pseudo::default(), notes)
    }

    /// Trailer fields, if there are any, and what is wrong with them.
    pub(super) fn trailers(self) -> (Option<Box<Fields>>, Notes, Option<Malformed>) {
        let pseudo = self.has_pseudo().then_some(FieldDefect::Pseudo);
        let malformed = self.cut.or(self.defect.or(pseudo).map(Malformed::Fields));
        let notes = self.notes();
        let fields = self.fields();
        ((!fields.is_empty()).then(|| Box::new(fields)), notes, malformed)
    }
}

/// 8.2.1: visible ASCII without upper case; a colon only in front.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| matches!(byte, 0x21..=0x39 | 0x3b..=0x40 | 0x5b..=0x7e))
}

/// 8.2.1: without NUL, LF and CR; no white space at either end.
fn is_value(value: &[u8]) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    memchr::memchr3(0, b'\n', b'\r', value).is_none() && !blank(value.first()) && !blank(value.last())
}

fn status(value: &[u8]) -> Option<u16> {
    match value {
        [first @ b'1'..=b'9', second, third] if second.is_ascii_digit() && third.is_ascii_digit() => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Some(digit(first) * 100 + digit(second) * 10 + digit(third))
        }
        _ => None,
    }
}
