//! A decision, step by step: which listeners, hosts and rules were looked at, and what became of each.

use super::condition::Answer;
use super::group::Name;
use super::request::Request;
use super::search::Watch;
use super::{Decision, ObjectRef, Route, Routes, Uncertainty};

/// The most steps that are kept.
pub const MAX_SHOWN: usize = 1_000;

/// A decision and how it came about.
#[derive(Debug)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// What was looked at, in that order.
    pub steps: Vec<Step>,
    /// Steps beyond [`MAX_SHOWN`].
    pub left_out: u64,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A listener took the request.
    Listener(Name),
    /// There are rules for a host; none for those of any host.
    Host(Option<String>),
    /// A rule was asked.
    Rule {
        /// Its place among the rules of its listener: the least that matches has the request.
        rank: u32,
        /// The object that declares it.
        object: Option<ObjectRef>,
        /// Which of the object's rules, from 0.
        rule: Option<u32>,
        /// Its path, as written, with how it is compared.
        path: Option<String>,
        /// What came of it.
        outcome: Outcome,
    },
}

/// What came of asking a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It matches.
    Matches,
    /// Its path does, and something else that it asks for does not.
    Differs,
    /// It might match.
    Unclear(Uncertainty),
}

#[derive(Default)]
struct Recorder {
    steps: Vec<Step>,
    left_out: u64,
}

impl Recorder {
    fn step(&mut self, step: impl FnOnce() -> Step) {
        if self.steps.len() < MAX_SHOWN {
            self.steps.push(step());
        } else {
            self.left_out += 1;
        }
    }
}

impl Watch for Recorder {
    fn asked(&mut self, rank: u32, route: &Route, answer: Answer) {
        self.step(|| Step::Rule {
            rank,
            object: route.object.clone(),
            rule: route.rule,
            path: route.path.as_ref().map(|path| match route.path_type {
                Some(path_type) => format!("{} {path}", path_type.as_str()),
                None => path.to_string(),
            }),
            outcome: match answer {
                Answer::Yes => Outcome::Matches,
                Answer::No => Outcome::Differs,
                Answer::Unclear(why) => Outcome::Unclear(why),
            },
        });
    }

    fn host(&mut self, host: Option<&str>) {
        self.step(|| Step::Host(host.map(str::to_owned)));
    }

    fn listener(&mut self, listener: &Name) {
        self.step(|| Step::Listener(listener.clone()));
    }
}

impl Routes {
    /// [`Routes::decide`], with what was looked at on the way.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        let mut recorder = Recorder::default();
        let decision = self.watched(request, &mut recorder);
        Explanation { decision, steps: recorder.steps, left_out: recorder.left_out }
    }
}
