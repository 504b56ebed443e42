//! Uprobes at the places where TLS code offers its secrets.
//!
//! One for each place and file, for all processes that run it, so that the first handshakes of a process that has just been
//! forked are seen; the program itself looks at the cgroup. Needs `CAP_PERFMON` or `CAP_SYS_ADMIN`, and Linux 5.15 (the
//! probe's cookie tells the program where the arguments are).

use std::fs::File;
use std::os::fd::AsRawFd as _;

use auditor_ebpf::secret::{FORM_C, FORM_C_BEHIND, FORM_C_EMBEDDED, FORM_GO, Layout};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLinkId, UProbeScope};
use aya::programs::{ProgramError, UProbe};
use thiserror::Error;

use super::attach::Attachment;
use crate::capture::tap::locate::{ClientRandom, Convention, Machine, TapPoint};

/// The program that may wait for memory, and the one for kernels that have no such (before 6.0).
const PROGRAMS: [&str; 2] = ["tap_secrets", "tap_secrets_at_once"];

/// An attached probe. It is detached by [`Attachment::untap`], or with the attachment.
#[derive(Debug)]
pub struct Tap {
    program: &'static str,
    link: UProbeLinkId,
}

/// Why a place is not tapped.
#[derive(Debug, Error)]
pub enum TapError {
    /// Code of another machine than this one.
    #[error("it is code for another kind of machine")]
    Machine,
    /// The object lacks the program.
    #[error("the kernel programs hold no {name}: they are of another version")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// The kernel does not load the program.
    #[error("the kernel refused the key tap's program (uprobes with cookies need Linux 5.15)")]
    Load(#[source] ProgramError),
    /// The kernel does not attach it there.
    #[error("the kernel did not attach the key tap")]
    Attach(#[source] ProgramError),
}

impl Attachment {
    /// Taps a place in a file.
    ///
    /// # Errors
    /// [`TapError`].
    pub fn tap(&mut self, file: &File, point: &TapPoint) -> Result<Tap, TapError> {
        if point.machine != own_machine().ok_or(TapError::Machine)? {
            return Err(TapError::Machine);
        }
        let name = self.load_tap()?;
        let program = self.tap_program(name)?;
        // The kernel resolves the path to the file that is open, wherever in which mount namespace it lies, or lay.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let location = UProbeAttachLocation::AbsoluteOffset(point.offset);
        let cookie = Some(layout(point.convention).pack());
        let link = program
            .attach(UProbeAttachPoint { location, cookie }, path, UProbeScope::AllProcesses)
            .map_err(TapError::Attach)?;
        Ok(Tap { program: name, link })
    }

    /// Takes a probe away.
    ///
    /// # Errors
    /// When the kernel does not know it any more.
    pub fn untap(&mut self, tap: Tap) -> Result<(), TapError> {
        self.tap_program(tap.program)?.detach(tap.link).map_err(TapError::Attach)
    }

    /// Loads the first program that this kernel takes, once.
    fn load_tap(&mut self) -> Result<&'static str, TapError> {
        for name in PROGRAMS {
            if self.tap_program(name)?.fd().is_ok() {
                return Ok(name);
            }
        }
        let mut refused = None;
        for name in PROGRAMS {
            match self.tap_program(name)?.load() {
                Ok(()) => return Ok(name),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.map_or(TapError::Missing { name: "tap_secrets" }, TapError::Load))
    }

    fn tap_program(&mut self, name: &'static str) -> Result<&mut UProbe, TapError> {
        let program = self.ebpf.program_mut(name).ok_or(TapError::Missing { name })?;
        program.try_into().map_err(|_| TapError::Missing { name })
    }
}

fn layout(convention: Convention) -> Layout {
    match convention {
        Convention::C { client_random: ClientRandom::Embedded { offset } } => {
            Layout { form: FORM_C_EMBEDDED, pointer: 0, offset }
        }
        Convention::C { client_random: ClientRandom::Behind { pointer, offset } } => {
            Layout { form: FORM_C_BEHIND, pointer, offset }
        }
        Convention::C { client_random: ClientRandom::Unknown } => {
            Layout { form: FORM_C, pointer: 0, offset: 0 }
        }
        Convention::Go => Layout { form: FORM_GO, pointer: 0, offset: 0 },
    }
}

/// The instruction set of which code can be tapped here.
#[must_use]
pub fn own_machine() -> Option<Machine> {
    if cfg!(target_arch = "x86_64") {
        Some(Machine::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Machine::Arm64)
    } else {
        None
    }
}
