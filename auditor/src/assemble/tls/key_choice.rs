//! Which keys a direction's records are under: by the name of the connection's secrets, by leaping over a stage whose secret is
//! missing, or by trial.

use super::Tls;
use super::aead;
use super::context::Context;
use super::facts::EarlyData;
use super::keys::{Keys, next_generation};
use super::lane::{Lane, Role, Stage, Stop, Wait};
use super::record::{Fragment, Header};
use super::secrets::{ClientRandom, Label, Secret};
use super::suite::Protection;
use super::trouble::Reason;

impl Tls {
    /// Finds the keys of the first record under them.
    pub(super) fn find_keys(
        &mut self,
        cx: &mut Context,
        role: Role,
        protection: Protection,
        header: &Header,
        fragment: &Fragment<'_>,
    ) -> Result<(), Stop> {
        let stage = self.lane(role).stage;
        let own = label(protection, role, stage);
        if !self.lane(role).leapt
            && let Some(secret) = self.named(cx, own)
            && let Some(keys) = self.derive(protection, &secret, None, role)
        {
            self.lane_mut(role).arm(keys, secret);
            return Ok(());
        }
        if stage == Stage::Handshake || stage == Stage::Early {
            // The next stage's secret is there, this one's is not: wait no longer for what only tells facts.
            let (next, skipped) = match stage {
                Stage::Early => (Stage::Handshake, Reason::NoKey),
                _ => (Stage::Application, Reason::NoHandshakeKey),
            };
            let next_label = label(protection, role, next);
            if let Some(secret) = self.named(cx, next_label)
                && let Some(keys) = self.derive(protection, &secret, None, role)
            {
                return self.leap(cx, role, next, keys, secret, skipped, header, fragment);
            }
        }
        if self.try_candidates(cx, role, protection, own, header, fragment) {
            return Ok(());
        }
        Err(Stop::Wait(Wait::Key))
    }

    /// Tries whether a record is the first of the next stage; if not it is passed over.
    #[expect(clippy::too_many_arguments, reason = "a record and the keys it is tried with")]
    fn leap(
        &mut self,
        cx: &mut Context,
        role: Role,
        next: Stage,
        keys: Keys,
        secret: Secret,
        skipped: Reason,
        header: &Header,
        fragment: &Fragment<'_>,
    ) -> Result<(), Stop> {
        let opened =
            fragment.whole().is_some_and(|bytes| aead::open(&keys, header, 0, bytes, &mut cx.scratch));
        cx.scratch.clear();
        let lane = self.lane_mut(role);
        if opened {
            lane.enter(next);
            lane.arm(keys, secret);
            return Ok(());
        }
        lane.leapt = true;
        if lane.stage == Stage::Early {
            lane.gap_pending = true;
        }
        if role == Role::Server && self.facts.early_data == EarlyData::Offered {
            self.session.early_unknown = true;
        }
        Err(Stop::Skip(skipped))
    }

    pub(super) fn named(&self, cx: &mut Context, label: Label) -> Option<Secret> {
        let own = self.session.client_random.map(ClientRandom);
        let other = self.session.secrets.filter(|other| Some(*other) != own);
        [own, other].into_iter().flatten().find_map(|random| cx.secrets.get(&random, label))
    }

    pub(super) fn derive(
        &self,
        protection: Protection,
        secret: &Secret,
        random: Option<[u8; 32]>,
        role: Role,
    ) -> Option<Keys> {
        if protection.tls13 {
            return Keys::tls13(protection, secret);
        }
        let client = random.or(self.session.client_random)?;
        Keys::tls12(protection, secret, &client, &self.session.server_random?, role)
    }

    /// Tries the recent secrets that nobody has asked for by name.
    fn try_candidates(
        &mut self,
        cx: &mut Context,
        role: Role,
        protection: Protection,
        label: Label,
        header: &Header,
        fragment: &Fragment<'_>,
    ) -> bool {
        let Some(bytes) = fragment.whole() else { return false };
        let len = if protection.tls13 { protection.hash.len() } else { 48 };
        let after = std::mem::replace(&mut self.lane_mut(role).tried, cx.secrets.last());
        if after == cx.secrets.last() {
            return false;
        }
        for candidate in cx.secrets.candidates(label, len, after) {
            if self.session.trials >= cx.limits.trials {
                return false;
            }
            self.session.trials += 1;
            let random = self.session.client_random.or(candidate.random.map(|random| random.0));
            let Some(keys) = self.derive(protection, &candidate.secret, random, role) else { continue };
            if aead::open(&keys, header, 0, bytes, &mut cx.scratch) {
                cx.scratch.clear();
                cx.secrets.claim(candidate.number);
                self.session.secrets = candidate.random.or(self.session.secrets);
                self.lane_mut(role).arm(keys, candidate.secret);
                return true;
            }
        }
        false
    }
}

impl Lane {
    pub(super) fn arm(&mut self, keys: Keys, secret: Secret) {
        self.sequence = 0;
        // A key update derives the next secret from this one (RFC 8446, 7.2); in TLS 1.2 there is none.
        self.secret = (self.stage == Stage::Application).then_some(secret);
        self.keys = Some(keys);
    }

    /// After a `KeyUpdate` (RFC 8446, 4.6.3).
    pub(super) fn update_keys(&mut self, protection: Protection) -> Option<()> {
        let secret = next_generation(protection.hash, self.secret.as_ref()?)?;
        self.keys = Some(Keys::tls13(protection, &secret)?);
        self.secret = Some(secret);
        self.sequence = 0;
        Some(())
    }
}

/// Which secret protects a stage.
pub(super) fn label(protection: Protection, role: Role, stage: Stage) -> Label {
    match (role, stage) {
        _ if !protection.tls13 => Label::Master,
        (_, Stage::Early) => Label::ClientEarly,
        (Role::Client, Stage::Application) => Label::ClientApplication,
        (Role::Server, Stage::Application) => Label::ServerApplication,
        (Role::Client, _) => Label::ClientHandshake,
        (Role::Server, _) => Label::ServerHandshake,
    }
}
