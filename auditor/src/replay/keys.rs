//! The secrets of a replay: key logs, before the first packet.
//!
//! Consumes files of the NSS form, as `SSLKEYLOGFILE` has clients and servers write them; produces [`Record::Secret`]s. What is
//! read passes through one buffer, which is wiped. Bad lines are counted; the first of a file is named in the log, by its
//! number and never by what it says, for it can be half a secret.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::ops::AddAssign;
use std::path::Path;

use tracing::warn;
use zeroize::Zeroizing;

use super::ReplayError;
use crate::assemble::tls::secrets::key_log::KeyLog;
use crate::assemble::tls::secrets::store::{self, Limits};
use crate::capture::pcap::Counters;
use crate::capture::record::{Record, Secret};

/// The secrets of 262,144 connections (about 100 MiB; a client that logs everything has more, of which the last are kept),
/// for as long as the replay takes.
pub(super) const LIMITS: Limits = Limits { connections: 1 << 18, age: u64::MAX };
/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// What key logs held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Logged {
    pub(super) secrets: u64,
    pub(super) malformed: u64,
}

impl AddAssign for Logged {
    fn add_assign(&mut self, other: Self) {
        self.secrets += other.secrets;
        self.malformed += other.malformed;
    }
}

/// Reads a key log to its end.
pub(super) fn read(path: &Path, sink: &mut dyn FnMut(Record<'_>)) -> Result<Logged, ReplayError> {
    let failed = |source| ReplayError::KeyLog { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut buffer = Zeroizing::new(vec![0; CHUNK]);
    let mut log = KeyLog::new();
    let mut give = |random, label, secret: crate::assemble::tls::secrets::Secret| {
        sink(Record::Secret { time: 0, secret: Secret::of_key_log(&random, label, &secret) });
    };
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => log.push(buffer.get(..read).unwrap_or_default(), &mut give),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(failed(source)),
        }
    }
    log.finish(&mut give);
    let counts = log.counts();
    if let Some(line) = counts.first_malformed {
        if counts.secrets + counts.ignored == 0 {
            return Err(ReplayError::NotAKeyLog { path: path.to_path_buf(), line });
        }
        warn!(file = %path.display(), line, lines = counts.malformed, "Lines of the key log cannot be read; this is the first");
    } else if counts.secrets == 0 {
        warn!(file = %path.display(), "The key log holds no secret");
    }
    Ok(Logged { secrets: counts.secrets, malformed: counts.malformed })
}

/// Says what of a capture's own secrets could not be read, and whether there were too many of all.
pub(super) fn warn(capture: &Path, counters: &Counters, limits: Limits, secrets: &store::Counts) {
    let file = capture.display();
    if let Some((block, line)) = counters.first_malformed_key_line {
        let lines = counters.malformed_key_lines;
        warn!(%file, block, line, lines, "Lines of the key log in the secrets block that starts at byte `block` cannot be read; this is the first");
    }
    if counters.foreign_secrets_blocks > 0 {
        let blocks = counters.foreign_secrets_blocks;
        warn!(%file, blocks, "Secrets that are no key log of TLS are not read");
    }
    if secrets.evicted > 0 {
        let connections = secrets.evicted;
        warn!(
            limit = limits.connections,
            connections, "There are the secrets of too many connections; the first were dropped"
        );
    }
}
