//! What all connections of one controller share: bounds, secrets, the certificates that come again and again.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::certificate::Certificate;
use super::secrets::store::SecretStore;
use crate::capture::record::Nanos;

/// How many certificates are remembered. Past it all are forgotten, and read anew when they come.
const CERTIFICATES: usize = 1024;

/// Bounds of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a direction that are held until they can be read.
    pub held_bytes: usize,
    /// How long they are held, nanoseconds.
    pub age: Nanos,
    /// Bytes of a handshake message. Chains of certificates with post-quantum signatures take tens of kilobytes.
    pub message_bytes: usize,
    /// How many secrets are tried for a connection that has none by name.
    pub trials: u32,
}

impl Default for Limits {
    /// 256 KiB, five seconds, 128 KiB, 256.
    fn default() -> Self {
        Self { held_bytes: 256 * 1024, age: 5_000_000_000, message_bytes: 128 * 1024, trials: 256 }
    }
}

/// What connections share.
#[derive(Debug, Default)]
pub struct Context {
    /// Bounds.
    pub limits: Limits,
    /// Secrets that have come.
    pub secrets: SecretStore,
    pub(super) scratch: Vec<u8>,
    certificates: HashMap<[u8; 32], Arc<Certificate>>,
}

impl Context {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(limits: Limits, secrets: SecretStore) -> Self {
        Self { limits, secrets, ..Self::default() }
    }

    pub(super) fn certificate(&mut self, der: &[u8]) -> Arc<Certificate> {
        let sha256: [u8; 32] = Sha256::digest(der).into();
        if let Some(known) = self.certificates.get(&sha256) {
            return Arc::clone(known);
        }
        if self.certificates.len() >= CERTIFICATES {
            self.certificates.clear();
        }
        let read = Arc::new(Certificate::read_hashed(der, sha256));
        self.certificates.insert(sha256, Arc::clone(&read));
        read
    }
}
