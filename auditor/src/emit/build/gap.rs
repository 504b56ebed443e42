//! `coverage`: what was not seen, and the moments in the program's own life.

use std::collections::BTreeMap;

use super::Builder;
use super::connection::leg;
use crate::capture::record::{Direction as Way, Nanos};
use crate::decode::http1::exchange::Trouble;
use crate::decode::legs::Party;
use crate::emit::model::coverage::{Coverage, Direction, Program, Reason, Subject, SubjectConnection, What};
use crate::emit::model::{Count, Event, Kind, Observation, Text};

/// What was counted over a while.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// How many things.
    pub count: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The first one.
    pub since: Nanos,
    /// The last one.
    pub until: Nanos,
}

impl Gap {
    /// Nothing yet.
    #[must_use]
    pub fn at(now: Nanos) -> Self {
        Self { count: 0, bytes: 0, since: now, until: now }
    }
}

/// Something that happened to what is seen, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// Why.
    pub reason: Option<Reason>,
    /// What it concerns.
    pub subject: Option<Subject>,
    /// How many things it concerns.
    pub count: Option<u64>,
    /// Counters at that moment.
    pub counters: Vec<(&'static str, u64)>,
    /// The program, at its start and stop.
    pub program: Option<Program>,
    /// One sentence.
    pub message: Option<String>,
}

impl Builder {
    /// Something happened.
    pub fn moment(&mut self, what: What, time: Nanos, moment: Moment) -> Event {
        let counters = moment.counters.into_iter();
        let body = Coverage {
            reason: moment.reason,
            subject: moment.subject,
            count: moment.count.map(Count::new),
            counters: counters.map(|(name, value)| (Text::from_static(name), Count::new(value))).collect(),
            program: moment.program,
            message: moment.message.map(|message| Text::new(&message)),
            ..empty(what)
        };
        let id = self.serial_id(Kind::Coverage);
        self.event(id, time, body, Observation::complete())
    }

    /// Losses of one kind, counted over a while.
    pub fn counted(&mut self, what: What, reason: Reason, gap: &Gap) -> Event {
        self.gap(what, reason, None, gap)
    }

    /// UDP at a port where the controller listens.
    pub fn datagrams(&mut self, port: u16, gap: &Gap) -> Event {
        let subject = Subject { udp_port: Some(port), ..Subject::default() };
        self.gap(What::NotCovered, Reason::Udp, Some(subject), gap)
    }

    fn gap(&mut self, what: What, reason: Reason, subject: Option<Subject>, gap: &Gap) -> Event {
        let body = Coverage {
            reason: Some(reason),
            subject,
            count: Some(Count::new(gap.count)),
            bytes: Some(Count::new(gap.bytes)),
            since: Some(self.stamp(gap.since)),
            until: Some(self.stamp(gap.until)),
            ..empty(what)
        };
        let id = self.serial_id(Kind::Coverage);
        self.event(id, gap.since, body, Observation::complete())
    }

    /// Trouble with one connection.
    pub fn trouble(
        &mut self,
        party: &Party,
        what: What,
        reason: Reason,
        trouble: &Trouble,
        message: Option<&'static str>,
    ) -> Event {
        let connection = SubjectConnection {
            leg: Some(leg(party)),
            local: party.tuple.local.into(),
            remote: party.tuple.remote.into(),
            direction: Some(match trouble.direction {
                Way::Ingress => Direction::Ingress,
                Way::Egress => Direction::Egress,
            }),
            offset: Some(Count::new(trouble.offset)),
        };
        let body = Coverage {
            reason: Some(reason),
            subject: Some(Subject { connection: Some(connection), ..Subject::default() }),
            count: Some(Count::new(1)),
            bytes: Some(Count::new(trouble.bytes)),
            since: Some(self.stamp(trouble.time)),
            message: message.map(Text::from_static),
            ..empty(what)
        };
        let id = self.serial_id(Kind::Coverage);
        self.event(id, trouble.time, body, Observation::complete())
    }
}

fn empty(what: What) -> Coverage {
    Coverage {
        what,
        reason: None,
        subject: None,
        count: None,
        bytes: None,
        since: None,
        until: None,
        counters: BTreeMap::new(),
        program: None,
        message: None,
    }
}
