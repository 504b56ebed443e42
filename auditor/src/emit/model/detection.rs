//! `detection`: a rule fired.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::{Client, Route};
use super::{Count, EventId, Text, Timestamp};
use std::sync::Arc;

/// The part of a `detection` event that is its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Detection {
    /// The rule.
    pub rule: Rule,
    /// How bad.
    pub severity: Severity,
    /// One sentence.
    pub message: Text,
    /// Who did it, where all the events have one client.
    pub client: Option<Client>,
    /// The route that it concerns, where all the events have one.
    pub route: Option<Arc<Route>>,
    /// What in the events matched.
    pub matched: Vec<MatchedField>,
    /// The events that made it fire, the first of them.
    pub events: Vec<EventId>,
    /// How many events made it fire.
    pub count: Count,
    /// Time of the first.
    pub first: Timestamp,
    /// Time of the last.
    pub last: Timestamp,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its id.
    pub id: Text,
    /// Its title.
    pub title: Text,
    /// Its version or date.
    pub version: Option<Text>,
    /// Its tags: `attack.t1190`.
    pub tags: Vec<Text>,
}

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Informational,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

/// What in an event matched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchedField {
    /// Path of the field in the native form: `http.request.path`.
    pub field: Text,
    /// Its value.
    pub value: Text,
}
