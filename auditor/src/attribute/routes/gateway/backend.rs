//! What backend references refer to, and whether they may.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Cluster, MAX_BACKENDS, too_many};
use crate::attribute::objects::ObjectName;
use crate::attribute::objects::gateway::{BackendRef, Filter, ReferenceGrant};
use crate::attribute::routes::building::{self, Building};
use crate::attribute::routes::problem::{Place, ProblemKind};
use crate::attribute::routes::{Backend, PortRef, Target, Weighted};

const GROUP: &str = "gateway.networking.k8s.io";

/// References to Services of other namespaces that are granted.
pub(super) struct Grants<'o>(HashSet<Grant<'o>>);

#[derive(PartialEq, Eq, Hash)]
struct Grant<'o> {
    from_kind: &'o str,
    from: &'o str,
    to: &'o str,
    /// Only the Service of this name.
    name: Option<&'o str>,
}

impl<'o> Grants<'o> {
    pub(super) fn new(grants: &'o [ReferenceGrant]) -> Self {
        let mut granted = HashSet::new();
        for grant in grants {
            let to = grant.metadata.namespace.as_deref().unwrap_or_default();
            let services = grant.spec.to.iter().filter(|to| to.group.is_empty() && to.kind == "Service");
            for service in services {
                let name = service.name.as_deref().filter(|name| !name.is_empty());
                let from = grant.spec.from.iter().filter(|from| from.group == GROUP);
                granted.extend(from.map(|from| Grant {
                    from_kind: &from.kind,
                    from: &from.namespace,
                    to,
                    name,
                }));
            }
        }
        Self(granted)
    }

    fn allow(&self, from_kind: &str, from: &str, to: &str, name: &str) -> bool {
        [None, Some(name)].into_iter().any(|name| self.0.contains(&Grant { from_kind, from, to, name }))
    }
}

/// What becomes of a rule's requests, if it forwards them.
pub(super) fn target(
    place: Place<'_>,
    backends: &[BackendRef],
    cluster: &Cluster<'_>,
    building: &mut Building,
) -> Target {
    too_many(building, place, "backendRefs", backends.len(), MAX_BACKENDS);
    let weighted = backends.iter().take(MAX_BACKENDS).map(|reference| Weighted {
        backend: backend(place, reference, cluster, building),
        weight: building::weight(reference.weight.unwrap_or(1)),
    });
    Target::Backends(weighted.collect())
}

/// Who gets copies of a rule's requests.
pub(super) fn mirrors(
    place: Place<'_>,
    filters: &[Filter],
    cluster: &Cluster<'_>,
    building: &mut Building,
) -> Box<[Backend]> {
    let mirrors = filters.iter().filter(|filter| filter.type_ == "RequestMirror");
    let mirrors = mirrors.filter_map(|filter| filter.request_mirror.as_ref()).take(MAX_BACKENDS);
    mirrors.map(|mirror| backend(place, &mirror.backend_ref, cluster, building)).collect()
}

fn backend(
    place: Place<'_>,
    reference: &BackendRef,
    cluster: &Cluster<'_>,
    building: &mut Building,
) -> Backend {
    let kind = reference.kind.as_deref().unwrap_or("Service");
    if reference.group.as_deref().is_some_and(|group| !group.is_empty()) || kind != "Service" {
        return Backend::Resource { kind: kind.into(), name: reference.name.as_str().into() };
    }
    // Filters of a single backend may answer in its place.
    if reference.filters.iter().any(|filter| filter.type_ == "RequestRedirect") {
        return Backend::Resource { kind: "RequestRedirect".into(), name: reference.name.as_str().into() };
    }
    let own = &place.object.name.namespace;
    let namespace = match reference.namespace.as_deref() {
        Some(namespace) if *namespace != **own => Arc::from(namespace),
        _ => Arc::clone(own),
    };
    let service = ObjectName { namespace, name: reference.name.as_str().into() };
    let port = reference.port.and_then(|port| building::port(port.into())).map(PortRef::Number);
    let (false, Some(port)) = (service.name.is_empty(), port) else {
        building.problems.add(place, ProblemKind::Backend);
        return Backend::Invalid;
    };
    let is_granted = service.namespace == *own
        || cluster.grants.allow(place.object.kind.as_str(), own, &service.namespace, &service.name);
    if is_granted {
        return Backend::Service { service, port };
    }
    building.problems.add(place, ProblemKind::NotGranted { service: service.clone() });
    Backend::NotGranted { service, port }
}
