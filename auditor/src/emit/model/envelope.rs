//! [`Event`]: the envelope that all kinds share, and the choice of the kind.
//!
//! Serialized, an event is one flat object: `kind`, `id`, `time`, `sequence`, `cluster`, `node`, `controller`, the kind's
//! own fields, `observation`, `chain`. Reading one back refuses unknown fields and missing ones.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::auth::AuthEvent;
use super::checkpoint::Checkpoint;
use super::cluster::{AccessReview, CertificateEvent, ConfigChange, DnsChange};
use super::connection::Connection;
use super::coverage::Coverage;
use super::detection::Detection;
use super::http::HttpRequest;
use super::upstream::HttpUpstream;
use super::{Count, Digest, EventId, Text, Timestamp};

/// An event of any kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The event's name.
    pub id: EventId,
    /// When what it tells of began.
    pub time: Timestamp,
    /// Its place in the stream of this node and boot: contiguous, from 0.
    pub sequence: Count,
    /// Where it was seen. Shared by all events of one controller.
    pub source: Arc<Source>,
    /// The kind, and what only that kind has.
    pub body: Body,
    /// How complete the observation was.
    pub observation: Observation,
    /// Its link in the chain; null where the stream is not chained.
    pub chain: Option<Chain>,
}

/// Where an event was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The cluster's name, from the configuration.
    pub cluster: Option<Text>,
    /// The node's name.
    pub node: Text,
    /// The ingress controller; null for an event that belongs to none.
    pub controller: Option<Controller>,
}

/// The ingress controller whose traffic was seen.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// Which product: `ingress-nginx`, `traefik`, ...
    pub kind: Option<Text>,
    /// Namespace of its pod.
    pub namespace: Option<Text>,
    /// Its pod.
    pub pod: Option<Text>,
    /// The container in the pod.
    pub container: Option<Text>,
}

/// How complete the observation was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Whether everything that this event tells was seen.
    pub complete: bool,
    /// Bytes of the observed streams that are missing in what this event is made from.
    pub missing_bytes: Count,
    /// What else a reader must know to judge the event.
    pub notes: Vec<Text>,
}

impl Observation {
    /// Nothing is missing and there is nothing to note.
    #[must_use]
    pub const fn complete() -> Self {
        Self { complete: true, missing_bytes: Count::new(0), notes: Vec::new() }
    }
}

/// The event's link in the hash chain of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Hash of the event before; 64 zeros for the first.
    pub prev: Digest,
    /// SHA-256 over the domain, `prev` and this event in canonical form without `chain`.
    pub hash: Digest,
}

macro_rules! kinds {
    ($($variant:ident($body:ty) = $name:literal, $doc:literal;)*) => {
        /// What an event is about, with the part that only that kind has.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Body { $(#[doc = $doc] $variant(Box<$body>),)* }

        /// The kinds of events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Kind { $(#[doc = $doc] #[serde(rename = $name)] $variant,)* }

        impl Kind {
            /// All of them.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The name, as in the field `kind`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$variant => $doc,)* }
            }

            /// The schema of this kind's line, its `kind` not yet narrowed to the one name.
            pub(crate) fn line_schema(self, generator: &mut SchemaGenerator) -> Schema {
                match self { $(Self::$variant => Line::<'_, $body>::json_schema(generator),)* }
            }
        }

        impl Body {
            /// Which kind.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant,)* }
            }
        }

        $(impl From<$body> for Body {
            fn from(body: $body) -> Self { Self::$variant(Box::new(body)) }
        })*

        impl Serialize for Event {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match &self.body { $(Body::$variant(body) => Line::of(self, body).serialize(serializer),)* }
            }
        }

        impl<'de> Deserialize<'de> for Event {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = Value::deserialize(deserializer)?;
                let kind = value.get("kind").ok_or_else(|| D::Error::missing_field("kind"))?;
                match Kind::deserialize(kind).map_err(D::Error::custom)? {
                    $(Kind::$variant => Line::<'_, $body>::read(value).map_err(D::Error::custom),)*
                }
            }
        }
    };
}

kinds! {
    HttpRequest(HttpRequest) = "http.request",
        "A request on the client's leg: answered, refused, reset, or its connection ended.";
    HttpUpstream(HttpUpstream) = "http.upstream",
        "A request on the backend's leg that no client's request explains.";
    Connection(Connection) = "connection",
        "A client's or a backend's connection ended.";
    Auth(AuthEvent) = "auth",
        "A request showed a credential, or was refused for want of one.";
    ConfigChange(ConfigChange) = "config.change",
        "An object that decides about routing was created, updated or deleted.";
    Certificate(CertificateEvent) = "certificate",
        "A certificate was seen served, changed, nears its expiry, or does not cover its host.";
    DnsChange(DnsChange) = "dns.change",
        "An address or a DNS record of an exposed host changed.";
    AccessReview(AccessReview) = "access.review",
        "Permissions or a route's authentication differ from what is intended.";
    Detection(Detection) = "detection",
        "A rule fired.";
    Coverage(Coverage) = "coverage",
        "What the auditor sees, and what it does not: start, stop, attach, detach, gap, loss.";
    Checkpoint(Checkpoint) = "checkpoint",
        "The signed head of the event chain.";
}

/// One line of the native form.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Line<'a, B: Clone> {
    /// What the event is about.
    kind: Kind,
    /// The event's name: the same when the same traffic is read again.
    id: EventId,
    /// When what it tells of began. UTC, nanoseconds.
    time: Timestamp,
    /// Its place in the stream of this node and boot: contiguous, from 0.
    sequence: Count,
    /// The cluster's name, from the configuration.
    cluster: Cow<'a, Option<Text>>,
    /// The node's name.
    node: Cow<'a, Text>,
    /// The ingress controller; null for an event that belongs to none.
    controller: Cow<'a, Option<Controller>>,
    #[serde(flatten)]
    body: Cow<'a, B>,
    /// How complete the observation was.
    observation: Cow<'a, Observation>,
    /// Its link in the chain; null where the stream is not chained.
    chain: Option<Chain>,
}

impl<'a, B: Clone> Line<'a, B> {
    fn of(event: &'a Event, body: &'a B) -> Self {
        Self {
            kind: event.body.kind(),
            id: event.id,
            time: event.time,
            sequence: event.sequence,
            cluster: Cow::Borrowed(&event.source.cluster),
            node: Cow::Borrowed(&event.source.node),
            controller: Cow::Borrowed(&event.source.controller),
            body: Cow::Borrowed(body),
            observation: Cow::Borrowed(&event.observation),
            chain: event.chain,
        }
    }
}

impl<B: Clone + DeserializeOwned + Into<Body>> Line<'_, B> {
    fn read(value: Value) -> Result<Event, serde_json::Error> {
        let line = Line::<'_, B>::deserialize(value)?;
        let source = Source {
            cluster: line.cluster.into_owned(),
            node: line.node.into_owned(),
            controller: line.controller.into_owned(),
        };
        Ok(Event {
            id: line.id,
            time: line.time,
            sequence: line.sequence,
            source: Arc::new(source),
            body: line.body.into_owned().into(),
            observation: line.observation.into_owned(),
            chain: line.chain,
        })
    }
}

impl JsonSchema for Kind {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Kind".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Self::ALL.map(Self::name) })
    }
}
