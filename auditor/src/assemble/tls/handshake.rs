//! Handshake messages out of the records' contents (RFC 8446, 4 and 5.1): split over records, several in one.
//!
//! A message that lies whole in one part is not copied. One that is too long, or of which a part is absent, is passed over
//! by its length; if its header is absent the place of all that follows is lost until keys change.

use std::borrow::Cow;

/// Kinds of messages, by their numbers in the registry "TLS `HandshakeType`".
pub(super) mod kind {
    pub(in super::super) const CLIENT_HELLO: u8 = 1;
    pub(in super::super) const SERVER_HELLO: u8 = 2;
    pub(in super::super) const END_OF_EARLY_DATA: u8 = 5;
    pub(in super::super) const ENCRYPTED_EXTENSIONS: u8 = 8;
    pub(in super::super) const CERTIFICATE: u8 = 11;
    pub(in super::super) const SERVER_KEY_EXCHANGE: u8 = 12;
    pub(in super::super) const CERTIFICATE_REQUEST: u8 = 13;
    pub(in super::super) const SERVER_HELLO_DONE: u8 = 14;
    pub(in super::super) const FINISHED: u8 = 20;
    pub(in super::super) const KEY_UPDATE: u8 = 24;
    pub(in super::super) const COMPRESSED_CERTIFICATE: u8 = 25;
}

const HEADER: usize = 4;

/// A message.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: u8,
    pub(super) body: Result<Cow<'a, [u8]>, Unread>,
}

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    Absent,
    TooLong,
}

/// Finds the messages of one direction.
#[derive(Debug, Default)]
pub(super) struct Messages {
    partial: Option<Box<Partial>>,
    lost: bool,
}

#[derive(Debug, Default)]
struct Partial {
    header: Vec<u8>,
    body: Vec<u8>,
    taken: usize,
    unread: Option<Unread>,
}

impl Partial {
    fn len(&self) -> Option<usize> {
        let [_, high, middle, low] = *self.header.first_chunk::<HEADER>()?;
        usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()
    }

    fn into_message(self) -> Message<'static> {
        let body = self.unread.map_or(Ok(Cow::Owned(self.body)), Err);
        Message { kind: self.header.first().copied().unwrap_or_default(), body }
    }
}

impl Messages {
    /// Whether the next byte is that of a message's start.
    pub(super) fn at_boundary(&self) -> bool {
        self.partial.is_none() && !self.lost
    }

    /// Bytes of memory that are held.
    pub(super) fn weight(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.body.capacity())
    }

    /// Keys change: nothing may lie over that (RFC 8446, 5.1). Tells whether something did.
    pub(super) fn reset(&mut self) -> bool {
        let clean = self.partial.is_none();
        *self = Self::default();
        !clean
    }

    /// What is held is given up; the message's end stays known where its header was read.
    pub(super) fn forget_bytes(&mut self) {
        if let Some(partial) = &mut self.partial
            && !partial.body.is_empty()
        {
            partial.body = Vec::new();
            partial.unread = Some(Unread::Absent);
        }
    }

    /// Reads a message from `bytes`, which are moved on. None: they are used up.
    pub(super) fn step<'a>(&mut self, bytes: &mut &'a [u8], limit: usize) -> Option<Message<'a>> {
        if self.lost || bytes.is_empty() {
            *bytes = &[];
            return None;
        }
        if self.partial.is_none()
            && let Some(message) = whole(bytes)
        {
            return Some(message);
        }
        let mut partial = self.partial.take().unwrap_or_default();
        let (head, rest) = split(bytes, HEADER - partial.header.len());
        partial.header.extend_from_slice(head);
        *bytes = rest;
        let Some(len) = partial.len() else {
            self.partial = Some(partial);
            return None;
        };
        if len > limit {
            partial.unread = Some(Unread::TooLong);
        }
        let (taken, rest) = split(bytes, len - partial.taken);
        if partial.unread.is_none() {
            partial.body.extend_from_slice(taken);
        }
        partial.taken += taken.len();
        *bytes = rest;
        if partial.taken < len {
            self.partial = Some(partial);
            return None;
        }
        Some(partial.into_message())
    }

    /// Passes over absent bytes; gives a message if it ends with them.
    pub(super) fn skip(&mut self, absent: usize) -> Option<Message<'static>> {
        if self.lost {
            return None;
        }
        let Some((mut partial, len)) = self.partial.take().and_then(|it| it.len().map(|len| (it, len)))
        else {
            self.lost = true;
            return None;
        };
        partial.unread.get_or_insert(Unread::Absent);
        partial.body = Vec::new();
        let taken = absent.min(len - partial.taken);
        partial.taken += taken;
        if partial.taken < len {
            self.partial = Some(partial);
            return None;
        }
        self.lost = taken < absent;
        Some(partial.into_message())
    }
}

fn whole<'a>(bytes: &mut &'a [u8]) -> Option<Message<'a>> {
    let (&[kind, high, middle, low], rest) = bytes.split_first_chunk::<HEADER>()?;
    let len = usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?;
    let (body, rest) = rest.split_at_checked(len)?;
    *bytes = rest;
    Some(Message { kind, body: Ok(Cow::Borrowed(body)) })
}

fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

#[cfg(test)]
mod tests;
