//! Which pods carry ingress traffic, and of which product they are.
//!
//! Consumes a Pod as the API server has it and what the configuration adds; produces a [`Controller`], or none. Pure. Only
//! the spec and the metadata are asked: a pod is recognised before anything of it runs.
//!
//! A pod is known by its containers' images, which say what runs, and by the labels that the projects' own charts set,
//! where images are renamed by mirrors. Control planes (Contour's, Envoy Gateway's, Kong's controller, ...) carry no
//! traffic and are none. Pods of Jobs (admission certificates, chart hooks) never are.

mod class;
mod image;
mod kind;
mod signs;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use serde::{Deserialize, Serialize};

pub use class::Classes;
pub use kind::ControllerKind;

/// The longest name that an object may have (RFC 1123 subdomains,
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>), in bytes.
const MAX_NAME: usize = 253;

/// The annotation of a static pod's mirror that holds the name which the kubelet gives its cgroup: for a pod that the API
/// server did not make, the uid is the hash of its manifest (kubernetes, `pkg/kubelet/types/pod_update.go`,
/// `ConfigHashAnnotationKey`; `pkg/kubelet/config/common.go`, `applyDefaults`).
const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// The annotation that makes a pod a mirror (`ConfigMirrorAnnotationKey`).
const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
/// The label that Gateway API gives to what an implementation makes for a Gateway, in the Gateway's namespace (GEP-1762).
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// Envoy Gateway's own labels of what it makes for a Gateway, in a namespace of its own (internal/gatewayapi/helpers.go,
/// `GatewayOwnerLabels`).
const OWNING_GATEWAY: &str = "gateway.envoyproxy.io/owning-gateway-name";
const OWNING_NAMESPACE: &str = "gateway.envoyproxy.io/owning-gateway-namespace";

/// A pod that carries ingress traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controller {
    /// The product.
    pub kind: ControllerKind,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The uid by which its cgroup is named.
    pub uid: String,
    /// The container that carries the traffic.
    pub container: Option<String>,
    /// Which objects it serves.
    pub classes: Classes,
}

/// Pods that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// What they are.
    pub kind: ControllerKind,
    /// Where they are; anywhere without.
    pub namespace: Option<String>,
    /// Labels that they all have; at least one.
    pub labels: BTreeMap<String, String>,
}

impl Named {
    fn means(&self, pod: &Pod) -> bool {
        let namespace = pod.metadata.namespace.as_ref();
        let labels = pod.metadata.labels.as_ref();
        self.namespace.as_ref().is_none_or(|wanted| Some(wanted) == namespace)
            && !self.labels.is_empty()
            && self.labels.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    }
}

/// What a pod is. What the configuration says comes first, images second, labels last.
#[must_use]
pub fn recognise(pod: &Pod, named: &[Named]) -> Option<Controller> {
    let spec = pod.spec.as_ref()?;
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return None;
    }
    let configured = named.iter().find(|named| named.means(pod)).map(|named| named.kind);
    let (kind, container) = match configured {
        Some(kind) => (kind, signs::container_of(kind, &spec.containers)),
        None if is_of_job(pod) => return None,
        None => signs::recognise(pod, spec)?,
    };
    let short = |name: &String| name.len() <= MAX_NAME;
    let label = |key: &str| pod.metadata.labels.as_ref()?.get(key).cloned();
    let namespace = pod.metadata.namespace.clone().filter(short)?;
    let of_gateway = label(GATEWAY_NAME).or_else(|| label(OWNING_GATEWAY)).filter(short);
    let in_namespace = label(OWNING_NAMESPACE).filter(short).unwrap_or_else(|| namespace.clone());
    let classes = class::classes(kind, container.map(words).unwrap_or_default().as_slice());
    Some(Controller {
        kind,
        namespace,
        pod: pod.metadata.name.clone().filter(short)?,
        uid: cgroup_uid(pod).filter(short)?,
        container: container.map(|container| container.name.clone()).filter(short),
        classes: Classes {
            gateway: of_gateway.map(|name| (in_namespace, name)),
            dialect: class::dialect(kind),
            ..classes
        },
    })
}

/// The uid by which the kubelet names the pod's cgroup.
fn cgroup_uid(pod: &Pod) -> Option<String> {
    let annotation = |key: &str| pod.metadata.annotations.as_ref()?.get(key).cloned();
    // Anybody who may make pods may write these: an MD5 in hexadecimal is never the uid of a pod that the API server made.
    let is_hash = |text: &String| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match annotation(CONFIG_MIRROR) {
        Some(mirror) => Some(annotation(CONFIG_HASH).unwrap_or(mirror)).filter(is_hash),
        None => pod.metadata.uid.clone(),
    }
}

fn is_of_job(pod: &Pod) -> bool {
    pod.metadata.owner_references.iter().flatten().any(|owner| owner.kind == "Job")
}

/// The command line of a container, as far as the spec says it.
fn words(container: &Container) -> Vec<&str> {
    container.command.iter().flatten().chain(container.args.iter().flatten()).map(String::as_str).collect()
}

#[cfg(test)]
mod tests;
