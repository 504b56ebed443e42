//! [`Pods`]: the cgroups of pods on this node, as soon as they exist.
//!
//! Consumes the node's cgroup tree; produces a [`Cgroup`] for a pod's uid. A pod's cgroup is made before anything of it runs,
//! and is told of by inotify(7) on the directories that hold pods. A look through the tree is what finds those directories,
//! whatever is there already, and whatever inotify did not tell: it is bounded, and the caller's to ask for.

mod name;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tracing::warn;

use self::name::{Place, normal, place};
use super::host::{Host, MAX_CGROUPS};
use super::{Cgroup, CgroupMount, TargetError};

/// Most directories with pods that are watched: a node has three for each tree of the kubelet's.
const MAX_WATCHED: usize = 256;

/// Finds the cgroups of pods.
#[derive(Debug)]
pub struct Pods {
    mount: CgroupMount,
    inotify: Option<Inotify>,
    /// Directories with pods, by their watches.
    watched: HashMap<WatchDescriptor, PathBuf>,
}

/// What was made since it was asked last.
#[derive(Debug, Default)]
pub struct Made {
    /// Cgroups of wanted pods.
    pub cgroups: Vec<(String, Cgroup)>,
    /// Something was made that only a look can tell.
    pub unsure: bool,
}

impl Pods {
    /// On the node's tree.
    ///
    /// # Errors
    ///
    /// Those of [`Host::node_mount`].
    pub fn new(host: &Host) -> Result<Self, TargetError> {
        Ok(Self::at(host.node_mount()?))
    }

    fn at(mount: CgroupMount) -> Self {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        if let Err(error) = &inotify {
            warn!(%error, "New pods are noticed up to a second later");
        }
        Self { mount, inotify: inotify.ok(), watched: HashMap::new() }
    }

    /// Looks through the tree for the cgroups of these pods.
    ///
    /// # Errors
    ///
    /// [`TargetError::TreeTooLarge`].
    pub fn look(&mut self, wanted: &BTreeSet<String>) -> Result<Vec<(String, Cgroup)>, TargetError> {
        let wanted: HashMap<String, &String> = wanted.iter().map(|uid| (normal(uid), uid)).collect();
        let mut found = Vec::new();
        let mut waiting = vec![(self.mount.path.clone(), false)];
        let mut seen = 0;
        while let Some((directory, holds_pods)) = waiting.pop() {
            if holds_pods {
                // Before it is read: what is made in between is told twice rather than not at all.
                self.watch(&directory);
            }
            // One that is gone by now, or that we may not read, is passed over.
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                seen += 1;
                if seen > MAX_CGROUPS {
                    return Err(TargetError::TreeTooLarge(MAX_CGROUPS));
                }
                match place(&entry.file_name().to_string_lossy(), holds_pods) {
                    Place::Pod(uid) => {
                        let cgroup = wanted
                            .get(&uid)
                            .and_then(|uid| Some(((*uid).clone(), self.cgroup(&entry.path())?)));
                        found.extend(cgroup);
                    }
                    Place::Pods => waiting.push((entry.path(), true)),
                    Place::Other => waiting.push((entry.path(), false)),
                }
            }
        }
        Ok(found)
    }

    /// What inotify has told since: cgroups of these pods. Never waits.
    pub fn made(&mut self, wanted: &BTreeSet<String>) -> Made {
        let mut made = Made::default();
        let Some(inotify) = &self.inotify else { return made };
        let events = match inotify.read_events() {
            Ok(events) => events,
            Err(Errno::EAGAIN) => return made,
            Err(_) => return Made { unsure: true, ..made },
        };
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                self.watched.remove(&event.wd);
                continue;
            }
            let directory = self.watched.get(&event.wd);
            let (Some(directory), Some(name)) = (directory, event.name) else {
                // The queue has overflowed, or the directory itself is meant.
                made.unsure |= event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
                continue;
            };
            match place(&name.to_string_lossy(), true) {
                Place::Pod(uid) => {
                    let uid = wanted.iter().find(|wanted| normal(wanted) == uid);
                    let cgroup = uid.and_then(|uid| Some((uid.clone(), self.cgroup(&directory.join(name))?)));
                    made.cgroups.extend(cgroup);
                }
                // A class of service that had no pod before; it may have one already.
                Place::Pods => made.unsure = true,
                Place::Other => {}
            }
        }
        made
    }

    /// Readable when there is something to ask [`Self::made`] for.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    fn watch(&mut self, directory: &Path) {
        let Some(inotify) = &self.inotify else { return };
        if self.watched.len() >= MAX_WATCHED {
            return;
        }
        // Of a directory that is watched already, the same number comes again.
        if let Ok(number) = inotify.add_watch(directory, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ONLYDIR)
        {
            self.watched.insert(number, directory.to_path_buf());
        }
    }

    /// The directory as a cgroup, if it is there. Links are not resolved: `/proc/1/root` is one that leads to where its
    /// text does not say.
    fn cgroup(&self, directory: &Path) -> Option<Cgroup> {
        let id = fs::metadata(directory).ok()?.ino();
        let inside = directory.strip_prefix(&self.mount.path).ok()?;
        Some(Cgroup { directory: directory.to_path_buf(), path: self.mount.root.join(inside), id })
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    struct Tree {
        root: TempDir,
        pods: Pods,
        wanted: BTreeSet<String>,
    }

    impl Tree {
        fn new(wanted: &[&str]) -> Self {
            let root = TempDir::new().unwrap();
            let pods = Pods::at(CgroupMount { path: root.path().to_path_buf(), root: "/".into() });
            Self { root, pods, wanted: wanted.iter().map(|uid| (*uid).to_owned()).collect() }
        }

        fn make(&self, path: &str) {
            fs::create_dir_all(self.root.path().join(path)).unwrap();
        }

        fn look(&mut self) -> Vec<String> {
            told(self.pods.look(&self.wanted).unwrap())
        }

        fn made(&mut self) -> (Vec<String>, bool) {
            let made = self.pods.made(&self.wanted);
            (told(made.cgroups), made.unsure)
        }
    }

    fn told(found: Vec<(String, Cgroup)>) -> Vec<String> {
        let mut told: Vec<String> =
            found.into_iter().map(|(uid, cgroup)| format!("{uid} {}", cgroup.path.display())).collect();
        told.sort();
        told
    }

    #[test]
    fn a_look_finds_what_is_there() {
        let mut tree = Tree::new(&["a-1", "b-2", "c"]);
        assert_eq!(tree.look(), [""; 0]);
        tree.make("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_1.slice/cri-containerd-podb_2.scope");
        tree.make("system.slice/containerd.service/kubepods-podb_2.slice:cri-containerd:x");
        tree.make("system.slice/containerd.service/kubepods-podb_2.slice:cri-containerd:y");
        tree.make("kubepods.slice/kubepods-podother.slice");
        assert_eq!(
            tree.look(),
            [
                "a-1 /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_1.slice",
                "b-2 /system.slice/containerd.service/kubepods-podb_2.slice:cri-containerd:x",
                "b-2 /system.slice/containerd.service/kubepods-podb_2.slice:cri-containerd:y",
            ]
        );
    }

    #[test]
    fn a_new_pod_is_told_at_once() {
        let mut tree = Tree::new(&["a-1"]);
        tree.make("kubelet/kubepods/burstable");
        assert_eq!(tree.look(), [""; 0]);
        assert_eq!(tree.made(), (vec![], false));
        tree.make("kubelet/kubepods/burstable/podother");
        tree.make("kubelet/kubepods/burstable/poda-1/x");
        assert_eq!(tree.made(), (vec!["a-1 /kubelet/kubepods/burstable/poda-1".to_owned()], false));
        assert_eq!(tree.made(), (vec![], false));
        // The first best-effort pod of a node.
        tree.make("kubelet/kubepods/besteffort/poda-1");
        assert_eq!(tree.made(), (vec![], true));
        assert_eq!(tree.look().len(), 2);
        fs::remove_dir(tree.root.path().join("kubelet/kubepods/besteffort/poda-1")).unwrap();
        tree.make("kubelet/kubepods/besteffort/poda-1");
        assert_eq!(tree.made(), (vec!["a-1 /kubelet/kubepods/besteffort/poda-1".to_owned()], false));
        // The kubelet removes a class's directory and makes it anew.
        fs::remove_dir_all(tree.root.path().join("kubelet/kubepods/besteffort")).unwrap();
        assert_eq!(tree.made(), (vec![], false));
        tree.make("kubelet/kubepods/besteffort/poda-1");
        assert_eq!(tree.made(), (vec![], true));
        assert_eq!(tree.look().len(), 2);
        tree.make("kubelet/kubepods/besteffort/podb");
        tree.wanted.insert("b".to_owned());
        assert_eq!(tree.made(), (vec!["b /kubelet/kubepods/besteffort/podb".to_owned()], false));
    }

    #[test]
    fn what_is_gone_again_is_not_told() {
        let mut tree = Tree::new(&["a"]);
        tree.make("kubepods");
        tree.look();
        tree.make("kubepods/poda");
        fs::remove_dir(tree.root.path().join("kubepods/poda")).unwrap();
        assert_eq!(tree.made(), (vec![], false));
    }
}
