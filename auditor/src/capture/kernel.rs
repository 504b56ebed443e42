//! The kernel as a source: programs attached to a controller's cgroup, their ring and their shared memory.
//!
//! Split by right. [`attach`] loads and attaches: it needs `CAP_BPF`, `CAP_NET_ADMIN` and reads no traffic. [`ring`],
//! [`memory`] and [`parse`] work on file descriptors handed over: they read traffic and need no right at all.
#![expect(unsafe_code, reason = "memory shared with the kernel, and plain-data records read from it")]

pub mod attach;
pub mod clock;
pub mod exec;
pub mod memory;
pub mod parse;
pub mod ring;
pub mod tap;
