//! From a secret to the keys of one direction (RFC 8446, 7.1 and 7.3; RFC 5246, 5 and 6.3).
//!
//! Only the key and the nonce's fixed part are kept: an idle connection has two of these, and to expand a key anew costs
//! less than a record.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::lane::Role;
use super::secrets::Secret;
use super::suite::{Hash, Protection};

/// The keys of one direction.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct Keys {
    key: [u8; 32],
    /// In TLS 1.2 with GCM only the first four bytes (RFC 5288, 3).
    iv: [u8; 12],
    #[zeroize(skip)]
    protection: Protection,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Keys")
    }
}

impl Keys {
    /// From a traffic secret of TLS 1.3. None: the secret's length is not that of the hash.
    pub(super) fn tls13(protection: Protection, secret: &Secret) -> Option<Self> {
        let mut keys = Self { key: [0; 32], iv: [0; 12], protection };
        let key = keys.key.get_mut(..protection.key_len())?;
        expand_label(protection.hash, secret, b"key", key)?;
        expand_label(protection.hash, secret, b"iv", &mut keys.iv)?;
        Some(keys)
    }

    /// From the master secret of TLS 1.2 and both random values. None: the secret is no master secret.
    pub(super) fn tls12(
        protection: Protection,
        master: &Secret,
        client_random: &[u8; 32],
        server_random: &[u8; 32],
        role: Role,
    ) -> Option<Self> {
        if !master.is_of(48) {
            return None;
        }
        let (key_len, iv_len) = (protection.key_len(), protection.iv_len());
        // RFC 5246, 6.3. AEADs have no MAC keys. The order is: client's key, server's key, client's IV, server's IV.
        let mut block = Zeroizing::new([0; 2 * (32 + 12)]);
        let block = block.get_mut(..2 * (key_len + iv_len))?;
        let seed = [&b"key expansion"[..], server_random, client_random];
        match protection.hash {
            Hash::Sha256 => prf::<Hmac<Sha256>>(master.bytes(), &seed, block),
            Hash::Sha384 => prf::<Hmac<Sha384>>(master.bytes(), &seed, block),
        }?;
        let second = match role {
            Role::Client => 0,
            Role::Server => 1,
        };
        let mut keys = Self { key: [0; 32], iv: [0; 12], protection };
        let from = second * key_len;
        keys.key.get_mut(..key_len)?.copy_from_slice(block.get(from..from + key_len)?);
        let from = 2 * key_len + second * iv_len;
        keys.iv.get_mut(..iv_len)?.copy_from_slice(block.get(from..from + iv_len)?);
        Some(keys)
    }

    pub(super) fn protection(&self) -> Protection {
        self.protection
    }

    pub(super) fn key(&self) -> &[u8] {
        self.key.get(..self.protection.key_len()).unwrap_or_default()
    }

    /// The nonce of a record. `explicit` is what the record starts with in TLS 1.2 with GCM, else not looked at.
    pub(super) fn nonce(&self, sequence: u64, explicit: [u8; 8]) -> [u8; 12] {
        let mut nonce = self.iv;
        let counted = self.protection.explicit_nonce() == 0;
        let low = if counted { sequence.to_be_bytes() } else { explicit };
        for (byte, low) in nonce.iter_mut().skip(4).zip(low) {
            *byte = if counted { *byte ^ low } else { low };
        }
        nonce
    }
}

/// The secret after a `KeyUpdate` (RFC 8446, 7.2).
pub(super) fn next_generation(hash: Hash, secret: &Secret) -> Option<Secret> {
    let mut next = Zeroizing::new([0; 48]);
    let next = next.get_mut(..hash.len())?;
    expand_label(hash, secret, b"traffic upd", next)?;
    Secret::new(next)
}

/// HKDF-Expand-Label without context (RFC 8446, 7.1).
fn expand_label(hash: Hash, secret: &Secret, label: &[u8], out: &mut [u8]) -> Option<()> {
    if !secret.is_of(hash.len()) {
        return None;
    }
    let len = u16::try_from(out.len()).ok()?.to_be_bytes();
    let label_len = [u8::try_from(b"tls13 ".len() + label.len()).ok()?];
    let info = [&len[..], &label_len, b"tls13 ", label, &[0]];
    match hash {
        Hash::Sha256 => Hkdf::<Sha256>::from_prk(secret.bytes()).ok()?.expand_multi_info(&info, out).ok(),
        Hash::Sha384 => Hkdf::<Sha384>::from_prk(secret.bytes()).ok()?.expand_multi_info(&info, out).ok(),
    }
}

/// `P_hash` of TLS 1.2 (RFC 5246, 5); `seed` in parts, the label first.
fn prf<M: Mac + KeyInit>(secret: &[u8], seed: &[&[u8]], out: &mut [u8]) -> Option<()> {
    let mac = |parts: &[&[u8]]| {
        let mut mac = <M as KeyInit>::new_from_slice(secret).ok()?;
        parts.iter().for_each(|part| mac.update(part));
        Some(mac.finalize().into_bytes())
    };
    let mut a = mac(seed)?;
    for chunk in out.chunks_mut(a.len()) {
        let mut parts = vec![&a[..]];
        parts.extend(seed);
        let block = mac(&parts)?;
        chunk.copy_from_slice(block.get(..chunk.len())?);
        a = mac(&[&a])?;
    }
    Some(())
}

#[cfg(test)]
mod tests;
