//! `coverage`: what the auditor sees and what it does not. Nothing that is missing is missing silently.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::connection::Leg;
use super::{Count, Endpoint, Text, Timestamp};

/// The part of a `coverage` event that is its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// What happened.
    pub what: What,
    /// Why; null where it needs no reason.
    pub reason: Option<Reason>,
    /// What it concerns; null where it concerns the whole program.
    pub subject: Option<Subject>,
    /// How many things are concerned: connections, records, events; null where that does not apply.
    pub count: Option<Count>,
    /// How many bytes of payload are concerned; null where that does not apply or is not known.
    pub bytes: Option<Count>,
    /// From when; null where it is about one moment.
    pub since: Option<Timestamp>,
    /// Until when; null where it goes on, or is about one moment.
    pub until: Option<Timestamp>,
    /// Counters by name, each the increase since the report before.
    pub counters: BTreeMap<Text, Count>,
    /// The program; only with `start` and `stop`.
    pub program: Option<Program>,
    /// One sentence.
    pub message: Option<Text>,
}

/// What happened to what is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The program started.
    Start,
    /// The program stops.
    Stop,
    /// A controller is seen from now on.
    Attach,
    /// A controller is no longer seen.
    Detach,
    /// Bytes of a connection were not seen.
    Gap,
    /// Records or events were lost.
    Loss,
    /// Bytes were seen and could not be understood.
    Unreadable,
    /// Something is kept from view from its start: not the program's loss, but not seen either.
    NotCovered,
    /// Objects or configuration were read again.
    Reload,
    /// Counters, at an interval.
    Report,
}

/// Why something is not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It was asked for.
    Requested,
    /// The program failed.
    Failed,
    /// The controller's cgroup is gone.
    CgroupGone,
    /// The connection was open before it could be seen.
    JoinedInTheMiddle,
    /// The ring to userspace was full.
    RingFull,
    /// The kernel had no room for a connection's state.
    KernelStateFull,
    /// The socket was made in another cgroup (socket activation, a listener that was passed on, a process that was moved).
    ForeignSocket,
    /// A record of the kernel's could not be read.
    RecordUnreadable,
    /// Payload could not be copied from its packet.
    CopyFailed,
    /// Bytes that would have been needed were not copied: they lay beyond the window of a turn.
    NotCopied,
    /// The connection's beginning was lost, so that its bytes cannot be read.
    ConnectionUnknown,
    /// Payload came for a connection that was never established.
    HandshakeIncomplete,
    /// Bytes came after the connection's end.
    AfterEnd,
    /// A packet could not be read: a fragment, a malformed header.
    PacketUnreadable,
    /// The transport is not TCP.
    NotTcp,
    /// UDP at a port where the controller listens (QUIC, with HTTP/3), which is not decoded: packets, of both ways.
    Udp,
    /// A missing piece did not come within the bound of time or memory.
    SegmentMissing,
    /// A piece contradicts bytes that were seen before.
    SegmentContradicts,
    /// A bound on held bytes was reached.
    HeldBytesLimit,
    /// A bound on the number of connections was reached.
    ConnectionLimit,
    /// A bound on requests waiting for something was reached.
    PendingLimit,
    /// A head is larger than the bound.
    HeadTooLarge,
    /// A message breaks its protocol.
    Malformed,
    /// A message has framing that two parsers may read differently.
    AmbiguousFraming,
    /// A response without a request.
    UnexpectedResponse,
    /// The connection became another protocol (Upgrade, CONNECT).
    Upgraded,
    /// The protocol is not known.
    UnknownProtocol,
    /// TLS, and no key.
    NoKey,
    /// A bound on the secrets of TLS that bear one client random was reached: connections that say the same one, at the same time,
    /// may not be read.
    SecretLimit,
    /// TLS that the controller passes on without ending it: it has no keys either.
    PassedThrough,
    /// TLS, and no way to take keys from this library or binary.
    NoKeyTap,
    /// Output did not take events as fast as they came.
    OutputBlocked,
    /// Output is closed.
    OutputClosed,
    /// An object or the configuration is invalid; the one before stays in force.
    InvalidObject,
    /// A right or a feature of the kernel is missing.
    NotSupported,
    /// The capture file is cut short or damaged.
    CaptureFileDamaged,
    /// The capture file does not hold all bytes of the packets.
    CaptureFileSnapped,
    /// A wait for the next report ended.
    Interval,
    /// The cgroup of a pod that carries ingress traffic is not found on this node.
    CgroupMissing,
    /// The API server does not let the auditor read a resource: routes are judged by what was known before, or not at all.
    Forbidden,
    /// The API server cannot be reached, or fails: routes are judged by what was known before, or not at all.
    ApiUnavailable,
    /// A bound on the number of pods that are audited, or of objects that are known, was reached.
    ObjectLimit,
}

/// What a coverage event concerns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// A cgroup, by its path from the root of the tree.
    pub cgroup: Option<Text>,
    /// A file: the capture, the configuration, a manifest.
    pub file: Option<Text>,
    /// A connection.
    pub connection: Option<SubjectConnection>,
    /// A UDP port of the controller.
    pub udp_port: Option<u16>,
    /// A resource of the API server: `ingresses.networking.k8s.io`.
    pub resource: Option<Text>,
}

/// The connection that a coverage event concerns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubjectConnection {
    /// Whose; null where that is not known.
    pub leg: Option<Leg>,
    /// The controller's end.
    pub local: Endpoint,
    /// The peer's end.
    pub remote: Endpoint,
    /// Which way the bytes went; null where it is about both.
    pub direction: Option<Direction>,
    /// Place in the stream of that direction, in bytes; null where it is not about one place.
    pub offset: Option<Count>,
}

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To the controller.
    Ingress,
    /// From the controller.
    Egress,
}

/// The program that made the events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Its version.
    pub version: Text,
    /// Version of the native form.
    pub schema_version: u32,
    /// The kernel's release; null in a replay.
    pub kernel: Option<Text>,
    /// The kernel's boot id; null in a replay.
    pub boot_id: Option<Text>,
    /// What it reads.
    pub mode: Mode,
}

/// What the program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The kernel of this node.
    Live,
    /// A capture file.
    Replay,
}
