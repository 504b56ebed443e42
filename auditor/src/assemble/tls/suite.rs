//! What a cipher suite and a version mean for the record layer: the AEAD, the hash, and how many bytes a record adds.

use super::names;

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// SSL 3.0.
    Ssl30,
    /// TLS 1.0.
    Tls10,
    /// TLS 1.1.
    Tls11,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Version {
    /// The version a `ProtocolVersion` stands for. None: no version of TLS.
    #[must_use]
    pub fn from_wire(code: u16) -> Option<Self> {
        match code {
            0x0300 => Some(Self::Ssl30),
            0x0301 => Some(Self::Tls10),
            0x0302 => Some(Self::Tls11),
            0x0303 => Some(Self::Tls12),
            0x0304 => Some(Self::Tls13),
            _ => None,
        }
    }
}

/// The function that protects records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aead {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

/// The hash function of the key schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
}

impl Hash {
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }
}

/// How records are protected once keys are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protection {
    pub(super) aead: Aead,
    pub(super) hash: Hash,
    pub(super) tls13: bool,
}

/// Length of the tag of all three.
pub(super) const TAG: usize = 16;

impl Protection {
    /// None: a suite that this layer cannot read (CBC, CCM, RC4 and others).
    pub(super) fn of(version: Version, suite: u16) -> Option<Self> {
        let tls13 = match version {
            Version::Tls12 => false,
            Version::Tls13 => true,
            Version::Ssl30 | Version::Tls10 | Version::Tls11 => return None,
        };
        // TLS 1.3 has suites of its own (RFC 8446, B.4), all of which start with 0x13.
        if tls13 != (suite >> 8 == 0x13) {
            return None;
        }
        let name = names::suite(suite)?;
        let (aead, hash) = if name.ends_with("AES_128_GCM_SHA256") {
            (Aead::Aes128Gcm, Hash::Sha256)
        } else if name.ends_with("AES_256_GCM_SHA384") {
            (Aead::Aes256Gcm, Hash::Sha384)
        } else if name.ends_with("CHACHA20_POLY1305_SHA256") {
            (Aead::ChaCha20Poly1305, Hash::Sha256)
        } else {
            return None;
        };
        Some(Self { aead, hash, tls13 })
    }

    pub(super) fn key_len(self) -> usize {
        match self.aead {
            Aead::Aes128Gcm => 16,
            Aead::Aes256Gcm | Aead::ChaCha20Poly1305 => 32,
        }
    }

    /// Bytes of the nonce at the start of each record: TLS 1.2 with GCM only (RFC 5288, 3).
    pub(super) fn explicit_nonce(self) -> usize {
        if self.tls13 || self.aead == Aead::ChaCha20Poly1305 { 0 } else { 8 }
    }

    /// Bytes of the nonce that come from the key block (RFC 5288, 3; RFC 7905, 2; RFC 8446, 5.3).
    pub(super) fn iv_len(self) -> usize {
        12 - self.explicit_nonce()
    }

    /// The least number of bytes that a record's fragment has beyond the plaintext: nonce, content type, tag.
    pub(super) fn overhead(self) -> usize {
        self.explicit_nonce() + usize::from(self.tls13) + TAG
    }

    /// The longest fragment (RFC 8446, 5.2; in TLS 1.2 2^14 bytes of plaintext and what the AEAD adds: RFC 5246, 6.2.3.3).
    pub(super) fn max_fragment(self) -> usize {
        if self.tls13 { MAX_PLAINTEXT + 256 } else { MAX_PLAINTEXT + self.overhead() }
    }
}

/// The longest plaintext of a record (RFC 8446, 5.1; RFC 5246, 6.2.1).
pub(super) const MAX_PLAINTEXT: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(version: Version, suite: u16, expected: Option<(Aead, Hash, usize)>) {
        let protection = Protection::of(version, suite);
        assert_eq!(protection.map(|it| (it.aead, it.hash, it.overhead())), expected);
    }

    #[test]
    fn suites_that_can_be_read() {
        use Aead::*;
        check(Version::Tls13, 0x1301, Some((Aes128Gcm, Hash::Sha256, 17)));
        check(Version::Tls13, 0x1302, Some((Aes256Gcm, Hash::Sha384, 17)));
        check(Version::Tls13, 0x1303, Some((ChaCha20Poly1305, Hash::Sha256, 17)));
        check(Version::Tls12, 0xc02b, Some((Aes128Gcm, Hash::Sha256, 24)));
        check(Version::Tls12, 0x009d, Some((Aes256Gcm, Hash::Sha384, 24)));
        check(Version::Tls12, 0x009e, Some((Aes128Gcm, Hash::Sha256, 24)));
        check(Version::Tls12, 0xcca8, Some((ChaCha20Poly1305, Hash::Sha256, 16)));
    }

    #[test]
    fn suites_that_cannot() {
        for suite in [0x002f, 0xc013, 0xc09c, 0x0005, 0x1301, 0x0a0a] {
            check(Version::Tls12, suite, None);
        }
        for suite in [0x1304, 0x1305, 0xc02b] {
            check(Version::Tls13, suite, None);
        }
        check(Version::Tls11, 0xc02b, None);
    }
}
