//! Processes that end with their guard.
//!
//! Consumes a program, its arguments and the cgroup to run in; produces a [`Process`]. Invariants: a process enters its
//! cgroup before it executes its program, so no socket of it is outside; it gets SIGTERM if the thread that started it
//! dies without dropping the guard; it has a process group of its own, so that an interrupt at the terminal reaches the
//! guards and not the children; dropping the guard signals only this process.

use std::ffi::OsStr;
use std::fs::File;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgroup::Cgroup;
use crate::wait;

const STOP_LIMIT: Duration = Duration::from_secs(10);

/// What the shell does before it becomes the program: enter the cgroup named by its first argument.
const ENTER: &str = r#"echo $$ > "$0"/cgroup.procs && exec "$@""#;

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    status: Option<ExitStatus>,
}

/// A command for `program`, inside `cgroup` if there is one. Arguments are added to the result.
#[must_use]
pub fn command(program: impl AsRef<OsStr>, cgroup: Option<&Cgroup>) -> Command {
    // setpriv (util-linux) and the shell do what would otherwise need code between fork and exec.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]);
    if let Some(cgroup) = cgroup {
        command.args(["sh", "-c", ENTER]).arg(cgroup.path());
    }
    command.arg(program).process_group(0).stdin(Stdio::null());
    command
}

impl Process {
    /// Starts `command`, made by [`command`], its output going to `output`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(name: &str, command: &mut Command, output: &File) -> Result<Self> {
        command.stdout(output.try_clone()?).stderr(output.try_clone()?);
        Self::spawn_as_is(name, command)
    }

    /// Starts `command`, made by [`command`], with the output that it already names.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn_as_is(name: &str, command: &mut Command) -> Result<Self> {
        let child =
            command.spawn().with_context(|| format!("start {name} (is setpriv of util-linux there?)"))?;
        Ok(Self { name: name.to_owned(), child, status: None })
    }

    /// Its id. The program has the id that the shell had: it was executed in its place.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, if that is a pipe and was not taken yet.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its status if it has ended.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// An error if it has ended.
    ///
    /// # Errors
    /// It has ended, or cannot be waited for.
    pub fn check_running(&mut self) -> Result<()> {
        match self.try_wait()? {
            Some(status) => bail!("{} ended early: {status}", self.name),
            None => Ok(()),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs when the limit is over.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        wait::until(&what, limit, || self.try_wait())
    }

    /// Sends it a signal, unless it has ended.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.try_wait()?.is_none() {
            kill(Pid::from_raw(self.pid().try_into()?), signal)?;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let asked = self.signal(Signal::SIGTERM);
        let ended = asked.and_then(|()| wait::to_the_end("its end", STOP_LIMIT, || self.try_wait()));
        if ended.is_err() && self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
