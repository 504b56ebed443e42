//! Which files a directory of manifests holds, and in what state.
//!
//! Names that begin with a dot are passed over: a mounted `ConfigMap` shows each file as a link through `..data`, which is
//! itself a link to a dated directory that is replaced by renaming, and everything would be found three times. Links are
//! followed; a file or directory that is reached twice (device and inode) counts once, so links cannot make a cycle.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Bound, MAX_DEPTH, MAX_ENTRIES, MAX_FILE_BYTES, MAX_FILES, ManifestError};

/// The state of a directory: equal as long as nothing in it changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    files: Vec<State>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct State {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// A copy that keeps the modification time (`cp -p`, `rsync -t`) still shows here.
    changed: (i64, i64),
}

impl Fingerprint {
    /// The manifests, in order of their paths.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|state| state.path.as_path())
    }

    /// How many manifests there are.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files.len()
    }
}

pub(super) fn walk(dir: &Path) -> Result<Fingerprint, ManifestError> {
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    let mut entries = 0;
    let mut pending = vec![(dir.to_owned(), 0)];
    // The order in which directories are listed decides which of two links is kept: it must not depend on the disk.
    while let Some((directory, depth)) = pending.pop() {
        let metadata = stat(&directory)?;
        if !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&directory).map_err(|error| io(&directory, error))? {
            let name = entry.map_err(|error| io(&directory, error))?.file_name();
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(too_many(&directory, Bound::Entries, MAX_ENTRIES as u64));
            }
            if !name.as_encoded_bytes().starts_with(b".") {
                names.push(name);
            }
        }
        names.sort_unstable();
        let mut below = Vec::new();
        for name in names {
            let path = directory.join(name);
            let metadata = match stat(&path) {
                Ok(metadata) => metadata,
                // A dangling link to something that is no manifest by its name is none of our business.
                Err(_) if !is_manifest(&path) => continue,
                Err(error) => return Err(error),
            };
            if metadata.is_dir() {
                if depth >= MAX_DEPTH {
                    return Err(too_many(&path, Bound::Depth, MAX_DEPTH as u64));
                }
                below.push((path, depth + 1));
            } else if metadata.is_file()
                && is_manifest(&path)
                && seen.insert((metadata.dev(), metadata.ino()))
            {
                if metadata.size() > MAX_FILE_BYTES {
                    return Err(too_many(&path, Bound::FileBytes, MAX_FILE_BYTES));
                }
                if files.len() >= MAX_FILES {
                    return Err(too_many(dir, Bound::Files, MAX_FILES as u64));
                }
                files.push(state(path, &metadata));
            }
        }
        pending.extend(below.into_iter().rev());
    }
    files.sort_unstable();
    Ok(Fingerprint { files })
}

fn state(path: PathBuf, metadata: &Metadata) -> State {
    State {
        path,
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}

fn stat(path: &Path) -> Result<Metadata, ManifestError> {
    fs::metadata(path).map_err(|error| io(path, error))
}

fn io(path: &Path, error: std::io::Error) -> ManifestError {
    ManifestError::Io { path: path.to_owned(), error }
}

fn too_many(path: &Path, bound: Bound, limit: u64) -> ManifestError {
    ManifestError::TooMany { path: path.to_owned(), bound, limit }
}
