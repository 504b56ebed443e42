//! Keeps the key tap where the code of a cgroup's processes is.
//!
//! Each [`Watch::look`] takes a census of the files they run, looks into those that are new, taps what it finds and takes away
//! what has long been in use no more. A probe is on the file: what forks or starts later from the same file is covered
//! from its first handshake. A file that is changed in place has its probes taken away first of all, and when the kernel tells
//! of it at once: it writes them into whatever stands there now. What was found in a file is remembered by the file's hash,
//! so that the same library in another image is not searched again. Produces [`Coverage`]: every file with TLS code, tapped or not, and why.

mod known;
mod report;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use sha2::{Digest as _, Sha256};

pub use report::{Coverage, FileCoverage, Inspection, Problem, ProcessCoverage, Refusal};

use self::known::{Hash, Known, contents, stamp};
use self::writes::Writes;
use super::locate::{Located, TapPoint, locate};
use super::processes::{self, FileId, Mapped, census, running};
use crate::capture::kernel::attach::Attachment;
use crate::capture::kernel::tap::Tap;
use crate::capture::sockets::SocketsError;

/// Contents whose result is remembered.
const MAX_REMEMBERED: usize = 256;
/// Bytes of new files that are read in one look, so that a look ends soon; at least one file is.
const MAX_READ: u64 = 256 << 20;
/// How long one look goes on to new files; what is left comes first in the next.
const TIME: Duration = Duration::from_millis(500);
/// Files that are open at once to be looked into.
const BATCH: usize = 64;
/// How long a file that no process runs stays tapped: a controller that is started again is covered from its start.
const GRACE: Duration = Duration::from_secs(60);
/// How long it is tried to open a file that could not be, before it is told.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a file may be changed in place and is tapped again.
const MAX_CHANGES: u32 = 8;
/// Files of one process that are not covered and told one by one.
const MAX_PROBLEMS: u32 = 16;
/// The files of one cgroup.
#[derive(Debug, Default)]
pub struct Watch {
    files: BTreeMap<FileId, Known>,
    remembered: BTreeMap<Hash, Arc<Located>>,
    /// New files that there was no time for, the oldest first.
    waiting: Vec<FileId>,
    writes: Writes,
    unreadable: u64,
    beyond: u64,
    cut: u64,
}

impl Watch {
    /// What each process of a cgroup runs that could be tapped, and what could not, without tapping it.
    ///
    /// # Errors
    /// When the cgroup cannot be read.
    pub fn inspect(cgroup: &Path) -> Result<Inspection, SocketsError> {
        let mut watch = Self::default();
        let census = census(cgroup)?;
        let files: Vec<_> = census.files.iter().map(|(id, mapped)| (*id, mapped)).collect();
        for batch in files.chunks(BATCH) {
            for ((id, mapped), file) in batch.iter().zip(processes::open(batch)) {
                watch.examine(None, *id, mapped, file);
            }
        }
        let of = |id: &FileId| watch.files.get(id).filter(|known| known.matters()).map(Known::coverage);
        let processes = running(cgroup)?.into_iter().map(|process| ProcessCoverage {
            pid: process.pid,
            command: process.command,
            // What has begun to run since the census, and what is beyond the bounds.
            not_looked_at: u64::from(process.cut)
                + process.files.iter().flatten().filter(|id| !watch.files.contains_key(id)).count() as u64,
            files: process.files.map(|files| files.iter().filter_map(of).collect()),
        });
        Ok(Inspection { processes: processes.collect(), files_beyond: census.beyond })
    }

    /// Looks what the attachment's cgroup runs, and taps it.
    ///
    /// # Errors
    /// When the cgroup cannot be read: nothing changes then.
    pub fn look(&mut self, attachment: &mut Attachment) -> Result<(), SocketsError> {
        let written = self.writes.take();
        self.untap_changed(attachment, &written);
        let census = census(attachment.cgroup())?;
        (self.unreadable, self.beyond, self.cut) = (census.unreadable, census.beyond, census.cut);
        let now = Instant::now();
        for (id, known) in &mut self.files {
            let mapped = census.files.get(id);
            known.processes = mapped.map_or(0, |mapped| mapped.processes);
            known.owner = mapped.and_then(Mapped::owner);
            known.unused = if mapped.is_some() { None } else { known.unused.or(Some(now)) };
        }
        self.take_away(attachment, now);
        let mut wanted = std::mem::take(&mut self.waiting);
        let waited: BTreeSet<FileId> = wanted.iter().copied().collect();
        wanted.extend(census.files.keys().filter(|id| !waited.contains(id)));
        let is_settled = |id: &FileId| self.files.get(id).is_some_and(|known| known.settled);
        let wanted: Vec<(FileId, &Mapped)> = wanted
            .iter()
            .filter(|id| !is_settled(id))
            .filter_map(|id| Some((*id, census.files.get(id)?)))
            .collect();
        let (mut read, mut looked) = (0, 0);
        for batch in wanted.chunks(BATCH) {
            let is_over = |read| read >= MAX_READ || now.elapsed() >= TIME;
            if looked > 0 && is_over(read) {
                break;
            }
            for ((id, mapped), file) in batch.iter().zip(processes::open(batch)) {
                if looked > 0 && is_over(read) {
                    break;
                }
                read += self.examine(Some(attachment), *id, mapped, file);
                looked += 1;
                self.heed(attachment);
            }
        }
        self.waiting = wanted.iter().skip(looked).map(|(id, _)| *id).collect();
        Ok(())
    }

    /// Takes the probes from files that were written to, if the kernel tells of any; the next look looks into them again.
    pub fn heed(&mut self, attachment: &mut Attachment) {
        let written = self.writes.take();
        if !written.is_empty() {
            self.untap_changed(attachment, &written);
        }
    }

    /// Readable when there is something for [`Self::heed`]. None as long as nothing is tapped.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.writes.descriptor()
    }

    /// Why the kernel does not tell of changes to some tapped file, if that is so: only the looks find them then.
    #[must_use]
    pub fn untold(&self) -> Option<Errno> {
        self.writes.refused()
    }

    /// Takes the probes from files that were written to, or are not what they were.
    fn untap_changed(&mut self, attachment: &mut Attachment, written: &BTreeSet<i32>) {
        let mut read = 0;
        for known in self.files.values_mut() {
            // One that is to be looked into again is not tapped.
            if !known.settled || !known.is_changed(written, &mut read) {
                continue;
            }
            untap(attachment, std::mem::take(&mut known.taps));
            known.watched = None;
            known.changes = known.changes.saturating_add(1);
            known.problems = vec![Problem::Rewritten];
            known.hash = None;
            known.settled = known.changes > MAX_CHANGES;
            if known.settled {
                known.file = None;
            }
        }
    }

    /// Whether there are files that there was no time for yet.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What is tapped, and what cannot be.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let mut by_process: BTreeMap<Option<u32>, u32> = BTreeMap::new();
        let mut coverage = Coverage {
            files: Vec::new(),
            unreadable_processes: self.unreadable,
            files_beyond: self.beyond,
            cut_processes: self.cut,
            files_waiting: self.waiting.len() as u64,
            problems_beyond: 0,
        };
        for known in self.files.values().filter(|known| known.processes > 0 && known.matters()) {
            if known.taps.is_empty() {
                let told = by_process.entry(known.owner).or_default();
                *told += 1;
                if *told > MAX_PROBLEMS {
                    coverage.problems_beyond += 1;
                    continue;
                }
            }
            coverage.files.push(known.coverage());
        }
        coverage
    }

    fn take_away(&mut self, attachment: &mut Attachment, now: Instant) {
        let gone = |known: &mut Known| {
            known.unused.is_some_and(|since| known.taps.is_empty() || now.duration_since(since) > GRACE)
        };
        for (_, known) in self.files.extract_if(.., |_, known| gone(known)) {
            untap(attachment, known.taps);
        }
    }

    /// Looks into a file. Returns how many bytes were read.
    fn examine(
        &mut self,
        mut attachment: Option<&mut Attachment>,
        id: FileId,
        mapped: &Mapped,
        file: io::Result<File>,
    ) -> u64 {
        let mut before = self.files.remove(&id);
        // It may be the same file.
        drop(before.as_mut().and_then(|known| known.watched.take()));
        let changes = before.as_ref().map_or(0, |known| known.changes);
        let mut known = Known {
            path: report::shown(&mapped.path),
            processes: mapped.processes,
            owner: mapped.owner(),
            unused: None,
            hash: None,
            file: None,
            watched: None,
            taps: Vec::new(),
            problems: Vec::new(),
            failing: None,
            settled: true,
            changes,
        };
        if changes > 0 {
            known.problems.push(Problem::Rewritten);
        }
        // What is written from now on is told; and what it was is asked before it is read.
        let watched = match (&file, &attachment) {
            (Ok(file), Some(_)) => self.writes.watch(file),
            _ => None,
        };
        let opened = file.and_then(|file| Ok((stamp(&file)?, contents(&file)?, file)));
        let (stamp, bytes, file) = match opened {
            Ok((stamp, Ok(bytes), file)) => (stamp, bytes, file),
            Ok((stamp, Err(miss), file)) => {
                known.problems.push(Problem::Miss(miss));
                known.file = (changes > 0).then_some((file, stamp));
                self.files.insert(id, known);
                return 0;
            }
            Err(error) => {
                let since = before.and_then(|known| known.failing).unwrap_or_else(Instant::now);
                known.failing = Some(since);
                known.settled = attachment.is_none() || since.elapsed() >= PATIENCE;
                known.problems.push(Problem::Unreadable { errno: error.raw_os_error() });
                self.files.insert(id, known);
                return 0;
            }
        };
        let hash: Hash = Sha256::digest(&bytes).into();
        known.hash = Some(hash);
        let located = self.located(hash, &bytes);
        known.problems.extend(located.misses.iter().map(|miss| Problem::Miss(*miss)));
        for point in &located.points {
            match attachment.as_mut().map(|attachment| attachment.tap(&file, point)).transpose() {
                Ok(tap) => known.taps.push((*point, tap)),
                Err(error) => known.problems.push(Problem::refused(&error)),
            }
        }
        if located.points.is_empty() && located.misses.is_empty() && report::is_tls_library(&mapped.path) {
            known.problems.push(Problem::UnknownLibrary);
        }
        let is_kept = attachment.is_some() && (changes > 0 || !known.taps.is_empty());
        known.file = is_kept.then_some((file, stamp));
        known.watched = watched.filter(|_| !known.taps.is_empty());
        self.files.insert(id, known);
        bytes.len() as u64
    }

    fn located(&mut self, hash: Hash, bytes: &[u8]) -> Arc<Located> {
        if let Some(located) = self.remembered.get(&hash) {
            return Arc::clone(located);
        }
        let located = Arc::new(locate(bytes));
        if self.remembered.len() >= MAX_REMEMBERED {
            // Any one: the bound is beyond what a controller runs.
            self.remembered.pop_first();
        }
        self.remembered.insert(hash, Arc::clone(&located));
        located
    }
}

fn untap(attachment: &mut Attachment, taps: Vec<(TapPoint, Option<Tap>)>) {
    for tap in taps.into_iter().filter_map(|(_, tap)| tap) {
        // A probe that the kernel does not know any more is away as well.
        let _ = attachment.untap(tap);
    }
}
