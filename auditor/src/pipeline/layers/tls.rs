//! TLS between a connection's streams and its HTTP decoder.
//!
//! Consumes pieces as they are on the wire; gives the decoder the plaintext, whose offsets are its own: they count from the
//! first byte of application data. Where plaintext is missing and nobody knows how much, the decoder ends what is in flight
//! and joins anew, as if the connection had been open before.

use std::sync::Arc;

use crate::assemble::Piece;
use crate::assemble::tls::trouble::Reason as Cause;
use crate::assemble::tls::{self, Tls, context};
use crate::capture::record::{Direction, How, Nanos};
use crate::decode::connection::Decoder;
use crate::decode::exchange::{Decoded, Reason, Trouble};
use crate::decode::http1::connection::{End, Sink};
use crate::decode::legs::Party;

use super::Scope;
use crate::pipeline::hellos::Hello;

/// TLS of one connection.
#[derive(Debug)]
pub(super) struct Secure {
    tls: Tls,
    requests: Direction,
    /// Plaintext bytes that the decoder was given, by direction.
    given: [u64; 2],
    /// How many alerts there were when the connection's facts were told last: when its handshake was over, and with each alert
    /// after that, which may be the server's refusal of a client that was done.
    told: Option<usize>,
}

/// The decoder above, as TLS sees it.
struct Above<'b, 'a> {
    http: &'b mut Decoder,
    sink: &'b mut Sink<'a>,
    given: &'b mut [u64; 2],
    requests: Direction,
}

impl tls::Sink for Above<'_, '_> {
    fn piece(&mut self, direction: Direction, piece: Piece<'_>, time: Nanos) {
        *of(self.given, direction) += match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Hole { len, .. } => len,
            Piece::Fin | Piece::Reset => 0,
        };
        self.http.feed(self.sink, direction, piece, time);
    }

    fn lost(&mut self, direction: Direction, offset: u64, time: Nanos) {
        *of(self.given, direction) = offset;
        self.http.close(self.sink, End::Lost, time);
        *self.http = Decoder::new(self.requests, How::Joined);
        for direction in [Direction::Ingress, Direction::Egress] {
            self.http.begin_behind(direction, *of(self.given, direction));
        }
    }

    fn needed(&self, direction: Direction) -> u64 {
        self.http.needed(direction).unwrap_or(0)
    }
}

impl Secure {
    /// TLS of a connection whose requests, and so whose TLS client's bytes, travel in the direction `requests`.
    pub(super) fn new(requests: Direction) -> Self {
        Self { tls: Tls::new(requests), requests, given: [0; 2], told: None }
    }

    /// Takes the next piece of a direction.
    pub(super) fn feed(
        &mut self,
        http: &mut Decoder,
        scope: &mut Scope<'_>,
        party: &mut Arc<Party>,
        direction: Direction,
        piece: Piece<'_>,
        time: Nanos,
    ) {
        self.with(http, scope, party, time, |tls, cx, above| tls.feed(cx, direction, piece, time, above));
    }

    /// The next stream offset of which a direction needs the bytes, boundaries of records apart; see [`Tls::needed`].
    pub(super) fn needed(&self, http: &Decoder, direction: Direction) -> Option<u64> {
        self.tls.needed(direction, http.needed(direction)?)
    }

    /// See [`Tls::needs_boundaries`].
    pub(super) fn needs_boundaries(&self, direction: Direction) -> bool {
        self.tls.needs_boundaries(direction)
    }

    /// A secret has come that the connection waits for.
    pub(super) fn secrets_arrived(
        &mut self,
        http: &mut Decoder,
        scope: &mut Scope<'_>,
        party: &mut Arc<Party>,
        time: Nanos,
    ) {
        self.with(http, scope, party, time, |tls, cx, above| tls.secrets_arrived(cx, time, above));
    }

    /// Gives up what waited long enough at `now`.
    pub(super) fn expire(
        &mut self,
        http: &mut Decoder,
        scope: &mut Scope<'_>,
        party: &mut Arc<Party>,
        now: Nanos,
    ) {
        self.with(http, scope, party, now, |tls, cx, above| tls.expire(cx, now, above));
    }

    /// Gives up all that is held: there is no room for it.
    pub(super) fn release(
        &mut self,
        http: &mut Decoder,
        scope: &mut Scope<'_>,
        party: &mut Arc<Party>,
        now: Nanos,
    ) {
        self.with(http, scope, party, now, |tls, cx, above| {
            for direction in [Direction::Ingress, Direction::Egress] {
                tls.forget(cx, direction, now, above);
            }
        });
    }

    /// Nothing will follow: the facts are what they are.
    pub(super) fn finish(
        &mut self,
        http: &mut Decoder,
        scope: &mut Scope<'_>,
        party: &mut Arc<Party>,
        time: Nanos,
    ) {
        self.with(http, scope, party, time, |tls, cx, above| tls.finish(cx, time, above));
        Arc::make_mut(party).tls = Some(Arc::new(self.tls.facts().clone()));
    }

    /// The client's hello, once it was read.
    pub(super) fn hello(&self) -> Option<Hello> {
        Some(Hello { random: self.tls.facts().client_random?, sha256: *self.tls.hello()? })
    }

    /// Whether secrets would serve: for records that wait, or for what follows those that were given up.
    pub(super) fn awaits(&self) -> bool {
        self.tls.wants_secrets()
    }

    /// Whether something is held back until a certain time.
    pub(super) fn has_deadline(&self, limits: &context::Limits) -> bool {
        self.tls.deadline(limits).is_some()
    }

    /// Bytes of memory that hold what is not read yet.
    pub(super) fn held_bytes(&self) -> usize {
        self.tls.held_bytes()
    }

    fn with(
        &mut self,
        http: &mut Decoder,
        scope: &mut Scope<'_>,
        party: &mut Arc<Party>,
        time: Nanos,
        act: impl FnOnce(&mut Tls, &mut context::Context, &mut Above<'_, '_>),
    ) {
        let Self { tls, requests, given, told } = self;
        let mut above = Above { http, sink: &mut scope.http, given, requests: *requests };
        act(tls, scope.tls, &mut above);
        for trouble in tls.take_trouble() {
            // The client sends it again if it wants to: nothing is lost.
            if trouble.reason != Cause::RejectedEarlyData {
                let tls::trouble::Trouble { direction, reason, offset, bytes } = trouble;
                let reason = Reason::Tls(reason);
                scope.http.out.push(Decoded::Trouble(Trouble { direction, offset, bytes, reason, time }));
            }
        }
        let alerts = tls.facts().alerts.len();
        if tls.facts().completed && *told != Some(alerts) {
            *told = Some(alerts);
            Arc::make_mut(party).tls = Some(Arc::new(tls.facts().clone()));
        }
    }
}

fn of(both: &mut [u64; 2], direction: Direction) -> &mut u64 {
    let [ingress, egress] = both;
    match direction {
        Direction::Ingress => ingress,
        Direction::Egress => egress,
    }
}
