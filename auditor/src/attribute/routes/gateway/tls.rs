//! `TLSRoute`: by server name alone. At a listener that passes TLS on it declares where connections go; at one that ends TLS
//! it is the rule of everything that comes in under the name.

use std::sync::Arc;

use super::listener::Protocol;
use super::{Attaching, Cluster, Listener, Match, backend, by_age};
use crate::attribute::objects::Objects;
use crate::attribute::routes::building::{self, Building};
use crate::attribute::routes::condition::Conditions;
use crate::attribute::routes::problem::Place;
use crate::attribute::routes::table::PathMatch;
use crate::attribute::routes::{Besides, ObjectKind, Route};

pub(super) fn attach(
    objects: &Objects,
    cluster: &Cluster<'_>,
    listeners: &mut [Listener],
    building: &mut Building,
) {
    for (place, route) in by_age(&objects.tls_routes).into_iter().enumerate() {
        let object = building::object(ObjectKind::TlsRoute, &route.metadata);
        let spec = &route.spec;
        let age = place as u64;
        let Some(attaching) = Attaching::new(object, &spec.parent_refs, &spec.hostnames, age, building)
        else {
            continue;
        };
        attaching.attach(cluster, listeners, building, |_, building| {
            // "Rules are a list of actions", and no rule asks for anything: the first is all.
            let Some(rule) = spec.rules.as_ref().and_then(|rules| rules.first()) else { return Vec::new() };
            let place = Place::whole(&attaching.object).rule(0);
            let target = backend::target(place, &rule.backend_refs, cluster, building);
            let route = Arc::new(Route {
                object: Some(attaching.object.clone()),
                rule: Some(0),
                host: None,
                path: None,
                path_type: None,
                target,
                mirrors: Box::default(),
                besides: Besides::default(),
            });
            let path = PathMatch::Elements(b"/".to_vec());
            vec![Match { route, path, conditions: Conditions::default(), order: [0; 5] }]
        });
    }
    for listener in listeners.iter_mut().filter(|listener| listener.protocol == Protocol::Passthrough) {
        building.passthrough.append(std::mem::take(&mut listener.rules));
    }
}
