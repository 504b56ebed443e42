//! Resets: which of them end a connection.

use super::{Connection, Context, DoubtfulReset, Packet, State};
use crate::capture::pcap::perspective::Role;
use crate::capture::record::{Nanos, Record, Segment};

impl Connection {
    /// Linux takes a reset only at the very byte it expects next, or at the FIN before that (`tcp_validate_incoming`).
    pub(super) fn reset(&mut self, from: usize, packet: &Packet<'_>, context: &mut Context<'_, '_>) {
        context.counters.reset_bytes += u64::from(packet.len);
        let side = *self.peek(from);
        if self.state == State::Handshake {
            let refused = from != self.client && packet.ack.is_some_and(|ack| self.acks_handshake(ack));
            let aborted = from == self.client && side.offset(packet.sequence) == Some(0);
            if refused {
                context.counters.refused += 1;
                let (client, server) = (self.end(self.client), self.end(1 - self.client));
                if context.perspective.role(client, server) == Some(Role::Active) {
                    let tuple = self.tuple(Role::Active);
                    (context.sink)(Record::ConnectFailed { id: self.id, time: context.time, tuple });
                }
                self.state = State::Ended { at: context.time };
                self.release_held(0, context);
            } else if aborted {
                self.finish(context);
            } else {
                context.counters.doubtful_resets += 1;
            }
            return;
        }
        let Some(offset) = side.offset(packet.sequence).and_then(|offset| u64::try_from(offset).ok()) else {
            context.counters.doubtful_resets += 1;
            return;
        };
        let reset = DoubtfulReset { from, time: context.time };
        let expected = offset == side.end() || side.fin == Some(offset);
        if expected {
            self.doubtful_reset = Some(reset);
            self.finish(context);
        } else {
            context.counters.doubtful_resets += 1;
            if offset <= side.limit() {
                self.doubtful_reset = Some(reset);
            }
        }
    }

    pub(super) fn emit_reset(&self, from: usize, time: Nanos, context: &mut Context<'_, '_>) {
        let Some(role) = self.role else { return };
        let direction = self.direction(role, from);
        // Where the sender's bytes end, as far as they were seen: a FIN, which counts as one, is none.
        let offset = self.peek(from).highest;
        let segment =
            Segment { direction, offset, len: 0, bytes: &[], fin: false, rst: true, received: None };
        (context.sink)(Record::Segment { id: self.id, time, segment });
    }
}
