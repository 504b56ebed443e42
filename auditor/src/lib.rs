//! The auditor, in the order of the data's way: capture, assemble, decode, attribute, emit.
//!
//! A stage knows those before it, never those after it. What lies between capture and emit is pure: bytes and time in,
//! typed values out; no clock, no I/O, no global state.

pub mod assemble;
pub mod attribute;
pub mod capture;
pub mod check;
pub mod cli;
pub mod commands;
pub mod config;
pub mod decode;
pub mod emit;
pub mod pipeline;
pub mod replay;
pub mod route;
pub mod run;
pub mod target;
pub mod wiring;
