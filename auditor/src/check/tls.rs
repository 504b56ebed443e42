//! The TLS code that the processes of a controller run, and whether its secrets can be read.
//!
//! Consumes what the key tap's [`Inspection`] says of a cgroup; produces a [`Controller`], as a part of the report. Nothing is
//! tapped.

use std::fmt;

use serde::Serialize;

use crate::capture::kernel::tap::own_machine;
use crate::capture::sockets::SocketsError;
use crate::capture::tap::locate::{Library, Linkage, Machine};
use crate::capture::tap::watch::{FileCoverage, Inspection, ProcessCoverage, Watch};
use crate::target::{Host, Target, TargetError};

/// The first kernel whose uprobes have a cookie, which tells the program where the arguments are (5.15).
pub(super) const COOKIES: (u32, u32) = (5, 15);

/// Why a controller could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It is no cgroup.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The cgroup cannot be read.
    #[error(transparent)]
    Sockets(#[from] SocketsError),
}

/// A controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Controller {
    /// How it was named: `port 443`.
    pub target: String,
    /// Its cgroup, from the mounted root.
    pub cgroup: String,
    /// Its processes, by their numbers.
    pub processes: Vec<Process>,
    /// Mappings of files that were not looked at: there are too many.
    pub files_beyond: u64,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// As this pid namespace numbers it; 0 if it is not visible from here.
    pub pid: u32,
    /// Its command.
    pub command: String,
    /// Whether it could be looked at.
    pub readable: bool,
    /// Files that it runs and that were not looked at: there are too many, or they came too late.
    pub not_looked_at: u64,
    /// The TLS code it runs.
    pub tls: Vec<Code>,
}

/// TLS code: a function that offers secrets, or a file in which there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Code {
    /// The file, as the process sees it.
    pub file: String,
    /// Its SHA-256; null if it could not be read.
    pub sha256: Option<String>,
    /// Whose code it is; null where no function was found.
    pub library: Option<Library>,
    /// How it came into the file; null where no function was found.
    pub linkage: Option<Linkage>,
    /// Its instruction set; null where no function was found.
    pub machine: Option<Machine>,
    /// Which function; null where none was found.
    pub function: Option<String>,
    /// Offset in the file of the instruction at which it is tapped; null where none was found.
    pub offset: Option<u64>,
    /// Whether `auditor run` reads its secrets.
    pub covered: bool,
    /// Why not; null where it is covered.
    pub reason: Option<String>,
}

impl Controller {
    /// Looks at a controller. `kernel`: the version of this one.
    ///
    /// # Errors
    /// [`LookError`].
    pub fn look(host: &Host, target: &Target, kernel: Option<(u32, u32)>) -> Result<Self, LookError> {
        let cgroup = host.resolve(target)?;
        let inspection = Watch::inspect(&cgroup.directory)?;
        Ok(Self::of(target.to_string(), cgroup.path.to_string_lossy().into_owned(), inspection, kernel))
    }

    fn of(target: String, cgroup: String, inspection: Inspection, kernel: Option<(u32, u32)>) -> Self {
        let Inspection { processes, files_beyond } = inspection;
        let process = |ProcessCoverage { pid, command, files, not_looked_at }| Process {
            pid,
            command,
            readable: files.is_some(),
            not_looked_at,
            tls: files.iter().flatten().flat_map(|file| codes(file, kernel)).collect(),
        };
        let processes = processes.into_iter().map(process).collect();
        Self { target, cgroup, processes, files_beyond }
    }

    /// Whether all TLS code that its processes run is covered; not, if there is none of which that could be said.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        let is_covered = |process: &Process| {
            process.readable && process.not_looked_at == 0 && process.tls.iter().all(|code| code.covered)
        };
        self.files_beyond == 0 && !self.processes.is_empty() && self.processes.iter().all(is_covered)
    }
}

fn codes(file: &FileCoverage, kernel: Option<(u32, u32)>) -> Vec<Code> {
    let nothing = Code {
        file: file.path.clone(),
        sha256: file.sha256.clone(),
        library: None,
        linkage: None,
        machine: None,
        function: None,
        offset: None,
        covered: false,
        reason: None,
    };
    let points = file.points.iter().map(|point| {
        let reason = if own_machine() != Some(point.machine) {
            Some("it is code for another kind of machine")
        } else if kernel.is_some_and(|kernel| kernel < COOKIES) {
            Some("this kernel has no uprobes with cookies (they came with Linux 5.15)")
        } else {
            None
        };
        Code {
            library: Some(point.library),
            linkage: Some(point.linkage),
            machine: Some(point.machine),
            function: Some(point.convention.to_string()),
            offset: Some(point.offset),
            covered: reason.is_none(),
            reason: reason.map(str::to_owned),
            ..nothing.clone()
        }
    });
    let problems =
        file.problems.iter().map(|problem| Code { reason: Some(problem.to_string()), ..nothing.clone() });
    points.chain(problems).collect()
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: cgroup {}", Plain(&self.target), Plain(&self.cgroup))?;
        if self.processes.is_empty() {
            writeln!(f, "  no process runs in it")?;
        }
        for process in &self.processes {
            writeln!(f, "  process {} ({})", process.pid, Plain(&process.command))?;
            match process.tls.as_slice() {
                _ if !process.readable => writeln!(f, "    UNKNOWN      it cannot be looked at")?,
                [] if process.not_looked_at > 0 => {}
                [] => writeln!(f, "    no TLS       it runs no TLS code that is known")?,
                codes => codes.iter().try_for_each(|code| code.fmt(f))?,
            }
            if process.not_looked_at > 0 {
                writeln!(f, "    UNKNOWN      {} files were not looked at", process.not_looked_at)?;
            }
        }
        if self.files_beyond > 0 {
            writeln!(f, "  {} mappings of files were not looked at: there are too many", self.files_beyond)?;
        }
        Ok(())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.covered { "covered" } else { "NOT COVERED" };
        write!(f, "    {word:<11}  {}", Plain(&self.file))?;
        if let (Some(library), Some(function), Some(offset)) = (self.library, &self.function, self.offset) {
            let how = match self.linkage {
                Some(Linkage::Static) => ", part of the program",
                Some(Linkage::Shared) | None => "",
            };
            write!(f, ": {library}{how}, {function} at {offset:#x}")?;
        }
        match &self.reason {
            Some(reason) => writeln!(f, ": {reason}"),
            None => writeln!(f),
        }
    }
}

/// A text that a process has chosen: what could steer a terminal is escaped.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            if letter.is_control() {
                write!(f, "{}", letter.escape_default())?;
            } else {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::tap::locate::{ClientRandom, Convention, Miss, TapPoint};
    use crate::capture::tap::watch::Problem;

    fn file(path: &str, points: &[TapPoint], problems: &[Problem]) -> FileCoverage {
        FileCoverage {
            path: path.to_owned(),
            processes: 1,
            sha256: Some("ab".to_owned()),
            points: points.to_vec(),
            problems: problems.to_vec(),
        }
    }

    fn controller(files: &[Option<Vec<FileCoverage>>], kernel: (u32, u32)) -> Controller {
        let process = |(pid, files): (u32, &Option<Vec<FileCoverage>>)| ProcessCoverage {
            pid,
            command: format!("p\u{1b}{pid}"),
            files: files.clone(),
            not_looked_at: 0,
        };
        let processes = (1..).zip(files).map(process).collect();
        let inspection = Inspection { processes, files_beyond: 0 };
        Controller::of("port 443".to_owned(), "/ingress".to_owned(), inspection, Some(kernel))
    }

    fn point(machine: Machine) -> TapPoint {
        let convention = Convention::C { client_random: ClientRandom::Embedded { offset: 8 } };
        TapPoint { offset: 0x4e0, machine, library: Library::OpenSsl, linkage: Linkage::Shared, convention }
    }

    #[test]
    fn what_is_said_of_processes() {
        let own = own_machine().unwrap();
        let other = if own == Machine::Arm64 { Machine::X86_64 } else { Machine::Arm64 };
        let library = file("/lib/libssl.so.3", &[point(own), point(other)], &[]);
        let broken = file("/tmp/\nbroken", &[], &[Problem::Miss(Miss::NotElf), Problem::UnknownLibrary]);
        let controller = controller(&[Some(vec![library, broken]), Some(vec![]), None], (6, 1));
        assert!(!controller.is_covered());
        let expected = "\
port 443: cgroup /ingress
  process 1 (p\\u{1b}1)
    covered      /lib/libssl.so.3: OpenSSL, key-log function at 0x4e0
    NOT COVERED  /lib/libssl.so.3: OpenSSL, key-log function at 0x4e0: it is code for another kind of machine
    NOT COVERED  /tmp/\\nbroken: the file is not a valid 64-bit little-endian ELF file
    NOT COVERED  /tmp/\\nbroken: it is a TLS library of a kind whose secrets cannot be had
  process 2 (p\\u{1b}2)
    no TLS       it runs no TLS code that is known
  process 3 (p\\u{1b}3)
    UNKNOWN      it cannot be looked at
";
        assert_eq!(controller.to_string(), expected);
    }

    #[test]
    fn what_covers() {
        let own = own_machine().unwrap();
        let library = || Some(vec![file("/lib/libssl.so.3", &[point(own)], &[])]);
        let check = |files: &[Option<Vec<FileCoverage>>], kernel, expected| {
            let controller = controller(files, kernel);
            assert_eq!(controller.is_covered(), expected, "{controller}");
        };
        check(&[], (6, 1), false);
        check(&[library(), Some(vec![])], (5, 15), true);
        check(&[library()], (5, 14), false);
        check(&[library(), None], (6, 1), false);
        let mut unseen = controller(&[library(), Some(vec![])], (6, 1));
        unseen.processes[1].not_looked_at = 2;
        assert!(!unseen.is_covered(), "{unseen}");
        let text = unseen.to_string();
        assert!(text.ends_with("(p\\u{1b}2)\n    UNKNOWN      2 files were not looked at\n"), "{text}");
        let beyond = Controller { files_beyond: 1, ..controller(&[library()], (6, 1)) };
        assert!(!beyond.is_covered() && beyond.to_string().contains("1 mappings"), "{beyond}");
    }
}
