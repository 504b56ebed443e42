//! How the kubelet and the runtimes name the cgroups of pods. Pure.
//!
//! With the driver cgroupfs: `kubepods/burstable/pod<uid>/<container>`. With systemd:
//! `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid with _>.slice/<runtime>-<container>.scope`; a
//! guaranteed pod stands directly in `kubepods.slice` (kubernetes, `pkg/kubelet/cm/cgroup_manager_linux.go`, `ToSystemd`,
//! and `pod_container_manager_linux.go`, `GetPodContainerName`). kind puts `kubelet` before all of that
//! (`kubelet.slice/kubelet-kubepods.slice/...`). Where containerd was not told of the driver systemd, a container's
//! cgroup bears its parent's name and stands elsewhere: `kubepods-burstable-pod<uid>.slice:cri-containerd:<container>`.

/// What a directory is, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Pods are in it, or directories with pods.
    Pods,
    /// The cgroup of the pod with this uid, or of a container of it that stands by itself.
    Pod(String),
    /// Something else.
    Other,
}

/// What a directory is; `in_pods` says whether it is in one that holds pods.
pub(super) fn place(name: &str, in_pods: bool) -> Place {
    let unit = name.split_once(".slice").map_or(name, |(unit, _)| unit);
    let uid = match unit.strip_prefix("pod") {
        Some(uid) => Some(uid),
        None => {
            unit.rsplit_once("-pod").filter(|(before, _)| before.contains("kubepods")).map(|(_, uid)| uid)
        }
    };
    if let Some(uid) = uid.filter(|uid| is_uid(uid)) {
        return Place::Pod(normal(uid));
    }
    // The classes of service: https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
    if unit.contains("kubepods") || (in_pods && matches!(unit, "burstable" | "besteffort")) {
        return Place::Pods;
    }
    Place::Other
}

/// A uid as directories are compared: systemd's names have no hyphen inside, for it stands for a level.
pub(super) fn normal(uid: &str) -> String {
    uid.replace('_', "-")
}

/// UUIDs, and the hashes that name static pods.
fn is_uid(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "0086d247-7fe3-4d93-a3fb-976a918797d7";
    const HASH: &str = "1273d1de42583755a199d1bd4af0cc6f";

    #[track_caller]
    fn check(path: &str, expected: Option<&str>) {
        // As a walk from the root sees it: down to the pod, and no further.
        let mut in_pods = false;
        let mut found = None;
        for name in path.split('/') {
            match place(name, in_pods) {
                Place::Pod(uid) => {
                    found = Some(uid);
                    break;
                }
                place => in_pods = place == Place::Pods,
            }
        }
        assert_eq!(found.as_deref(), expected, "{path}");
    }

    #[test]
    fn pods_by_driver_and_runtime() {
        let id = "8f5fc6d0e4a1";
        for (path, uid) in [
            // cgroupfs: guaranteed, burstable, best effort; a static pod.
            ("kubepods/pod0086d247-7fe3-4d93-a3fb-976a918797d7", UID),
            ("kubepods/burstable/pod0086d247-7fe3-4d93-a3fb-976a918797d7", UID),
            ("kubepods/besteffort/pod0086d247-7fe3-4d93-a3fb-976a918797d7", UID),
            ("kubepods/burstable/pod1273d1de42583755a199d1bd4af0cc6f", HASH),
            // systemd, with containerd, CRI-O and docker.
            ("kubepods.slice/kubepods-pod0086d247_7fe3_4d93_a3fb_976a918797d7.slice", UID),
            (
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0086d247_7fe3_4d93_a3fb_976a918797d7.slice",
                UID,
            ),
            (
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1273d1de42583755a199d1bd4af0cc6f.slice",
                HASH,
            ),
            // kind: both drivers.
            ("kubelet/kubepods/besteffort/pod0086d247-7fe3-4d93-a3fb-976a918797d7", UID),
            (
                "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod0086d247_7fe3_4d93_a3fb_976a918797d7.slice",
                UID,
            ),
            // The kubelet's --cgroup-root.
            ("own/kubepods/pod0086d247-7fe3-4d93-a3fb-976a918797d7", UID),
            // A container of containerd that stands by itself.
            (
                "system.slice/containerd.service/kubepods-burstable-pod0086d247_7fe3_4d93_a3fb_976a918797d7.slice:cri-containerd:8f5fc6d0e4a1",
                UID,
            ),
        ] {
            check(path, Some(uid));
            check(&format!("{path}/{id}"), Some(uid));
            check(&format!("{path}/cri-containerd-{id}.scope"), Some(uid));
            check(&format!("{path}/crio-{id}.scope/container"), Some(uid));
            check(&format!("{path}/docker-{id}.scope"), Some(uid));
        }
    }

    #[test]
    fn what_is_no_pod() {
        for path in [
            "",
            "pod",
            "kubepods",
            "kubepods.slice/kubepods-burstable.slice",
            "system.slice/kubelet.service",
            "user.slice/user-1000.slice/podman-123.scope",
            "machine.slice/tripod-podx.slice",
            "kubepods/pod../x",
        ] {
            check(path, None);
        }
        assert_eq!(place("burstable", false), Place::Other);
        assert_eq!(place("burstable", true), Place::Pods);
    }

    proptest! {
        #[test]
        fn no_name_breaks_it(name in "\\PC{0,80}", in_pods: bool) {
            place(&name, in_pods);
        }

        #[test]
        fn every_uid_is_found_in_every_form(uid in "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", class in "(burstable-|besteffort-|)") {
            let slice = format!("kubepods-{class}pod{}.slice", uid.replace('-', "_"));
            prop_assert_eq!(place(&slice, true), Place::Pod(uid.clone()));
            prop_assert_eq!(place(&format!("pod{uid}"), true), Place::Pod(uid));
        }
    }
}
