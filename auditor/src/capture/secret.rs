//! A TLS secret on its way from the kernel or a key log: borrowed, never printed.
//!
//! Whoever keeps it copies it into memory of its own that is wiped when dropped.

use std::fmt;

use crate::assemble::tls::secrets::{self, ClientRandom, Label};

/// One secret of one connection.
#[derive(Clone, Copy)]
pub struct Secret<'a> {
    /// Which, as the NSS key-log form names it: `CLIENT_RANDOM` for a master secret of TLS 1.2, `..._TRAFFIC_...` for TLS 1.3.
    pub label: &'static str,
    /// The random value of the connection's `ClientHello`; none where the library's structure is not known.
    pub client_random: Option<[u8; 32]>,
    /// The secret: 32 or 48 bytes, of whatever length the process said.
    pub bytes: &'a [u8],
    /// The process that has it, as the initial pid namespace numbers it; 0 if it comes from a file.
    pub pid: u32,
}

impl<'a> Secret<'a> {
    /// From a line of a key log.
    #[must_use]
    pub fn of_key_log(random: &ClientRandom, label: Label, secret: &'a secrets::Secret) -> Self {
        Self { label: label.name(), client_random: Some(random.0), bytes: secret.bytes(), pid: 0 }
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, client_random, bytes: _, pid } = self;
        formatter
            .debug_struct("Secret")
            .field("label", label)
            .field("has_client_random", &client_random.is_some())
            .field("pid", pid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret =
            Secret { label: "CLIENT_RANDOM", client_random: Some([7; 32]), bytes: &[0xab; 48], pid: 1 };
        let text = format!("{secret:?} {secret:#?}");
        assert!(!text.contains("171") && !text.contains("ab, ") && !text.contains('7'), "{text}");
    }
}
