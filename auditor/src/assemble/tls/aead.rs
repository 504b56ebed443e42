//! One record's protection: the whole of it with its tag, or any part of it without.
//!
//! AES-GCM and `ChaCha20-Poly1305` encrypt with a keystream, of which any place can be computed alone: GCM counts blocks of
//! 16 bytes from 2 (NIST SP 800-38D, 7.1), `ChaCha20` blocks of 64 bytes from 1 (RFC 8439, 2.8).

use aes::{Aes128, Aes256};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use chacha20poly1305::ChaCha20Poly1305;
use ctr::Ctr32BE;

use super::keys::Keys;
use super::record::{HEADER, Header};
use super::suite::{Aead, TAG};

/// Verifies a whole fragment and decrypts it into `out`, which is cleared first. False: the tag is wrong, or the fragment
/// has no room for one; `out` is empty then.
pub(super) fn open(keys: &Keys, header: &Header, sequence: u64, fragment: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let protection = keys.protection();
    let Some((explicit, rest)) = fragment.split_at_checked(protection.explicit_nonce()) else { return false };
    let Some((ciphertext, tag)) = rest.split_last_chunk::<TAG>() else { return false };
    let nonce = keys.nonce(sequence, explicit.try_into().unwrap_or_default());
    out.extend_from_slice(ciphertext);
    let mut additional = [0; 8 + HEADER];
    let additional = if protection.tls13 {
        &header.bytes[..]
    } else {
        // RFC 5246, 6.2.3.3: sequence number, type, version, length of the plaintext.
        let len = u16::try_from(ciphertext.len()).unwrap_or(0).to_be_bytes();
        let [content, major, minor, ..] = header.bytes;
        let fields = sequence.to_be_bytes().into_iter().chain([content, major, minor]).chain(len);
        additional.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
        &additional[..]
    };
    let opened = match protection.aead {
        Aead::Aes128Gcm => open_with::<Aes128Gcm>(keys, &nonce, additional, tag, out),
        Aead::Aes256Gcm => open_with::<Aes256Gcm>(keys, &nonce, additional, tag, out),
        Aead::ChaCha20Poly1305 => open_with::<ChaCha20Poly1305>(keys, &nonce, additional, tag, out),
    };
    if opened.is_none() {
        out.clear();
    }
    opened.is_some()
}

fn open_with<A>(
    keys: &Keys,
    nonce: &[u8; 12],
    additional: &[u8],
    tag: &[u8; TAG],
    text: &mut [u8],
) -> Option<()>
where
    A: AeadInOut + KeyInit,
{
    let aead = A::new_from_slice(keys.key()).ok()?;
    let nonce = nonce.as_slice().try_into().ok()?;
    let tag = tag.as_slice().try_into().ok()?;
    aead.decrypt_inout_detached(nonce, additional, text.into(), tag).ok()
}

/// Decrypts a part of a fragment in place, unverified. `at` counts from the ciphertext's start, behind the explicit nonce.
pub(super) fn decrypt_at(keys: &Keys, sequence: u64, explicit: [u8; 8], at: usize, text: &mut [u8]) -> bool {
    let nonce = keys.nonce(sequence, explicit);
    let done = match keys.protection().aead {
        Aead::Aes128Gcm => gcm_at::<Ctr32BE<Aes128>>(keys, &nonce, at, text),
        Aead::Aes256Gcm => gcm_at::<Ctr32BE<Aes256>>(keys, &nonce, at, text),
        Aead::ChaCha20Poly1305 => stream_at::<ChaCha20>(keys, &nonce, 64 + at as u64, text),
    };
    done.is_some()
}

fn gcm_at<C>(keys: &Keys, nonce: &[u8; 12], at: usize, text: &mut [u8]) -> Option<()>
where
    C: KeyIvInit + StreamCipher + StreamCipherSeek,
{
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *nonce;
    stream_at::<C>(keys, &[a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 2], at as u64, text)
}

fn stream_at<C>(keys: &Keys, iv: &[u8], position: u64, text: &mut [u8]) -> Option<()>
where
    C: KeyIvInit + StreamCipher + StreamCipherSeek,
{
    let mut cipher = C::new_from_slices(keys.key(), iv).ok()?;
    cipher.try_seek(position).ok()?;
    cipher.try_apply_keystream(text).ok()
}

#[cfg(test)]
mod tests;
