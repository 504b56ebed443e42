//! How long a message's body is (RFC 9112, 6.3), from its head and, for a response, from the request's method.

use super::head::Head;
use super::malformed::Malformed;
use super::notes::{Note, Notes};

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// After so many bytes, perhaps none.
    Exact(u64),
    /// With the chunk of size 0 and the trailer section.
    Chunked,
    /// With the connection.
    Close,
    /// There is no body and no further message: the bytes belong to another protocol.
    Tunnel,
}

/// The length of a request's body, and what was unusual.
///
/// # Errors
///
/// Two readers may see different ends: nothing after this head can be read.
pub(super) fn request(head: &Head, notes: &mut Notes) -> Result<Length, Malformed> {
    if let Some(defect) = head.defect() {
        return Err(defect);
    }
    let length = if head.known().transfer_encoding {
        if head.minor_version() == 0 {
            return Err(Malformed::TransferEncodingVersion);
        }
        note_length(head, notes);
        if !chunked_is_last(head, notes)? {
            return Err(Malformed::TransferEncoding);
        }
        Length::Chunked
    } else {
        Length::Exact(content_length(head, notes)?.unwrap_or(0))
    };
    if head.is_connect() && length != Length::Exact(0) {
        return Err(Malformed::ConnectWithBody);
    }
    Ok(length)
}

/// The length of a final response's body, or of what follows a `101`.
///
/// # Errors
///
/// The end is not certain.
pub(super) fn response(head: &Head, method: &[u8], notes: &mut Notes) -> Result<Length, Malformed> {
    match head.status() {
        101 => return Ok(Length::Tunnel),
        200..=299 if method == b"CONNECT" => return Ok(Length::Tunnel),
        100..=199 | 204 | 304 => return Ok(Length::Exact(0)),
        _ if method == b"HEAD" => return Ok(Length::Exact(0)),
        _ => {}
    }
    if let Some(defect) = head.defect() {
        return Err(defect);
    }
    if head.known().transfer_encoding {
        if head.minor_version() == 0 {
            notes.insert(Note::ChunkedInOldVersion);
        }
        note_length(head, notes);
        if chunked_is_last(head, notes)? {
            return Ok(Length::Chunked);
        }
        notes.insert(Note::UnknownCoding);
        return Ok(Length::Close);
    }
    Ok(content_length(head, notes)?.map_or(Length::Close, Length::Exact))
}

fn note_length(head: &Head, notes: &mut Notes) {
    if head.known().content_length {
        notes.insert(Note::LengthAndChunked);
    }
}

/// Whether `chunked` is the final transfer coding.
///
/// # Errors
///
/// It is there twice (RFC 9112, 7.1: at most once), or there is no coding at all.
fn chunked_is_last(head: &Head, notes: &mut Notes) -> Result<bool, Malformed> {
    let (mut last, mut seen) = (None, false);
    for value in head.fields().raw_values("transfer-encoding") {
        let codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        for coding in codings.filter(|coding| !coding.is_empty()) {
            let chunked = coding.eq_ignore_ascii_case(b"chunked");
            if chunked && seen {
                return Err(Malformed::TransferEncoding);
            }
            if last.is_some() {
                notes.insert(Note::OtherCoding);
            }
            seen |= chunked;
            last = Some(chunked);
        }
    }
    last.ok_or(Malformed::TransferEncoding)
}

/// The one number that all `Content-Length` agree on.
fn content_length(head: &Head, notes: &mut Notes) -> Result<Option<u64>, Malformed> {
    if !head.known().content_length {
        return Ok(None);
    }
    let mut agreed = None;
    for value in head.fields().raw_values("content-length") {
        for number in value.split(|byte| *byte == b',') {
            let number = decimal(number.trim_ascii()).ok_or(Malformed::ContentLength)?;
            match agreed {
                None => agreed = Some(number),
                Some(known) if known == number => notes.insert(Note::RepeatedLength),
                Some(_) => return Err(Malformed::ContentLengthConflict),
            }
        }
    }
    Ok(agreed)
}

/// `1*DIGIT` below 2^64: no sign, no white space.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}
