//! `auditor run`: two processes from the start.
//!
//! [`attacher`] has rights and reads no traffic: it finds cgroups, loads and attaches programs, reads files, and hands all
//! of that on. [`decoder`] reads traffic and has no rights: before its first byte it gives up user, capabilities and the
//! way back to them. Between them is `channel`.

pub mod attacher;
pub mod decoder;

mod channel;
mod error;
mod files;
mod privileges;
mod taps;
mod worker;

pub use error::RunError;
