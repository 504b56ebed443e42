//! TLS facts of a connection, and certificates.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Digest, Text, Timestamp};

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
    /// Whether the client offered Encrypted Client Hello, or pretended to: then `sni` is the outer name. Null where its
    /// `ClientHello` was not seen.
    pub ech_offered: Option<bool>,
    /// How the handshake ended.
    pub handshake: TlsHandshake,
    /// Alerts that could be read, without `close_notify`: the first 8, or a later fatal one in the place of one that is not.
    pub alerts: Vec<TlsAlert>,
    /// The server's certificate; null where it could not be read, and where a session was resumed.
    pub certificate: Option<Arc<TlsCertificate>>,
    /// Whether the server asked for the client's certificate; null where that could not be read.
    pub client_certificate_requested: Option<bool>,
    /// The client's certificate; null where it showed none.
    pub client_certificate: Option<Arc<TlsCertificate>>,
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsHandshake {
    /// Both sides were done.
    Completed,
    /// With a fatal alert.
    Failed,
    /// Its end was not seen, or could not be read.
    Unknown,
}

/// An alert (RFC 8446, 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsAlert {
    /// Who sent it.
    pub from: TlsSide,
    /// Whether the connection ends with it.
    pub fatal: bool,
    /// Whether it came before its sender was done with the handshake.
    pub in_handshake: bool,
    /// Its name in the IANA registry, or its number.
    pub description: Text,
}

/// A side of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsSide {
    /// Who opened the connection.
    Client,
    /// Who accepted it.
    Server,
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
    /// Subject, RFC 4514; null, as all that follows, where the certificate could not be read.
    pub subject: Option<Text>,
    /// Alternative names of the subject, the first 32 and no more than 4 KiB, each with its kind as OpenSSL writes it:
    /// `DNS:`, `IP:`, `email:`, `URI:`.
    pub alternative_names: Vec<Text>,
    /// How many more there are, or of other kinds.
    pub alternative_names_left_out: Count,
    /// Issuer, RFC 4514.
    pub issuer: Option<Text>,
    /// Serial number, hexadecimal, two digits a byte, without an octet for the sign; a negative one, which is against the rules,
    /// with `-`.
    pub serial_number: Option<Text>,
    /// Start of its validity; null as well where it is before 1970.
    pub not_before: Option<Timestamp>,
    /// End of its validity; null as well where it is beyond 2554. `99991231235959Z` says that there is none (RFC 5280,
    /// 4.1.2.5).
    pub not_after: Option<Timestamp>,
}
