//! What may go wrong, and with which requests.

use std::time::Duration;

use super::path::Verb;

/// Which requests.
#[derive(Clone, Debug, Default)]
pub struct On {
    /// Of this resource, by its plural; of all without.
    pub plural: Option<&'static str>,
    /// Doing this; whatever they do without.
    pub verb: Option<Verb>,
    /// So many of them; all without.
    pub times: Option<u32>,
}

/// What goes wrong with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An answer with this code.
    Status(u16),
    /// Too many requests, come back after so many seconds.
    TooMany(u32),
    /// No answer.
    Hang,
    /// The head of an answer, and then nothing.
    HangAfterHead,
    /// A watch ends after this time.
    CloseAfter(Duration),
    /// A watch tells one change half and ends.
    HalfEvent,
    /// Bytes that are no JSON.
    Garbage,
    /// A watch tells that its version has expired, as an event.
    GoneEvent,
}

#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(On, Fault)>);

impl Faults {
    pub(super) fn add(&mut self, on: On, fault: Fault) {
        self.0.push((on, fault));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What goes wrong with this request; counts it.
    pub(super) fn take(&mut self, plural: &str, verb: Verb) -> Option<Fault> {
        let concerned = |on: &On| {
            on.plural.is_none_or(|wanted| wanted == plural)
                && on.verb.is_none_or(|wanted| wanted == verb)
                && on.times != Some(0)
        };
        let (on, fault) = self.0.iter_mut().find(|(on, _)| concerned(on))?;
        if let Some(times) = &mut on.times {
            *times -= 1;
        }
        Some(fault.clone())
    }
}
