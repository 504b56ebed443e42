//! The grammar of `Forwarded` (RFC 7239, 4): elements of a list, and the `for` of one.

use std::borrow::Cow;

/// The elements of a value, from the last on. Where quotes count, a comma within them separates nothing.
#[derive(Debug)]
pub(super) struct Elements<'a> {
    rest: Option<&'a [u8]>,
    list: bool,
    quoted: bool,
}

impl<'a> Elements<'a> {
    pub(super) fn new(value: &'a [u8], list: bool, quoted: bool) -> Self {
        Self { rest: Some(value), list, quoted }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let mut inside = false;
        for (at, byte) in rest.iter().enumerate().rev() {
            match byte {
                b'"' if self.quoted && !is_escaped(rest, at) => inside = !inside,
                b',' if self.list && !inside => {
                    let (before, element) = rest.split_at_checked(at)?;
                    self.rest = Some(before);
                    return element.get(1..);
                }
                _ => {}
            }
        }
        Some(rest)
    }
}

/// Whether an odd number of backslashes stands before a quote: then it is part of a value (RFC 9110, 5.6.4).
fn is_escaped(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The value of an element's `for`, unquoted. None if it has none, two, or is not of the grammar.
///
/// A value that should be quoted (`[` and `:` are no token) and is not has one reading all the same, and is taken.
pub(super) fn for_of(element: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut found = None;
    let mut rest = element.trim_ascii();
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix(b";") {
            rest = behind.trim_ascii_start();
            continue;
        }
        let equals = rest.iter().position(|byte| *byte == b'=')?;
        let (name, value) = rest.split_at_checked(equals)?;
        let (value, behind) = value_of(value.get(1..)?)?;
        if name.eq_ignore_ascii_case(b"for") && found.replace(value).is_some() {
            return None;
        }
        rest = behind.trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b";") {
            return None;
        }
    }
    found
}

/// A value, and what is behind it.
fn value_of(rest: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let Some(mut rest) = rest.strip_prefix(b"\"") else {
        let end = rest.iter().position(|byte| *byte == b';').unwrap_or(rest.len());
        let (value, behind) = rest.split_at_checked(end)?;
        let value = value.trim_ascii_end();
        let plain = !value.is_empty() && value.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"');
        return plain.then_some((Cow::Borrowed(value), behind));
    };
    let mut value = Vec::new();
    loop {
        match rest {
            [b'"', behind @ ..] => return Some((Cow::Owned(value), behind)),
            [b'\\', byte, behind @ ..] | [byte, behind @ ..] => {
                value.push(*byte);
                rest = behind;
            }
            [] => return None,
        }
    }
}
