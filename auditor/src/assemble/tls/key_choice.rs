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

/// A secret that is there under a name, and its keys.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) random: ClientRandom,
    pub(super) secret: Secret,
    pub(super) keys: Keys,
}

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
        let newest = self.newest(cx);
        if self.lane(role).vain == Some(newest) {
            // The same record still, and no other secret of its name.
            let found = self.try_candidates(cx, role, protection, own, header, fragment);
            return if found { Ok(()) } else { Err(Stop::Wait(Wait::OtherKey)) };
        }
        let leapt = self.lane(role).leapt;
        if !leapt {
            let mut named = self.named(cx, protection, own, role);
            if fragment.whole().is_none() {
                // A record that is not whole proves nothing: one is as good as its name, several are none.
                if named.len() > 1 {
                    return Err(Stop::Unread(fragment.absence().into()));
                }
                if let Some(Named { keys, secret, .. }) = named.pop() {
                    self.lane_mut(role).arm(keys, secret);
                    return Ok(());
                }
            }
            if self.prove(cx, role, own, &mut named, header, fragment) {
                return Ok(());
            }
            // A server that rejects early data passes over what it cannot decrypt (RFC 8446, 4.2.10).
            match self.facts.early_data {
                _ if named.is_empty() || !self.may_be_early(role) => {}
                EarlyData::Rejected => return Err(Stop::Skip(Reason::RejectedEarlyData)),
                EarlyData::Offered => return Err(Stop::Skip(Reason::EarlyData)),
                EarlyData::Accepted | EarlyData::NotOffered => {}
            }
        }
        // Also those that are known to be another's: then its own may still come.
        let is_there = !leapt && self.names().any(|name| cx.secrets.has(&name, own));
        if !is_there && (stage == Stage::Handshake || stage == Stage::Early) {
            // The next stage's secret is there, this one's is not: wait no longer for what only tells facts.
            let (next, skipped) = match stage {
                Stage::Early => (Stage::Handshake, Reason::NoKey),
                _ => (Stage::Application, Reason::NoHandshakeKey),
            };
            let next_named = self.named(cx, protection, label(protection, role, next), role);
            if !next_named.is_empty() {
                return self.leap(cx, role, next, protection, next_named, skipped, header, fragment);
            }
        }
        if self.try_candidates(cx, role, protection, own, header, fragment) {
            return Ok(());
        }
        if !is_there {
            return Err(Stop::Wait(Wait::Key));
        }
        // What is there under its name is another's.
        self.lane_mut(role).vain = Some(newest);
        Err(Stop::Wait(Wait::OtherKey))
    }

    /// Takes the keys, among those of one name, that open the first record under them.
    fn prove(
        &mut self,
        cx: &mut Context,
        role: Role,
        label: Label,
        named: &mut Vec<Named>,
        header: &Header,
        fragment: &Fragment<'_>,
    ) -> bool {
        let Some(bytes) = fragment.whole() else { return false };
        let opens = |it: &Named| aead::open(&it.keys, header, 0, bytes, &mut cx.scratch);
        let Some(at) = named.iter().position(opens) else { return false };
        cx.scratch.clear();
        let Named { random, secret, keys } = named.swap_remove(at);
        cx.secrets.prove(&random, label, &secret, self.server_of(label));
        self.lane_mut(role).arm(keys, secret);
        true
    }

    /// Tries whether a record is the first of the next stage; if not it is passed over.
    #[expect(clippy::too_many_arguments, reason = "a record and the keys it is tried with")]
    fn leap(
        &mut self,
        cx: &mut Context,
        role: Role,
        next: Stage,
        protection: Protection,
        mut named: Vec<Named>,
        skipped: Reason,
        header: &Header,
        fragment: &Fragment<'_>,
    ) -> Result<(), Stop> {
        // What is proved is armed for the stage that the lane is in.
        let before = std::mem::replace(&mut self.lane_mut(role).stage, next);
        if self.prove(cx, role, label(protection, role, next), &mut named, header, fragment) {
            let lane = self.lane_mut(role);
            (lane.leapt, lane.tried) = (false, 0);
            return Ok(());
        }
        let lane = self.lane_mut(role);
        lane.stage = before;
        lane.leapt = true;
        if lane.stage == Stage::Early {
            lane.gap_pending = true;
        }
        if role == Role::Server && self.facts.early_data == EarlyData::Offered {
            self.session.early_unknown = true;
        }
        Err(Stop::Skip(skipped))
    }

    /// What a proved secret of a label belongs to. Early data is the same for every server's answer.
    pub(super) fn server_of(&self, label: Label) -> Option<[u8; 32]> {
        self.session.server_random.filter(|_| label != Label::ClientEarly)
    }

    /// The names of the connection's secrets.
    fn names(&self) -> impl Iterator<Item = ClientRandom> + use<> {
        let own = self.session.client_random.map(ClientRandom);
        let other = self.session.secrets.filter(|other| Some(*other) != own);
        own.into_iter().chain(other)
    }

    /// Changes when there is another secret under one of its names.
    fn newest(&self, cx: &Context) -> u64 {
        self.names().map(|name| cx.secrets.newest(&name)).max().unwrap_or_default()
    }

    /// What is there under the connection's name, and what can be made of it.
    pub(super) fn named(
        &self,
        cx: &mut Context,
        protection: Protection,
        label: Label,
        role: Role,
    ) -> Vec<Named> {
        let mut named = Vec::new();
        for random in self.names() {
            let secrets = cx.secrets.get(&random, label, self.server_of(label)).into_iter();
            named.extend(secrets.filter_map(|secret| {
                let keys = self.derive(protection, &secret, None, role)?;
                Some(Named { random, secret, keys })
            }));
        }
        named
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
                cx.secrets.claim(candidate.number, self.server_of(label));
                if let Some(random) = candidate.random {
                    self.bear(cx, random);
                }
                self.lane_mut(role).arm(keys, candidate.secret);
                return true;
            }
        }
        false
    }

    /// The connection's secrets are under this name.
    fn bear(&mut self, cx: &mut Context, random: ClientRandom) {
        if self.session.secrets != Some(random) {
            cx.secrets.hold(random);
            if let Some(before) = self.session.secrets.replace(random) {
                cx.secrets.release(&before);
            }
        }
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
