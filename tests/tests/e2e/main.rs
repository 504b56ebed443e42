//! End-to-end tests: real servers under real traffic, and the auditor's events against the servers' own logs.
//!
//! One file per server, the traffic that all of them must take in [`traffic`]. Root is needed: cgroups are made and
//! programs attached. `cargo xtask test` runs them with all that they need.

mod bed;
mod browser;
mod caddy;
mod check;
mod datagrams;
mod forged;
mod grpc;
mod haproxy;
mod hardship;
mod http2;
mod kubernetes;
mod late_tap;
mod mutual;
mod nginx;
mod odd;
mod passthrough;
mod proxied;
mod reload;
mod replay;
mod replay_tls;
mod tls;
mod traffic;
mod upgrade;
mod worker_reload;
