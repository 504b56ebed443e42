//! From pieces to records: each is read, held back, or given up.

use super::context::Context;
use super::lane::{Backlog, Kept, Role, Stop, Unread, Wait};
use super::record::{BadHeader, ContentType, Fragment, Header, Held, Part, Step};
use super::trouble::Reason;
use super::{Sink, Tls};
use crate::assemble::{Absence, Piece};
use crate::capture::record::Nanos;

impl Tls {
    /// Takes the next piece of a direction that holds nothing back.
    pub(super) fn deliver(
        &mut self,
        cx: &mut Context,
        role: Role,
        piece: Piece<'_>,
        time: Nanos,
        sink: &mut dyn Sink,
    ) {
        match piece {
            Piece::Data(bytes) => self.data(cx, role, bytes, time, sink),
            Piece::Hole { len, reason } => self.hole(cx, role, len, reason, time, sink),
            Piece::Fin => {
                self.end(role);
                self.close(role, time, sink);
            }
            Piece::Reset => {
                self.end(role);
                self.lane_mut(role).closed = true;
                sink.piece(self.direction(role), Piece::Reset, time);
            }
        }
    }

    /// Reads what can be read of what is held back, in the order of time, until something is missing.
    pub(super) fn settle(&mut self, cx: &mut Context, sink: &mut dyn Sink) {
        loop {
            let since = |role| self.lane(role).backlog.as_ref().map(|backlog| backlog.since);
            let order = match (since(Role::Client), since(Role::Server)) {
                (None, None) => return,
                (Some(client), Some(server)) if server < client => [Role::Server, Role::Client],
                _ => [Role::Client, Role::Server],
            };
            if !order.into_iter().any(|role| self.resume(cx, role, sink)) {
                return;
            }
        }
    }

    /// Takes one step through what a direction holds back. False: it cannot.
    fn resume(&mut self, cx: &mut Context, role: Role, sink: &mut dyn Sink) -> bool {
        let Some(mut backlog) = self.lane_mut(role).backlog.take() else { return false };
        if let Some(held) = backlog.take_record() {
            let time = backlog.since;
            let stop = self.record(cx, role, &held.header, &held.fragment.fragment(), time, sink);
            if let Some(wait) = self.account(role, held.wire_len(), stop, time, sink) {
                backlog.put_record(held, wait, time);
                self.lane_mut(role).backlog = Some(backlog);
                return false;
            }
        } else if let Some((kept, time)) = backlog.pop() {
            self.deliver(cx, role, kept.piece(), time, sink);
        }
        match (&mut self.lane_mut(role).backlog, backlog.pieces.is_empty()) {
            (_, true) => {}
            // The piece has met another record that must wait: the rest is behind it.
            (Some(new), false) => new.append(*backlog),
            (empty @ None, false) => {
                backlog.since = backlog.pieces.front().map_or(backlog.since, |(_, time)| *time);
                *empty = Some(backlog);
            }
        }
        true
    }

    /// Gives up what a direction holds back.
    pub(super) fn give_up(&mut self, cx: &mut Context, role: Role, time: Nanos, sink: &mut dyn Sink) {
        let Some(backlog) = &self.lane(role).backlog else { return };
        let reason = match backlog.wait {
            Wait::Key => Reason::NoKey,
            Wait::OtherKey => Reason::BadTag,
            Wait::ServerHello => Reason::NoHello,
            Wait::EarlyData => {
                // The connection itself can be read, if not its early data.
                self.session.early_unknown = true;
                self.settle(cx, sink);
                if self.lane(role).backlog.is_some() {
                    self.give_up(cx, role, time, sink);
                }
                return;
            }
        };
        self.lose(role, reason, time, sink);
        let Some(mut backlog) = self.lane_mut(role).backlog.take() else { return };
        if let Some(held) = backlog.take_record() {
            self.lane_mut(role).count_unread(held.wire_len() as u64);
        }
        while let Some((kept, time)) = backlog.pop() {
            match kept {
                Kept::Data(bytes) => self.lane_mut(role).count_unread(bytes.len() as u64),
                Kept::Hole(len, _) => self.lane_mut(role).count_unread(len),
                Kept::Fin | Kept::Reset => self.deliver(cx, role, kept.piece(), time, sink),
            }
        }
        self.tell_unread(role);
    }

    /// The direction has ended: what is incomplete stays so.
    pub(super) fn end(&mut self, role: Role) {
        let lane = self.lane_mut(role);
        let (offset, cut) = (lane.offset, lane.reader.clear() as u64);
        lane.messages.reset();
        lane.count_unread(cut);
        lane.end_search();
        if lane.unread.is_some() {
            self.tell_unread(role);
        } else if cut > 0 {
            self.trouble(role, Reason::Truncated, offset, cut);
        }
    }

    pub(super) fn data(
        &mut self,
        cx: &mut Context,
        role: Role,
        bytes: &[u8],
        time: Nanos,
        sink: &mut dyn Sink,
    ) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let lane = self.lane_mut(role);
            if lane.unread.is_some() {
                return self.unread_data(cx, role, rest, time, sink);
            }
            match lane.reader.step(rest) {
                Step::More => return,
                Step::Borrowed(header, fragment, behind) => {
                    rest = behind;
                    let len = super::HEADER + header.len;
                    let stop = self.record(cx, role, &header, &fragment, time, sink);
                    if let Some(wait) = self.account(role, len, stop, time, sink) {
                        return self.hold(role, Held::copy(header, &fragment), wait, rest, time);
                    }
                }
                Step::Collected(held, behind) => {
                    rest = behind;
                    let stop = self.record(cx, role, &held.header, &held.fragment.fragment(), time, sink);
                    if let Some(wait) = self.account(role, held.wire_len(), stop, time, sink) {
                        return self.hold(role, held, wait, rest, time);
                    }
                }
                Step::Bad(bad, behind) => {
                    let reason = match bad {
                        BadHeader::NotTls => Reason::NotTls,
                        BadHeader::TooLong => Reason::RecordTooLong,
                    };
                    self.lose(role, reason, time, sink);
                    let lane = self.lane_mut(role);
                    let header = lane.reader.clear() as u64;
                    lane.count_unread(header + behind.len() as u64);
                    return self.tell_unread(role);
                }
            }
        }
    }

    fn hold(&mut self, role: Role, record: Box<Held>, wait: Wait, rest: &[u8], time: Nanos) {
        let mut backlog = Backlog::new(record, wait, time);
        if !rest.is_empty() {
            backlog.push_front(Piece::Data(rest), time);
        }
        self.lane_mut(role).backlog = Some(backlog);
    }

    fn hole(
        &mut self,
        cx: &mut Context,
        role: Role,
        len: u64,
        reason: Absence,
        time: Nanos,
        sink: &mut dyn Sink,
    ) {
        let mut left = len;
        while left > 0 {
            let lane = self.lane_mut(role);
            if lane.unread.is_some() {
                return self.unread_hole(role, left);
            }
            let Some((taken, record)) = lane.reader.step_hole(left, reason) else {
                self.lose(role, reason.into(), time, sink);
                let lane = self.lane_mut(role);
                let (origin, pending) = (lane.offset, lane.reader.clear() as u64);
                lane.count_unread(pending + left);
                self.tell_unread(role);
                return self.start_search(cx, role, origin);
            };
            left -= taken;
            let Some(held) = record else { return };
            let stop = self.record(cx, role, &held.header, &held.fragment.fragment(), time, sink);
            if let Some(wait) = self.account(role, held.wire_len(), stop, time, sink) {
                let mut backlog = Backlog::new(held, wait, time);
                if left > 0 {
                    backlog.push_front(Piece::Hole { len: left, reason }, time);
                }
                self.lane_mut(role).backlog = Some(backlog);
                return;
            }
        }
    }

    /// Counts a record, unless it must wait.
    fn account(
        &mut self,
        role: Role,
        len: usize,
        stop: Result<(), Stop>,
        time: Nanos,
        sink: &mut dyn Sink,
    ) -> Option<Wait> {
        let (offset, len) = (self.lane(role).offset, len as u64);
        match stop {
            Ok(()) => self.lane_mut(role).count_read(len),
            Err(Stop::Wait(wait)) => return Some(wait),
            Err(Stop::Skip(reason)) => {
                self.lane_mut(role).count_unread(len);
                self.trouble(role, reason, offset, len);
            }
            Err(Stop::Unread(reason)) => {
                self.lose(role, reason, time, sink);
                self.lane_mut(role).count_unread(len);
                self.tell_unread(role);
            }
        }
        None
    }

    /// Nothing that follows in a direction can be read.
    pub(super) fn lose(&mut self, role: Role, reason: Reason, time: Nanos, sink: &mut dyn Sink) {
        let lane = self.lane_mut(role);
        lane.unread = Some(Unread { reason, origin: lane.offset, from: lane.offset });
        lane.messages.reset();
        self.lose_plaintext(role, time, sink);
    }

    /// Tells of what has not been read since the last time.
    pub(super) fn tell_unread(&mut self, role: Role) {
        let lane = self.lane_mut(role);
        let offset = lane.offset;
        let Some(unread) = &mut lane.unread else { return };
        let (reason, from) = (unread.reason, unread.from);
        unread.from = offset;
        if offset > from {
            self.trouble(role, reason, from, offset - from);
        }
    }

    fn record(
        &mut self,
        cx: &mut Context,
        role: Role,
        header: &Header,
        fragment: &Fragment<'_>,
        time: Nanos,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        use super::suite::Version::Tls13;
        let lane = self.lane(role);
        let change = header.content == ContentType::ChangeCipherSpec;
        let protected = match self.session.version {
            Some(Tls13) => header.content == ContentType::ApplicationData,
            Some(_) => lane.changed,
            // Before the ServerHello a client can send early data, and nothing else that is protected.
            None if header.content == ContentType::ApplicationData || lane.changed && !change => {
                return Err(match role {
                    Role::Client => Stop::Wait(Wait::ServerHello),
                    Role::Server => Stop::Unread(Reason::NoHello),
                });
            }
            None => false,
        };
        if protected {
            return self.protected(cx, role, header, fragment, time, sink);
        }
        match header.content {
            // In TLS 1.3 it means nothing (RFC 8446, 5).
            ContentType::ChangeCipherSpec if self.session.version == Some(Tls13) => Ok(()),
            ContentType::ChangeCipherSpec => {
                self.change_cipher_spec(role);
                Ok(())
            }
            ContentType::Alert => {
                self.alert(role, fragment.whole().unwrap_or_default(), time, sink);
                Ok(())
            }
            ContentType::Handshake if lane.stage != super::Stage::Clear => {
                Err(Stop::Skip(Reason::MalformedRecord))
            }
            ContentType::Handshake => {
                let parts: Vec<Part<'_>> = fragment.parts().collect();
                self.handshake(cx, role, &parts, false)
            }
            ContentType::ApplicationData => Err(Stop::Unread(Reason::MalformedRecord)),
            ContentType::Heartbeat => Ok(()),
        }
    }
}
