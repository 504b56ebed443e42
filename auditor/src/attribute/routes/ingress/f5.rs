//! `nginx/kubernetes-ingress` of F5 (internal/configs/ingress.go; docs, "Host and listener collisions", "Cross-namespace
//! configuration", annotation `nginx.org/path-regex`).
//!
//! A host is the oldest Ingress's alone, but for mergeable ones: a master has the host, its minions have the paths. Exact is
//! nginx's `=`; all else is a prefix by characters, unless `path-regex` makes the object's paths patterns, which come before
//! prefixes, in the order of the configuration.

use std::collections::BTreeMap;

use super::{Declarations, Declared, Dialect, plain};
use crate::attribute::routes::building::Building;
use crate::attribute::routes::condition::{Condition, Conditions};
use crate::attribute::routes::group::Group;
use crate::attribute::routes::host::RuleHost;
use crate::attribute::routes::pattern::{Anchor, Engine};
use crate::attribute::routes::problem::ProblemKind;
use crate::attribute::routes::scope::{Rule, Wildcards, most};
use crate::attribute::routes::table::PathMatch;
use crate::attribute::routes::{ObjectRef, PathType, path};

const MERGEABLE: &str = "nginx.org/mergeable-ingress-type";
const PATH_REGEX: &str = "nginx.org/path-regex";

pub(super) fn group(mut declared: Declarations<'_>, building: &mut Building) -> Group {
    let mut owners: BTreeMap<RuleHost, (ObjectRef, bool)> = BTreeMap::new();
    for ingress in &declared.ingresses {
        let kind = super::annotation(ingress, MERGEABLE);
        if kind == Some("minion") {
            continue;
        }
        let object =
            crate::attribute::routes::building::object(super::ObjectKind::Ingress, &ingress.metadata);
        let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
        for host in rules.filter_map(|rule| RuleHost::new(rule.host.as_deref().unwrap_or_default()).ok()) {
            owners.entry(host).or_insert_with(|| (object.clone(), kind == Some("master")));
        }
    }
    for path in std::mem::take(&mut declared.paths) {
        let is_minion = path.annotation(MERGEABLE) == Some("minion");
        match owners.get(&path.host) {
            Some((_, true)) if is_minion => {}
            Some((owner, _)) if !is_minion && *owner == path.object => {}
            Some((owner, _)) => {
                let by = owner.clone();
                building.problems.add(path.place(), ProblemKind::HostTaken { by });
                continue;
            }
            // A minion without a master is not served.
            None => continue,
        }
        add(&path, &mut declared, building);
    }
    let scope = building.scope(declared.rules, Wildcards::Several, false);
    super::group(Dialect::F5Nginx, scope, declared.defaults, false)
}

fn add(path: &Declared<'_>, declared: &mut Declarations<'_>, building: &mut Building) {
    let normal = match path::normalise_rule(path.path.as_bytes()) {
        Ok(normal) => normal,
        Err(bad) => return building.problems.add(path.place(), bad.into()),
    };
    let regex = path.annotation(PATH_REGEX);
    let mut conditions = Conditions::default();
    let (matched, order) = match (regex, path.path_type) {
        (Some("exact"), _) | (None, PathType::Exact) => (PathMatch::Exact(normal), [0, 0]),
        (Some(kind @ ("case_sensitive" | "case_insensitive")), _) => {
            let any_case = kind == "case_insensitive";
            let pattern = building.pattern(path.place(), path.path, Anchor::Start, Engine::Pcre, any_case);
            conditions = Conditions::all(vec![Condition::PathPattern(pattern)]);
            (PathMatch::Conditions, [1, path.age])
        }
        _ => {
            let length = most(normal.len());
            (PathMatch::Characters(normal), [2, length])
        }
    };
    let [host, length] = plain::host_order(&path.host);
    let [first, second] = order;
    let order = [host, length, first, second, path.age, 0, 0, 0];
    let route = path.route(path.backend.clone().into());
    if building.room(path.place()) {
        declared.rules.add(Rule { host: path.host.clone(), path: matched, conditions, order, route });
    }
}
