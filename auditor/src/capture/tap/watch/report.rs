//! What is said of the key tap: to the process that decodes, in `coverage` events, by `auditor check`.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::capture::kernel::tap::TapError;
use crate::capture::tap::locate::{Miss, TapPoint};

/// Longest path shown.
const MAX_PATH: usize = 256;

/// What of a cgroup's TLS code is tapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Files with TLS code that are in use.
    pub files: Vec<FileCoverage>,
    /// Processes that could not be looked at.
    pub unreadable_processes: u64,
    /// Mappings of files beyond the bound.
    pub files_beyond: u64,
    /// Processes of whose mappings only the first were looked at: there are too many.
    #[serde(default)]
    pub cut_processes: u64,
    /// Files that there was no time for yet; they come first in the next look.
    #[serde(default)]
    pub files_waiting: u64,
    /// Files that are not covered and not told one by one: one process runs too many such.
    #[serde(default)]
    pub problems_beyond: u64,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCoverage {
    /// As the process sees it.
    pub path: String,
    /// Processes that run it.
    pub processes: u32,
    /// In hexadecimal; none if it could not be read.
    pub sha256: Option<String>,
    /// Where it is tapped, or could be if it was only looked at.
    pub points: Vec<TapPoint>,
    /// What is not tapped, and why.
    pub problems: Vec<Problem>,
}

/// What could be tapped of a cgroup, process by process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// By their numbers.
    pub processes: Vec<ProcessCoverage>,
    /// Mappings of files beyond the bound.
    pub files_beyond: u64,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessCoverage {
    /// As this process's pid namespace numbers it; 0 if it is not visible from here.
    pub pid: u32,
    /// Its command, as the kernel shows it (at most 15 bytes, set by the process itself).
    pub command: String,
    /// The files with TLS code that it runs; none if it may not be looked at.
    pub files: Option<Vec<FileCoverage>>,
    /// Files that it runs and that were not looked at, as far as they were counted.
    pub not_looked_at: u64,
}

impl Coverage {
    /// Whether both say the same of the same files, however many processes run them.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let said = |coverage: &Self| {
            let of = |file: &FileCoverage| FileCoverage { processes: 0, ..file.clone() };
            let mut files: Vec<_> = coverage.files.iter().map(of).collect();
            files.sort_by(|a, b| (&a.path, &a.sha256).cmp(&(&b.path, &b.sha256)));
            let Self {
                unreadable_processes,
                files_beyond,
                cut_processes,
                files_waiting,
                problems_beyond,
                ..
            } = *coverage;
            (files, [unreadable_processes, files_beyond, cut_processes, files_waiting, problems_beyond])
        };
        said(self) == said(other)
    }
}

/// Why TLS code is not tapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Not found in the file.
    Miss(Miss),
    /// It was changed in place while it was tapped, which can break the processes that run it.
    Rewritten,
    /// By its name a TLS library, of a kind whose secrets cannot be had.
    UnknownLibrary,
    /// The file could not be read.
    Unreadable {
        /// The system's error.
        errno: Option<i32>,
    },
    /// The kernel, or this version, refused.
    Refused {
        /// What.
        what: Refusal,
        /// The system's error.
        errno: Option<i32>,
    },
}

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Code for another machine.
    Machine,
    /// The programs are of another version.
    Version,
    /// Loading the program.
    Load,
    /// Attaching it.
    Attach,
}

impl Problem {
    /// From the error of an attempt.
    pub(super) fn refused(error: &TapError) -> Self {
        let what = match error {
            TapError::Machine => Refusal::Machine,
            TapError::Missing { .. } => Refusal::Version,
            TapError::Load(_) => Refusal::Load,
            TapError::Attach(_) => Refusal::Attach,
        };
        let mut source: Option<&(dyn Error + 'static)> = Some(error);
        let mut errno = None;
        while let Some(error) = source {
            errno = errno.or_else(|| error.downcast_ref::<io::Error>()?.raw_os_error());
            source = error.source();
        }
        Self::Refused { what, errno }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, errno) = match self {
            Self::Miss(miss) => return miss.fmt(f),
            Self::Rewritten => (
                "the file was changed in place while it was tapped; the tap was taken away, and it was looked at anew",
                None,
            ),
            Self::UnknownLibrary => ("it is a TLS library of a kind whose secrets cannot be had", None),
            Self::Unreadable { errno } => ("the file cannot be read", *errno),
            Self::Refused { what: Refusal::Machine, .. } => ("it is code for another kind of machine", None),
            Self::Refused { what: Refusal::Version, .. } => {
                ("the kernel programs are of another version", None)
            }
            Self::Refused { what: Refusal::Load, errno } => {
                ("the kernel refused the key tap's program (it needs Linux 5.15)", *errno)
            }
            Self::Refused { what: Refusal::Attach, errno } => {
                ("the kernel did not attach the key tap", *errno)
            }
        };
        f.write_str(text)?;
        match errno {
            Some(errno) => write!(f, ": {}", io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }
}

/// A path for people, cut to a bound.
pub(super) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.char_indices().take_while(|(at, _)| *at < MAX_PATH).map(|(_, letter)| letter).collect()
}

/// Whether a file's name is that of a TLS library.
pub(super) fn is_tls_library(path: &Path) -> bool {
    const NAMES: [&str; 9] = [
        "libssl.so",
        "libssl-",
        "libssl3.so",
        "libgnutls.so",
        "libmbedtls.so",
        "libwolfssl.so",
        "libs2n.so",
        "libtls.so",
        "libbearssl.so",
    ];
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    NAMES.iter().any(|start| name.starts_with(start))
}
