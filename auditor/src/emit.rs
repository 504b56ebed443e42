//! Emit: what leaves the program. The event model, its native rendering, and the thread that writes it.
//!
//! Consumes finished [`model::Event`]s; produces lines of JSON. It knows every earlier stage's vocabulary and no earlier
//! stage knows it. Nothing in here can make a producer wait: a reader that does not read costs events, which are counted
//! and reported ([`writer`]).

pub mod build;
pub mod id;
pub mod model;
pub mod native;
#[cfg(test)]
pub(crate) mod sample;
pub mod schema;
pub mod writer;
