//! What a connection's handshake says. Filled in as messages are read; what was not seen is none.

use std::sync::Arc;

use super::certificate::Certificate;
use super::hello::ja4::Ja4;
use super::names;
use super::secrets::ClientRandom;
use super::suite::Version;
use crate::capture::record::{Direction, Nanos};

/// How many offered protocols are kept.
pub(super) const MAX_PROTOCOLS: usize = 16;

/// How many alerts are kept: the first ones, but a fatal one in the place of one that is not.
pub(super) const MAX_ALERTS: usize = 8;

/// Facts of one connection.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The random value of the first `ClientHello`.
    pub client_random: Option<ClientRandom>,
    /// The version agreed on.
    pub version: Option<Version>,
    /// The cipher suite agreed on, by its number.
    pub suite: Option<u16>,
    /// The key exchange group, by its number. None as well where the suite uses none.
    pub group: Option<u16>,
    /// The host name that the client asked for, as sent. With Encrypted Client Hello the outer one.
    pub server_name: Option<Box<[u8]>>,
    /// Application protocols offered, the first 16.
    pub protocols: Vec<Box<[u8]>>,
    /// The application protocol agreed on.
    pub protocol: Option<Box<[u8]>>,
    /// JA4 of the first `ClientHello`.
    pub ja4: Option<Ja4>,
    /// Whether an earlier session was resumed.
    pub resumed: Option<bool>,
    /// What became of early data (RFC 8446, 2.3).
    pub early_data: EarlyData,
    /// Whether Encrypted Client Hello was offered; clients that only pretend look the same (RFC 9849, 6.2).
    pub ech_offered: bool,
    /// Whether the server asked for another `ClientHello` (RFC 8446, 4.1.4).
    pub retried: bool,
    /// How many times a handshake was begun anew on the connection (TLS 1.2 and before).
    pub renegotiations: u32,
    /// Whether the server asked for the client's certificate.
    pub certificate_requested: bool,
    /// Whether that is known: all was read in which it would have asked.
    pub certificate_request_known: bool,
    /// The server's certificate.
    pub server_certificate: Option<Arc<Certificate>>,
    /// The client's certificate.
    pub client_certificate: Option<Arc<Certificate>>,
    /// Alerts that could be read, the first 8, or a later fatal one in the place of one that is not, without `close_notify`.
    pub alerts: Vec<Alert>,
    /// Whether the handshake is known to have been completed.
    pub completed: bool,
    /// Whether the client said that it would send no more (`close_notify`). Without it the end of its direction may have
    /// been cut off (RFC 8446, 6.1); many programs never send it.
    pub client_closed: bool,
    /// The same of the server.
    pub server_closed: bool,
}

impl Facts {
    /// The alert with which the handshake failed.
    #[must_use]
    pub fn failure(&self) -> Option<&Alert> {
        self.alerts.iter().find(|alert| alert.fatal && alert.in_handshake)
    }

    /// The cipher suite's name in the IANA registry.
    #[must_use]
    pub fn suite_name(&self) -> Option<&'static str> {
        self.suite.and_then(names::suite)
    }

    /// The group's name in the IANA registry.
    #[must_use]
    pub fn group_name(&self) -> Option<&'static str> {
        self.group.and_then(names::group)
    }
}

/// What became of early data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyData {
    /// The client did not offer any.
    #[default]
    NotOffered,
    /// It was offered; what the server made of it is not known (yet).
    Offered,
    /// The server takes it for a part of the connection.
    Accepted,
    /// The server does not read it.
    Rejected,
}

/// An alert (RFC 8446, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Who sent it.
    pub direction: Direction,
    /// Whether the connection ends with it: by its level, or in TLS 1.3 by what it is.
    pub fatal: bool,
    /// Its number; [`names::alert`] has the name.
    pub description: u8,
    /// Whether it came before its sender was done with the handshake.
    pub in_handshake: bool,
    /// When.
    pub time: Nanos,
}
