//! Records of which nothing is needed, or little: no more of them is decrypted than that.
//!
//! Consumes a protected record and the sink's word of what it needs next; gives holes, and between them what is needed. That
//! is not verified, which would take all of it: so it is done with what the controller itself sends, and never with what it
//! receives. There a record with a wrong tag is one that the controller has not read, nor anything behind it (RFC 8446, 5.2).

use super::aead;
use super::lane::{Role, Stage};
use super::protected::inner_end;
use super::record::{ContentType, Fragment, Header};
use super::suite::Protection;
use super::{Sink, Tls};
use crate::assemble::{Absence, Piece};
use crate::capture::record::{Direction, Nanos};

/// A stretch that nobody needs is passed over if it has so many bytes: less costs more than to decrypt it.
const WORTHWHILE: usize = 256;
/// What is decrypted first where something is needed: the header of a frame, and the next one's if it is short. Twice as much
/// each time after that, up to the most.
const FIRST: usize = 64;
const MOST: usize = 4096;

impl Tls {
    /// Reads a record of application data that begins with what nobody needs. False: it must be read as a whole.
    pub(super) fn skim(
        &mut self,
        role: Role,
        protection: Protection,
        header: &Header,
        fragment: &Fragment<'_>,
        time: Nanos,
        sink: &mut dyn Sink,
    ) -> bool {
        let holds = fragment.len() - protection.overhead();
        let direction = self.direction(role);
        let lane = self.lane(role);
        let Some(keys) = &lane.keys else { return false };
        if direction == Direction::Ingress || holds == 0 || lane.unsure || fragment.absence() == Absence::Lost
        {
            return false;
        }
        let ahead = sink.needed(direction).saturating_sub(lane.plain);
        let all = ahead >= holds as u64;
        let part = ahead >= WORTHWHILE as u64;
        let (sequence, bytes) = (lane.sequence, fragment.whole());
        if !(all || part && bytes.is_some()) {
            return false;
        }
        let len = if !protection.tls13 {
            (header.content == ContentType::ApplicationData).then_some(holds)
        } else if lane.stage == Stage::Application && lane.messages.at_boundary() {
            match inner_end(keys, sequence, fragment) {
                Some((len, ContentType::ApplicationData)) => Some(len),
                _ => None,
            }
        } else {
            None
        };
        let Some(len) = len.filter(|len| *len > 0) else { return false };
        let keys = (!all).then(|| keys.clone());
        self.lane_mut(role).sequence += 1;
        let (Some(keys), Some((explicit, text))) =
            (keys, bytes.and_then(|bytes| bytes.split_at_checked(protection.explicit_nonce())))
        else {
            self.give(role, Piece::Hole { len: len as u64, reason: Absence::Unwanted }, time, sink);
            return true;
        };
        let explicit = explicit.try_into().unwrap_or_default();
        let (mut rest, mut most) = (text.get(..len).unwrap_or_default(), FIRST);
        let mut room = [0; MOST];
        while !rest.is_empty() {
            let ahead = sink.needed(direction).saturating_sub(self.lane(role).plain);
            let skip = usize::try_from(ahead).unwrap_or(usize::MAX).min(rest.len());
            if skip >= WORTHWHILE.min(rest.len()) {
                rest = rest.get(skip..).unwrap_or_default();
                self.give(role, Piece::Hole { len: skip as u64, reason: Absence::Unwanted }, time, sink);
                most = FIRST;
                continue;
            }
            let (now, behind) = rest.split_at(most.min(rest.len()));
            let Some(out) = room.get_mut(..now.len()) else { return true };
            out.copy_from_slice(now);
            aead::decrypt_at(&keys, sequence, explicit, len - rest.len(), out);
            self.give(role, Piece::Data(out), time, sink);
            (rest, most) = (behind, (2 * most).min(MOST));
        }
        true
    }
}
