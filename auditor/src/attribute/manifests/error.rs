//! What can be wrong with a directory of manifests. Every variant says where.

use std::path::PathBuf;

use super::document::Kind;

/// Why manifests were not read. Nothing of the directory is used then.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file or directory could not be read.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is not UTF-8.
    #[error("{file}:{line}: not UTF-8 text", file = file.display())]
    NotText {
        /// The file.
        file: PathBuf,
        /// The line of the first bad byte, from 1.
        line: u64,
    },
    /// A bound was passed.
    #[error("{path}: more {bound} than {limit}", path = path.display())]
    TooMany {
        /// The file or directory at which it was noticed.
        path: PathBuf,
        /// Of what there is too much.
        bound: Bound,
        /// How much there may be.
        limit: u64,
    },
    /// A document could not be parsed, or a value has the wrong type.
    #[error("{file}:{line}:{column}: {what}{key}: {error}", file = file.display(), what = Kind::prefix(*kind))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// The line in the file, from 1.
        line: u64,
        /// The column, from 1.
        column: u64,
        /// What sort of object it is, where that is known.
        kind: Option<Kind>,
        /// The path of the key in its document, such as `spec.rules[0].host`; `.` is the whole document.
        key: String,
        /// What is wrong with it.
        error: ParseError,
    },
    /// A document does not say what it is.
    #[error("{file}:{line}: {key} is missing", file = file.display())]
    NoKind {
        /// The file.
        file: PathBuf,
        /// The line on which the document starts.
        line: u64,
        /// The key that is missing, such as `kind` or `items[3].kind`.
        key: String,
    },
    /// An object has no name.
    #[error("{file}:{line}: {kind} without metadata.name", file = file.display())]
    NoName {
        /// The file.
        file: PathBuf,
        /// The line on which the document starts.
        line: u64,
        /// The sort of object.
        kind: Kind,
    },
    /// An object that matters is written in a version that is not understood.
    #[error("{file}:{line}: {kind} of apiVersion {version:?}; only {supported} is understood", file = file.display(), supported = kind.api_versions().join(", "))]
    Version {
        /// The file.
        file: PathBuf,
        /// The line on which the document starts.
        line: u64,
        /// The sort of object.
        kind: Kind,
        /// Its `apiVersion`.
        version: String,
    },
    /// A list holds a list.
    #[error("{file}:{line}: items[{item}] is itself a list", file = file.display())]
    NestedList {
        /// The file.
        file: PathBuf,
        /// The line on which the document starts.
        line: u64,
        /// Which item, from 0.
        item: usize,
    },
    /// Two objects have one name.
    #[error("{file}:{line}: {kind} {namespace}/{name} is already defined at {first}:{first_line}", file = file.display(), first = first.display())]
    Duplicate {
        /// The file.
        file: PathBuf,
        /// The line on which the second one's document starts.
        line: u64,
        /// The sort of object.
        kind: Kind,
        /// Its namespace; empty for one without.
        namespace: String,
        /// Its name.
        name: String,
        /// The file of the first.
        first: PathBuf,
        /// The line on which the first one's document starts.
        first_line: u64,
    },
    /// The directory changed each time that it was read.
    #[error("{directory}: keeps changing while it is read", directory = directory.display())]
    Changing {
        /// The directory.
        directory: PathBuf,
    },
}

/// Of what there may be only so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Bytes in one file.
    FileBytes,
    /// Bytes in all files.
    TotalBytes,
    /// Manifest files.
    Files,
    /// Directory entries.
    Entries,
    /// Nested directories.
    Depth,
    /// Objects.
    Objects,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::FileBytes => "bytes in one file",
            Self::TotalBytes => "bytes in all files",
            Self::Files => "manifest files",
            Self::Entries => "directory entries",
            Self::Depth => "nested directories",
            Self::Objects => "objects",
        })
    }
}

/// What the parser said.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The YAML parser. Its own lines count from the start of the document; the message shows those of the file.
    #[error("{}", render(error, *offset))]
    Yaml {
        /// The error.
        error: Box<serde_saphyr::Error>,
        /// Lines of the file before the document.
        offset: u64,
    },
    /// The JSON parser.
    #[error("{0}")]
    Json(serde_json::Error),
}

fn render(error: &serde_saphyr::Error, offset: u64) -> String {
    error.render_with_options(serde_saphyr::render_options! {
        line_offset: offset,
        snippets: serde_saphyr::SnippetMode::Off,
    })
}
