//! `auditor run` and `auditor node`: two processes from the start.
//!
//! [`attacher`] has rights and reads no traffic: it finds cgroups, loads and attaches programs, reads files, and hands all
//! of that on. [`decoder`] reads traffic and has no rights: before its first byte it gives up user, capabilities and the
//! way back to them. Between them is `channel`. For `auditor node` there is a third, [`watcher`]: it has a token and the
//! network, and neither rights nor traffic.

pub mod attacher;
pub mod decoder;
pub mod watcher;

mod channel;
mod error;
mod files;
mod node;
mod objects;
mod privileges;
mod taps;
mod worker;

pub use error::RunError;
