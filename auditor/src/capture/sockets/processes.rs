//! The processes of a cgroup: which sockets they hold, and in which network namespaces they live.
//!
//! Consumes the cgroup tree and `/proc`. A process that ends meanwhile is passed over; one that may not be looked at is
//! counted. Bounded by what the processes have open: only numbers of sockets are kept.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::SocketsError;
use crate::target::socket_inode;

/// Most cgroups that are looked at.
const MAX_CGROUPS: usize = 100_000;

/// A cgroup directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::capture) struct Cgroup {
    pub(in crate::capture) path: PathBuf,
    /// The kernel's number of it: the directory's inode.
    pub(in crate::capture) id: u64,
}

/// What processes hold.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// Inodes of their sockets, of any kind.
    pub(super) inodes: HashSet<u64>,
    /// Network namespaces other than this thread's that their threads live in, by inode.
    pub(super) other_namespaces: BTreeMap<u64, File>,
    /// Processes that could not be looked at.
    pub(super) unreadable: u64,
}

/// `cgroup` and all cgroups below it.
pub(in crate::capture) fn subtree(cgroup: &Path) -> Result<Vec<Cgroup>, SocketsError> {
    let error = |path: &Path, source| SocketsError::Cgroup { path: path.to_path_buf(), source };
    let metadata = fs::metadata(cgroup).map_err(|source| error(cgroup, source))?;
    let mut found = vec![Cgroup { path: cgroup.to_path_buf(), id: metadata.ino() }];
    let mut next = 0;
    while let Some(directory) = found.get(next).map(|cgroup| cgroup.path.clone()) {
        next += 1;
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            // Below the first, it may be gone by now.
            Err(source) if next > 1 && is_gone(&source) => continue,
            Err(source) => return Err(error(&directory, source)),
        };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let Ok(metadata) = entry.metadata() else { continue };
            if found.len() == MAX_CGROUPS {
                return Err(SocketsError::TreeTooLarge { path: cgroup.to_path_buf(), most: MAX_CGROUPS });
            }
            found.push(Cgroup { path: entry.path(), id: metadata.ino() });
        }
    }
    Ok(found)
}

/// What the processes in `cgroups` hold.
pub(super) fn holdings(cgroups: &[Cgroup]) -> Result<Holdings, SocketsError> {
    let path = Path::new("/proc/thread-self/ns/net");
    let own = fs::metadata(path).map_err(SocketsError::Ask)?.ino();
    let mut holdings = Holdings::default();
    for cgroup in cgroups {
        for pid in pids(&cgroup.path)? {
            match look_at(pid, own, &mut holdings) {
                Ok(()) => {}
                Err(error) if is_gone(&error) => {}
                Err(_) => holdings.unreadable += 1,
            }
        }
    }
    Ok(holdings)
}

fn look_at(pid: u32, own_namespace: u64, holdings: &mut Holdings) -> io::Result<()> {
    if pid == 0 {
        // Of a pid namespace that is not visible from here (cgroups(7)).
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let process = PathBuf::from(format!("/proc/{pid}"));
    // Each thread may have entered another namespace.
    for thread in fs::read_dir(process.join("task"))? {
        let path = thread?.path().join("ns/net");
        let inode = match fs::metadata(&path) {
            Ok(metadata) => metadata.ino(),
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error),
        };
        if inode != own_namespace && !holdings.other_namespaces.contains_key(&inode) {
            // If the thread has ended since, another one may keep the namespace.
            if let Ok(namespace) = File::open(&path) {
                holdings.other_namespaces.insert(namespace.metadata()?.ino(), namespace);
            }
        }
    }
    for descriptor in fs::read_dir(process.join("fd"))? {
        // One that was closed in between.
        let Ok(link) = fs::read_link(descriptor?.path()) else { continue };
        holdings.inodes.extend(socket_inode(&link));
    }
    Ok(())
}

/// The processes in one cgroup; in a threaded one, the threads.
pub(in crate::capture) fn pids(cgroup: &Path) -> Result<Vec<u32>, SocketsError> {
    let mut path = cgroup.join("cgroup.procs");
    let mut text = fs::read_to_string(&path);
    if text.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EOPNOTSUPP)) {
        path = cgroup.join("cgroup.threads");
        text = fs::read_to_string(&path);
    }
    match text {
        Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
        Err(source) if is_gone(&source) => Ok(vec![]),
        Err(source) => Err(SocketsError::Cgroup { path, source }),
    }
}

pub(in crate::capture) fn is_gone(error: &io::Error) -> bool {
    // ESRCH: a process that ended between opening and reading. ENODEV: a cgroup that was removed (kernfs).
    error.kind() == io::ErrorKind::NotFound
        || matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENODEV))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_tree_is_walked() {
        let root = TempDir::new().unwrap();
        for path in ["a/b/c", "d"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        fs::write(root.path().join("cgroup.procs"), "").unwrap();
        // A link leads out of the tree, or around in it.
        std::os::unix::fs::symlink(root.path(), root.path().join("a/loop")).unwrap();
        let mut found: Vec<_> = subtree(root.path()).unwrap();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        let expected = ["", "a", "a/b", "a/b/c", "d"].map(|path| {
            let path = if path.is_empty() { root.path().to_path_buf() } else { root.path().join(path) };
            let id = fs::metadata(&path).unwrap().ino();
            Cgroup { path, id }
        });
        assert_eq!(found, expected);
        let missing = subtree(&root.path().join("missing")).unwrap_err();
        assert!(matches!(missing, SocketsError::Cgroup { .. }));
    }

    #[test]
    fn what_this_process_holds() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let link =
            fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&listener))).unwrap();
        let root = TempDir::new().unwrap();
        // This process, one that cannot be seen, one that is gone (more than there can be), and garbage.
        fs::write(root.path().join("cgroup.procs"), format!("{}\n0\n4294967295\nx\n", std::process::id()))
            .unwrap();
        let holdings = holdings(&subtree(root.path()).unwrap()).unwrap();
        assert!(holdings.inodes.contains(&socket_inode(&link).unwrap()));
        assert_eq!((holdings.other_namespaces.len(), holdings.unreadable), (0, 1));
    }
}
