//! Protected records: which stage they belong to, and what is in them.

use std::mem::take;

use super::aead;
use super::context::Context;
use super::facts::EarlyData;
use super::keys::Keys;
use super::lane::{Lane, Role, Stage, Stop, Wait};
use super::record::{ContentType, Fragment, Gap, Header, Part};
use super::suite::{Protection, TAG, Version};
use super::trouble::Reason;
use super::{Sink, Tls};
use crate::capture::record::{Direction, Nanos};

impl Tls {
    pub(super) fn protected(
        &mut self,
        cx: &mut Context,
        role: Role,
        header: &Header,
        fragment: &Fragment<'_>,
        time: Nanos,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        if self.session.version == Some(Version::Tls13) {
            self.choose_stage(role)?;
        }
        let Some(protection) = self.session.protection else {
            if header.content == ContentType::Handshake {
                // What cannot be read here is a Finished: the first record after ChangeCipherSpec (RFC 5246, 7.4.9). Nobody
                // knows whether it is right, but a server sends its own after the client's only if that was.
                self.facts.completed |= role == Role::Server && self.session.finished > 0;
                self.session.finished = self.session.finished.saturating_add(1);
            }
            let old = self.session.version.is_some_and(|version| version < Version::Tls12);
            return Err(Stop::Unread(if old { Reason::Version } else { Reason::Suite }));
        };
        if fragment.len() > protection.max_fragment() {
            return Err(Stop::Unread(Reason::RecordTooLong));
        }
        if fragment.len() < protection.overhead() {
            return Err(Stop::Unread(Reason::MalformedRecord));
        }
        if self.lane(role).keys.is_none() {
            self.find_keys(cx, role, protection, header, fragment)?;
        }
        if self.skim(role, protection, header, fragment, time, sink) {
            return Ok(());
        }
        match fragment.whole() {
            Some(bytes) => self.open(cx, role, protection, header, bytes, time, sink),
            None => self.open_parts(cx, role, protection, header, fragment, time, sink),
        }
    }

    /// Which keys of TLS 1.3 a protected record is under.
    fn choose_stage(&mut self, role: Role) -> Result<(), Stop> {
        if self.lane(role).stage != Stage::Clear {
            return Ok(());
        }
        if role == Role::Server {
            // The ServerHello put it in the next stage.
            return Err(Stop::Unread(Reason::MalformedRecord));
        }
        if self.session.retrying {
            // Early data that a HelloRetryRequest has rejected (RFC 8446, 4.2.10).
            return Err(Stop::Skip(Reason::RejectedEarlyData));
        }
        if !self.session.agreed {
            return Err(Stop::Wait(Wait::ServerHello));
        }
        let stage = match self.facts.early_data {
            EarlyData::Accepted => Stage::Early,
            EarlyData::Offered if !self.session.early_unknown => return Err(Stop::Wait(Wait::EarlyData)),
            EarlyData::Offered | EarlyData::Rejected | EarlyData::NotOffered => Stage::Handshake,
        };
        self.lane_mut(role).enter(stage);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "what a record is, and where its contents go")]
    fn open(
        &mut self,
        cx: &mut Context,
        role: Role,
        protection: Protection,
        header: &Header,
        bytes: &[u8],
        time: Nanos,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        let mut text = take(&mut cx.scratch);
        if !open_updated(self.lane_mut(role), protection, header, bytes, &mut text) {
            cx.scratch = text;
            // A server that rejects early data passes over what it cannot decrypt (RFC 8446, 4.2.10).
            return Err(match self.facts.early_data {
                EarlyData::Rejected if self.may_be_early(role) => Stop::Skip(Reason::RejectedEarlyData),
                EarlyData::Offered if self.may_be_early(role) => Stop::Skip(Reason::EarlyData),
                _ => Stop::Unread(Reason::BadTag),
            });
        }
        let lane = self.lane_mut(role);
        lane.sequence += 1;
        (lane.unsure, lane.verified) = (false, true);
        let (content, len) = if protection.tls13 {
            match split_inner(&text) {
                Some((len, content)) => (content, len),
                None => {
                    cx.scratch = text;
                    return Err(Stop::Unread(Reason::MalformedRecord));
                }
            }
        } else {
            (header.content, text.len())
        };
        let parts = [Part::Present(0, text.get(..len).unwrap_or_default())];
        let parts = parts.get(..usize::from(len > 0)).unwrap_or_default();
        let read = self.contents(cx, role, content, parts, time, sink);
        text.clear();
        cx.scratch = text;
        read
    }

    pub(super) fn may_be_early(&self, role: Role) -> bool {
        let lane = self.lane(role);
        role == Role::Client && lane.stage == Stage::Handshake && lane.sequence == 0
    }

    /// Reads a record of which parts are absent. Nothing is verified: of what the controller receives, only how long it is is
    /// taken from it.
    #[expect(clippy::too_many_arguments, reason = "what a record is, and where its contents go")]
    fn open_parts(
        &mut self,
        cx: &mut Context,
        role: Role,
        protection: Protection,
        header: &Header,
        fragment: &Fragment<'_>,
        time: Nanos,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        let direction_early = self.may_be_early(role) && self.facts.early_data != EarlyData::NotOffered;
        let lane = self.lane_mut(role);
        let Some(keys) = lane.keys.clone() else { return Ok(()) };
        if direction_early {
            // Whether it is early data cannot be proved.
            return Err(Stop::Unread(fragment.absence().into()));
        }
        let sequence = lane.sequence;
        lane.sequence += 1;
        lane.verified = false;
        let from = protection.explicit_nonce();
        let to = fragment.len() - TAG;
        let (content, end) = if !protection.tls13 {
            (header.content, to)
        } else if lane.unsure {
            return self.unknown_contents(role, fragment, time, sink);
        } else {
            match inner_end(&keys, sequence, fragment) {
                Some((len, content)) => (content, len),
                None => return self.unknown_contents(role, fragment, time, sink),
            }
        };
        if self.direction(role) == Direction::Ingress {
            // Whoever sent it may have spoilt its tag, or what is not there: then the controller has not read it.
            return match content {
                ContentType::ApplicationData if end > from => {
                    let gap = Gap { at: from, len: end - from, reason: fragment.absence() };
                    self.contents(cx, role, content, &[Part::Absent(gap)], time, sink)
                }
                ContentType::ApplicationData => Ok(()),
                _ if protection.tls13 => self.unknown_contents(role, fragment, time, sink),
                _ => Err(Stop::Skip(fragment.absence().into())),
            };
        }
        // Without the nonce nothing of the record can be decrypted.
        let explicit = match fragment.range(0, from) {
            Some(bytes) => Some(bytes.try_into().unwrap_or_default()),
            None if from == 0 => Some([0; 8]),
            None => None,
        };
        let reason = fragment.absence();
        let mut texts: Vec<Result<(usize, Vec<u8>), Gap>> = Vec::new();
        for part in fragment.parts_within(from, end) {
            texts.push(match (part, explicit) {
                (Part::Absent(gap), _) => Err(gap),
                (Part::Present(at, bytes), None) => Err(Gap { at, len: bytes.len(), reason }),
                (Part::Present(at, bytes), Some(explicit)) => {
                    let mut text = bytes.to_vec();
                    aead::decrypt_at(&keys, sequence, explicit, at - from, &mut text);
                    Ok((at, text))
                }
            });
        }
        let parts: Vec<Part<'_>> = texts
            .iter()
            .map(|text| match text {
                Ok((at, text)) => Part::Present(*at, text),
                Err(gap) => Part::Absent(*gap),
            })
            .collect();
        self.contents(cx, role, content, &parts, time, sink)
    }

    /// A record of TLS 1.3 of which it is not known what it contained.
    fn unknown_contents(
        &mut self,
        role: Role,
        fragment: &Fragment<'_>,
        time: Nanos,
        sink: &mut dyn Sink,
    ) -> Result<(), Stop> {
        let lane = self.lane_mut(role);
        if lane.stage == Stage::Handshake {
            lane.messages.skip(usize::MAX);
        } else {
            lane.unsure = true;
            self.lose_plaintext(role, time, sink);
        }
        Err(Stop::Skip(fragment.absence().into()))
    }
}

/// Opens a whole record; if a key update may have been missed, under the next keys as well.
fn open_updated(
    lane: &mut Lane,
    protection: Protection,
    header: &Header,
    bytes: &[u8],
    text: &mut Vec<u8>,
) -> bool {
    let Some(keys) = &lane.keys else { return false };
    if aead::open(keys, header, lane.sequence, bytes, text) {
        return true;
    }
    if !lane.unsure {
        return false;
    }
    let before = (lane.keys.clone(), lane.secret.clone(), lane.sequence);
    let updated = lane.update_keys(protection).is_some();
    if updated && lane.keys.as_ref().is_some_and(|keys| aead::open(keys, header, 0, bytes, text)) {
        return true;
    }
    (lane.keys, lane.secret, lane.sequence) = before;
    false
}

/// Content and its length from the inner plaintext of TLS 1.3: the type is the last byte that is not zero (RFC 8446, 5.4).
fn split_inner(text: &[u8]) -> Option<(usize, ContentType)> {
    let at = text.iter().rposition(|byte| *byte != 0)?;
    Some((at, ContentType::from_wire(*text.get(at)?)?))
}

/// The same of a record that is there in part: from its end. None: what is there does not tell.
pub(super) fn inner_end(keys: &Keys, sequence: u64, fragment: &Fragment<'_>) -> Option<(usize, ContentType)> {
    /// More padding than this is looked for in whole records only.
    const MOST: usize = 64;
    let (start, bytes) = fragment.tail(fragment.len().checked_sub(TAG)?)?;
    let skip = bytes.len().saturating_sub(MOST);
    let mut text = [0; MOST];
    let bytes = bytes.get(skip..)?;
    let text = text.get_mut(..bytes.len())?;
    text.copy_from_slice(bytes);
    aead::decrypt_at(keys, sequence, [0; 8], start + skip, text);
    let (at, content) = split_inner(text)?;
    Some((start + skip + at, content))
}
