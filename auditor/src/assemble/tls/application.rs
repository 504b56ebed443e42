//! What is in records, protected or not: application data, alerts, and changes of keys.

use super::context::Context;
use super::facts::{Alert, MAX_ALERTS};
use super::lane::{Role, Stage, Stop};
use super::record::{ContentType, Part};
use super::suite::Version;
use super::trouble::Reason;
use super::{Sink, Tls};
use crate::assemble::Piece;
use crate::capture::record::Nanos;

const CLOSE_NOTIFY: u8 = 0;
const BAD_RECORD_MAC: u8 = 20;
const RECORD_OVERFLOW: u8 = 22;
const DECRYPT_ERROR: u8 = 51;
const USER_CANCELED: u8 = 90;

impl Tls {
    /// Reads the contents of a protected record.
    pub(super) fn contents(
        &mut self,
        cx: &mut Context,
        role: Role,
        content: ContentType,
        parts: &[Part<'_>],
        time: Nanos,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        let tls13 = self.session.version == Some(Version::Tls13);
        match content {
            ContentType::ApplicationData => {
                let stage = self.lane(role).stage;
                if tls13 && !matches!(stage, Stage::Early | Stage::Application) {
                    return Err(Stop::Unread(Reason::MalformedRecord));
                }
                // In TLS 1.3 a client has these keys when it is done, in TLS 1.2 a server says nothing before it is.
                let done = if tls13 {
                    role == Role::Client && stage == Stage::Application
                } else {
                    role == Role::Server
                };
                self.facts.completed |= done && self.lane(role).verified;
                for part in parts {
                    match *part {
                        Part::Present(_, bytes) => self.give(role, Piece::Data(bytes), time, sink),
                        Part::Absent(gap) => {
                            let hole = Piece::Hole { len: gap.len as u64, reason: gap.reason };
                            self.give(role, hole, time, sink);
                        }
                    }
                }
                Ok(())
            }
            ContentType::Handshake => self.handshake(cx, role, parts, true),
            ContentType::Alert => {
                if let [Part::Present(_, bytes)] = parts {
                    self.alert(role, bytes, time, sink);
                }
                Ok(())
            }
            ContentType::ChangeCipherSpec if !tls13 => {
                self.change_cipher_spec(role);
                Ok(())
            }
            // TLS 1.3 protects no such record (RFC 8446, 5.2).
            ContentType::ChangeCipherSpec => Err(Stop::Unread(Reason::MalformedRecord)),
            ContentType::Heartbeat => Ok(()),
        }
    }

    /// Before TLS 1.3: what follows is protected with new keys.
    pub(super) fn change_cipher_spec(&mut self, role: Role) {
        if role == Role::Server && self.facts.resumed.is_none() && self.session.version.is_some() {
            // A resumed session goes on without certificate and key exchange (RFC 5246, 7.3).
            self.facts.resumed = Some(!self.session.full);
        }
        let lane = self.lane_mut(role);
        lane.changed = true;
        lane.messages.reset();
        lane.rekey();
    }

    pub(super) fn alert(&mut self, role: Role, bytes: &[u8], time: Nanos, sink: &mut dyn Sink) {
        let &[level, description] = bytes else { return };
        if description == CLOSE_NOTIFY {
            match role {
                Role::Client => self.facts.client_closed = true,
                Role::Server => self.facts.server_closed = true,
            }
            return self.close(role, time, sink);
        }
        let tls13 = self.session.version == Some(Version::Tls13);
        // The level means nothing in TLS 1.3 (RFC 8446, 6).
        let fatal = level == 2 || tls13 && description != USER_CANCELED;
        let (direction, in_handshake) = (self.direction(role), self.is_in_handshake(role, description));
        let alert = Alert { direction, fatal, description, in_handshake, time };
        let alerts = &mut self.facts.alerts;
        if alerts.len() < MAX_ALERTS {
            alerts.push(alert);
        } else if fatal && let Some(last) = alerts.iter_mut().rev().find(|alert| !alert.fatal) {
            // Who sends many warnings first does not hide how it ends.
            *last = alert;
        }
    }

    /// Whether a side that sends an alert now is not done with the handshake yet.
    fn is_in_handshake(&self, role: Role, description: u8) -> bool {
        let lane = self.lane(role);
        // Whoever reads the other's Finished last refuses it with this, and says nothing before (RFC 8446, 4.4.4).
        let refused = description == DECRYPT_ERROR && lane.plain == 0;
        if role == Role::Server && lane.stage == Stage::Application {
            // A server changes keys before it has read the client's certificate (RFC 8446, 4.4.4). What it refuses the client
            // for is then the first that it says under them, unless it has answered early (2, figure 1).
            let first = lane.sequence <= 1 && lane.plain == 0;
            // A record that it cannot read says nothing about a certificate that it asked for and could read.
            let of_record = matches!(description, BAD_RECORD_MAC | RECORD_OVERFLOW);
            let asked = self.facts.certificate_requested && !of_record;
            return first && (!self.facts.completed || asked || refused);
        }
        !self.facts.completed || refused
    }

    /// The end of a direction's plaintext. What follows it is not looked at (RFC 8446, 6.1).
    pub(super) fn close(&mut self, role: Role, time: Nanos, sink: &mut dyn Sink) {
        let direction = self.direction(role);
        self.signal_gap(role, time, sink);
        let lane = self.lane_mut(role);
        if !std::mem::replace(&mut lane.closed, true) {
            sink.piece(direction, Piece::Fin, time);
        }
    }

    /// Gives out application data.
    pub(super) fn give(&mut self, role: Role, piece: Piece<'_>, time: Nanos, sink: &mut dyn Sink) {
        let direction = self.direction(role);
        if self.lane(role).closed {
            return;
        }
        self.signal_gap(role, time, sink);
        let lane = self.lane_mut(role);
        lane.gap = false;
        lane.plain += match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Hole { len, .. } => len,
            Piece::Fin | Piece::Reset => 0,
        };
        sink.piece(direction, piece, time);
    }

    /// Plaintext is missing, and how much is not known.
    pub(super) fn lose_plaintext(&mut self, role: Role, time: Nanos, sink: &mut dyn Sink) {
        let direction = self.direction(role);
        let lane = self.lane_mut(role);
        lane.gap_pending = false;
        if !lane.closed && !std::mem::replace(&mut lane.gap, true) {
            let offset = lane.plain;
            sink.lost(direction, offset, time);
        }
    }

    fn signal_gap(&mut self, role: Role, time: Nanos, sink: &mut dyn Sink) {
        if self.lane(role).gap_pending {
            self.lose_plaintext(role, time, sink);
        }
    }
}
