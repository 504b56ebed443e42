//! The secrets of connections, as TLS libraries offer them for key logging: named by a label and by the random value of
//! the `ClientHello` (draft-ietf-tls-keylogfile).
//!
//! Secrets live in memory only. They are wiped when dropped, and nothing prints them.

pub mod key_log;
pub mod store;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// The random value of a `ClientHello`: the name of a connection's secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientRandom(pub [u8; 32]);

/// Which secret of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// TLS 1.2 and before: the master secret.
    Master,
    /// TLS 1.3: what the client's early data is protected with.
    ClientEarly,
    /// TLS 1.3: what the client's side of the handshake is protected with.
    ClientHandshake,
    /// TLS 1.3: what the server's side of the handshake is protected with.
    ServerHandshake,
    /// TLS 1.3: what the client's application data is protected with, until the first key update.
    ClientApplication,
    /// TLS 1.3: what the server's application data is protected with, until the first key update.
    ServerApplication,
}

impl Label {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Master,
        Self::ClientEarly,
        Self::ClientHandshake,
        Self::ServerHandshake,
        Self::ClientApplication,
        Self::ServerApplication,
    ];

    /// The label in a key log. None: one that records are not protected with (exporters, ECH and others).
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|label| label.name().as_bytes() == name)
    }

    /// Its name in a key log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Master => "CLIENT_RANDOM",
            Self::ClientEarly => "CLIENT_EARLY_TRAFFIC_SECRET",
            Self::ClientHandshake => "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            Self::ServerHandshake => "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            Self::ClientApplication => "CLIENT_TRAFFIC_SECRET_0",
            Self::ServerApplication => "SERVER_TRAFFIC_SECRET_0",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// A secret of 32 or 48 bytes.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret {
    bytes: [u8; 48],
    len: u8,
}

impl Secret {
    /// None: a length that no secret has.
    #[must_use]
    pub fn new(secret: &[u8]) -> Option<Self> {
        let len = match secret.len() {
            32 => 32,
            48 => 48,
            _ => return None,
        };
        let mut bytes = [0; 48];
        bytes.get_mut(..secret.len())?.copy_from_slice(secret);
        Some(Self { bytes, len })
    }

    /// Its bytes.
    #[must_use]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub(super) fn is_of(&self, len: usize) -> bool {
        usize::from(self.len) == len
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new(&[0x61; 32]).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(secret.bytes(), [0x61; 32]);
    }

    #[test]
    fn a_secret_has_the_length_of_a_hash_or_of_a_master_secret() {
        for len in 0..100 {
            assert_eq!(Secret::new(&vec![1; len]).is_some(), len == 32 || len == 48, "{len}");
        }
    }

    #[test]
    fn labels_have_one_name() {
        for label in Label::ALL {
            assert_eq!(Label::from_name(label.name().as_bytes()), Some(label));
        }
        assert_eq!(Label::from_name(b"EXPORTER_SECRET"), None);
        assert_eq!(Label::from_name(b"CLIENT_RANDOM "), None);
    }
}
