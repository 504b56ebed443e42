//! A file that processes run: what was found in it, and whether it is still that.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::MAX_READ;
use super::report::{FileCoverage, Problem};
use super::writes::Watched;
use crate::capture::kernel::tap::Tap;
use crate::capture::tap::locate::{MAX_FILE, Miss, TapPoint};

/// The start of every file with code (System V ABI, ELF header).
const MAGIC: [u8; 4] = *b"\x7fELF";

/// SHA-256 of a file.
pub(super) type Hash = [u8; 32];

/// What changes with a file's content: its size and when that was changed; and when anything of it was, its names and rights
/// included.
pub(super) type Stamp = ((u64, (i64, i64)), (i64, i64));

/// A file that was looked into, or could not be.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) path: String,
    pub(super) processes: u32,
    /// A process that runs it.
    pub(super) owner: Option<u32>,
    /// Since when no process runs it.
    pub(super) unused: Option<Instant>,
    pub(super) hash: Option<Hash>,
    /// Kept open, with what it was, as long as it is tapped: its inode is not given to another file meanwhile. One that was
    /// changed stays open as well, for it may be changed further.
    pub(super) file: Option<(File, Stamp)>,
    /// As long as it is tapped: it is told at once when it is changed.
    pub(super) watched: Option<Watched>,
    /// None: not tapped, only looked for.
    pub(super) taps: Vec<(TapPoint, Option<Tap>)>,
    pub(super) problems: Vec<Problem>,
    /// Since when it could not be opened.
    pub(super) failing: Option<Instant>,
    /// Whether there is nothing more to find out.
    pub(super) settled: bool,
    /// How often it was changed in place.
    pub(super) changes: u32,
}

impl Known {
    /// Whether its content is another. `read`: bytes that were read in this look to find that out.
    pub(super) fn is_changed(&mut self, written: &BTreeSet<i32>, read: &mut u64) -> bool {
        let Some((file, then)) = &mut self.file else { return false };
        // The times of a file are as coarse as the kernel's clock tick: two writes may have the same.
        if self.watched.as_ref().is_some_and(|watched| watched.is_in(written)) {
            return true;
        }
        let Ok(now) = stamp(file) else { return false };
        if now == *then || now.0 != then.0 {
            return now != *then;
        }
        // An upgrade takes the name from a file that is still run, and that is no other file. Who writes can set the time of
        // the content back, so that must be looked at; where there is much, not all in one look.
        if *read >= MAX_READ {
            return false;
        }
        *read += now.0.0;
        let is_same = contents(file)
            .is_ok_and(|bytes| bytes.is_ok_and(|bytes| self.hash == Some(Sha256::digest(&bytes).into())));
        if is_same {
            *then = now;
        }
        !is_same
    }

    pub(super) fn coverage(&self) -> FileCoverage {
        FileCoverage {
            path: self.path.clone(),
            processes: self.processes,
            sha256: self.hash.map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect()),
            points: self.taps.iter().map(|(point, _)| *point).collect(),
            problems: self.problems.clone(),
        }
    }

    /// Whether there is something to say about it. What could not be opened may be gone already: told once it is sure.
    pub(super) fn matters(&self) -> bool {
        !self.taps.is_empty() || (!self.problems.is_empty() && self.settled)
    }
}

pub(super) fn stamp(file: &File) -> io::Result<Stamp> {
    let now = file.metadata()?;
    Ok(((now.len(), (now.mtime(), now.mtime_nsec())), (now.ctime(), now.ctime_nsec())))
}

/// The whole file, if it is an ELF file within the bound. Read, not mapped: a mapped file that is cut short kills who reads it.
pub(super) fn contents(mut file: &File) -> io::Result<Result<Vec<u8>, Miss>> {
    file.rewind()?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Ok(Err(Miss::TooLarge));
    }
    // Before there is memory for all of it.
    let mut start = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    if start != MAGIC {
        return Ok(Err(Miss::NotElf));
    }
    file.rewind()?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(Ok(bytes))
}

#[cfg(test)]
mod tests;
