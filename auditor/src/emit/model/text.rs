//! [`Text`]: the only string type of the model. Bounded, valid UTF-8, and lossless for bytes that are not.
//!
//! The written form: UTF-8 stands as it is. A byte that is not part of valid UTF-8 is written `\xNN` (two lowercase
//! hexadecimal digits). So that this can be read back, a backslash that is followed by `x` is itself written `\x5c`; every
//! other backslash stands as it is. A text that was cut ends with `\x+N`: N bytes of the original follow that are not
//! shown. Neither `\xNN` nor `\x+` can therefore come from the original.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use memchr::memmem;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

/// Most bytes of the original that a path or a query keeps.
pub const MAX_PATH: usize = 8 * 1024;
/// Most bytes of the original that a header's value keeps.
pub const MAX_VALUE: usize = 2 * 1024;
/// Most bytes of the original that a name keeps: a method, a host, a Kubernetes name.
pub const MAX_NAME: usize = 512;
/// Most bytes that [`Text::new`] keeps: what comes from the program itself, from objects and from configuration.
pub const MAX_TEXT: usize = 32 * 1024;

/// A string of an event. Cloning one costs no allocation, nor does making a short one.
#[derive(Clone)]
pub struct Text(SmolStr);

impl Text {
    /// A text from the program itself. It must not hold `\x`, nor be long; both are true of every literal in this crate.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(SmolStr::new_static(text))
    }

    /// A text from the wire: at most `max` bytes of `bytes`, escaped as this module says. A cut never splits a character.
    #[must_use]
    pub fn wire(bytes: &[u8], max: usize) -> Self {
        let kept = bytes.get(..cut(bytes, max)).unwrap_or_default();
        match str::from_utf8(kept) {
            Ok(text) if kept.len() == bytes.len() && !needs_escape(text) => Self(SmolStr::new(text)),
            _ => Self(SmolStr::from(escape(kept, bytes.len() - kept.len()))),
        }
    }

    /// A text from the wire of which `left_out` more bytes were not kept.
    #[must_use]
    pub fn beginning(bytes: &[u8], left_out: usize, max: usize) -> Self {
        if left_out == 0 {
            return Self::wire(bytes, max);
        }
        let kept = bytes.get(..cut(bytes, max)).unwrap_or_default();
        Self(SmolStr::from(escape(kept, left_out.saturating_add(bytes.len() - kept.len()))))
    }

    /// A text that is valid UTF-8 already, bounded by [`MAX_TEXT`].
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self::wire(text.as_bytes(), MAX_TEXT)
    }

    /// As [`Text::new`], without a copy where nothing needs escaping or cutting.
    #[must_use]
    pub fn shared(text: Arc<str>) -> Self {
        if text.len() <= MAX_TEXT && !needs_escape(&text) {
            Self(SmolStr::from(text))
        } else {
            Self::new(&text)
        }
    }

    /// The written form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The original bytes, as many as were kept.
    #[must_use]
    pub fn original(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        let mut rest = self.as_bytes();
        while let Some(at) = memmem::find(rest, b"\\x") {
            out.extend_from_slice(rest.get(..at).unwrap_or_default());
            let Some(byte) = rest.get(at + 2..at + 4).and_then(unhex) else { return out };
            out.push(byte);
            rest = rest.get(at + 4..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
        out
    }
}

fn needs_escape(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'\\', bytes).any(|at| bytes.get(at + 1) == Some(&b'x'))
}

fn unhex(digits: &[u8]) -> Option<u8> {
    // Not left to `from_str_radix`, which takes a sign.
    digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
    u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// Where to cut: at `max`, or up to three bytes before where that would split a character.
fn cut(bytes: &[u8], max: usize) -> usize {
    if bytes.len() <= max {
        return bytes.len();
    }
    // A continuation byte (RFC 3629, 3) just after the cut means that the cut may be inside a character.
    let is_inside = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (max.saturating_sub(3)..=max).rev().find(|at| !is_inside(*at)).unwrap_or(max)
}

fn escape(bytes: &[u8], left_out: usize) -> String {
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = memmem::find(rest.as_bytes(), b"\\x") {
            let (before, after) = rest.split_at(at);
            out.push_str(before);
            out.push_str("\\x5c");
            rest = after.strip_prefix('\\').unwrap_or_default();
        }
        out.push_str(rest);
        for byte in chunk.invalid() {
            push_fmt(&mut out, format_args!("\\x{byte:02x}"));
        }
    }
    if left_out > 0 {
        push_fmt(&mut out, format_args!("\\x+{left_out}"));
    }
    out
}

fn push_fmt(out: &mut String, args: fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _: fmt::Result = out.write_fmt(args);
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::from_static(text)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Text {
    /// Takes the written form as it stands: it is escaped already.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Ok(Self(SmolStr::from(text)))
    }
}

impl JsonSchema for Text {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], max: usize, expected: &str) {
        assert_eq!(Text::wire(bytes, max).as_str(), expected);
    }

    #[test]
    fn escapes_what_is_not_utf8_and_nothing_else() {
        check(b"/cart", 64, "/cart");
        check("/käse".as_bytes(), 64, "/käse");
        check(b"a\xffb", 64, "a\\xffb");
        check(br"C:\dir", 64, r"C:\dir");
        check(br"\x41", 64, r"\x5cx41");
        check(b"\\\xff", 64, r"\\xff");
        check(b"\0", 64, "\0");
        check(b"", 0, "");
    }

    #[test]
    fn cuts_between_characters_and_says_so() {
        check(b"abcdef", 4, r"abcd\x+2");
        check("aé".as_bytes(), 2, r"a\x+2");
        check(b"\xff\xff\xff", 2, r"\xff\xff\x+1");
        // Continuation bytes without a start: cut anywhere, but cut.
        check(&[0x80; 10], 4, r"\x80\x80\x80\x80\x+6");
    }

    #[test]
    fn says_what_was_cut_before() {
        assert_eq!(Text::beginning(b"abc", 5, 3).as_str(), r"abc\x+5");
        assert_eq!(Text::beginning(b"abc", 5, 2).as_str(), r"ab\x+6");
        assert_eq!(Text::beginning(b"abc", 0, 3).as_str(), "abc");
    }

    proptest! {
        #[test]
        fn nothing_is_lost(bytes in proptest::collection::vec(prop_oneof![Just(b'\\'), Just(b'x'), any::<u8>()], 0..200)) {
            prop_assert_eq!(Text::wire(&bytes, 200).original(), bytes);
        }

        #[test]
        fn what_is_cut_is_a_prefix_with_its_length(bytes in proptest::collection::vec(any::<u8>(), 0..100), max in 0usize..100) {
            let text = Text::wire(&bytes, max);
            let kept = text.original();
            prop_assert!(bytes.starts_with(&kept));
            prop_assert!(kept.len() <= max);
            prop_assert!(kept.len() + 3 >= max.min(bytes.len()));
            prop_assert_eq!(text.contains("\\x+"), kept.len() < bytes.len());
        }

        #[test]
        fn one_text_one_form(text in ".{0,40}") {
            prop_assert_eq!(Text::new(&text), Text::shared(Arc::from(text.as_str())));
            prop_assert_eq!(Text::new(&text), Text::wire(text.as_bytes(), MAX_TEXT));
        }
    }
}
