//! Real servers, each with a configuration, a directory and a log of its own.
//!
//! A server is started inside a cgroup and is ready when its guard exists. `stop` ends it in the server's own orderly
//! way and then reads its access log, which is complete by then.

pub mod caddy;
pub mod envoy;
pub mod go_proxy;
pub mod haproxy;
pub mod nginx;

use std::time::Duration;

/// How long a server may take to end in order: connections that are idle are closed, others are served.
const STOP_LIMIT: Duration = Duration::from_secs(30);
