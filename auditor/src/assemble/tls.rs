//! TLS: the pieces of both directions of a connection, and its secrets, become pieces of plaintext and facts.
//!
//! Consumes [`Piece`]s as they were on the wire and [`secrets`](secrets::store), produces pieces of application data for a
//! [`Sink`], [`Facts`] and [`Trouble`]. TLS 1.2 (RFC 5246) and TLS 1.3 (RFC 8446) with AES-GCM and `ChaCha20-Poly1305`; of
//! earlier versions and other suites the facts only.
//!
//! Invariants: bytes of a record that is there as a whole leave only if its tag is right, or as a hole where nobody needs
//! them; those of the controller's own records, which nobody else could have made, also between such holes. Where plaintext is missing and it is not certain how much, [`Sink::lost`] says so: nothing is invented. Every byte
//! fed is read, or told of as [`Trouble`], or pending.
//!
//! Absent on purpose: verification of certificates and of the handshake's own signatures (the ends do that), CBC suites,
//! compressed certificates, DTLS.

pub mod certificate;
pub mod context;
pub mod facts;
pub mod hello;
pub mod names;
pub mod plausible;
pub mod secrets;
pub mod trouble;

mod aead;
mod application;
mod handshake;
mod key_choice;
mod keys;
mod lane;
mod messages;
mod protected;
mod record;
mod records;
mod search;
mod session;
mod skim;
mod suite;
mod wire;

#[cfg(test)]
pub(crate) mod tests;

use std::mem::take;

pub use lane::Counts;
pub use suite::Version;

use context::{Context, Limits};
use facts::Facts;
use lane::{Lane, Role, Stage};
use record::HEADER;
use session::Session;
use suite::{MAX_PLAINTEXT, TAG};
use trouble::{Reason, Trouble};

use super::Piece;
use crate::capture::record::{Direction, Nanos};

/// How many different troubles are kept until they are taken; more are added to the last.
const MAX_TROUBLES: usize = 16;

/// Who takes the plaintext.
pub trait Sink {
    /// The next piece of a direction's application data, with the time when the last byte of its record was seen. `Fin` comes
    /// with `close_notify`, or with the end of the stream; `Reset` as it comes.
    fn piece(&mut self, direction: Direction, piece: Piece<'_>, time: Nanos);

    /// Application data is missing here, and how much is not known: what follows does not follow from what was before. The
    /// next piece of this direction has the plaintext offset `offset`, which counts what was given out.
    fn lost(&mut self, direction: Direction, offset: u64, time: Nanos);

    /// The plaintext offset before which nothing of a direction is needed ([`u64::MAX`]: nothing ever). What lies before it
    /// may come as holes, and is not decrypted then.
    fn needed(&self, direction: Direction) -> u64;
}

/// One connection.
#[derive(Debug)]
pub struct Tls {
    client: Direction,
    lanes: [Lane; 2],
    session: Session,
    facts: Box<Facts>,
    troubles: Vec<Trouble>,
}

impl Tls {
    /// A connection of which nothing has been seen, and whose client's bytes travel in the direction `client`.
    #[must_use]
    pub fn new(client: Direction) -> Self {
        Self {
            client,
            lanes: Default::default(),
            session: Session::default(),
            facts: Box::default(),
            troubles: Vec::new(),
        }
    }

    /// Takes the next piece of a direction.
    pub fn feed(
        &mut self,
        cx: &mut Context,
        direction: Direction,
        piece: Piece<'_>,
        time: Nanos,
        sink: &mut dyn Sink,
    ) {
        let role = self.role(direction);
        if let Some(backlog) = &mut self.lane_mut(role).backlog {
            backlog.push_back(piece, time);
            if backlog.weight() > cx.limits.held_bytes {
                self.give_up(cx, role, time, sink);
            }
        } else {
            self.deliver(cx, role, piece, time, sink);
        }
        self.settle(cx, sink);
    }

    /// Says that secrets have come: reads what waited for them. Records that were given up before are lost, what comes after
    /// them is read.
    pub fn secrets_arrived(&mut self, cx: &mut Context, _time: Nanos, sink: &mut dyn Sink) {
        self.settle(cx, sink);
        for role in [Role::Server, Role::Client] {
            self.late_secrets(cx, role);
        }
    }

    /// Gives up what has waited long enough at `now`.
    pub fn expire(&mut self, cx: &mut Context, now: Nanos, sink: &mut dyn Sink) {
        for role in [Role::Server, Role::Client] {
            let due = self.lane_deadline(role, &cx.limits).is_some_and(|deadline| deadline <= now);
            if due {
                self.give_up(cx, role, now, sink);
                self.settle(cx, sink);
            }
        }
    }

    /// Gives up all that is held of a direction, for want of memory. Records that are incomplete stay framed.
    pub fn forget(&mut self, cx: &mut Context, direction: Direction, time: Nanos, sink: &mut dyn Sink) {
        let role = self.role(direction);
        self.give_up(cx, role, time, sink);
        let lane = self.lane_mut(role);
        lane.end_search();
        lane.reader.forget_bytes();
        lane.messages.forget_bytes();
        self.settle(cx, sink);
    }

    /// Nothing will follow: gives up all that is held, tells the last troubles, and wipes the secrets that it has used, unless
    /// another connection bears the same name. Secrets may still be on their way: a connection that [`Self::is_waiting`] is
    /// better kept until [`Self::expire`] gave it up.
    pub fn finish(&mut self, cx: &mut Context, time: Nanos, sink: &mut dyn Sink) {
        for role in [Role::Server, Role::Client] {
            self.give_up(cx, role, time, sink);
            self.settle(cx, sink);
        }
        for role in [Role::Server, Role::Client] {
            self.end(role);
            let lane = self.lane_mut(role);
            lane.rekey();
        }
        for random in [self.session.secrets.take(), self.session.held.take()].into_iter().flatten() {
            cx.secrets.release(&random);
        }
    }

    /// What the handshake says so far.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// SHA-256 of the body of the first `ClientHello`, which is the same on another connection only if it was passed on or
    /// sent again.
    #[must_use]
    pub fn hello(&self) -> Option<&[u8; 32]> {
        self.session.hello.as_ref()
    }

    /// What could not be read since the last call.
    #[must_use]
    pub fn take_trouble(&mut self) -> Vec<Trouble> {
        take(&mut self.troubles)
    }

    /// Whether records of a direction are held back because something is not known yet that they need.
    #[must_use]
    pub fn is_waiting(&self, direction: Direction) -> bool {
        self.lane(self.role(direction)).backlog.is_some()
    }

    /// Whether secrets that come now are of use: [`Self::secrets_arrived`].
    #[must_use]
    pub fn wants_secrets(&self) -> bool {
        self.lanes.iter().any(|lane| lane.backlog.is_some() || lane.wants_secrets())
    }

    /// When [`Self::expire`] will give something up, if anything is held back.
    #[must_use]
    pub fn deadline(&self, limits: &Limits) -> Option<Nanos> {
        let deadlines = [Role::Client, Role::Server].map(|role| self.lane_deadline(role, limits));
        deadlines.into_iter().flatten().min()
    }

    /// Bytes of memory that both directions hold back, or keep of records and messages that are incomplete.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.lanes.iter().map(Lane::weight).sum()
    }

    /// What became of a direction's bytes.
    #[must_use]
    pub fn counts(&self, direction: Direction) -> Counts {
        self.lane(self.role(direction)).counts
    }

    /// Bytes of a direction that were fed and not yet counted.
    #[must_use]
    pub fn pending(&self, direction: Direction) -> u64 {
        self.lane(self.role(direction)).pending()
    }

    /// Bytes of plaintext that were given out of a direction: the offset of the next piece.
    #[must_use]
    pub fn plaintext_offset(&self, direction: Direction) -> u64 {
        self.lane(self.role(direction)).plain
    }

    /// The stream offset behind which bytes are needed, if no plaintext is needed before `plaintext_offset`: the least at which
    /// that can stand. [`u64::MAX`]: none ever. What lies before it may be left out only where the headers of records, the 8
    /// bytes after each and the 32 before each boundary are still told: without a header the place of all that follows is lost.
    /// None: not known yet; everything is needed.
    #[must_use]
    pub fn needed(&self, direction: Direction, plaintext_offset: u64) -> Option<u64> {
        let lane = self.lane(self.role(direction));
        if lane.unread.is_some() {
            return (!lane.is_searched() && !lane.wants_secrets()).then_some(u64::MAX);
        }
        if lane.backlog.is_some() || lane.keys.is_none() {
            return None;
        }
        if direction == Direction::Ingress {
            // Only whole records are read of what others send: the end of one alone does not tell how much of it is padding.
            return Some(lane.offset);
        }
        if plaintext_offset == u64::MAX {
            return Some(u64::MAX);
        }
        let ahead = plaintext_offset.saturating_sub(lane.plain);
        let protection = self.session.protection?;
        if protection.tls13 && lane.stage != Stage::Application || ahead == 0 {
            return Some(lane.offset + lane.reader.pending() as u64);
        }
        // Before the byte that is wanted stand whole records, and the header and nonce of its own. A record holds no more
        // than 2^14 bytes, one whose header was seen no more than that says.
        let front = (HEADER + protection.explicit_nonce()) as u64;
        let behind = (TAG + usize::from(protection.tls13)) as u64;
        let place = |start: u64, ahead: u64| {
            let records = ahead / MAX_PLAINTEXT as u64;
            start
                .saturating_add(ahead)
                .saturating_add(records.saturating_mul(front + behind))
                .saturating_add(front)
        };
        let Some((header, _)) = lane.reader.current() else { return Some(place(lane.offset, ahead)) };
        let holds = header.len.saturating_sub(protection.overhead()) as u64;
        Some(if ahead < holds {
            lane.offset + front + ahead
        } else {
            place(lane.offset + (HEADER + header.len) as u64, ahead - holds)
        })
    }

    /// Whether the boundaries of a direction's records are needed wherever they stand, so that what lies between them may be
    /// left out. Only of what the controller itself sends: of the end of a record, no more than 16 bytes of plaintext are
    /// told, and anyone else may fill them with padding (RFC 8446, 5.4).
    #[must_use]
    pub fn needs_boundaries(&self, direction: Direction) -> bool {
        direction == Direction::Egress && self.lane(self.role(direction)).unread.is_none()
    }

    fn role(&self, direction: Direction) -> Role {
        if direction == self.client { Role::Client } else { Role::Server }
    }

    fn direction(&self, role: Role) -> Direction {
        match role {
            Role::Client => self.client,
            Role::Server => self.client.opposite(),
        }
    }

    fn lane(&self, role: Role) -> &Lane {
        let [client, server] = &self.lanes;
        match role {
            Role::Client => client,
            Role::Server => server,
        }
    }

    fn lane_mut(&mut self, role: Role) -> &mut Lane {
        let [client, server] = &mut self.lanes;
        match role {
            Role::Client => client,
            Role::Server => server,
        }
    }

    fn lane_deadline(&self, role: Role, limits: &Limits) -> Option<Nanos> {
        self.lane(role).backlog.as_ref().map(|backlog| backlog.since.saturating_add(limits.age))
    }

    fn trouble(&mut self, role: Role, reason: Reason, offset: u64, bytes: u64) {
        let direction = self.direction(role);
        let full = self.troubles.len() >= MAX_TROUBLES;
        if let Some(last) = self.troubles.iter_mut().rev().find(|last| last.direction == direction) {
            // What follows the same trouble belongs to it.
            let same = last.reason == reason && last.offset + last.bytes == offset;
            if same || full {
                last.bytes += bytes;
                return;
            }
        }
        if !full {
            self.troubles.push(Trouble { direction, reason, offset, bytes });
        }
    }
}
