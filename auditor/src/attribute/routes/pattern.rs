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
        Self { regex: if is_taken { compile() } else { None }, engine }
    }

    /// Whether the text is like it.
    pub(super) fn ask(&self, text: &[u8]) -> Answer {
        match &self.regex {
            // `$` of PCRE also matches before a line feed at the end.
            Some(regex) if self.engine == Engine::Re2 || !text.contains(&b'\n') => {
                regex.is_match(text).into()
            }
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
            return Pattern { regex: None, engine };
        }
        let key = (text.into(), anchor, engine, any_case);
        self.known.entry(key).or_insert_with(|| Pattern::new(text, anchor, engine, any_case)).clone()
    }
}
