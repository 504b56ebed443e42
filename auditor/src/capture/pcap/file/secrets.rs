//! A block of decryption secrets (draft-ietf-opsawg-pcapng, 4.7): a key log of TLS, as `editcap --inject-secrets` puts it.
//!
//! The key log is read in pieces, so that it may be of any length. Its lines are those of the NSS form; a block is a key log of
//! its own, whose last line needs no line feed.

use std::io::Read;

use super::source::{CHUNK, Source};
use super::{BLOCK_FRAME, Counters, PcapError};
use crate::assemble::tls::secrets::key_log::KeyLog;
use crate::capture::secret::Secret;

/// A key log of TLS, among the types of secrets: "TLSK".
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// Bytes before the secrets: the block's type and length, the secrets' type and length.
const BEFORE: usize = 16;

/// Reads the block of `len` bytes that starts at the source's place, to its end.
pub(super) fn read(
    source: &mut Source<impl Read>,
    len: usize,
    big_endian: bool,
    counters: &mut Counters,
    each: &mut dyn FnMut(Secret<'_>, &mut Counters),
) -> Result<(), PcapError> {
    let block = source.offset();
    let Some(body) = len.checked_sub(BLOCK_FRAME + 8) else {
        counters.malformed_blocks += 1;
        return source.skip(len);
    };
    let start = source.block(BEFORE)?.unwrap_or_default();
    let word = |at: usize| {
        let bytes = start.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
        if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    let (kind, secrets_len) = (word(8), word(12) as usize);
    if secrets_len > body {
        counters.malformed_blocks += 1;
        return source.skip(len);
    }
    if kind != TLS_KEY_LOG {
        counters.foreign_secrets_blocks += 1;
        return source.skip(len);
    }
    counters.key_log_blocks += 1;
    source.consume(BEFORE);
    let mut log = KeyLog::new();
    let mut left = secrets_len;
    let mut end = Ok(());
    let mut give = |random, label, secret: crate::assemble::tls::secrets::Secret| {
        counters.secrets += 1;
        each(Secret::of_key_log(&random, label, &secret), counters);
    };
    while left > 0 {
        let piece = source.up_to(left.min(CHUNK))?;
        if piece.is_empty() {
            // What is left of the last line may look whole.
            end = Err(PcapError::Truncated { offset: block });
            break;
        }
        log.push(piece, &mut give);
        let read = piece.len();
        source.consume(read);
        left -= read;
    }
    if end.is_ok() {
        log.finish(&mut give);
    }
    let counts = log.counts();
    counters.malformed_key_lines += counts.malformed;
    let first = counts.first_malformed.map(|line| (block, line));
    counters.first_malformed_key_line = counters.first_malformed_key_line.or(first);
    end?;
    source.skip_of(len - BEFORE - secrets_len, block)
}
