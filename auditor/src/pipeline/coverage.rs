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
/// How long it takes at most to learn that a connection's TLS code was tapped after it began.
const TAP_DELAY: Nanos = 2_000_000_000;
const TAPPED_LATER: &str =
    "the connection began before the TLS code of a program that has just begun to run was tapped";

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
    /// Too many secrets of TLS for one client random.
    SecretLimit,
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
            Self::SecretLimit => (What::Loss, Reason::SecretLimit),
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
    /// UDP where the controller listens, by port.
    datagrams: BTreeMap<u16, Gap>,
    reported: Nanos,
    /// When TLS code was last tapped anew; none where nothing is (a replay).
    tapped: Option<Nanos>,
}

impl Coverage {
    /// TLS code that was not tapped before is from `time` on: connections that are older may lack secrets for this reason.
    pub(super) fn set_tapped(&mut self, time: Nanos) {
        self.tapped = self.tapped.max(Some(time));
    }

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
            self.add(told(party, trouble.reason), 1, trouble.bytes, trouble.time);
        }
    }

    /// Counts packets of UDP at a port where the controller listens.
    pub(super) fn datagrams(&mut self, port: u16, packets: u64, bytes: u64, now: Nanos) {
        grow(self.datagrams.entry(port).or_insert(Gap::at(now)), packets, bytes, now);
    }

    fn add(&mut self, told: (What, Reason), count: u64, bytes: u64, now: Nanos) {
        grow(self.counted.entry(told).or_insert(Gap::at(now)), count, bytes, now);
    }

    /// Turns what is due into events.
    pub(super) fn report(&mut self, now: Nanos, builder: &mut Builder, events: &mut Vec<Event>) {
        // Single ones are told at once; the interval only bounds how many.
        self.tell_single(now, builder, events);
        if now < self.reported.saturating_add(INTERVAL) {
            return;
        }
        self.reported = now;
        self.singles = 0;
        for ((what, reason), gap) in std::mem::take(&mut self.counted) {
            events.push(builder.counted(what, reason, &gap));
        }
        for (port, gap) in std::mem::take(&mut self.datagrams) {
            events.push(builder.datagrams(port, &gap));
        }
    }

    #[cfg(test)]
    pub(super) fn told(&self, loss: Loss) -> (u64, u64) {
        self.counted.get(&loss.told()).map_or((0, 0), |gap| (gap.count, gap.bytes))
    }

    fn tell_single(&mut self, now: Nanos, builder: &mut Builder, events: &mut Vec<Event>) {
        let tapped = self.tapped;
        let is_ripe = |(party, trouble): &mut (Arc<Party>, Trouble)| {
            trouble.reason != Cause::Tls(Encrypted::NoKey)
                || tapped.is_none_or(|tapped| party.opened < tapped)
                || trouble.time.saturating_add(TAP_DELAY) <= now
        };
        for (party, trouble) in self.single.extract_if(.., is_ripe) {
            let (what, reason) = told(&party, trouble.reason);
            // Only of what is as new as the program may be: another tap, later, is no reason.
            let late = trouble.reason == Cause::Tls(Encrypted::NoKey)
                && reason == Reason::NoKey
                && tapped
                    .and_then(|tapped| tapped.checked_sub(party.opened))
                    .is_some_and(|before| (1..=TAP_DELAY).contains(&before));
            events.push(builder.trouble(&party, what, reason, &trouble, late.then_some(TAPPED_LATER)));
        }
    }
}

fn grow(gap: &mut Gap, count: u64, bytes: u64, now: Nanos) {
    gap.count = gap.count.saturating_add(count);
    gap.bytes = gap.bytes.saturating_add(bytes);
    gap.until = gap.until.max(now);
}

/// How trouble with a connection is told.
fn told(party: &Party, cause: Cause) -> (What, Reason) {
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
        // A wrong tag: there are the secrets of another connection of the same name.
        Cause::Tls(Encrypted::NoKey | Encrypted::KeyLate | Encrypted::NoHandshakeKey | Encrypted::BadTag)
            if party.passed.is_some() =>
        {
            (What::NotCovered, Reason::PassedThrough)
        }
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
