//! The search for the rule that comes first among those that match.

use std::sync::Arc;

use super::Route;
use super::condition::{Answer, Uncertainty};
use super::request::Request;
use super::table::Entry;

/// The most rules whose conditions are asked for one request.
pub const MAX_ASKED: usize = 10_000;

/// Sees each step of a search, to tell of it. What is told of nobody costs nothing.
pub(super) trait Watch {
    /// A rule was asked.
    fn asked(&mut self, rank: u32, route: &Route, answer: Answer);
    /// The rules of this host are looked at next.
    fn host(&mut self, host: Option<&str>);
    /// The rules of this listener are looked at next.
    fn listener(&mut self, listener: &super::group::Name);
}

impl Watch for () {
    fn asked(&mut self, _rank: u32, _route: &Route, _answer: Answer) {}
    fn host(&mut self, _host: Option<&str>) {}
    fn listener(&mut self, _listener: &super::group::Name) {}
}

/// A rule that might match.
#[derive(Clone, Copy)]
struct Doubt<'t> {
    rank: u32,
    why: Uncertainty,
    /// None for all that were not asked.
    entry: Option<&'t Entry>,
}

impl Doubt<'_> {
    fn leads_to(&self, other: Option<&Entry>) -> bool {
        self.entry.zip(other).is_some_and(|(own, other)| Arc::ptr_eq(&own.route, &other.route))
    }
}

/// A search among the rules of one listener.
pub(super) struct Search<'t, 'r, W> {
    request: &'r Request<'r>,
    host: &'r str,
    path: &'r [u8],
    best: Option<&'t Entry>,
    /// The first of the rules that might match, and the first of those that lead elsewhere.
    doubts: [Option<Doubt<'t>>; 2],
    asked: usize,
    watch: &'r mut W,
}

impl<'t, 'r, W: Watch> Search<'t, 'r, W> {
    pub(super) fn new(request: &'r Request<'r>, host: &'r str, path: &'r [u8], watch: &'r mut W) -> Self {
        Self { request, host, path, best: None, doubts: [None; 2], asked: 0, watch }
    }

    /// The rules that follow are those of this host.
    pub(super) fn host(&mut self, host: Option<&str>) {
        self.watch.host(host);
    }

    /// Asks rules that are for the path, in order of rank, until one matches or cannot be the first any more.
    pub(super) fn consider(&mut self, entries: &'t [Entry]) {
        for entry in entries {
            if self.best.is_some_and(|best| best.rank < entry.rank) {
                return;
            }
            if !entry.conditions.is_empty() {
                self.asked += 1;
                if self.asked > MAX_ASKED {
                    return self.doubts(entry.rank, Uncertainty::TooMany, None);
                }
            }
            let answer = entry.conditions.ask(self.request, self.host, self.path);
            self.watch.asked(entry.rank, &entry.route, answer);
            match answer {
                Answer::Yes => {
                    self.best = Some(entry);
                    return;
                }
                Answer::No => {}
                Answer::Unclear(why) => self.doubts(entry.rank, why, Some(entry)),
            }
        }
    }

    fn doubts(&mut self, rank: u32, why: Uncertainty, entry: Option<&'t Entry>) {
        let new = Doubt { rank, why, entry };
        let [first, second] = &mut self.doubts;
        let is_before = |doubt: &Option<Doubt<'_>>| doubt.is_none_or(|doubt| rank < doubt.rank);
        if is_before(first) {
            if let Some(old) = first.replace(new).filter(|old| !old.leads_to(entry)) {
                *second = Some(old);
            }
        } else if !first.is_some_and(|first| first.leads_to(entry)) && is_before(second) {
            *second = Some(new);
        }
    }

    /// The first rule that matches for sure, else the first that might; and why another one might come before it.
    pub(super) fn end(self) -> (Option<&'t Entry>, Option<Uncertainty>) {
        let [first, second] = self.doubts;
        match (self.best, first) {
            (Some(best), _) => {
                let before = |doubt: &Doubt<'_>| doubt.rank < best.rank && !doubt.leads_to(Some(best));
                let doubt = [first, second].into_iter().flatten().find(before);
                (Some(best), doubt.map(|doubt| doubt.why))
            }
            (None, Some(doubt)) => (doubt.entry, Some(doubt.why)),
            (None, None) => (None, None),
        }
    }
}
