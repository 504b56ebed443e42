//! Word from the kernel that a process of the cgroup has become another program, in which there may be TLS code to tap.
//!
//! What it runs is not known yet then: its libraries are mapped in the moments that follow. Linux tells of the program with
//! the tracepoint `sched_process_exec` (fs/exec.c), which needs `CAP_PERFMON`; without it the regular looks have to do.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use aya::maps::{MapData, MapError, RingBuf};
use aya::programs::{ProgramError, RawTracePoint};
use thiserror::Error;

use super::attach::Attachment;

const PROGRAM: &str = "see_exec";
const TRACEPOINT: &str = "sched_process_exec";
const MAP: &str = "EXECS";

/// What is told. Its descriptor is readable when there is something.
pub struct Execs(RingBuf<MapData>);

/// Why nothing is told.
#[derive(Debug, Error)]
pub enum ExecError {
    /// The object lacks something.
    #[error("the kernel programs hold no {name}: they are of another version")]
    Missing {
        /// The program or map.
        name: &'static str,
    },
    /// The kernel refused the program.
    #[error("the kernel did not attach to the tracepoint {TRACEPOINT}")]
    Program(#[from] ProgramError),
    /// The ring cannot be read.
    #[error("what the tracepoint {TRACEPOINT} tells cannot be read")]
    Map(#[from] MapError),
}

impl Attachment {
    /// Asks to be told, once.
    ///
    /// # Errors
    /// [`ExecError`].
    pub fn watch_execs(&mut self) -> Result<Execs, ExecError> {
        let program = self.ebpf.program_mut(PROGRAM).ok_or(ExecError::Missing { name: PROGRAM })?;
        let program: &mut RawTracePoint = program.try_into()?;
        program.load()?;
        program.attach(TRACEPOINT)?;
        let ring = self.ebpf.take_map(MAP).ok_or(ExecError::Missing { name: MAP })?;
        Ok(Execs(RingBuf::try_from(ring)?))
    }
}

impl Execs {
    /// Takes all that was told; whether there was anything.
    pub fn take(&mut self) -> bool {
        let mut told = false;
        while self.0.next().is_some() {
            told = true;
        }
        told
    }
}

impl fmt::Debug for Execs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Execs")
    }
}

impl AsFd for Execs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
