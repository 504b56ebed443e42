//! TLS facts of a connection, and certificates.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, Text, Timestamp};

/// TLS of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Negotiated version; null where the handshake did not come that far.
    pub version: Option<TlsVersion>,
    /// Cipher suite, by its name in the IANA registry.
    pub cipher: Option<Text>,
    /// Key exchange group, by its name in the IANA registry.
    pub group: Option<Text>,
    /// Server name that the client asked for.
    pub sni: Option<Text>,
    /// Application protocol agreed on.
    pub alpn: Option<Text>,
    /// JA4 fingerprint of the `ClientHello`.
    pub ja4: Option<Text>,
    /// Whether an earlier session was resumed.
    pub resumed: Option<bool>,
    /// The server's certificate; null where it could not be read.
    pub certificate: Option<TlsCertificate>,
    /// The client's certificate; null where it showed none.
    pub client_certificate: Option<TlsCertificate>,
}

/// Version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.0.
    #[serde(rename = "1.0")]
    Tls10,
    /// TLS 1.1.
    #[serde(rename = "1.1")]
    Tls11,
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// A certificate, as far as a connection tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsCertificate {
    /// SHA-256 of its DER form.
    pub sha256: Digest,
    /// Subject, RFC 4514.
    pub subject: Option<Text>,
    /// End of its validity.
    pub not_after: Option<Timestamp>,
}
