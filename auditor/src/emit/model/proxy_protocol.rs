//! What a header of the PROXY protocol says, as a part of [`Client`](super::http::Client).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Endpoint, Text};

/// A header of the PROXY protocol, as it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocol {
    /// Its version.
    #[schemars(range(min = 1, max = 2))]
    pub version: u8,
    /// What the connection is for.
    pub command: ProxyCommand,
    /// Who connected to the proxy; null where the header does not say, or not by an IP address.
    pub source: Option<Endpoint>,
    /// What they connected to; null likewise.
    pub destination: Option<Endpoint>,
    /// The protocol agreed on between client and proxy; null where the header does not say.
    pub alpn: Option<Text>,
    /// The host that the client asked the proxy for, SNI usually; null likewise.
    pub authority: Option<Text>,
    /// The proxy's own name for the connection; null likewise.
    pub unique_id: Option<Text>,
    /// The proxy's network namespace; null likewise.
    pub netns: Option<Text>,
    /// TLS between client and proxy, as the proxy says; null without it.
    pub tls: Option<ProxyTls>,
}

/// What a connection with a header is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyCommand {
    /// It carries another connection.
    Proxy,
    /// The proxy opened it for itself: a health check.
    Local,
    /// It is not known.
    Unknown,
}

/// TLS between client and proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyTls {
    /// Its version, as the proxy names it.
    pub version: Option<Text>,
    /// The cipher suite.
    pub cipher: Option<Text>,
    /// The client presented a certificate.
    pub client_certificate: bool,
    /// The proxy verified it.
    pub verified: bool,
    /// The common name in it.
    pub common_name: Option<Text>,
}
