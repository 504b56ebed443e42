//! `checkpoint`: the signed head of the event chain, and the ranges that are missing in it on purpose or by loss.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Digest, EventId, Text};

/// The part of a `checkpoint` event that is its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Checkpoint {
    /// Version of the native form that the covered events have.
    pub schema_version: u32,
    /// The stream: one for each node and boot.
    pub stream: Text,
    /// First sequence number that it covers.
    pub first_sequence: Count,
    /// Last sequence number that it covers.
    pub last_sequence: Count,
    /// Hash of the event with that last number.
    pub head: Digest,
    /// The checkpoint before; null for the first of the stream.
    pub previous: Option<EventId>,
    /// Head of the stream before this one (an earlier start); null where there was none.
    pub previous_stream_head: Option<Digest>,
    /// Sequence numbers in the covered range that were not delivered, and why.
    pub missing: Vec<MissingRange>,
    /// The key, by the SHA-256 of its public half.
    pub key: Digest,
    /// The key's epoch.
    pub key_epoch: Count,
    /// Algorithm of the signature.
    pub algorithm: SignatureAlgorithm,
    /// Signature over the fields above, base64 (RFC 4648, 4).
    pub signature: Text,
}

/// A range of events that were not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MissingRange {
    /// First sequence number.
    pub first: Count,
    /// Last sequence number.
    pub last: Count,
    /// Why.
    pub reason: MissingReason,
}

/// Why events were not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingReason {
    /// A filter of the configuration.
    Filtered,
    /// A bound was reached.
    Dropped,
    /// The receiver refused them.
    Rejected,
}

/// Algorithm of a checkpoint's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignatureAlgorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
}
