//! Harness: cgroups, real servers, clients, and guards that clean up after them.
//!
//! Shared by the end-to-end tests, `cargo xtask demo` and `cargo xtask bench`. Everything that is started here is a
//! guard: dropping it ends the processes, removes the cgroup and the files, and nothing else. Nothing waits by sleeping a
//! fixed time for something to be ready: readiness is asked for, within [`wait`]'s limit.

pub mod api_server;
pub mod auditor;
pub mod cgroup;
pub mod compare;
pub mod curl;
pub mod debian;
pub mod entry;
pub mod event;
pub mod forge;
pub mod grpc;
pub mod identity;
pub mod manifests;
pub mod namespace;
pub mod net;
pub mod origin;
pub mod peers;
pub mod pki;
pub mod process;
pub mod raw;
pub mod relay;
pub mod server;
pub mod wait;
