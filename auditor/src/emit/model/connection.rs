//! `connection`: one event for each connection that ended.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::{Agrees, Client, Role, Route};
use super::tls::Tls;
use super::upstream::UpstreamPeer;
use super::{Count, Endpoint};

/// The part of a `connection` event that is its own. `time` is when it opened, or was first noticed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connection {
    /// Whose connection.
    pub leg: Leg,
    /// What the listener is for; null on the backend's leg.
    pub role: Option<Role>,
    /// How it came to be known.
    pub opened_how: OpenedHow,
    /// The controller's end.
    pub local: Endpoint,
    /// The peer's end, as the socket shows it.
    pub remote: Endpoint,
    /// The backend's own address, where `remote` is a translated one (a Service's); null otherwise.
    pub translated: Option<Endpoint>,
    /// The client, where more than the peer is known (PROXY protocol); null otherwise.
    pub client: Option<Client>,
    /// What was spoken.
    pub protocol: Protocol,
    /// TLS facts; null without TLS.
    pub tls: Option<Box<Tls>>,
    /// Where the client's TLS was passed on to without being ended, so that no request of it can be read; null otherwise.
    pub passthrough: Option<Passthrough>,
    /// Requests seen.
    pub requests: Count,
    /// Payload bytes that the controller received.
    pub bytes_received: Count,
    /// Payload bytes that the controller sent.
    pub bytes_sent: Count,
    /// From the opening, or the first notice, to the end.
    pub duration_us: Count,
    /// Smoothed round trip time at the end, as the kernel measured it; null where it did not tell.
    pub srtt_us: Option<Count>,
    /// Segments sent again; null where the kernel did not tell.
    pub retransmits: Option<Count>,
    /// How it ended.
    pub outcome: ConnectionOutcome,
}

/// TLS that the controller passed on: the client's `ClientHello` was seen again on its way to a backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Passthrough {
    /// The route that declares it, by the server name that the client asked for; null where no objects are known.
    pub route: Option<Arc<Route>>,
    /// Where it was passed on to.
    pub backend: UpstreamPeer,
    /// Whether that is a backend that the route declares.
    pub agrees: Agrees,
}

/// Whose connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Leg {
    /// Between a client and the controller.
    Client,
    /// Between the controller and a backend.
    Backend,
}

/// How a connection came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OpenedHow {
    /// The controller accepted it.
    Accepted,
    /// The controller opened it.
    Connected,
    /// It was open before it was seen.
    Joined,
}

/// What was spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// HTTP/1.0 or 1.1.
    #[serde(rename = "http/1.1")]
    Http1,
    /// HTTP/2.
    #[serde(rename = "http/2")]
    Http2,
    /// TLS, not decrypted.
    #[serde(rename = "tls")]
    Tls,
    /// It became another protocol (Upgrade, CONNECT).
    #[serde(rename = "tunnel")]
    Tunnel,
    /// Not a byte was sent.
    #[serde(rename = "none")]
    None,
    /// It is not known.
    #[serde(rename = "unknown")]
    Unknown,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionOutcome {
    /// In order.
    Closed,
    /// The peer reset it.
    ResetByPeer,
    /// The controller reset it.
    ResetByController,
    /// The peer answered no more, and TCP gave it up.
    TimedOut,
    /// It was never established.
    ConnectFailed,
    /// The end was not seen.
    Unknown,
}
