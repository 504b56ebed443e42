//! `GRPCRoute`: most characters of the service, then of the method, most headers.

use std::sync::Arc;

use super::{
    Cluster, MAX_MATCHES, MAX_RULES, Match, Patterns, backend, first_of_each, http, pattern, too_many,
};
use crate::attribute::objects::gateway::{GrpcMatch, GrpcRule, RouteSpec};
use crate::attribute::routes::building::Building;
use crate::attribute::routes::condition::{Condition, Conditions, Several, Step};
use crate::attribute::routes::problem::Place;
use crate::attribute::routes::scope::most;
use crate::attribute::routes::table::PathMatch;
use crate::attribute::routes::{Besides, ObjectRef, PathType, Route};

/// The rules of a route, in their own order.
pub(super) fn matches(
    object: &ObjectRef,
    spec: &RouteSpec<GrpcRule>,
    patterns: Patterns,
    cluster: &Cluster<'_>,
    building: &mut Building,
) -> Vec<Match> {
    let everything = [GrpcRule::default()];
    let rules = spec.rules.as_deref().unwrap_or(&everything);
    too_many(building, Place::whole(object), "rules", rules.len(), MAX_RULES);
    let mut all = Vec::new();
    for (number, rule) in rules.iter().take(MAX_RULES).enumerate() {
        let place = Place::whole(object).rule(number);
        let target = backend::target(place, &rule.backend_refs, cluster, building);
        let mirrors = backend::mirrors(place, &rule.filters, cluster, building);
        let everything = [GrpcMatch::default()];
        let matches = if rule.matches.is_empty() { &everything } else { rule.matches.as_slice() };
        too_many(building, place, "matches", matches.len(), MAX_MATCHES);
        for (part, one) in matches.iter().take(MAX_MATCHES).enumerate() {
            let place = place.part(part);
            let call = Call::new(one);
            let mut steps = vec![Step::Ask(Condition::Grpc)];
            let path = call.path(&mut steps, patterns, place, building);
            let headers = first_of_each(&one.headers, |header| header.name.to_ascii_lowercase());
            for header in &headers {
                steps.extend(http::named(header, patterns, place, building, &|test| Condition::Field {
                    name: header.name.as_str().into(),
                    test,
                    several: Several::Unclear,
                }));
            }
            let route = Arc::new(Route {
                object: Some(object.clone()),
                rule: u32::try_from(number).ok(),
                host: None,
                path: call.written().map(Into::into),
                path_type: call.path_type(),
                target: target.clone(),
                mirrors: mirrors.clone(),
                besides: Besides::default(),
            });
            let order = [
                most(call.service.map_or(0, str::len)),
                most(call.method.map_or(0, str::len)),
                most(headers.len()),
                0,
                0,
            ];
            all.push(Match { route, path, conditions: Conditions::program(steps), order });
        }
    }
    all
}

/// A service and a method, as far as they are asked for. A call's path is `/service/method` (gRPC over HTTP/2, "Requests").
struct Call<'o> {
    service: Option<&'o str>,
    method: Option<&'o str>,
    is_pattern: bool,
}

impl<'o> Call<'o> {
    fn new(one: &'o GrpcMatch) -> Self {
        let named = |name: &'o Option<String>| name.as_deref().filter(|name| !name.is_empty());
        let method = one.method.as_ref();
        Self {
            service: method.and_then(|method| named(&method.service)),
            method: method.and_then(|method| named(&method.method)),
            is_pattern: method.and_then(|method| method.type_.as_deref()) == Some("RegularExpression"),
        }
    }

    fn path(
        &self,
        steps: &mut Vec<Step>,
        patterns: Patterns,
        place: Place<'_>,
        building: &mut Building,
    ) -> PathMatch {
        match (self.service, self.method) {
            (None, None) => PathMatch::Elements(b"/".to_vec()),
            (Some(service), Some(method)) if !self.is_pattern => {
                PathMatch::Exact(format!("/{service}/{method}").into_bytes())
            }
            (Some(service), None) if !self.is_pattern => {
                PathMatch::Elements(format!("/{service}").into_bytes())
            }
            (service, method) => {
                let part = |name: Option<&str>| match name {
                    None => "[^/]+".to_owned(),
                    Some(name) if self.is_pattern => format!("(?:{name})"),
                    Some(name) => regex::escape(name),
                };
                // The parts are compared each as a whole, whatever the controller does with patterns of its own.
                let text = format!("/{}/{}", part(service), part(method));
                let patterns = if self.is_pattern { patterns } else { Patterns::Whole };
                steps.extend(pattern(building, place, &text, patterns, Condition::PathPattern));
                PathMatch::Conditions
            }
        }
    }

    fn written(&self) -> Option<String> {
        match (self.service, self.method) {
            (None, None) => None,
            (service, method) => Some(format!(
                "/{}{}",
                service.unwrap_or("*"),
                method.map(|name| format!("/{name}")).unwrap_or_default()
            )),
        }
    }

    fn path_type(&self) -> Option<PathType> {
        match (self.service, self.method) {
            (None, None) => None,
            _ if self.is_pattern => Some(PathType::RegularExpression),
            (Some(_), Some(_)) => Some(PathType::Exact),
            _ => Some(PathType::Prefix),
        }
    }
}
