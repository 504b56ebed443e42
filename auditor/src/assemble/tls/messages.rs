//! What the handshake's messages change: facts, what both sides have agreed on, and keys.

use sha2::{Digest, Sha256};

use super::Tls;
use super::certificate::{leaf_tls12, leaf_tls13};
use super::context::Context;
use super::facts::{EarlyData, MAX_PROTOCOLS};
use super::handshake::{Message, Unread, kind};
use super::hello::ja4::Ja4;
use super::hello::{ClientHello, EncryptedExtensions, ServerHello, named_curve};
use super::lane::{Role, Stage, Stop};
use super::record::Part;
use super::secrets::ClientRandom;
use super::suite::{Protection, Version};
use super::trouble::Reason;

/// Whether a message changes the keys of its direction, so that nothing follows it under the old ones.
type KeysChange = bool;

impl Tls {
    /// Reads the contents of a handshake record.
    pub(super) fn handshake(
        &mut self,
        cx: &mut Context,
        role: Role,
        parts: &[Part<'_>],
        protected: bool,
    ) -> Result<(), Stop> {
        let mut messages = std::mem::take(&mut self.lane_mut(role).messages);
        for part in parts {
            let mut rest: &[u8] = match part {
                Part::Present(_, bytes) => bytes,
                Part::Absent(gap) => {
                    if let Some(message) = messages.skip(gap.len) {
                        self.message(cx, role, &message, protected)?;
                    }
                    // A key update may have been there.
                    self.lane_mut(role).unsure |= protected && self.lane(role).stage == Stage::Application;
                    continue;
                }
            };
            while let Some(message) = messages.step(&mut rest, cx.limits.message_bytes) {
                if self.message(cx, role, &message, protected)? {
                    if !rest.is_empty() {
                        let offset = self.lane(role).offset;
                        self.trouble(role, Reason::MalformedHandshake, offset, 0);
                    }
                    return Ok(());
                }
            }
        }
        self.lane_mut(role).messages = messages;
        Ok(())
    }

    fn message(
        &mut self,
        cx: &mut Context,
        role: Role,
        message: &Message<'_>,
        protected: bool,
    ) -> Result<KeysChange, Stop> {
        let offset = self.lane(role).offset;
        self.note_certificate_request(role, message.kind);
        let body = match &message.body {
            Ok(body) => &**body,
            Err(unread) => {
                let reason = match unread {
                    Unread::Absent => Reason::Missing,
                    Unread::TooLong => Reason::HandshakeTooLong,
                };
                self.trouble(role, reason, offset, 0);
                // What its contents are does not matter for the keys of these.
                let ends =
                    matches!(message.kind, kind::FINISHED | kind::END_OF_EARLY_DATA | kind::KEY_UPDATE);
                if !ends {
                    return Ok(false);
                }
                &[]
            }
        };
        let tls13 = self.session.version == Some(Version::Tls13);
        let understood = match (message.kind, role) {
            (kind::CLIENT_HELLO, Role::Client) => self.client_hello(cx, body, protected),
            (kind::SERVER_HELLO, Role::Server) => self.server_hello(body, protected),
            (kind::ENCRYPTED_EXTENSIONS, Role::Server) if tls13 && protected => {
                self.encrypted_extensions(body)
            }
            (kind::CERTIFICATE, _) => self.certificate(cx, role, body),
            (kind::COMPRESSED_CERTIFICATE, _) if tls13 => {
                self.trouble(role, Reason::CompressedCertificate, offset, 0);
                Some(())
            }
            (kind::SERVER_KEY_EXCHANGE, Role::Server) if !tls13 => {
                let elliptic = self.facts.suite_name().is_some_and(|name| name.contains("_ECDHE_"));
                if elliptic {
                    self.facts.group = named_curve(body);
                }
                Some(())
            }
            (kind::SERVER_HELLO_DONE, Role::Server) => {
                self.session.full = true;
                Some(())
            }
            (kind::FINISHED, _) if protected => return Ok(self.finished(role)),
            (kind::END_OF_EARLY_DATA, Role::Client) if self.lane(role).stage == Stage::Early => {
                self.lane_mut(role).enter(Stage::Handshake);
                return Ok(true);
            }
            (kind::KEY_UPDATE, _) if tls13 && self.lane(role).stage == Stage::Application => {
                let updated = self.session.protection.and_then(|it| self.lane_mut(role).update_keys(it));
                return updated.map(|()| true).ok_or(Stop::Unread(Reason::NoKey));
            }
            _ => Some(()),
        };
        if understood.is_none() {
            self.trouble(role, Reason::MalformedHandshake, offset, 0);
        }
        Ok(false)
    }

    /// It stands before the certificate in TLS 1.3 (RFC 8446, 4.3.2), behind it in TLS 1.2 (RFC 5246, 7.4.4). What is in it, and
    /// in those that say that it is not there, does not matter.
    fn note_certificate_request(&mut self, role: Role, kind: u8) {
        let tls13 = self.session.version == Some(Version::Tls13);
        match (kind, role) {
            (kind::CERTIFICATE_REQUEST, Role::Server) => self.facts.certificate_requested = true,
            (kind::CERTIFICATE | kind::COMPRESSED_CERTIFICATE, Role::Server) if tls13 => {
                self.facts.certificate_request_known = true;
            }
            (kind::SERVER_HELLO_DONE, Role::Server) if !tls13 => self.facts.certificate_request_known = true,
            _ => {}
        }
    }

    fn client_hello(&mut self, cx: &mut Context, body: &[u8], protected: bool) -> Option<()> {
        let hello = ClientHello::parse(body)?;
        if self.facts.client_random.is_some() {
            return if self.session.retrying {
                self.session.retrying = false;
                Some(())
            } else if protected {
                self.facts.renegotiations += 1;
                self.session.client_random = Some(hello.random);
                (self.session.full, self.session.finished) = (false, 0);
                Some(())
            } else {
                None
            };
        }
        self.session.client_random = Some(hello.random);
        self.session.hello = Some(Sha256::digest(body).into());
        self.facts.client_random = Some(ClientRandom(hello.random));
        self.session.held = self.facts.client_random;
        cx.secrets.hold(ClientRandom(hello.random));
        self.facts.server_name = hello.server_name.map(Into::into);
        self.facts.protocols = hello.protocols().take(MAX_PROTOCOLS).map(Into::into).collect();
        self.facts.ja4 = Some(Ja4::of(&hello));
        self.facts.ech_offered = hello.encrypted;
        if hello.early_data {
            self.facts.early_data = EarlyData::Offered;
        }
        Some(())
    }

    fn server_hello(&mut self, body: &[u8], protected: bool) -> Option<()> {
        let hello = ServerHello::parse(body)?;
        if self.session.agreed && (!protected || self.session.version == Some(Version::Tls13)) {
            return None;
        }
        self.facts.version = Some(hello.version);
        self.facts.suite = Some(hello.suite);
        self.session.version = Some(hello.version);
        let tls13 = hello.version == Version::Tls13;
        if tls13 && hello.is_retry_request() {
            if !self.facts.retried {
                self.facts.retried = true;
                self.session.retrying = true;
            }
            self.facts.group = hello.group;
            self.reject_early_data();
            return Some(());
        }
        self.session.agreed = true;
        self.session.server_random = Some(hello.random);
        self.session.protection = Protection::of(hello.version, hello.suite);
        self.facts.group = hello.group;
        if !tls13 {
            self.facts.protocol = hello.protocol.map(Into::into);
            self.reject_early_data();
            return Some(());
        }
        self.facts.resumed = Some(hello.pre_shared_key);
        if !hello.pre_shared_key {
            self.reject_early_data();
        }
        // A second ClientHello that was not seen will not be.
        self.session.retrying = false;
        self.lane_mut(Role::Server).enter(Stage::Handshake);
        Some(())
    }

    fn reject_early_data(&mut self) {
        if self.facts.early_data == EarlyData::Offered {
            self.facts.early_data = EarlyData::Rejected;
        }
    }

    fn encrypted_extensions(&mut self, body: &[u8]) -> Option<()> {
        let Some(extensions) = EncryptedExtensions::parse(body) else {
            self.session.early_unknown = true;
            return None;
        };
        self.facts.protocol = extensions.protocol.map(Into::into);
        if self.facts.early_data == EarlyData::Offered {
            self.facts.early_data =
                if extensions.early_data { EarlyData::Accepted } else { EarlyData::Rejected };
        }
        Some(())
    }

    fn certificate(&mut self, cx: &mut Context, role: Role, body: &[u8]) -> Option<()> {
        let tls13 = self.session.version? == Version::Tls13;
        let leaf = if tls13 { leaf_tls13(body) } else { leaf_tls12(body) };
        let fact = match role {
            Role::Client => &mut self.facts.client_certificate,
            Role::Server => &mut self.facts.server_certificate,
        };
        // An empty list is how a client declines (RFC 8446, 4.4.2).
        if let Some(leaf) = leaf {
            *fact = Some(cx.certificate(leaf));
        }
        Some(())
    }

    pub(super) fn finished(&mut self, role: Role) -> KeysChange {
        let tls13 = self.session.version == Some(Version::Tls13);
        let verified = self.lane(role).verified;
        if !tls13 {
            self.session.finished = self.session.finished.saturating_add(u8::from(verified));
            self.facts.completed |= self.session.finished >= 2;
            return false;
        }
        if self.lane(role).stage != Stage::Handshake {
            return false;
        }
        self.lane_mut(role).enter(Stage::Application);
        match role {
            Role::Client => self.facts.completed |= verified,
            // What it has not accepted by now it does not.
            Role::Server if self.facts.early_data == EarlyData::Offered => self.session.early_unknown = true,
            Role::Server => {}
        }
        true
    }
}
