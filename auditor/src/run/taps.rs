//! The key tap of one attachment, in the process with rights; and what is said of it, in the other.
//!
//! The processes are looked at regularly; and at once, and again in the moments that follow, when one of them has become
//! another program: its libraries are mapped a little later than the kernel tells of it. What is tapped and written to is heeded
//! at once.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::capture::kernel::attach::Attachment;
use crate::capture::kernel::exec::Execs;
use crate::capture::tap::watch::{Coverage, FileCoverage, Watch};

/// Most files told to the other process: what a controller runs is far below.
const MAX_FILES: usize = 256;

/// When to look, after a program has begun to run, milliseconds.
const MOMENTS: [u64; 6] = [0, 5, 20, 60, 150, 400];
/// Looks of this kind between two regular ones that follow each other so closely.
const MAX_CLOSE: u32 = 24;
/// Between two of those that come after: a controller that runs programs all the time costs no more.
const SPACE: Duration = Duration::from_millis(100);

/// Looks that are taken for the first, if there is so much to look at.
const FIRST: u32 = 6;

/// The tap of an attachment, and what was last said of it.
#[derive(Debug, Default)]
pub(super) struct Taps {
    watch: Watch,
    looked: bool,
    told: Coverage,
    failing: bool,
    untold: bool,
    execs: Option<Execs>,
    burst: Burst,
}

/// Looks that follow each other closely.
#[derive(Debug, Default)]
struct Burst {
    /// When it began, and how many of its looks were taken.
    begun: Option<(Instant, usize)>,
    /// Looks taken since the last regular one.
    taken: u32,
    /// The last one.
    last: Option<Instant>,
}

impl Burst {
    fn begin(&mut self, now: Instant) {
        self.begun = Some((now, 0));
    }

    /// A regular look was taken.
    fn renew(&mut self) {
        self.taken = 0;
    }

    /// When the next look is due, if there is one.
    fn due(&self) -> Option<Instant> {
        let (begun, looks) = self.begun?;
        let due = begun + Duration::from_millis(*MOMENTS.get(looks)?);
        let spaced = self.last.filter(|_| self.taken >= MAX_CLOSE).map(|last| last + SPACE);
        Some(spaced.map_or(due, |spaced| due.max(spaced)))
    }

    /// Whether to look at `now`.
    fn take(&mut self, now: Instant) -> bool {
        let is_due = self.due().is_some_and(|due| due <= now);
        if is_due && let Some((_, looks)) = &mut self.begun {
            *looks += 1;
            self.taken += 1;
            self.last = Some(now);
        }
        is_due
    }
}

impl Taps {
    /// Those of an attachment. From now on the kernel tells of programs that begin to run.
    pub(super) fn new(attachment: &mut Attachment) -> Self {
        let execs = attachment.watch_execs();
        if let Err(error) = &execs {
            warn!(%error, "New programs are looked at for TLS code up to a second after they begin to run");
        }
        Self { execs: execs.ok(), ..Self::default() }
    }

    /// Readable when a program has begun to run, and when a tapped file was written to.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.execs.as_ref().map(AsFd::as_fd).into_iter().chain(self.watch.descriptor())
    }

    /// Takes the tap from files that were written to. It is said with the next look, which looks into them again.
    pub(super) fn heed(&mut self, attachment: &mut Attachment) {
        self.watch.heed(attachment);
    }

    /// When to ask [`Self::is_due`], at the latest.
    pub(super) fn due(&self) -> Option<Instant> {
        self.burst.due()
    }

    /// Whether to look at `now` because of a program that has begun to run.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        if self.execs.as_mut().is_some_and(Execs::take) {
            self.burst.begin(now);
        }
        self.burst.take(now)
    }

    /// The regular look comes now.
    pub(super) fn renew(&mut self) {
        self.burst.renew();
    }

    /// Looks what runs now and taps it. Gives what to say, if there is anything new.
    pub(super) fn look(&mut self, attachment: &mut Attachment) -> Option<Coverage> {
        let first = !std::mem::replace(&mut self.looked, true);
        let mut looked = self.watch.look(attachment);
        // A look ends soon; the first, which comes before anyone is told that the cgroup is seen, is given more time.
        for _ in 1..FIRST {
            if first && looked.is_ok() && self.watch.is_waiting() {
                looked = self.watch.look(attachment);
            }
        }
        if let Some(error) = self.watch.untold().filter(|_| !self.untold) {
            self.untold = true;
            warn!(%error, "Files that are tapped and changed in place are noticed up to a second later");
        }
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

/// Whether something is tapped that was not `before`.
pub(super) fn is_more(coverage: &Coverage, before: &Coverage) -> bool {
    let is_new = |file: &FileCoverage| {
        let is_it = |other: &&FileCoverage| (&other.path, &other.sha256) == (&file.path, &file.sha256);
        let known = before.files.iter().find(is_it);
        file.points.iter().any(|point| known.is_none_or(|known| !known.points.contains(point)))
    };
    coverage.files.iter().any(is_new)
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
    if coverage.cut_processes > before.cut_processes {
        sentences
            .push(format!("{} processes map more than is looked at for TLS code", coverage.cut_processes));
    }
    if coverage.files_waiting > 0 && before.files_waiting == 0 {
        sentences.push(format!(
            "{} files could not be looked at for TLS code yet: there was no time",
            coverage.files_waiting
        ));
    }
    if coverage.problems_beyond > 0 && before.problems_beyond == 0 {
        sentences.push(format!("the TLS code in {} more files is not covered", coverage.problems_beyond));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::tap::locate::Miss;
    use crate::capture::tap::watch::Problem;

    #[test]
    fn looks_follow_a_new_program_and_are_bounded() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut burst = Burst::default();
        assert!(burst.due().is_none() && !burst.take(at(0)));
        burst.begin(at(10));
        let taken: Vec<u64> = (0..1000).filter(|ms| burst.take(at(*ms))).collect();
        assert_eq!(taken, [10, 15, 30, 70, 160, 410]);
        assert_eq!(burst.due(), None);
        // One program after the other.
        let mut taken = 0;
        for ms in 1000..2000 {
            burst.begin(at(ms));
            taken += u32::from(burst.take(at(ms)));
        }
        assert_eq!(taken, MAX_CLOSE - 6 + 9, "every tenth of a second after the first");
        burst.renew();
        assert!(burst.take(at(2000)));
    }

    /// As the entry script of nginx's own image: some thirty programs in a second, and then the controller, whose libraries
    /// are mapped a few milliseconds after the kernel tells of it.
    #[test]
    fn the_program_at_the_end_of_a_start_script_is_looked_at() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut burst = Burst::default();
        let mut looks = Vec::new();
        for ms in 0..900 {
            if ms % 20 == 0 && ms <= 600 {
                burst.begin(at(ms));
            }
            if burst.take(at(ms)) {
                looks.push(ms);
            }
        }
        assert!(looks.iter().any(|ms| *ms > 600), "the last program begins at 600: looked at {looks:?}");
    }

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
            cut_processes: 1,
            files_waiting: 3,
            problems_beyond: 4,
            ..Coverage::default()
        };
        assert_eq!(
            not_covered(&now, &before),
            [
                "the TLS code in /b is not covered: it holds TLS code, but the function that offers secrets could not be told for certain",
                "the TLS code in /b is not covered: the file cannot be read: Permission denied (os error 13)",
                "2 processes cannot be looked at for TLS code",
                "1 processes map more than is looked at for TLS code",
                "3 files could not be looked at for TLS code yet: there was no time",
                "the TLS code in 4 more files is not covered",
            ]
        );
        assert_eq!(not_covered(&now, &now), Vec::<String>::new());
    }
}
