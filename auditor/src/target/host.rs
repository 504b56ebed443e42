//! [`Host`]: resolves targets by reading `/proc` and the cgroup tree.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Cgroup, CgroupMount, List, Owner, Target, TargetError, parse};

/// Most bytes that are read of a file in `/proc`: a table of a quarter million sockets.
const MAX_READ: u64 = 64 << 20;
/// Most directories that are looked at for a unit or a pod.
pub(super) const MAX_CGROUPS: usize = 100_000;

/// The system, seen through its `/proc`.
#[derive(Clone, Debug)]
pub struct Host {
    proc: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self { proc: "/proc".into() }
    }
}

impl Host {
    /// The cgroup v2 tree that this process sees.
    ///
    /// # Errors
    ///
    /// [`TargetError::NoCgroup2`], [`TargetError::OnlyCgroup1`], [`TargetError::Read`].
    pub fn cgroup_mount(&self) -> Result<CgroupMount, TargetError> {
        mount_in(&self.proc.join("self/mountinfo"))
    }

    /// The node's cgroup v2 tree, also from inside of a container.
    ///
    /// A container on cgroup v2 has a cgroup namespace of its own as a rule, and sees its own cgroup as the root
    /// (`cgroup_namespaces(7)`). With the node's processes in view (`hostPID`), process 1 is the node's, and its root
    /// leads to the node's tree.
    ///
    /// # Errors
    ///
    /// [`TargetError::NoCgroup2`], [`TargetError::OnlyCgroup1`], [`TargetError::Read`].
    pub fn node_mount(&self) -> Result<CgroupMount, TargetError> {
        let namespace = |process: &str| fs::read_link(self.proc.join(process).join("ns/cgroup"));
        match (namespace("self"), namespace("1")) {
            (Ok(own), Ok(first)) if own != first => {
                let CgroupMount { path, root } = mount_in(&self.proc.join("1/mountinfo"))?;
                let inside = path.strip_prefix("/").unwrap_or(&path);
                Ok(CgroupMount { path: self.proc.join("1/root").join(inside), root })
            }
            _ => self.cgroup_mount(),
        }
    }

    /// The cgroup that `target` means.
    ///
    /// # Errors
    ///
    /// Every [`TargetError`]; see there.
    pub fn resolve(&self, target: &Target) -> Result<Cgroup, TargetError> {
        let mount = self.cgroup_mount()?;
        let directory = match target {
            Target::Cgroup(path) => named(&mount, path)?,
            Target::Unit(unit) => find_unit(&mount, unit)?,
            Target::Pid(pid) => locate(&mount, target, &self.cgroup_of(*pid)?)?,
            Target::Port(port) => locate(&mount, target, &self.cgroup_of_port(*port)?)?,
        };
        confirm(&mount, target, &directory)
    }

    /// The cgroup of this process, as the kernel writes it; none if it is in no cgroup v2.
    #[must_use]
    pub fn own_cgroup(&self) -> Option<PathBuf> {
        parse::cgroup2_path(&read(&self.proc.join("self/cgroup")).ok()?)
    }

    fn cgroup_of(&self, pid: u32) -> Result<PathBuf, TargetError> {
        match read(&self.proc.join(format!("{pid}/cgroup"))) {
            Ok(text) => parse::cgroup2_path(&text).ok_or(TargetError::NotInCgroup2(pid)),
            Err(TargetError::Read { source, .. }) if is_gone(&source) => Err(TargetError::NoProcess(pid)),
            Err(error) => Err(error),
        }
    }

    fn cgroup_of_port(&self, port: u16) -> Result<PathBuf, TargetError> {
        let pids = self.pids()?;
        let inodes = self.listeners(&pids, port);
        if inodes.is_empty() {
            return Err(TargetError::NotListening(port));
        }
        let mut owners = BTreeMap::new();
        for pid in pids.into_iter().filter(|pid| self.holds(*pid, &inodes)) {
            // A process that has just ended holds nothing.
            let Ok(cgroup) = self.cgroup_of(pid) else { continue };
            let command = read(&self.proc.join(format!("{pid}/comm"))).unwrap_or_default();
            let command = String::from_utf8_lossy(command.trim_ascii_end()).into_owned();
            owners.entry(cgroup.clone()).or_insert(Owner { cgroup, pid, command });
        }
        let mut owners: Vec<Owner> = owners.into_values().collect();
        match owners.pop() {
            None => Err(TargetError::NoOwner(port)),
            Some(owner) if owners.is_empty() => Ok(owner.cgroup),
            Some(owner) => {
                owners.push(owner);
                Err(TargetError::SeveralOwners { port, owners: List(owners) })
            }
        }
    }

    fn pids(&self) -> Result<BTreeSet<u32>, TargetError> {
        let entries = fs::read_dir(&self.proc).map_err(|source| read_error(&self.proc, source))?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    /// Inodes of the listening sockets in every network namespace that a visible process lives in.
    fn listeners(&self, pids: &BTreeSet<u32>, port: u16) -> HashSet<u64> {
        let mut namespaces = HashSet::new();
        let mut inodes = HashSet::new();
        for pid in pids {
            let process = self.proc.join(pid.to_string());
            let Ok(namespace) = fs::read_link(process.join("ns/net")) else { continue };
            if !namespaces.insert(namespace.clone()) {
                continue;
            }
            let tables = ["net/tcp", "net/tcp6"].map(|table| read(&process.join(table)));
            if tables.iter().all(Result::is_err) {
                // It ended in between: let another process of the namespace show the tables.
                namespaces.remove(&namespace);
            }
            inodes.extend(tables.iter().flatten().flat_map(|table| parse::listening_inodes(table, port)));
        }
        inodes
    }

    fn holds(&self, pid: u32, inodes: &HashSet<u64>) -> bool {
        let Ok(descriptors) = fs::read_dir(self.proc.join(format!("{pid}/fd"))) else { return false };
        let mut links = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        links.any(|link| parse::socket_inode(&link).is_some_and(|inode| inodes.contains(&inode)))
    }
}

/// The cgroup v2 tree of a process, by its list of mounts.
fn mount_in(path: &Path) -> Result<CgroupMount, TargetError> {
    let text = read(path)?;
    let mounts = parse::cgroup2_mounts(&text);
    let none = || if parse::has_cgroup1(&text) { TargetError::OnlyCgroup1 } else { TargetError::NoCgroup2 };
    mounts.into_iter().next().ok_or_else(|| none()(path.to_path_buf()))
}

fn is_gone(error: &io::Error) -> bool {
    // ESRCH: it ended between opening and reading.
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

fn read_error(path: &Path, source: io::Error) -> TargetError {
    TargetError::Read { path: path.to_path_buf(), source }
}

fn read(path: &Path) -> Result<Vec<u8>, TargetError> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|source| read_error(path, source))?;
    file.take(MAX_READ).read_to_end(&mut text).map_err(|source| read_error(path, source))?;
    Ok(text)
}

fn locate(mount: &CgroupMount, target: &Target, cgroup: &Path) -> Result<PathBuf, TargetError> {
    mount.locate(cgroup).ok_or_else(|| TargetError::OutOfView {
        target: target.clone(),
        cgroup: cgroup.to_path_buf(),
        mount: mount.path.clone(),
    })
}

/// A path as given, or, if the tree has it and the file system has not, as `/proc/PID/cgroup` writes it.
fn named(mount: &CgroupMount, path: &Path) -> Result<PathBuf, TargetError> {
    if path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let inside = mount.locate(path).filter(|path| path.is_dir());
    inside.ok_or_else(|| TargetError::NotACgroup { path: path.to_path_buf(), mount: mount.path.clone() })
}

fn find_unit(mount: &CgroupMount, unit: &str) -> Result<PathBuf, TargetError> {
    let mut found = Vec::new();
    let mut waiting = vec![mount.path.clone()];
    let mut seen = 0;
    while let Some(directory) = waiting.pop() {
        // One that is gone by now, or that we may not read, is passed over.
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for entry in entries.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            seen += 1;
            if seen > MAX_CGROUPS {
                return Err(TargetError::TreeTooLarge(MAX_CGROUPS));
            }
            if entry.file_name() == unit {
                found.push(entry.path());
            } else {
                waiting.push(entry.path());
            }
        }
    }
    found.sort();
    match found.pop() {
        None => Err(TargetError::NoUnit { unit: unit.into(), mount: mount.path.clone() }),
        Some(path) if found.is_empty() => Ok(path),
        Some(path) => {
            found.push(path);
            Err(TargetError::SeveralUnits { unit: unit.into(), found: List(found) })
        }
    }
}

/// Resolves links, and refuses the root and whatever is not in the tree.
fn confirm(mount: &CgroupMount, target: &Target, directory: &Path) -> Result<Cgroup, TargetError> {
    let not_a_cgroup =
        || TargetError::NotACgroup { path: directory.to_path_buf(), mount: mount.path.clone() };
    let root = mount.path.canonicalize().map_err(|source| read_error(&mount.path, source))?;
    let resolved = directory.canonicalize().map_err(|_| not_a_cgroup())?;
    let inside = resolved.strip_prefix(&root).map_err(|_| not_a_cgroup())?;
    if inside.as_os_str().is_empty() {
        return Err(TargetError::Root(target.clone()));
    }
    let metadata = fs::metadata(&resolved).map_err(|source| read_error(&resolved, source))?;
    if !metadata.is_dir() {
        return Err(not_a_cgroup());
    }
    let path = mount.root.join(inside);
    Ok(Cgroup { path, id: metadata.ino(), directory: resolved })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A `/proc` and a cgroup tree of our own.
    struct Fake {
        root: TempDir,
        host: Host,
    }

    impl Fake {
        fn new() -> Self {
            let root = TempDir::new().unwrap();
            let fake = Self { host: Host { proc: root.path().join("proc") }, root };
            let tree = fake.tree();
            fake.write(
                "self/mountinfo",
                &format!("38 31 0:38 / {} rw - cgroup2 cgroup2 rw\n", tree.display()),
            );
            fs::create_dir_all(tree).unwrap();
            fake
        }

        fn tree(&self) -> PathBuf {
            self.root.path().join("cgroup/unified")
        }

        fn cgroup(&self, path: &str) {
            fs::create_dir_all(self.tree().join(path)).unwrap();
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.host.proc.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn process(&self, pid: u32, cgroup: &str, namespace: u32, socket: u64) {
            self.write(&format!("{pid}/cgroup"), &format!("1:cpu:/elsewhere\n0::{cgroup}\n"));
            self.write(&format!("{pid}/comm"), "nginx\n");
            let process = self.host.proc.join(pid.to_string());
            fs::create_dir_all(process.join("ns")).unwrap();
            fs::create_dir_all(process.join("fd")).unwrap();
            symlink(format!("net:[{namespace}]"), process.join("ns/net")).unwrap();
            symlink(format!("socket:[{socket}]"), process.join("fd/6")).unwrap();
        }

        fn listen(&self, pid: u32, port: u16, socket: u64) {
            let line = format!("0: 00000000:{port:04X} 00000000:0000 0A 0:0 00:0 0 0 0 {socket} 1\n");
            self.write(&format!("{pid}/net/tcp6"), &format!("header\n{line}"));
        }

        #[track_caller]
        fn check(&self, target: Target, expected: &str) {
            let actual = match self.host.resolve(&target) {
                Ok(cgroup) => {
                    assert_eq!(cgroup.directory, self.tree().join(cgroup.path.strip_prefix("/").unwrap()));
                    assert_eq!(cgroup.id, fs::metadata(&cgroup.directory).unwrap().ino());
                    cgroup.path.display().to_string()
                }
                Err(error) => error.to_string().replace(self.root.path().to_str().unwrap(), ""),
            };
            assert_eq!(actual, expected);
        }
    }

    #[test]
    fn cgroups_by_path() {
        let fake = Fake::new();
        fake.cgroup("system.slice/nginx.service");
        fake.check(
            Target::Cgroup(fake.tree().join("system.slice/nginx.service")),
            "/system.slice/nginx.service",
        );
        fake.check(Target::Cgroup("/system.slice/nginx.service".into()), "/system.slice/nginx.service");
        fake.check(Target::Cgroup(fake.tree().join("system.slice/..//system.slice")), "/system.slice");
        let not = "is not a directory of the cgroup v2 tree at /cgroup/unified";
        fake.check(Target::Cgroup("/no/such".into()), &format!("/no/such {not}"));
        fake.check(Target::Cgroup(fake.root.path().join("proc")), &format!("/proc {not}"));
        // A link that leads out of the tree.
        symlink(fake.root.path(), fake.tree().join("out")).unwrap();
        fake.check(Target::Cgroup(fake.tree().join("out")), &format!("/cgroup/unified/out {not}"));
        let root = "is the root of the cgroup tree, which holds every process of this host, not only the controller: \
                    give the controller a cgroup of its own (a systemd unit, a container) and name that";
        fake.check(Target::Cgroup(fake.tree()), &format!("cgroup /cgroup/unified {root}"));
        fake.check(
            Target::Cgroup(fake.tree().join("system.slice/..")),
            &format!("cgroup /cgroup/unified/system.slice/.. {root}"),
        );
        fake.process(7, "/", 1, 1);
        fake.check(Target::Pid(7), &format!("process 7 {root}"));
    }

    #[test]
    fn units_by_name() {
        let fake = Fake::new();
        fake.cgroup("system.slice/nginx.service/worker");
        fake.check(Target::Unit("nginx.service".into()), "/system.slice/nginx.service");
        fake.check(
            Target::Unit("caddy.service".into()),
            "no running unit caddy.service: no directory of that name under /cgroup/unified",
        );
        fake.cgroup("machine.slice/nginx.service");
        fake.check(
            Target::Unit("nginx.service".into()),
            "several cgroups have the name nginx.service: /cgroup/unified/machine.slice/nginx.service, \
             /cgroup/unified/system.slice/nginx.service: name one with a cgroup path",
        );
    }

    #[test]
    fn processes() {
        let fake = Fake::new();
        fake.cgroup("pods/a");
        fake.process(7, "/pods/a", 1, 1);
        fake.check(Target::Pid(7), "/pods/a");
        fake.check(Target::Pid(8), "there is no process 8");
        fake.process(9, "/../host", 1, 1);
        fake.check(
            Target::Pid(9),
            "process 9 is in the cgroup /../host, which is outside of the part of the tree mounted at /cgroup/unified",
        );
        fake.process(10, "/pods/gone (deleted)", 1, 1);
        fake.check(
            Target::Pid(10),
            "/cgroup/unified/pods/gone (deleted) is not a directory of the cgroup v2 tree at /cgroup/unified",
        );
        fake.write("11/cgroup", "1:cpu:/x\n");
        fake.check(Target::Pid(11), "process 11 is in no cgroup v2");
    }

    #[test]
    fn listening_ports() {
        let fake = Fake::new();
        fake.cgroup("a");
        fake.cgroup("b");
        fake.check(Target::Port(80), "nobody listens on TCP port 80");
        // Master and worker hold the same socket; another namespace has a port of the same number.
        fake.process(7, "/a", 1, 111);
        fake.process(8, "/a", 1, 111);
        fake.listen(7, 80, 111);
        fake.check(Target::Port(80), "/a");
        fake.check(Target::Port(81), "nobody listens on TCP port 81");
        fake.process(9, "/b", 2, 222);
        fake.listen(9, 80, 222);
        fake.check(
            Target::Port(80),
            "TCP port 80 is listened on from several cgroups: /a (process 7, \"nginx\"), /b (process 9, \"nginx\"): \
             name one with a cgroup path",
        );
        fake.process(10, "/b", 3, 1);
        fake.listen(10, 443, 333);
        fake.check(
            Target::Port(443),
            "TCP port 443 is listened on, but no process that can be seen here holds the socket: run as root, in the \
             host's pid namespace",
        );
    }

    #[test]
    fn a_host_without_the_tree() {
        let fake = Fake::new();
        fake.write("self/mountinfo", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
        fake.check(
            Target::Pid(7),
            "this node has cgroup v1 only (no cgroup2 in /proc/self/mountinfo): its pods cannot be audited; boot it with \
             systemd.unified_cgroup_hierarchy=1, or with a distribution of which cgroup v2 is the default",
        );
        fake.write("self/mountinfo", "31 23 0:28 / / rw - ext4 /dev/vda rw\n");
        fake.check(
            Target::Pid(7),
            "no cgroup v2 tree is mounted here (none in /proc/self/mountinfo): mount one, or run where it is visible",
        );
    }

    #[test]
    fn the_nodes_tree_from_inside_of_a_container() {
        let fake = Fake::new();
        let namespace = |process: &str, number: u32| {
            let link = fake.host.proc.join(process).join("ns/cgroup");
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            let _ = fs::remove_file(&link);
            symlink(format!("cgroup:[{number}]"), link).unwrap();
        };
        let own = fake.host.cgroup_mount().unwrap();
        // Where process 1 cannot be looked at, it is taken for one's own.
        assert_eq!(fake.host.node_mount().unwrap(), own);
        namespace("self", 1);
        namespace("1", 1);
        assert_eq!(fake.host.node_mount().unwrap(), own);
        namespace("1", 2);
        fake.write("1/mountinfo", "26 23 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        let node = CgroupMount { path: fake.host.proc.join("1/root/sys/fs/cgroup"), root: "/".into() };
        assert_eq!(fake.host.node_mount().unwrap(), node);
        fake.write("1/mountinfo", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
        assert!(matches!(fake.host.node_mount(), Err(TargetError::OnlyCgroup1(_))));
    }
}
