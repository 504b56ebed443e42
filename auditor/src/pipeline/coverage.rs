//! What was not seen or not understood, on its way to becoming `coverage` events.
//!
//! Each piece of trouble with a connection is told with the connection, as long as there are not too many; past that, and
//! for what belongs to no connection, it is counted by reason and told at an interval. Nothing is only logged.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::assemble::Absence;
use crate::assemble::tls::trouble::Reason as Encrypted;
use crate::capture::record::Nanos;
use crate::decode::http1::exchange::{Reason as Cause, Trouble};
use crate::decode::http1::malformed::Malformed;
use crate::decode::legs::Party;
use crate::emit::build::{Builder, Gap};
use crate::emit::model::Event;
use crate::emit::model::coverage::{Reason, What};

/// Events about single connections in one interval.
const MAX_SINGLE: usize = 256;
/// Between two reports of what was only counted.
const INTERVAL: Nanos = 10_000_000_000;

/// What is lost before it reaches a connection's decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// A record of the ring that this version cannot read.
    RecordUnreadable,
    /// No room in the ring.
    RingFull,
    /// The kernel had no room for a socket's state.
    KernelStateFull,
    /// A packet's headers could not be read.
    PacketUnreadable,
    /// A packet's payload could not be copied.
    CopyFailed,
    /// Not TCP.
    NotTcp,
    /// Payload of a connection whose beginning was lost.
    ConnectionUnknown,
    /// Too many connections.
    ConnectionLimit,
    /// A connection that was open before.
    Joined,
    /// Payload for a connection that was never established.
    NeverEstablished,
    /// Bytes or ends that contradict what was seen before of the same stream.
    Contradiction,
}

impl Loss {
    fn told(self) -> (What, Reason) {
        match self {
            Self::RecordUnreadable => (What::Loss, Reason::RecordUnreadable),
            Self::RingFull => (What::Loss, Reason::RingFull),
            Self::KernelStateFull => (What::Loss, Reason::KernelStateFull),
            Self::PacketUnreadable => (What::Unreadable, Reason::PacketUnreadable),
            Self::CopyFailed => (What::Loss, Reason::CopyFailed),
            Self::NotTcp => (What::NotCovered, Reason::NotTcp),
            Self::ConnectionUnknown => (What::Gap, Reason::ConnectionUnknown),
            Self::ConnectionLimit => (What::NotCovered, Reason::ConnectionLimit),
            Self::Joined => (What::NotCovered, Reason::JoinedInTheMiddle),
            Self::Contradiction => (What::Unreadable, Reason::SegmentContradicts),
            Self::NeverEstablished => (What::NotCovered, Reason::HandshakeIncomplete),
        }
    }
}

/// What is to be told.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    single: Vec<(Arc<Party>, Trouble)>,
    /// Single ones told since the last report of what was counted.
    singles: usize,
    counted: BTreeMap<(What, Reason), Gap>,
    reported: Nanos,
}

impl Coverage {
    /// Counts a loss.
    pub(super) fn count(&mut self, loss: Loss, count: u64, bytes: u64, now: Nanos) {
        self.add(loss.told(), count, bytes, now);
    }

    /// Takes trouble with a connection.
    pub(super) fn trouble(&mut self, party: &Arc<Party>, trouble: &Trouble) {
        if self.singles < MAX_SINGLE {
            self.singles += 1;
            self.single.push((Arc::clone(party), *trouble));
        } else {
            self.add(told(trouble.reason), 1, trouble.bytes, trouble.time);
        }
    }

    fn add(&mut self, told: (What, Reason), count: u64, bytes: u64, now: Nanos) {
        let gap = self.counted.entry(told).or_insert(Gap { count: 0, bytes: 0, since: now, until: now });
        gap.count = gap.count.saturating_add(count);
        gap.bytes = gap.bytes.saturating_add(bytes);
        gap.until = gap.until.max(now);
    }

    /// Turns what is due into events.
    pub(super) fn report(&mut self, now: Nanos, builder: &mut Builder, events: &mut Vec<Event>) {
        // Single ones are told at once; the interval only bounds how many.
        self.tell_single(builder, events);
        if now < self.reported.saturating_add(INTERVAL) {
            return;
        }
        self.reported = now;
        self.singles = 0;
        for ((what, reason), gap) in std::mem::take(&mut self.counted) {
            events.push(builder.counted(what, reason, &gap));
        }
    }

    #[cfg(test)]
    pub(super) fn told(&self, loss: Loss) -> (u64, u64) {
        self.counted.get(&loss.told()).map_or((0, 0), |gap| (gap.count, gap.bytes))
    }

    fn tell_single(&mut self, builder: &mut Builder, events: &mut Vec<Event>) {
        for (party, trouble) in self.single.drain(..) {
            let (what, reason) = told(trouble.reason);
            events.push(builder.trouble(&party, what, reason, &trouble));
        }
    }
}

/// How trouble is told.
fn told(cause: Cause) -> (What, Reason) {
    match cause {
        Cause::Malformed(malformed) => match malformed {
            Malformed::Tls => (What::NotCovered, Reason::NoKey),
            Malformed::Http2 | Malformed::NotHttp | Malformed::Version => {
                (What::NotCovered, Reason::UnknownProtocol)
            }
            Malformed::HeadTooLarge | Malformed::TooManyFields => (What::Unreadable, Reason::HeadTooLarge),
            Malformed::ContentLengthConflict
            | Malformed::FieldName
            | Malformed::FoldedFraming
            | Malformed::TransferEncoding
            | Malformed::TransferEncodingVersion => (What::Unreadable, Reason::AmbiguousFraming),
            _ => (What::Unreadable, Reason::Malformed),
        },
        Cause::Hole(Absence::Lost) => (What::Gap, Reason::SegmentMissing),
        Cause::Hole(Absence::Unwanted) => (What::Gap, Reason::NotCopied),
        Cause::Joined => (What::NotCovered, Reason::JoinedInTheMiddle),
        Cause::Contradicted => (What::Unreadable, Reason::SegmentContradicts),
        Cause::NoRequest => (What::Unreadable, Reason::UnexpectedResponse),
        Cause::Pipelined => (What::Unreadable, Reason::PendingLimit),
        Cause::Held => (What::Unreadable, Reason::HeldBytesLimit),
        Cause::Tls(cause) => encrypted(cause),
        Cause::AfterEnd => (What::Unreadable, Reason::AfterEnd),
    }
}

/// How it is told that TLS could not be decrypted.
fn encrypted(cause: Encrypted) -> (What, Reason) {
    match cause {
        Encrypted::NoKey | Encrypted::KeyLate | Encrypted::NoHandshakeKey | Encrypted::NoHello => {
            (What::NotCovered, Reason::NoKey)
        }
        Encrypted::Version | Encrypted::Suite | Encrypted::CompressedCertificate => {
            (What::NotCovered, Reason::NotSupported)
        }
        Encrypted::EarlyData => (What::NotCovered, Reason::UnknownProtocol),
        Encrypted::Missing | Encrypted::Truncated => (What::Gap, Reason::SegmentMissing),
        Encrypted::NotCopied => (What::Gap, Reason::NotCopied),
        Encrypted::BadTag
        | Encrypted::NotTls
        | Encrypted::RecordTooLong
        | Encrypted::MalformedRecord
        | Encrypted::MalformedHandshake
        | Encrypted::HandshakeTooLong
        | Encrypted::RejectedEarlyData => (What::Unreadable, Reason::Malformed),
    }
}
