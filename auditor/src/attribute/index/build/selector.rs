//! Endpoints of Services that have no slices: which pods a selector selects, and which port of them is meant.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{Pod, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Pods by namespace and label, so that selecting does not look at every pod for every Service.
pub(super) struct Pods<'o> {
    by_label: HashMap<(&'o str, &'o str, &'o str), Vec<&'o Pod>>,
}

impl<'o> Pods<'o> {
    pub(super) fn new(pods: &'o [Pod]) -> Self {
        let mut by_label: HashMap<_, Vec<_>> = HashMap::new();
        for pod in pods {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            for (key, value) in pod.metadata.labels.iter().flatten() {
                by_label.entry((namespace, key.as_str(), value.as_str())).or_default().push(pod);
            }
        }
        Self { by_label }
    }

    /// The pods that have all of these labels. The selector must not be empty.
    pub(super) fn select<'s>(
        &'s self,
        namespace: &'s str,
        selector: &'s BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'o Pod> + use<'s, 'o> {
        let candidates = selector.iter().map(|(key, value)| {
            self.by_label
                .get(&(namespace, key.as_str(), value.as_str()))
                .map(Vec::as_slice)
                .unwrap_or_default()
        });
        let fewest = candidates.min_by_key(|pods| pods.len()).unwrap_or_default();
        fewest.iter().copied().filter(move |pod| {
            let labels = pod.metadata.labels.as_ref();
            selector.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
        })
    }
}

/// The pod's port that a Service's port leads to; a name is looked up in its containers.
pub(super) fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            // A sidecar (an init container that is restarted always) may have the port as well.
            let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
            let found = ports.find(|candidate| {
                candidate.name.as_deref() == Some(name) && super::tcp(candidate.protocol.as_deref())
            })?;
            Some(found.container_port)
        }
    }
}

/// Whether the pod is ready. Manifests that were written by hand say nothing, which counts as ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    pod.metadata.deletion_timestamp.is_none() && ready.is_none_or(|condition| condition.status == "True")
}
