//! What the kernel programs and userspace share: records, shared memory cells, limits, and the arithmetic of both sides.
//!
//! Consumes nothing, produces nothing: plain data and pure functions, `no_std`, without `aya-ebpf`, so that userspace,
//! the reader of capture files and the tests use the very code the kernel runs.
#![no_std]

pub mod abi;
pub mod secret;
pub mod window;
