//! Which hosts of a listener belong to routes of which kind: an `HTTPRoute` and a `GRPCRoute` with a host in common are not
//! both accepted, only the oldest (`GRPCRouteSpec.hostnames`).

use std::collections::BTreeMap;

use crate::attribute::routes::ObjectRef;
use crate::attribute::routes::host::RuleHost;

/// Hosts, and the first route that has each.
#[derive(Default)]
pub(super) struct Taken {
    /// By name with its letters in reverse and a dot behind, so that all names below one stand together.
    exact: BTreeMap<String, Vec<ObjectRef>>,
    wildcard: BTreeMap<String, Vec<ObjectRef>>,
    any: Vec<ObjectRef>,
}

impl Taken {
    /// The route of another kind that has a host in common with this one.
    pub(super) fn by_another(&self, host: &RuleHost, route: &ObjectRef) -> Option<ObjectRef> {
        let other = |routes: &Vec<ObjectRef>| routes.iter().find(|other| other.kind != route.kind).cloned();
        if let Some(other) = other(&self.any) {
            return Some(other);
        }
        let (name, is_wildcard) = match host {
            RuleHost::Exact(name) => (reversed(name), false),
            RuleHost::Wildcard(name) => (reversed(name), true),
            RuleHost::Any => return self.exact.values().chain(self.wildcard.values()).find_map(other),
        };
        let same = if is_wildcard { &self.wildcard } else { &self.exact };
        let ends = name.match_indices('.').map(|(at, _)| at + 1).filter(|end| *end < name.len());
        let above = ends.filter_map(|end| self.wildcard.get(name.get(..end)?)).find_map(other);
        above.or_else(|| same.get(&name).and_then(other)).or_else(|| {
            let under = |hosts: &BTreeMap<String, Vec<ObjectRef>>| {
                let below = hosts.range(name.clone()..).take_while(|(host, _)| host.starts_with(&name));
                below.filter(|(host, _)| **host != name).find_map(|(_, routes)| other(routes))
            };
            if is_wildcard { under(&self.exact).or_else(|| under(&self.wildcard)) } else { None }
        })
    }

    /// Gives a host to a route. Only the first of each kind is kept.
    pub(super) fn take(&mut self, host: &RuleHost, route: &ObjectRef) {
        let routes = match host {
            RuleHost::Exact(name) => self.exact.entry(reversed(name)).or_default(),
            RuleHost::Wildcard(name) => self.wildcard.entry(reversed(name)).or_default(),
            RuleHost::Any => &mut self.any,
        };
        if !routes.iter().any(|other| other.kind == route.kind) {
            routes.push(route.clone());
        }
    }
}

fn reversed(name: &str) -> String {
    let mut reversed: String = name.chars().rev().collect();
    reversed.push('.');
    reversed
}
