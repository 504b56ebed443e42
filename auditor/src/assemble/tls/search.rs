//! Finding the records again after some were lost with their headers, or when the key comes after its records.
//!
//! A place is believed only if a whole record stands there whose tag is right under the keys that are known and one of the
//! sequence numbers that are possible: that cannot be by chance. How much is tried is bounded: whoever sends the records
//! can make many places look like one.

use std::ops::ControlFlow;

use super::aead;
use super::context::Context;
use super::key_choice::{Named, label};
use super::lane::{Lane, Role, Stage, Unread};
use super::record::{HEADER, Header};
use super::suite::Protection;
use super::trouble::Reason;
use super::{Sink, Tls};
use crate::capture::record::Nanos;

/// How many sequence numbers are tried at a place.
const MAX_SEQUENCES: u64 = 256;

/// How many bytes are run through an AEAD for a direction, over the whole connection.
const MAX_BYTES: u64 = 8 << 20;

/// A search that is under way.
#[derive(Debug)]
pub(super) struct Search {
    /// Stream offset from which on records were not seen.
    origin: u64,
    /// What the keys may be, as long as none has opened a record; empty where the direction has its keys.
    named: Vec<Named>,
    /// The last bytes of the stream: a place that may prove right when more has come.
    buffer: Vec<u8>,
}

impl Search {
    pub(super) fn pending(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn weight(&self) -> usize {
        self.buffer.capacity()
    }
}

/// Where a record was found, or up to where none can start.
enum Scan {
    Found { at: usize, sequence: u64, named: Option<usize> },
    None { before: usize },
    GivenUp,
}

impl Tls {
    /// Begins to search a direction that cannot be read from `origin` on, if its keys are known or can be.
    pub(super) fn start_search(&mut self, cx: &mut Context, role: Role, origin: u64) {
        let Some(protection) = self.session.protection else { return };
        let lane = self.lane(role);
        let armed = lane.keys.is_some() && (!protection.tls13 || lane.stage == Stage::Application);
        let mut named = Vec::new();
        if !armed {
            named = self.named(cx, protection, label(protection, role, Stage::Application), role);
            if named.is_empty() {
                return;
            }
            let lane = self.lane_mut(role);
            if protection.tls13 {
                lane.enter(Stage::Application);
            }
            lane.changed = true;
        }
        self.lane_mut(role).search = Some(Box::new(Search { origin, named, buffer: Vec::new() }));
    }

    /// Secrets have come for records that have been given up.
    pub(super) fn late_secrets(&mut self, cx: &mut Context, role: Role) {
        let Some(protection) = self.session.protection else { return };
        let lane = self.lane(role);
        let Some(unread) = lane.unread.filter(|_| lane.wants_secrets()) else { return };
        if lane.search.is_some() {
            let named = self.named(cx, protection, label(protection, role, Stage::Application), role);
            // None: they are too old by now, and those that are known as good as before.
            if let Some(search) = self.lane_mut(role).search.as_mut().filter(|_| !named.is_empty()) {
                search.named = named;
            }
            return;
        }
        self.tell_unread(role);
        self.start_search(cx, role, unread.origin);
        let lane = self.lane_mut(role);
        if lane.search.is_some()
            && let Some(unread) = &mut lane.unread
        {
            unread.reason = Reason::KeyLate;
        }
    }

    /// Takes bytes of a direction that is not read.
    pub(super) fn unread_data(
        &mut self,
        cx: &mut Context,
        role: Role,
        bytes: &[u8],
        time: Nanos,
        sink: &mut dyn Sink,
    ) {
        let protection = self.session.protection;
        let lane = self.lane_mut(role);
        let (Some(mut search), Some(protection)) = (lane.search.take(), protection) else {
            return lane.count_unread(bytes.len() as u64);
        };
        search.buffer.extend_from_slice(bytes);
        match scan(&search, lane, protection, &mut cx.scratch) {
            Scan::Found { at, sequence, named } => {
                lane.count_unread(at as u64);
                self.tell_unread(role);
                let server = self.server_of(label(protection, role, Stage::Application));
                let lane = self.lane_mut(role);
                if let Some(at) = named.filter(|at| *at < search.named.len()) {
                    let Named { random, secret, keys } = search.named.swap_remove(at);
                    let label = label(protection, role, Stage::Application);
                    cx.secrets.prove(&random, label, &secret, server);
                    lane.arm(keys, secret);
                }
                (lane.unread, lane.sequence, lane.unsure) = (None, sequence, false);
                self.data(cx, role, search.buffer.get(at..).unwrap_or_default(), time, sink);
            }
            Scan::None { before } => {
                search.buffer.drain(..before);
                search.buffer.shrink_to(4 * HEADER);
                lane.search = Some(search);
                lane.count_unread(before as u64);
            }
            Scan::GivenUp => lane.count_unread(search.buffer.len() as u64),
        }
    }

    /// Takes a hole of a direction that is not read.
    pub(super) fn unread_hole(&mut self, role: Role, len: u64) {
        let lane = self.lane_mut(role);
        let before = lane.search.as_mut().map_or(0, |search| std::mem::take(&mut search.buffer).len());
        lane.count_unread(before as u64 + len);
    }
}

impl Lane {
    /// Whether records may be found again.
    pub(super) fn is_searched(&self) -> bool {
        self.search.is_some()
    }

    /// Whether they may be once a secret has come.
    pub(super) fn wants_secrets(&self) -> bool {
        let missing = |unread: &Unread| match unread.reason {
            Reason::NoKey | Reason::Missing | Reason::NotCopied => true,
            // None of the keys that were there opened the first record.
            Reason::BadTag => self.keys.is_none(),
            _ => false,
        };
        let unread = self.unread.as_ref();
        self.searched <= MAX_BYTES
            && match &self.search {
                Some(search) => !search.named.is_empty(),
                None => unread.is_some_and(missing),
            }
    }

    /// Ends a search; what it held was not read.
    pub(super) fn end_search(&mut self) {
        if let Some(search) = self.search.take() {
            self.count_unread(search.buffer.len() as u64);
        }
    }
}

fn scan(search: &Search, lane: &mut Lane, protection: Protection, scratch: &mut Vec<u8>) -> Scan {
    let mut at = 0;
    while let Some(rest) = search.buffer.get(at..) {
        // Application data only: handshakes and alerts say where they are by nothing.
        let Some(skip) = memchr::memchr(23, rest) else { break };
        at += skip;
        let Some(rest) = search.buffer.get(at..) else { break };
        let Some((header, behind)) = rest.split_first_chunk::<HEADER>() else {
            return Scan::None { before: at };
        };
        let Some(header) = plausible(*header, protection) else {
            at += 1;
            continue;
        };
        let Some(fragment) = behind.get(..header.len) else { return Scan::None { before: at } };
        let between = (lane.offset + at as u64).saturating_sub(search.origin);
        match sequence(lane, &search.named, protection, &header, fragment, between, scratch) {
            ControlFlow::Continue(Some((sequence, named))) => return Scan::Found { at, sequence, named },
            ControlFlow::Continue(None) => at += 1,
            ControlFlow::Break(()) => return Scan::GivenUp,
        }
    }
    Scan::None { before: search.buffer.len() }
}

fn plausible(bytes: [u8; HEADER], protection: Protection) -> Option<Header> {
    let header = Header::parse(bytes).ok()?;
    // Both versions write 0x0303 (RFC 8446, 5.1; RFC 5246, 6.2.1).
    let fits = bytes.get(1..3) == Some(&[3, 3]);
    (fits && (protection.overhead()..=protection.max_fragment()).contains(&header.len)).then_some(header)
}

/// The sequence number under which a record's tag is right, and with which of the keys that may be. Break: enough was tried.
fn sequence(
    lane: &mut Lane,
    named: &[Named],
    protection: Protection,
    header: &Header,
    fragment: &[u8],
    between: u64,
    scratch: &mut Vec<u8>,
) -> ControlFlow<(), Option<(u64, Option<usize>)>> {
    // So many records can have been in between, each at its shortest.
    let most = (between / (HEADER + protection.overhead()) as u64).min(MAX_SEQUENCES - 1);
    let own = lane.keys.as_ref().filter(|_| named.is_empty()).map(|keys| (None, keys));
    let named = named.iter().enumerate().map(|(at, named)| (Some(at), &named.keys));
    for (at, keys) in own.into_iter().chain(named) {
        for sequence in lane.sequence..=lane.sequence.saturating_add(most) {
            lane.searched += (HEADER + header.len) as u64;
            if lane.searched > MAX_BYTES {
                return ControlFlow::Break(());
            }
            if aead::open(keys, header, sequence, fragment, scratch) {
                scratch.clear();
                return ControlFlow::Continue(Some((sequence, at)));
            }
        }
    }
    ControlFlow::Continue(None)
}
