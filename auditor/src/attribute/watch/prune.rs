//! What of an object is not used and goes no further.

use kube::api::DynamicObject;
use serde_json::{Map, Value};

use crate::attribute::manifests::Kind;

/// The whole object as it was applied: as large as the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Removes what is not used. Of Pods, of which there are most, all but what tells whose an address is.
pub(super) fn prune(kind: Kind, object: &mut DynamicObject) {
    object.types = None;
    let metadata = &mut object.metadata;
    metadata.managed_fields = None;
    metadata.owner_references = None;
    metadata.finalizers = None;
    metadata.generate_name = None;
    metadata.self_link = None;
    // Changes with each write, also where nothing does that is used.
    metadata.resource_version = None;
    metadata.generation = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    let Value::Object(fields) = &mut object.data else { return };
    match kind {
        Kind::Pod => {
            metadata.annotations = None;
            keep(fields, &["spec", "status"]);
            of(fields, "spec", |spec| {
                keep(spec, &["hostNetwork", "containers", "initContainers"]);
                for list in ["containers", "initContainers"] {
                    each(spec, list, |container| keep(container, &["name", "ports", "restartPolicy"]));
                }
            });
            of(fields, "status", |status| {
                keep(status, &["phase", "podIP", "podIPs", "hostIP", "hostIPs", "conditions"]);
                each(status, "conditions", |condition| keep(condition, &["type", "status"]));
                if let Some(Value::Array(conditions)) = status.get_mut("conditions") {
                    conditions.retain(|condition| condition.get("type").is_some_and(|kind| kind == "Ready"));
                }
            });
        }
        Kind::Ingress
        | Kind::IngressClass
        | Kind::GatewayClass
        | Kind::Gateway
        | Kind::HttpRoute
        | Kind::GrpcRoute
        | Kind::TlsRoute
        | Kind::ReferenceGrant
        | Kind::IngressRoute
        | Kind::HttpProxy => keep(fields, &["spec"]),
        // Gateways choose namespaces by their labels.
        Kind::Namespace => {
            metadata.annotations = None;
            keep(fields, &[]);
        }
        Kind::EndpointSlice => {
            each(fields, "endpoints", |endpoint| {
                keep(endpoint, &["addresses", "conditions", "targetRef", "nodeName"])
            });
        }
        // A Service's status has the addresses of its load balancer.
        Kind::Service => {}
    }
}

fn keep(fields: &mut Map<String, Value>, names: &[&str]) {
    fields.retain(|name, _| names.contains(&name.as_str()));
}

fn of(fields: &mut Map<String, Value>, name: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    if let Some(Value::Object(inner)) = fields.get_mut(name) {
        change(inner);
    }
}

fn each(fields: &mut Map<String, Value>, list: &str, change: impl Fn(&mut Map<String, Value>)) {
    let Some(Value::Array(items)) = fields.get_mut(list) else { return };
    items.iter_mut().filter_map(Value::as_object_mut).for_each(change);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(kind: Kind, object: Value, expected: Value) {
        let mut object: DynamicObject = serde_json::from_value(object).unwrap();
        prune(kind, &mut object);
        assert_eq!(serde_json::to_value(&object).unwrap(), expected);
    }

    #[test]
    fn a_pod_is_its_addresses() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"},
                "annotations": {"x": "y"}, "managedFields": [{"manager": "m"}], "ownerReferences": [],
                "deletionTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {
                "hostNetwork": true, "volumes": [{"name": "v"}],
                "containers": [{"name": "c", "image": "i", "env": [{"name": "SECRET", "value": "s"}], "ports": [{"containerPort": 80}]}],
            },
            "status": {
                "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "qosClass": "Burstable",
                "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null}, {"type": "Initialized", "status": "True"}],
            },
        });
        check(
            Kind::Pod,
            pod,
            json!({
                "metadata": {
                    "name": "p", "namespace": "n", "uid": "u", "labels": {"a": "b"}, "deletionTimestamp": "2026-01-01T00:00:00Z",
                },
                "spec": {"hostNetwork": true, "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]},
                "status": {
                    "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            }),
        );
    }

    #[test]
    fn an_ingress_keeps_its_annotations() {
        let ingress = json!({
            "metadata": {
                "name": "i", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 3,
                "annotations": {"nginx.ingress.kubernetes.io/use-regex": "true", LAST_APPLIED: "{}"},
            },
            "spec": {"rules": []}, "status": {"loadBalancer": {}},
        });
        check(
            Kind::Ingress,
            ingress,
            json!({
                "metadata": {
                    "name": "i", "creationTimestamp": "2026-01-01T00:00:00Z",
                    "annotations": {"nginx.ingress.kubernetes.io/use-regex": "true"},
                },
                "spec": {"rules": []},
            }),
        );
    }

    #[test]
    fn whatever_the_server_sends() {
        for data in [
            json!({"metadata": {}, "spec": 7, "status": [1]}),
            json!({"metadata": {}, "endpoints": [1, null]}),
        ] {
            for kind in Kind::ALL {
                prune(kind, &mut serde_json::from_value(data.clone()).unwrap());
            }
        }
    }
}
