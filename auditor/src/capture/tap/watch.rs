//! Keeps the key tap where the code of a cgroup's processes is.
//!
//! Each [`Watch::look`] takes a census of the files they run, looks into those that are new, taps what it finds and takes away
//! what has long been in use no more. A probe is on the file: what forks or starts later from the same file is covered
//! from its first handshake. What was found in a file is remembered by the file's hash, so that the same library in
//! another image is not searched again. Produces [`Coverage`]: every file with TLS code, tapped or not, and why.

mod report;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

pub use report::{Coverage, FileCoverage, Inspection, Problem, ProcessCoverage, Refusal};

use super::locate::{Located, MAX_FILE, Miss, TapPoint, locate};
use super::processes::{FileId, Mapped, census, running};
use crate::capture::kernel::attach::Attachment;
use crate::capture::kernel::tap::Tap;
use crate::capture::sockets::SocketsError;

/// Contents whose result is remembered.
const MAX_REMEMBERED: usize = 256;
/// Bytes of new files that are read in one look, so that a look ends soon; at least one file is.
const MAX_READ: u64 = 256 << 20;
/// Looks for which a file that no process runs stays tapped: a controller that is started again is covered from its start.
const GRACE: u32 = 60;
/// Attempts to open a file that could not be, before it is told.
const ATTEMPTS: u32 = 3;

/// SHA-256 of a file.
type Hash = [u8; 32];

/// The files of one cgroup.
#[derive(Debug, Default)]
pub struct Watch {
    files: BTreeMap<FileId, Known>,
    remembered: BTreeMap<Hash, Arc<Located>>,
    unreadable: u64,
    beyond: u64,
}

/// A file that was looked into, or could not be.
#[derive(Debug)]
struct Known {
    path: String,
    processes: u32,
    /// Looks since it was last in use.
    unused: u32,
    hash: Option<Hash>,
    /// Kept open as long as it is tapped: its inode is not given to another file meanwhile.
    file: Option<File>,
    /// None: not tapped, only looked for.
    taps: Vec<(TapPoint, Option<Tap>)>,
    problems: Vec<Problem>,
    attempts: u32,
}

impl Watch {
    /// What each process of a cgroup runs that could be tapped, and what could not, without tapping it.
    ///
    /// # Errors
    /// When the cgroup cannot be read.
    pub fn inspect(cgroup: &Path) -> Result<Inspection, SocketsError> {
        let mut watch = Self::default();
        let census = census(cgroup)?;
        for (id, mapped) in &census.files {
            let (known, _) = watch.examine(None, *id, mapped, ATTEMPTS);
            watch.files.insert(*id, known);
        }
        let of = |id: &FileId| watch.files.get(id).filter(|known| known.matters()).map(Known::coverage);
        let processes = running(cgroup)?.into_iter().map(|process| ProcessCoverage {
            pid: process.pid,
            command: process.command,
            files: process.files.map(|files| files.iter().filter_map(of).collect()),
        });
        Ok(Inspection { processes: processes.collect(), files_beyond: census.beyond })
    }

    /// Looks what the attachment's cgroup runs, and taps it.
    ///
    /// # Errors
    /// When the cgroup cannot be read: nothing changes then.
    pub fn look(&mut self, attachment: &mut Attachment) -> Result<(), SocketsError> {
        let census = census(attachment.cgroup())?;
        (self.unreadable, self.beyond) = (census.unreadable, census.beyond);
        for (id, known) in &mut self.files {
            let mapped = census.files.get(id);
            known.processes = mapped.map_or(0, |mapped| mapped.processes);
            known.unused = if mapped.is_some() { 0 } else { known.unused.saturating_add(1) };
        }
        self.take_away(attachment);
        let mut read = 0;
        for (id, mapped) in &census.files {
            let settled =
                self.files.get(id).is_some_and(|known| known.attempts == 0 || known.attempts >= ATTEMPTS);
            if settled || read >= MAX_READ {
                continue;
            }
            let attempts = self.files.get(id).map_or(0, |known| known.attempts);
            let (known, bytes) = self.examine(Some(attachment), *id, mapped, attempts);
            read += bytes;
            self.files.insert(*id, known);
        }
        Ok(())
    }

    /// What is tapped, and what cannot be.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let in_use = self.files.values().filter(|known| known.processes > 0 && known.matters());
        let files = in_use.map(Known::coverage);
        Coverage { files: files.collect(), unreadable_processes: self.unreadable, files_beyond: self.beyond }
    }

    fn take_away(&mut self, attachment: &mut Attachment) {
        let gone = |known: &mut Known| known.unused > GRACE || (known.unused > 0 && known.taps.is_empty());
        for (_, known) in self.files.extract_if(.., |_, known| gone(known)) {
            for tap in known.taps.into_iter().filter_map(|(_, tap)| tap) {
                // A probe that the kernel does not know any more is away as well.
                let _ = attachment.untap(tap);
            }
        }
    }

    /// Looks into a file. Returns how many bytes were read.
    fn examine(
        &mut self,
        mut attachment: Option<&mut Attachment>,
        id: FileId,
        mapped: &Mapped,
        attempts: u32,
    ) -> (Known, u64) {
        let mut known = Known {
            path: report::shown(&mapped.path),
            processes: mapped.processes,
            unused: 0,
            hash: None,
            file: None,
            taps: Vec::new(),
            problems: Vec::new(),
            attempts: 0,
        };
        let (file, bytes) = match mapped.open(id).and_then(|file| Ok((read(&file)?, file))) {
            Ok((Some(bytes), file)) => (file, bytes),
            Ok((None, _)) => {
                known.problems.push(Problem::Miss(Miss::TooLarge));
                return (known, 0);
            }
            Err(error) => {
                known.attempts = attempts + 1;
                known.problems.push(Problem::Unreadable { errno: error.raw_os_error() });
                return (known, 0);
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
        known.file = (!known.taps.is_empty()).then_some(file);
        (known, bytes.len() as u64)
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

impl Known {
    fn coverage(&self) -> FileCoverage {
        FileCoverage {
            path: self.path.clone(),
            processes: self.processes,
            sha256: self.hash.map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect()),
            points: self.taps.iter().map(|(point, _)| *point).collect(),
            problems: self.problems.clone(),
        }
    }

    /// Whether there is something to say about it. What could not be opened may be gone already: told once it is sure.
    fn matters(&self) -> bool {
        !self.taps.is_empty()
            || (!self.problems.is_empty() && (self.attempts == 0 || self.attempts >= ATTEMPTS))
    }
}

/// The whole file; none if it is beyond the bound. Read, not mapped: a mapped file that is cut short kills who reads it.
fn read(file: &File) -> io::Result<Option<Vec<u8>>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
