//! The head of a message: start line and fields, in one copy of the bytes with spans into it.
//!
//! Consumes bytes that begin at a message's first byte; produces a [`Head`], or says that more is needed, or that this is
//! not HTTP/1. The result depends on the bytes alone, not on how they were cut: a head longer than the bound is refused
//! whether or not its end is there. Tolerated as servers do: bare line feeds, folding, a missing reason phrase.

use std::borrow::Cow;

use super::Limits;
use super::fields::{Fields, Line, Place, Scan, Span, is_token, is_token_byte, line_at, scan};
use super::malformed::Malformed;
use super::notes::{Note, Notes};
use super::{fields::Known, target};

/// The start line and the fields of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    fields: Fields,
    start: Start,
    minor: u8,
    known: Known,
    notes: Notes,
    defect: Option<Malformed>,
    /// What only HTTP/2 has.
    pseudo: Option<Pseudo>,
}

/// The version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.0.
    Http10,
    /// 1.1, and what says that it is a later 1.x.
    Http11,
    /// 2.
    Http2,
}

/// What a head of HTTP/2 has beside fields and start line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::decode) struct Pseudo {
    /// `:scheme`.
    pub(in crate::decode) scheme: Option<Span>,
    /// `:protocol` (RFC 8441, 4).
    pub(in crate::decode) protocol: Option<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decode) enum Start {
    Request { method: Span, target: Span },
    Response { status: u16, reason: Span },
}

/// Which of the two kinds of head is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request line.
    Request,
    /// A status line.
    Response,
}

/// What came of reading a head.
#[derive(Debug)]
pub enum Parsed {
    /// The end is not there yet.
    Partial,
    /// A head, and how many bytes it takes.
    Whole(Head, usize),
}

impl Head {
    /// A head of HTTP/2, whose parts were found elsewhere. All spans lie within `fields.raw`.
    pub(in crate::decode) fn http2(fields: Fields, start: Start, pseudo: Pseudo, notes: Notes) -> Self {
        Self { fields, start, minor: 0, known: Known::default(), notes, defect: None, pseudo: Some(pseudo) }
    }

    /// The version of HTTP.
    #[must_use]
    pub fn version(&self) -> Version {
        match (self.pseudo, self.minor) {
            (Some(_), _) => Version::Http2,
            (None, 0) => Version::Http10,
            (None, _) => Version::Http11,
        }
    }

    /// The scheme, where the request shows it: `:scheme`, or that of an absolute-form target.
    #[must_use]
    pub fn scheme(&self) -> Option<&[u8]> {
        match self.pseudo {
            Some(pseudo) => Some(pseudo.scheme?.of(&self.fields.raw)),
            None => target::scheme(self.target()),
        }
    }

    /// The protocol that an extended CONNECT of HTTP/2 asks for (RFC 8441, 4).
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        Some(self.pseudo?.protocol?.of(&self.fields.raw))
    }

    /// Whether a field that is not among these is not there. Otherwise some are not known
    /// ([`Note::UnknownFields`]).
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.notes.contains(Note::UnknownFields)
    }

    /// The method as sent, or nothing for a response, or where it is not known.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        match self.start {
            Start::Request { method, .. } => method.of(&self.fields.raw),
            Start::Response { .. } => b"",
        }
    }

    /// The request target as sent (in HTTP/2 `:path`, for CONNECT `:authority`), or nothing for a response, or where it is
    /// not known.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        match self.start {
            Start::Request { target, .. } => target.of(&self.fields.raw),
            Start::Response { .. } => b"",
        }
    }

    /// The path: of an absolute-form target what follows the authority; for CONNECT the authority itself.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        target::split_query(self.path_and_query()).0
    }

    /// What follows the first `?` of the target.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        target::split_query(self.path_and_query()).1
    }

    /// The target without scheme and authority.
    #[must_use]
    pub fn path_and_query(&self) -> &[u8] {
        target::path_and_query(self.target())
    }

    /// The authority the request is for (RFC 9112, 3.3): of an absolute-form target, of CONNECT, else the first `Host`.
    /// As sent: with its port.
    #[must_use]
    pub fn authority(&self) -> Option<Cow<'_, [u8]>> {
        let target = self.target();
        if let Some(authority) = target::authority(target) {
            return Some(Cow::Borrowed(authority));
        }
        if self.is_connect() { Some(Cow::Borrowed(target)) } else { self.get("host") }
    }

    /// The host of [`Self::authority`]: as sent, without its port.
    #[must_use]
    pub fn host(&self) -> Option<Cow<'_, [u8]>> {
        Some(match self.authority()? {
            Cow::Borrowed(authority) => Cow::Borrowed(target::host(authority)),
            Cow::Owned(authority) => Cow::Owned(target::host(&authority).to_vec()),
        })
    }

    /// [`Self::host`] in lower case (RFC 9110, 4.2.3); what is not UTF-8 is replaced.
    #[must_use]
    pub fn host_lowercase(&self) -> Option<String> {
        self.host().map(|host| String::from_utf8_lossy(&host).to_ascii_lowercase())
    }

    /// The status code, 100 to 999; 0 for a request, or where it is not known.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.start {
            Start::Request { .. } => 0,
            Start::Response { status, .. } => status,
        }
    }

    /// The reason phrase as sent.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        match self.start {
            Start::Request { .. } => b"",
            Start::Response { reason, .. } => reason.of(&self.fields.raw),
        }
    }

    /// The minor version of HTTP/1: 0 or 1; higher ones are given as sent up to 255. 0 for HTTP/2.
    #[must_use]
    pub fn minor_version(&self) -> u8 {
        self.minor
    }

    /// The field lines.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The first value of a field; the name's case does not matter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.fields.get(name)
    }

    /// Where the first value of a field is, for [`Self::at`].
    pub(in crate::decode) fn place(&self, name: &str) -> Option<Place> {
        self.fields.place(name)
    }

    /// The value at a place of this head.
    pub(in crate::decode) fn at(&self, place: Place) -> Cow<'_, [u8]> {
        self.fields.at(place)
    }

    /// Every value of a field, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
        self.fields.all(name)
    }

    /// The bytes of the head, from its first line up to and including the empty line; of HTTP/2, its fields, one a line.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.fields.raw
    }

    /// What was unusual in its lines.
    #[must_use]
    pub fn notes(&self) -> Notes {
        self.notes
    }

    /// Whether it is a CONNECT that has an authority as its target, and no path.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.method() == b"CONNECT" && self.protocol().is_none()
    }

    pub(super) fn known(&self) -> Known {
        self.known
    }

    /// What in its lines makes the message's boundaries uncertain.
    pub(super) fn defect(&self) -> Option<Malformed> {
        self.defect
    }
}

/// Reads a head from the start of `bytes`.
///
/// # Errors
///
/// The bytes are not a head of this kind, or it is longer than `limits` allow.
pub fn parse(kind: Kind, bytes: &[u8], limits: &Limits) -> Result<Parsed, Malformed> {
    plausible(kind, bytes)?;
    let Some(line) = line_at(bytes, 0) else { return partial(bytes, limits) };
    let first = first_line(kind, &line)?;
    let scan = scan(bytes, line.next, limits);
    match scan.end {
        Some(end) if end > limits.head_bytes => Err(Malformed::HeadTooLarge),
        Some(end) => Ok(Parsed::Whole(build(kind, first, bytes.get(..end).unwrap_or(bytes), scan), end)),
        None => partial(bytes, limits),
    }
}

fn partial(bytes: &[u8], limits: &Limits) -> Result<Parsed, Malformed> {
    if bytes.len() > limits.head_bytes { Err(Malformed::HeadTooLarge) } else { Ok(Parsed::Partial) }
}

/// What can be read of a request's head that has no end: for the event about it, never for framing.
pub(super) fn parse_cut(bytes: &[u8], limits: &Limits) -> Result<Head, Malformed> {
    let bytes = bytes.get(..limits.head_bytes).unwrap_or(bytes);
    plausible(Kind::Request, bytes)?;
    let line = line_at(bytes, 0).ok_or(Malformed::Unfinished)?;
    let first = first_line(Kind::Request, &line)?;
    let scan = scan(bytes, line.next, limits);
    Ok(build(Kind::Request, first, bytes, scan))
}

/// Whether a message may start with these bytes, as far as they go.
pub(super) fn plausible(kind: Kind, bytes: &[u8]) -> Result<(), Malformed> {
    match kind {
        Kind::Response => {
            let seen = bytes.len().min(VERSION.len());
            if bytes.get(..seen) == VERSION.get(..seen) { Ok(()) } else { Err(Malformed::NotHttp) }
        }
        // Methods are short; a longer first word is judged when its line is complete.
        Kind::Request => match bytes.iter().take(64).position(|byte| !is_token_byte(*byte)) {
            Some(0) if bytes.first() == Some(&0x16) => Err(Malformed::Tls),
            Some(0) => Err(Malformed::NotHttp),
            Some(at) if bytes.get(at) != Some(&b' ') => Err(Malformed::NotHttp),
            _ => Ok(()),
        },
    }
}

/// Behind the empty line that ends a head whose first line is not empty. `from`: what was searched before.
pub(super) fn find_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let feed = at + memchr::memchr(b'\n', bytes.get(at..)?)?;
        match bytes.get(feed + 1..)? {
            [b'\n', ..] => return Some(feed + 2),
            [b'\r', b'\n', ..] => return Some(feed + 3),
            _ => at = feed + 1,
        }
    }
}

const VERSION: &[u8] = b"HTTP/1.";

struct First {
    start: Start,
    minor: u8,
    bare: bool,
    odd: Option<Malformed>,
}

fn build(kind: Kind, first: First, bytes: &[u8], scan: Scan) -> Head {
    let mut notes = scan.notes;
    if first.bare {
        notes.insert(Note::BareLf);
    }
    if scan.known.host > 1 {
        notes.insert(Note::SeveralHosts);
    }
    let mut defect = scan.defect;
    if let Some(odd) = first.odd.or(scan.odd) {
        match kind {
            Kind::Request => defect = defect.or(Some(odd)),
            Kind::Response => notes.insert(Note::OddBytes),
        }
    }
    let fields = Fields::new(bytes.into(), scan.lines);
    Head { fields, start: first.start, minor: first.minor, known: scan.known, notes, defect, pseudo: None }
}

fn first_line(kind: Kind, line: &Line<'_>) -> Result<First, Malformed> {
    let (start, minor) = match kind {
        Kind::Request => request_line(line.text)?,
        Kind::Response => status_line(line.text)?,
    };
    Ok(First { start, minor, bare: line.bare, odd: line.odd })
}

/// RFC 9112, 3: method, target, version. More than one space between them is taken, and spaces within the target.
fn request_line(line: &[u8]) -> Result<(Start, u8), Malformed> {
    if line == b"PRI * HTTP/2.0" {
        return Err(Malformed::Http2);
    }
    let line = line.trim_ascii_end();
    let method = line.iter().position(|byte| *byte == b' ').ok_or(Malformed::NotHttp)?;
    let version = memchr::memrchr(b' ', line).ok_or(Malformed::NotHttp)?;
    let minor = version_of(line.get(version + 1..).unwrap_or_default()).map_err(|malformed| {
        // Only where it is no request: a client may call its method PROXY.
        if line.starts_with(b"PROXY ") { Malformed::ProxyProtocol } else { malformed }
    })?;
    let target = line.get(method..version).unwrap_or_default();
    let lead = target.iter().take_while(|byte| **byte == b' ').count();
    let trail = target.iter().rev().take_while(|byte| **byte == b' ').count();
    if !is_token(line.get(..method).unwrap_or_default()) || lead == target.len() {
        return Err(Malformed::NotHttp);
    }
    let target = Span::new(method + lead, version - trail);
    Ok((Start::Request { method: Span::new(0, method), target }, minor))
}

/// RFC 9112, 4: version, status, and perhaps a reason.
fn status_line(line: &[u8]) -> Result<(Start, u8), Malformed> {
    let space = memchr::memchr(b' ', line).ok_or(Malformed::NotHttp)?;
    let minor = version_of(line.get(..space).unwrap_or_default())?;
    let at = space + line.iter().skip(space).take_while(|byte| **byte == b' ').count();
    let digits = line.get(at..at + 3).ok_or(Malformed::NotHttp)?;
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(line.get(at + 3), None | Some(b' ')) {
        return Err(Malformed::NotHttp);
    }
    let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    if status < 100 {
        return Err(Malformed::NotHttp);
    }
    let reason = Span::new((at + 4).min(line.len()), line.len());
    Ok((Start::Response { status, reason }, minor))
}

fn version_of(word: &[u8]) -> Result<u8, Malformed> {
    let minor = word.strip_prefix(VERSION).ok_or(if word.starts_with(b"HTTP/") {
        Malformed::Version
    } else {
        Malformed::NotHttp
    })?;
    if minor.is_empty() || !minor.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::Version);
    }
    Ok(minor.iter().fold(0u8, |value, digit| value.saturating_mul(10).saturating_add(digit - b'0')))
}
