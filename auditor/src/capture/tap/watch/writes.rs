//! Word from the kernel, at once, that a tapped file is written to.
//!
//! A probe is on a place in a file, with the instruction that stood there when it was set. The kernel puts it into every process
//! that maps the file afterwards, whatever stands there by then (kernel/events/uprobes.c, `uprobe_mmap`, `verify_opcode`),
//! and to take it away writes the old instruction's first byte back. The page cache is left alone: a process that maps the
//! file when the probe is gone is well, and one that did so between the write and that is broken for good. So the probe must
//! go as soon as anyone writes, for which inotify(7) is asked: `write`, `truncate`, `fallocate` and their like give
//! `IN_MODIFY`, truncating before the new content is there. Not told are writes through a shared mapping, and through another
//! file of the same data (below an overlay, on another machine). Those the regular looks find.
//!
//! A gap is left: Linux 6.13 and its backports wait for all tasks that run programs before they let go of the probe
//! (`kernel/trace/bpf_trace.c`, `perf_event_detach_bpf_prog`, `synchronize_rcu_tasks_trace`); that took 10 to 30 ms where it was
//! measured (6.18). A program that maps the file within that time is broken.
//!
//! inotify allows so many descriptors and files for each user; beyond them there are the looks as well.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// Reads of what is told, 4 KiB each, before the caller has its turn again: as much as waits by default (16 384 events).
const MAX_READS: usize = 64;

/// What tells of writes to the tapped files of one cgroup.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// Made with the first file.
    inotify: Option<Arc<Inotify>>,
    /// The first refusal.
    refused: Option<Errno>,
}

/// A file of which writes are told, as long as this lives. At most one for one file: the kernel gives both the same number.
#[derive(Debug)]
pub(super) struct Watched {
    inotify: Arc<Inotify>,
    number: WatchDescriptor,
}

impl Writes {
    /// Asks to be told of writes to a file from now on.
    pub(super) fn watch(&mut self, file: &File) -> Option<Watched> {
        match self.ask(file) {
            Ok(watched) => Some(watched),
            Err(error) => {
                self.refused.get_or_insert(error);
                None
            }
        }
    }

    fn ask(&mut self, file: &File) -> Result<Watched, Errno> {
        let inotify = match &self.inotify {
            Some(inotify) => Arc::clone(inotify),
            None => {
                let made = Arc::new(Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?);
                Arc::clone(self.inotify.insert(made))
            }
        };
        // The very file that is open, wherever it lies, or lay.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let number = inotify.add_watch(path.as_str(), AddWatchFlags::IN_MODIFY)?;
        Ok(Watched { inotify, number })
    }

    /// Takes what was told: the numbers of the files that were written to.
    pub(super) fn take(&self) -> BTreeSet<i32> {
        let mut written = BTreeSet::new();
        let Some(inotify) = &self.inotify else { return written };
        for _ in 0..MAX_READS {
            // The error is that there is no more.
            let Ok(events) = inotify.read_events() else { break };
            // With a queue that ran over comes the number -1, of no file, which leads to all of them being looked at.
            let is_told = |mask: AddWatchFlags| {
                mask.intersects(AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_Q_OVERFLOW)
            };
            written.extend(events.iter().filter(|event| is_told(event.mask)).map(|event| event.wd.as_raw()));
        }
        written
    }

    /// Readable when something was told.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(|inotify| inotify.as_fd())
    }

    /// Why writes to some file are not told, if that is so.
    pub(super) fn refused(&self) -> Option<Errno> {
        self.refused
    }
}

impl Watched {
    /// Whether it is among those that were written to.
    pub(super) fn is_in(&self, written: &BTreeSet<i32>) -> bool {
        written.contains(&self.number.as_raw())
    }
}

impl Drop for Watched {
    /// The kernel would keep the file's inode for it.
    fn drop(&mut self) {
        let _ = self.inotify.rm_watch(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions, Permissions};
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_told() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("file");
        let write = |path| OpenOptions::new().write(true).open(path).unwrap();
        fs::write(&path, b"0123456789").unwrap();
        let mut file = File::open(&path).unwrap();
        let mut writes = Writes::default();
        assert!(writes.descriptor().is_none() && writes.take().is_empty());
        let watched = writes.watch(&file).unwrap();
        let told = || {
            let written = writes.take();
            assert!(writes.take().is_empty(), "taken once");
            watched.is_in(&written)
        };
        write(&path).write_all(b"a").unwrap();
        assert!(told(), "a write");
        write(&path).set_len(5).unwrap();
        assert!(told(), "cut short");
        drop(OpenOptions::new().write(true).truncate(true).open(&path).unwrap());
        assert!(told(), "emptied, before anything is written");
        file.read_to_end(&mut Vec::new()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        drop(write(&path));
        fs::write(folder.path().join("other"), b"b").unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
        assert!(!told(), "its content is what it was");
        drop(watched);
        assert!(writes.take().is_empty(), "not watched any more");
        assert_eq!(writes.refused(), None);
    }

    #[test]
    fn a_file_may_be_deleted() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("file");
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let mut writes = Writes::default();
        let watched = writes.watch(&file).unwrap();
        file.write_all(b"a").unwrap();
        assert!(watched.is_in(&writes.take()));
    }
}
