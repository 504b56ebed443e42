//! Objects from a directory of manifests, for a host without a cluster.
//!
//! Consumes `*.yaml`, `*.yml` (several documents each) and `*.json` under a directory; produces [`Objects`], or the first
//! error with file, line and key. The only part of attribution that does I/O.
//!
//! Invariants: all or nothing, so a half-read directory never becomes a route table; one state of the directory, never a
//! mixture of two; an object is read once however many links lead to it, and two objects of one name are an error,
//! because nothing says which of them the controller obeys.

mod document;
mod error;
mod split;
mod walk;

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::objects::Objects;
pub use document::Kind;
pub(super) use document::Object;
pub use error::{Bound, ManifestError, ParseError};
pub use walk::Fingerprint;

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 16 << 20;
/// The most bytes that one directory may hold in manifests.
pub const MAX_TOTAL_BYTES: u64 = 256 << 20;
/// The most manifest files in one directory.
pub const MAX_FILES: usize = 10_000;
/// The most entries of any sort that are looked at.
pub const MAX_ENTRIES: usize = 100_000;
/// The deepest nesting of directories.
pub const MAX_DEPTH: usize = 16;
/// The most objects, ignored ones not counted.
pub const MAX_OBJECTS: usize = 500_000;

/// How often a directory that changes under the reader is begun anew before that is an error.
const ATTEMPTS: usize = 3;

/// What a directory held, and by what to recognise that it holds something else.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The objects.
    pub objects: Objects,
    /// The state they were read from; differs from a later [`fingerprint`] once anything changed.
    pub fingerprint: Fingerprint,
}

/// The state of the directory: which manifests there are, and each one's inode, size and times. Reads no file.
///
/// # Errors
/// A directory that cannot be listed, or one beyond a bound.
pub fn fingerprint(dir: &Path) -> Result<Fingerprint, ManifestError> {
    walk::walk(dir)
}

/// Reads every manifest under `dir`.
///
/// # Errors
/// The first file or document that cannot be read; a bound that is passed; a directory that kept changing meanwhile.
pub fn load(dir: &Path) -> Result<Loaded, ManifestError> {
    let Files { files, fingerprint } = read(dir)?;
    Ok(Loaded { objects: parse_all(&files)?, fingerprint })
}

/// The bytes of every manifest, for a reader that may not open files itself.
#[derive(Clone, Debug)]
pub struct Files {
    /// Each file's path and content.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// The state they were read from.
    pub fingerprint: Fingerprint,
}

/// Reads the files of every manifest under `dir`, without looking into them.
///
/// # Errors
/// The first file that cannot be read; a bound that is passed; a directory that kept changing meanwhile.
pub fn read(dir: &Path) -> Result<Files, ManifestError> {
    for _ in 0..ATTEMPTS {
        let before = walk::walk(dir)?;
        let result = read_all(&before);
        // An error that is due to a change (a file that is gone, or half written) is not worth telling.
        if walk::walk(dir)? == before {
            return Ok(Files { files: result?, fingerprint: before });
        }
    }
    Err(ManifestError::Changing { directory: dir.to_owned() })
}

/// Reads the manifests in `files`.
///
/// # Errors
/// The first document that cannot be read; a bound that is passed.
pub fn parse_all(files: &[(PathBuf, Vec<u8>)]) -> Result<Objects, ManifestError> {
    let mut reader = Reader::default();
    for (path, bytes) in files {
        reader.file(path, bytes)?;
    }
    Ok(reader.objects)
}

/// Reads manifests from memory: `name` stands for the file, and its extension says whether it is JSON.
///
/// # Errors
/// As [`parse_all`].
pub fn parse(name: &Path, bytes: &[u8]) -> Result<Objects, ManifestError> {
    parse_all(&[(name.to_owned(), bytes.to_vec())])
}

fn read_all(state: &Fingerprint) -> Result<Vec<(PathBuf, Vec<u8>)>, ManifestError> {
    let mut files = Vec::new();
    let mut total = 0;
    for path in state.paths() {
        let bytes = read_bounded(path)?;
        total += bytes.len() as u64;
        if total > MAX_TOTAL_BYTES {
            return Err(ManifestError::TooMany {
                path: path.to_owned(),
                bound: Bound::TotalBytes,
                limit: MAX_TOTAL_BYTES,
            });
        }
        files.push((path.to_owned(), bytes));
    }
    Ok(files)
}

/// Reads at most [`MAX_FILE_BYTES`]; the size that the walk saw may be out of date, or a lie (`/proc`, a pipe).
fn read_bounded(path: &Path) -> Result<Vec<u8>, ManifestError> {
    let failed = |error: io::Error| ManifestError::Io { path: path.to_owned(), error };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ManifestError::TooMany {
            path: path.to_owned(),
            bound: Bound::FileBytes,
            limit: MAX_FILE_BYTES,
        });
    }
    Ok(bytes)
}

/// Where an object was defined first.
type Seen = HashMap<(Kind, String, String), (Arc<PathBuf>, u64)>;

#[derive(Default)]
struct Reader {
    objects: Objects,
    seen: Seen,
}

impl Reader {
    fn file(&mut self, path: &Path, bytes: &[u8]) -> Result<(), ManifestError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            ManifestError::NotText {
                file: path.to_owned(),
                line: 1 + memchr::memchr_iter(b'\n', good).count() as u64,
            }
        })?;
        let file = Arc::new(path.to_owned());
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
            return self.document(&file, document::Source::Json(text));
        }
        for (offset, chunk) in split::documents(text) {
            self.document(&file, document::Source::Yaml { text: chunk, offset })?;
        }
        Ok(())
    }

    fn document(&mut self, file: &Arc<PathBuf>, source: document::Source<'_>) -> Result<(), ManifestError> {
        let line = source.first_line();
        let found = document::read(file, source, &mut self.objects.ignored)?;
        for object in found {
            if self.objects.len() >= MAX_OBJECTS {
                return Err(ManifestError::TooMany {
                    path: file.to_path_buf(),
                    bound: Bound::Objects,
                    limit: MAX_OBJECTS as u64,
                });
            }
            self.object(file, line, object)?;
        }
        Ok(())
    }

    fn object(&mut self, file: &Arc<PathBuf>, line: u64, mut object: Object) -> Result<(), ManifestError> {
        let kind = object.kind();
        let metadata = object.metadata_mut();
        let name = metadata.name.clone().filter(|name| !name.is_empty());
        let Some(name) = name else {
            return Err(ManifestError::NoName { file: file.to_path_buf(), line, kind });
        };
        let namespace = if kind.namespaced() {
            let namespace = metadata.namespace.take().filter(|namespace| !namespace.is_empty());
            namespace.unwrap_or_else(|| "default".to_owned())
        } else {
            String::new()
        };
        metadata.namespace = kind.namespaced().then(|| namespace.clone());
        let place = (Arc::clone(file), line);
        if let Some((first, first_line)) = self.seen.insert((kind, namespace.clone(), name.clone()), place) {
            return Err(ManifestError::Duplicate {
                file: file.to_path_buf(),
                line,
                kind,
                namespace,
                name,
                first: first.to_path_buf(),
                first_line,
            });
        }
        object.add_to(&mut self.objects);
        Ok(())
    }
}
