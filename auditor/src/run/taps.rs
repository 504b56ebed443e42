//! The key tap of one attachment, in the process with rights; and what is said of it, in the other.

use tracing::{info, warn};

use crate::capture::kernel::attach::Attachment;
use crate::capture::tap::watch::{Coverage, Watch};

/// Most files told to the other process: what a controller runs is far below.
const MAX_FILES: usize = 256;

/// The tap of an attachment, and what was last said of it.
#[derive(Debug, Default)]
pub(super) struct Taps {
    watch: Watch,
    told: Coverage,
    failing: bool,
}

impl Taps {
    /// Looks what runs now and taps it. Gives what to say, if there is anything new.
    pub(super) fn look(&mut self, attachment: &mut Attachment) -> Option<Coverage> {
        let looked = self.watch.look(attachment);
        // A cgroup that has just gone is noticed elsewhere.
        if let Err(error) = looked {
            if !std::mem::replace(&mut self.failing, true) {
                warn!(%error, "The processes of a cgroup cannot be looked at for TLS code");
            }
            return None;
        }
        self.failing = false;
        let mut coverage = self.watch.coverage();
        coverage.files_beyond += coverage.files.len().saturating_sub(MAX_FILES) as u64;
        coverage.files.truncate(MAX_FILES);
        if coverage.says_the_same(&self.told) {
            return None;
        }
        self.told = coverage.clone();
        Some(coverage)
    }
}

/// What is not covered, one sentence each, of what was not said `before`; what is covered is logged.
pub(super) fn not_covered(coverage: &Coverage, before: &Coverage) -> Vec<String> {
    let mut sentences = Vec::new();
    for file in &coverage.files {
        let known =
            before.files.iter().find(|other| (&other.path, &other.sha256) == (&file.path, &file.sha256));
        for point in &file.points {
            if known.is_none_or(|known| !known.points.contains(point)) {
                info!(file = %file.path, library = ?point.library, offset = point.offset, "TLS secrets are read");
            }
        }
        for problem in &file.problems {
            if known.is_none_or(|known| !known.problems.contains(problem)) {
                warn!(file = %file.path, reason = %problem, "The TLS code in a file is not covered");
                sentences.push(format!("the TLS code in {} is not covered: {problem}", file.path));
            }
        }
    }
    if coverage.unreadable_processes > before.unreadable_processes {
        sentences
            .push(format!("{} processes cannot be looked at for TLS code", coverage.unreadable_processes));
    }
    if coverage.files_beyond > before.files_beyond {
        sentences.push("processes run more files than are looked at for TLS code".to_owned());
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::tap::locate::Miss;
    use crate::capture::tap::watch::{FileCoverage, Problem};

    #[test]
    fn a_problem_is_said_once() {
        let file = |path: &str, problems: &[Problem]| FileCoverage {
            path: path.to_owned(),
            processes: 1,
            sha256: None,
            points: Vec::new(),
            problems: problems.to_vec(),
        };
        let before = Coverage { files: vec![file("/a", &[Problem::UnknownLibrary])], ..Coverage::default() };
        let now = Coverage {
            files: vec![
                file("/a", &[Problem::UnknownLibrary]),
                file("/b", &[Problem::Miss(Miss::OneWitness), Problem::Unreadable { errno: Some(13) }]),
            ],
            unreadable_processes: 2,
            files_beyond: 0,
        };
        assert_eq!(
            not_covered(&now, &before),
            [
                "the TLS code in /b is not covered: it holds TLS code, but the function that offers secrets could not be told for certain",
                "the TLS code in /b is not covered: the file cannot be read: Permission denied (os error 13)",
                "2 processes cannot be looked at for TLS code",
            ]
        );
        assert_eq!(not_covered(&now, &now), Vec::<String>::new());
    }
}
