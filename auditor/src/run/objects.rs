//! The objects of a cluster in the process that decodes: what the watching process tells, made into what requests are judged
//! by.
//!
//! Changes are gathered for a moment before a new [`Attribution`] is made of all of them, and the more time that takes, the
//! less often it is done. There is one for each set of classes that a controller here serves; rules and backends are made
//! anew only where they have changed.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::channel::{Channel, ChannelError, Told};
use crate::attribute::Attribution;
use crate::attribute::controllers::Classes;
use crate::attribute::index::Index;
use crate::attribute::routes::Routes;
use crate::attribute::store::{Applied, Store};
use crate::attribute::watch::{Problem, Trouble};
use crate::config::Config;
use crate::emit::build::Moment;
use crate::emit::model::Text;
use crate::emit::model::coverage::{Reason, Subject, What};

/// How long changes are gathered: those of one deployment come together.
const GATHER: Duration = Duration::from_millis(5);
/// How long they may be gathered where they do not end.
const MOST: Duration = Duration::from_millis(50);
/// Between two times, as many times as long as the last one took.
const REST: u32 = 4;
/// Refused objects that are told one by one, between two times.
const MAX_REFUSED: u64 = 16;

/// The objects, and what is made of them.
pub(super) struct Objects {
    source: Option<Channel>,
    store: Store,
    made: BTreeMap<Classes, Arc<Attribution>>,
    /// What all of them share; none where it is not known.
    index: Option<Arc<Index>>,
    /// The first and the last change that is not in what was made.
    changed: Option<(Instant, Instant)>,
    /// When the last one was made, and how long that took.
    last: Option<(Instant, Duration)>,
    known: bool,
    refused: u64,
}

/// What is to be told.
pub(super) type Notice = (What, Moment);

impl Objects {
    pub(super) fn new() -> Self {
        Self {
            source: None,
            store: Store::default(),
            made: BTreeMap::new(),
            index: None,
            changed: None,
            last: None,
            known: false,
            refused: 0,
        }
    }

    /// They come from here from now on. What is known stays until it is told anew.
    pub(super) fn come_from(&mut self, source: OwnedFd) {
        self.source = Some(Channel::from(source));
    }

    /// Readable when there is something to receive.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.source.as_ref().map(AsFd::as_fd)
    }

    /// Takes one message.
    pub(super) fn receive(&mut self) -> Vec<Notice> {
        let Some(source) = &self.source else { return Vec::new() };
        match source.receive::<Vec<Told>>() {
            Ok(Some((told, _))) => told.into_iter().filter_map(|told| self.take(told)).collect(),
            ended => {
                self.source = None;
                vec![lost(ended.err().as_ref())]
            }
        }
    }

    /// When something new is to be made, if at all.
    pub(super) fn due(&self) -> Option<Instant> {
        let (first, last) = self.changed?;
        let gathered = (last + GATHER).min(first + MOST);
        let rested = self.last.map(|(when, took)| when + took * REST);
        Some(rested.map_or(gathered, |rested| rested.max(gathered)))
    }

    /// Makes what requests are judged by, if it is due; gives what there is to tell.
    pub(super) fn make(&mut self, config: &Config) -> Option<Vec<Notice>> {
        let begun = Instant::now();
        self.due().filter(|due| *due <= begun)?;
        self.changed = None;
        let changed = self.store.take_changed();
        if changed.backends {
            self.index = None;
        }
        for (classes, before) in std::mem::take(&mut self.made) {
            // Endpoints come and go all the time: rules that are the same are not made anew.
            let same = (!changed.routes && before.known).then(|| Arc::clone(&before.routes));
            let made = self.build(config, &classes, same);
            self.made.insert(classes, made);
        }
        self.last = Some((Instant::now(), begun.elapsed()));
        let beyond = std::mem::take(&mut self.refused).saturating_sub(MAX_REFUSED);
        let mut notices = Vec::new();
        if beyond > 0 {
            let message = "further objects could not be used".to_owned();
            notices.push((What::NotCovered, Moment { count: Some(beyond), ..refusal(message) }));
        }
        if self.store.is_known() != std::mem::replace(&mut self.known, self.store.is_known()) && self.known {
            let (count, _) = self.store.size();
            info!(objects = count, "The objects of the cluster are known");
            let message = Some("the objects of the cluster are known".to_owned());
            notices.push((What::Reload, Moment { count: Some(count as u64), message, ..Moment::default() }));
        }
        Some(notices)
    }

    /// What the requests of a controller are judged by that serves these classes.
    pub(super) fn of(&mut self, config: &Config, classes: &Classes) -> Arc<Attribution> {
        if let Some(made) = self.made.get(classes) {
            return Arc::clone(made);
        }
        let made = self.build(config, classes, None);
        self.made.insert(classes.clone(), Arc::clone(&made));
        made
    }

    /// Only these classes are still served by somebody.
    pub(super) fn keep(&mut self, is_served: impl Fn(&Classes) -> bool) {
        self.made.retain(|classes, _| is_served(classes));
    }

    fn build(&mut self, config: &Config, classes: &Classes, same: Option<Arc<Routes>>) -> Arc<Attribution> {
        if !self.store.is_known() {
            return Arc::new(Attribution::none());
        }
        let objects = self.store.objects();
        let index = self.index.get_or_insert_with(|| Arc::new(Index::new(objects)));
        let routes =
            same.unwrap_or_else(|| Arc::new(Routes::new(objects, &config.route_options_of(classes))));
        Arc::new(Attribution { routes, index: Arc::clone(index), known: true })
    }

    fn take(&mut self, told: Told) -> Option<Notice> {
        match told {
            Told::Change(change) => match self.store.apply(change) {
                Applied::Same => None,
                Applied::Changed => {
                    self.note_change();
                    None
                }
                Applied::Refused(refused) => {
                    self.note_change();
                    warn!(%refused, "An object cannot be used");
                    self.refused += 1;
                    let message = format!("an object is not used: {refused}");
                    (self.refused <= MAX_REFUSED).then(|| (What::NotCovered, refusal(message)))
                }
            },
            Told::State { resource, problem } => Some(state(&resource, problem)),
        }
    }

    fn note_change(&mut self) {
        let now = Instant::now();
        let first = self.changed.map_or(now, |(first, _)| first);
        self.changed = Some((first, now));
    }
}

fn refusal(message: String) -> Moment {
    Moment { reason: Some(Reason::InvalidObject), message: Some(message), ..Moment::default() }
}

fn state(resource: &str, problem: Option<Problem>) -> Notice {
    let subject = Some(Subject { resource: Some(Text::new(resource)), ..Subject::default() });
    match problem {
        Some(Problem { trouble, message }) => {
            warn!(resource, %message, "A resource of the API server cannot be watched");
            let reason = Some(match trouble {
                Trouble::Forbidden => Reason::Forbidden,
                Trouble::Unavailable => Reason::ApiUnavailable,
                Trouble::Limit => Reason::ObjectLimit,
            });
            (What::NotCovered, Moment { reason, subject, message: Some(message), ..Moment::default() })
        }
        None => {
            info!(resource, "A resource of the API server is watched again");
            let message = Some("it is watched again".to_owned());
            (What::Reload, Moment { subject, message, ..Moment::default() })
        }
    }
}

fn lost(error: Option<&ChannelError>) -> Notice {
    let why = error.map(|error| format!(": {error}")).unwrap_or_default();
    let message =
        format!("the API server is not watched any more{why}; what was known stays until it is again");
    warn!("{message}");
    (What::NotCovered, Moment { reason: Some(Reason::Failed), message: Some(message), ..Moment::default() })
}
