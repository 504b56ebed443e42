//! The one typed model of every event that the auditor emits, of all kinds, complete: parts that nothing fills yet are
//! `Option`s and rendered as `null`.
//!
//! Consumes nothing; what leaves the program is a rendering of these types. Invariants: every integer is below 2^53
//! ([`Count`]), every time is UTC with nanoseconds ([`Timestamp`]), every string is bounded and valid UTF-8 ([`Text`]),
//! every closed vocabulary is an enum, no field is ever left out: what is not known is `null`, never invented.
//!
//! A line of JSON has the envelope (`kind` to `controller`), the kind's own part, then `observation` and `chain`.

pub mod auth;
pub mod checkpoint;
pub mod cluster;
pub mod connection;
pub mod coverage;
pub mod detection;
pub mod envelope;
pub mod http;
pub mod proxy_protocol;
pub mod text;
mod time;
pub mod tls;
pub mod upstream;
pub mod value;

pub use envelope::{Body, Chain, Controller, Event, Kind, Observation, Source};
pub use text::Text;
pub use value::{Address, Count, Digest, Endpoint, EventId, Timestamp};

/// Version of the native form. Raised with every change of a field, new fields included: the schema allows no others.
pub const SCHEMA_VERSION: u32 = 1;
