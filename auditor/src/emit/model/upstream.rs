//! `http.upstream`: requests on the backend's leg that no client's request explains; and [`Attempt`], those that one does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::{Http, Outcome, Timing};
use super::tls::Tls;
use super::{Address, Count, Text, Timestamp};

/// A request to a backend that belongs to a client's request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// Address of the backend; null where the connection's start was not seen.
    pub address: Option<Address>,
    /// Its port.
    pub port: Option<u16>,
    /// The method; null where no request was sent (the connection failed).
    pub method: Option<Text>,
    /// The path; null where no request was sent, or the target has none.
    pub path: Option<Text>,
    /// Status code of the answer; null without one.
    #[schemars(range(min = 0, max = 999))]
    pub status: Option<u16>,
    /// What it was for.
    pub purpose: Purpose,
    /// How it ended.
    pub outcome: Outcome,
    /// First byte of the request, or the attempt to connect.
    pub started: Timestamp,
    /// Until the last byte of the response, or the end otherwise; null where it was not seen.
    pub duration_us: Option<Count>,
    /// Body bytes of the response.
    pub bytes: Count,
}

/// What a request to a backend was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// To answer the client.
    Main,
    /// Again, after an attempt that failed.
    Retry,
    /// A copy whose answer is not used.
    Mirror,
    /// To ask whether the client may.
    Auth,
    /// It cannot be said.
    Unknown,
}

/// The part of an `http.upstream` event that is its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpUpstream {
    /// Whom the controller asked.
    pub backend: UpstreamPeer,
    /// TLS of the backend's connection; null without TLS.
    pub tls: Option<Box<Tls>>,
    /// The request and its response.
    pub http: Http,
    /// Why the controller asked, as far as it can be said.
    pub reason: UpstreamReason,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub timing: Timing,
}

/// The backend's end of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamPeer {
    /// Address of the backend; null where the connection's start was not seen.
    pub address: Option<Address>,
    /// Its port.
    pub port: Option<u16>,
    /// The Service that has this address among its endpoints.
    pub service: Option<Text>,
    /// Namespace of that Service.
    pub namespace: Option<Text>,
    /// The pod that has this address.
    pub pod: Option<Text>,
}

/// Why a controller asks a backend without a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamReason {
    /// A health check.
    HealthCheck,
    /// A copy of a client's request, sent when that was over.
    Mirror,
    /// A question of the controller's own: authentication, a configuration, a cache.
    Subrequest,
    /// A retry after the client's request was over.
    Retry,
    /// The bytes of one client's request became more than one request: smuggling, or a parser that differs from ours.
    Smuggling,
    /// It cannot be said.
    Unknown,
}
