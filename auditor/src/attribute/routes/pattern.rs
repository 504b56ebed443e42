//! Regular expressions that objects hold.
//!
//! They are matched by an engine without backtracking, in time linear in the input, within bounds of size. Controllers run
//! others: Envoy and Go's RE2 (whose syntax this engine shares but for details), PCRE (nginx and others). What does not
//! compile here may do so there, and a rule that asks for it cannot be told: [`Uncertainty::Pattern`].

use std::collections::HashMap;

use regex::bytes::{Regex, RegexBuilder};

use super::condition::{Answer, Uncertainty};

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 4_096;
/// The most memory of one compiled pattern, in bytes.
const MAX_COMPILED: usize = 128 << 10;
/// The most memory of one pattern's cache at matching, in bytes.
const MAX_CACHE: usize = 64 << 10;
/// The most different patterns of one state of the cluster; equal ones are one.
pub const MAX_PATTERNS: usize = 10_000;

/// Where a pattern must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Anchor {
    /// The whole text (Envoy's `safe_regex`).
    Whole,
    /// From the start of the text (ingress-nginx, Kong).
    Start,
    /// Anywhere (Go's `MatchString`, Traefik).
    Nowhere,
}

/// Whose syntax it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Engine {
    /// RE2 or Go's `regexp`.
    Re2,
    /// PCRE.
    Pcre,
    /// The controller does not say, or implementations differ.
    Unknown,
}

/// A pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// None where it cannot be told what it matches. Cloning shares the program.
    regex: Option<Regex>,
    engine: Engine,
    /// What every text that is like it starts with, without regard to case; known of one that cannot be read, too.
    start: Box<[u8]>,
}

impl Pattern {
    fn new(text: &str, anchor: Anchor, engine: Engine, any_case: bool) -> Self {
        let whole = match anchor {
            Anchor::Whole => format!(r"\A(?:{text})\z"),
            Anchor::Start => format!(r"\A(?:{text})"),
            Anchor::Nowhere => text.to_owned(),
        };
        let compile = || {
            let mut builder = RegexBuilder::new(&whole);
            // Classes such as \w are of ASCII in all those engines.
            builder.unicode(false).case_insensitive(any_case);
            builder.size_limit(MAX_COMPILED).dfa_size_limit(MAX_CACHE).nest_limit(64);
            builder.build().ok()
        };
        let is_taken = text.len() <= MAX_PATTERN && (engine == Engine::Re2 || !differs(text));
        let start = if anchor == Anchor::Nowhere { "" } else { literal_start(text) };
        Self { regex: if is_taken { compile() } else { None }, engine, start: start.as_bytes().into() }
    }

    /// Whether the text is like it.
    pub(super) fn ask(&self, text: &[u8]) -> Answer {
        match &self.regex {
            // `$` of PCRE also matches before a line feed at the end.
            Some(regex) if self.engine == Engine::Re2 || !text.contains(&b'\n') => {
                regex.is_match(text).into()
            }
            _ if !starts_with(text, &self.start) => Answer::No,
            _ => Answer::Unclear(Uncertainty::Pattern),
        }
    }

    /// Whether it cannot be told what it matches.
    pub(super) fn is_unclear(&self) -> bool {
        self.regex.is_none()
    }
}

/// What compiles here and means something else in PCRE: possessive quantifiers, which are a repetition of a repetition here.
/// Its other extensions do not compile.
fn differs(text: &str) -> bool {
    ["*+", "++", "?+", "}+"].iter().any(|odd| text.contains(odd))
}

fn starts_with(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|text| text.eq_ignore_ascii_case(start))
}

/// The part at the start of a pattern that stands for itself in every engine. One with an alternative has none.
fn literal_start(text: &str) -> &str {
    if text.contains('|') {
        return "";
    }
    let is_literal =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '/' | '-' | '_' | '~');
    let end = text.find(|character| !is_literal(character)).unwrap_or(text.len());
    // What follows may say that the last character need not be there.
    let may_lack = matches!(text.as_bytes().get(end), Some(b'?' | b'*' | b'{'));
    text.get(..end.saturating_sub(usize::from(may_lack))).unwrap_or_default()
}

/// Patterns that were compiled, so that equal ones are compiled and kept once.
#[derive(Default)]
pub(super) struct Patterns {
    known: HashMap<(Box<str>, Anchor, Engine, bool), Pattern>,
}

impl Patterns {
    /// Whether no further one is kept.
    pub(super) fn is_full(&self) -> bool {
        self.known.len() >= MAX_PATTERNS
    }

    pub(super) fn get(&mut self, text: &str, anchor: Anchor, engine: Engine, any_case: bool) -> Pattern {
        if text.len() > MAX_PATTERN || self.is_full() {
            return Pattern { regex: None, engine, start: Box::default() };
        }
        let key = (text.into(), anchor, engine, any_case);
        self.known.entry(key).or_insert_with(|| Pattern::new(text, anchor, engine, any_case)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, anchor: Anchor, engine: Engine, text: &str, expected: Answer) {
        let pattern = Pattern::new(pattern, anchor, engine, false);
        assert_eq!(pattern.ask(text.as_bytes()), expected, "{pattern:?} {text:?}");
    }

    #[test]
    fn anchors() {
        check("b", Anchor::Nowhere, Engine::Re2, "abc", Answer::Yes);
        check("b", Anchor::Start, Engine::Re2, "abc", Answer::No);
        check("a", Anchor::Start, Engine::Re2, "abc", Answer::Yes);
        check("a", Anchor::Whole, Engine::Re2, "abc", Answer::No);
        check("a|abc", Anchor::Whole, Engine::Re2, "abc", Answer::Yes);
    }

    #[test]
    fn what_cannot_be_read_is_unclear_where_it_might_match() {
        let unclear = Answer::Unclear(Uncertainty::Pattern);
        check("/api/(?!x)", Anchor::Start, Engine::Pcre, "/api/y", unclear);
        check("/api/(?!x)", Anchor::Start, Engine::Pcre, "/API/y", unclear);
        check("/api/(?!x)", Anchor::Start, Engine::Pcre, "/other", Answer::No);
        check("/api/(?!x)", Anchor::Nowhere, Engine::Pcre, "/other", unclear);
        check("/api?(?!x)", Anchor::Start, Engine::Pcre, "/ap", unclear);
        check("/a(?!x)|/b", Anchor::Start, Engine::Pcre, "/c", unclear);
        check("/a++b", Anchor::Start, Engine::Pcre, "/ab", unclear);
        check("/a++b", Anchor::Start, Engine::Re2, "/ab", Answer::Yes);
        // `$` of PCRE also matches before a line feed at the end.
        check("/a$", Anchor::Start, Engine::Pcre, "/a\n", unclear);
        check("/a$", Anchor::Start, Engine::Re2, "/a\n", Answer::No);
    }
}
