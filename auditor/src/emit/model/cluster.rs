//! What the cluster's objects tell: `config.change`, `certificate`, `dns.change`, `access.review`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Address, Digest, EventId, Text, Timestamp};

/// An object of the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// Group and version: `networking.k8s.io/v1`.
    pub api_version: Text,
    /// Kind: `Ingress`.
    pub kind: Text,
    /// Namespace; null for an object of the cluster.
    pub namespace: Option<Text>,
    /// Name.
    pub name: Text,
    /// Its uid.
    pub uid: Option<Text>,
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// User, as the API server knows it; null where only a program's name is known.
    pub user: Option<Text>,
    /// The user's groups.
    pub groups: Vec<Text>,
    /// The user that was impersonated.
    pub impersonated: Option<Text>,
    /// The program, as it named itself (`managedFields`, `User-Agent`): it can be forged.
    pub manager: Option<Text>,
    /// Addresses that the request to the API server came from.
    pub source_addresses: Vec<Address>,
    /// How this was learned.
    pub determined_by: ActorDeterminedBy,
}

/// How an actor was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorDeterminedBy {
    /// The API server's audit log.
    AuditLog,
    /// An admission webhook.
    Admission,
    /// The object's `managedFields`: a program, not a person.
    ManagedFields,
    /// It could not be learned.
    Unknown,
}

/// The part of a `config.change` event that is its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigChange {
    /// What happened.
    pub action: ChangeAction,
    /// The object.
    pub object: Object,
    /// Its `resourceVersion` before; null for one created.
    pub version_before: Option<Text>,
    /// Its `resourceVersion` after; null for one deleted.
    pub version_after: Option<Text>,
    /// Who did it.
    pub actor: Option<Actor>,
    /// What differs.
    pub changes: Vec<FieldChange>,
    /// There are more differences than are shown.
    pub truncated: bool,
    /// It happened while nobody watched, and was found by comparing.
    pub found_by_comparing: bool,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeAction {
    /// It was created.
    Created,
    /// It was updated.
    Updated,
    /// It was deleted.
    Deleted,
}

/// One difference between two versions of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldChange {
    /// Where: a JSON Pointer (RFC 6901).
    pub path: Text,
    /// The value before, as JSON; null where there was none, or where it is masked.
    pub before: Option<Text>,
    /// The value after, as JSON; null where there is none, or where it is masked.
    pub after: Option<Text>,
    /// The values are secret and not shown.
    pub masked: bool,
}

/// The part of a `certificate` event that is its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateEvent {
    /// What is told.
    pub reason: CertificateReason,
    /// The certificate.
    pub certificate: Certificate,
    /// The one before it; null where there was none, or where none changed.
    pub previous: Option<Digest>,
    /// The host that it was served for, or is declared for.
    pub host: Option<Text>,
    /// The object that it comes from: a Secret, a Gateway.
    pub object: Option<Object>,
    /// The route's objects that use it.
    pub used_by: Vec<Object>,
}

/// What is told of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateReason {
    /// Seen served for the first time.
    Seen,
    /// Another one is served or declared than before.
    Changed,
    /// Its validity ends soon.
    Expiring,
    /// Its validity has ended.
    Expired,
    /// Its validity has not begun.
    NotYetValid,
    /// It does not cover the host that it is served for.
    HostNotCovered,
    /// Another one is served than is declared.
    NotAsDeclared,
    /// It cannot be read.
    Unreadable,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// SHA-256 of its DER form.
    pub sha256: Digest,
    /// Subject, RFC 4514.
    pub subject: Option<Text>,
    /// Issuer, RFC 4514.
    pub issuer: Option<Text>,
    /// Serial number, hexadecimal.
    pub serial_number: Option<Text>,
    /// Start of its validity.
    pub not_before: Option<Timestamp>,
    /// End of its validity.
    pub not_after: Option<Timestamp>,
    /// DNS names and addresses that it covers.
    pub names: Vec<Text>,
    /// Algorithm and size of its key: `RSA-2048`, `P-256`.
    pub key: Option<Text>,
    /// It is signed with its own key.
    pub self_signed: Option<bool>,
}

/// The part of a `dns.change` event that is its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DnsChange {
    /// What happened to the record.
    pub action: ChangeAction,
    /// The host.
    pub host: Text,
    /// The record's type: `A`, `CNAME`; null where an annotation without a type changed.
    pub record_type: Option<Text>,
    /// Its values before.
    pub before: Vec<Text>,
    /// Its values after.
    pub after: Vec<Text>,
    /// How it was learned.
    pub determined_by: DnsDeterminedBy,
    /// The object that declares it.
    pub object: Option<Object>,
    /// Who did it.
    pub actor: Option<Actor>,
}

/// How a change in DNS was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DnsDeterminedBy {
    /// A resolver was asked.
    Resolver,
    /// An object's annotation.
    Annotation,
    /// An object's status: the address that a load balancer was given.
    Status,
    /// A record object (`DNSEndpoint`).
    Record,
}

/// The part of an `access.review` event that is its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccessReview {
    /// What was reviewed.
    pub subject: ReviewSubject,
    /// What came out.
    pub result: ReviewResult,
    /// The object reviewed: a role binding, a route.
    pub object: Option<Object>,
    /// Whom it concerns: users, groups, service accounts.
    pub principals: Vec<Text>,
    /// What is intended.
    pub expected: Option<Text>,
    /// What was found.
    pub found: Option<Text>,
    /// The events that show it.
    pub evidence: Vec<EventId>,
    /// One sentence.
    pub message: Text,
}

/// What was reviewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewSubject {
    /// Who may change what decides about routing.
    Permissions,
    /// Whether a route asks for the authentication that it should.
    RouteAuthentication,
}

/// What came out of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewResult {
    /// As intended.
    Pass,
    /// Not as intended.
    Fail,
    /// It cannot be said.
    Unknown,
}
