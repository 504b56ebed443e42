//! `auth`: credentials that requests showed, and refusals for want of one. No credential is ever in an event.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::{Client, Route};
use super::{Digest, EventId, Text};

/// A credential that a request showed, or the want of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// What sort of credential.
    pub kind: AuthKind,
    /// Whom it names: a user name, a token's `sub`, a certificate's subject; null where it names nobody readable.
    pub subject: Option<Text>,
    /// Who issued it: a realm, a token's `iss`, a certificate's issuer.
    pub issuer: Option<Text>,
    /// Whether the auditor itself verified it. False says nothing about the controller's check.
    pub verified: bool,
    /// What became of it.
    pub outcome: AuthOutcome,
    /// Keyed hash of the credential, to see the same one again; null where hashing is not configured.
    pub credential_hash: Option<Digest>,
}

/// Sorts of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    /// None was shown.
    None,
    /// Basic (RFC 7617).
    Basic,
    /// Digest (RFC 7616).
    Digest,
    /// A bearer token that is opaque (RFC 6750).
    Bearer,
    /// A bearer token that is a JWT (RFC 7519).
    BearerJwt,
    /// Negotiate (RFC 4559) or NTLM.
    Negotiate,
    /// A signature over the request (AWS Signature 4, RFC 9421, HMAC schemes).
    Signature,
    /// A key in a header that is known to carry one.
    ApiKey,
    /// A session's cookie.
    Cookie,
    /// A TLS client certificate.
    ClientCertificate,
    /// Something else.
    Other,
}

/// What became of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthOutcome {
    /// The request was served.
    Accepted,
    /// 401 or 407: a credential is asked for.
    Challenged,
    /// 403: it does not suffice.
    Refused,
    /// A redirect to a login.
    RedirectedToLogin,
    /// It cannot be said.
    Unknown,
}

/// The part of an `auth` event that is its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuthEvent {
    /// The `http.request` event that it belongs to; null for a connection's credential (a client certificate).
    pub request: Option<EventId>,
    /// Who asked.
    pub client: Client,
    /// The credential, or the want of one.
    pub auth: Auth,
    /// Method of the request.
    pub method: Option<Text>,
    /// Host of the request.
    pub host: Option<Text>,
    /// Path of the request.
    pub path: Option<Text>,
    /// Status code of the response.
    #[schemars(range(min = 0, max = 999))]
    pub status: Option<u16>,
    /// The route that applies.
    pub route: Option<Arc<Route>>,
}
