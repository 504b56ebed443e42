//! `auditor check`: what of this machine works, what does not, what to do.
//!
//! Consumes [`Facts`], which are read in one place, and probes of the caller's; produces a [`Report`], a pure function of
//! both; and where a controller is named, the TLS code that it runs. Nothing is changed on the machine.

mod facts;
mod rules;
mod tls;

use std::fmt;

use serde::Serialize;

pub use facts::Facts;
pub use tls::{Code, Controller, LookError, Process};

use crate::target::{Host, Target};

/// How an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As needed.
    Ok,
    /// The auditor runs, and something is less than it could be.
    Degraded,
    /// `auditor run` cannot work.
    Failed,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What.
    pub name: &'static str,
    /// How it stands.
    pub status: Status,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub needed: &'static str,
    /// What to do; none if there is nothing to do.
    pub advice: Option<&'static str>,
}

/// A look at something by trying it: loading the programs, for one.
pub type Probe = fn() -> Item;

/// What `auditor check` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst of all items.
    pub status: Status,
    /// Each thing that was looked at.
    pub items: Vec<Item>,
    /// The controllers that were named.
    pub controllers: Vec<Controller>,
}

/// Judges the facts, and runs the probes after them.
#[must_use]
pub fn run(facts: &Facts, probes: &[Probe]) -> Report {
    let mut items = rules::judge(facts);
    items.extend(probes.iter().map(|probe| probe()));
    let mut report = Report { status: Status::Ok, items, controllers: Vec::new() };
    report.conclude();
    report
}

impl Report {
    /// Looks at a controller as well. One that cannot be is an item that failed.
    pub fn look(&mut self, facts: &Facts, target: &Target) {
        let kernel = facts.kernel.as_deref().and_then(rules::version);
        let (item, controller) = match Controller::look(&Host::default(), target, kernel) {
            Ok(controller) => (rules::tls(target, &controller), Some(controller)),
            Err(error) => (rules::target(&error), None),
        };
        self.items.push(item);
        self.controllers.extend(controller);
        self.conclude();
    }

    fn conclude(&mut self) {
        let has = |status| self.items.iter().any(|item| item.status == status);
        let worst = [Status::Failed, Status::Degraded].into_iter().find(|status| has(*status));
        self.status = worst.unwrap_or(Status::Ok);
    }

    /// Whether something that is needed is missing.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.status == Status::Failed
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "FAILED",
        })
    }
}

impl fmt::Display for Report {
    /// A table; under each item that is not as it should be, what is needed and what to do. Then the controllers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.items.iter().map(|item| item.name.len()).max().unwrap_or(0);
        for item in &self.items {
            writeln!(f, "{:<8}  {:<width$}  {}", item.status, item.name, item.found)?;
            if item.status != Status::Ok {
                writeln!(f, "{:<8}  {:<width$}  needed: {}", "", "", item.needed)?;
                if let Some(advice) = item.advice {
                    writeln!(f, "{:<8}  {:<width$}  advice: {advice}", "", "")?;
                }
            }
        }
        for controller in &self.controllers {
            write!(f, "{controller}")?;
        }
        writeln!(
            f,
            "{}",
            match self.status {
                Status::Ok => "Everything that the auditor needs is here.",
                Status::Degraded => "The auditor runs here, with less than it could do.",
                Status::Failed => "The auditor cannot run here.",
            }
        )
    }
}
