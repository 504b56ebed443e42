//! `kubernetes/ingress-nginx`.

use std::collections::BTreeMap;

use super::{Declarations, Declared, annotation};
use crate::attribute::routes::PathType;
use crate::attribute::routes::building::Building;
use crate::attribute::routes::condition::Conditions;
use crate::attribute::routes::host::RuleHost;
use crate::attribute::routes::scope::Rule;
use crate::attribute::routes::table::PathMatch;

/// The annotation by which TLS is passed on to the Service behind the path `/` of each host, by the name that the client asks
/// for, as long as the controller runs with `--enable-ssl-passthrough`.
const PASSTHROUGH: &str = "nginx.ingress.kubernetes.io/ssl-passthrough";

/// Server names whose TLS is passed on: exact hosts, if the oldest Ingress with a rule for the host says so.
pub(super) fn passthrough(declared: &Declarations<'_>, building: &mut Building) {
    let mut passed: BTreeMap<RuleHost, bool> = BTreeMap::new();
    for ingress in &declared.ingresses {
        let is_passed = annotation(ingress, PASSTHROUGH) == Some("true");
        let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
        for host in rules.filter_map(|rule| RuleHost::new(rule.host.as_deref().unwrap_or_default()).ok()) {
            passed.entry(host).or_insert(is_passed);
        }
    }
    let mut roots: BTreeMap<&RuleHost, &Declared<'_>> = BTreeMap::new();
    let is_root = |path: &&Declared<'_>| path.path == "/" && passed.get(&path.host) == Some(&true);
    for path in declared.paths.iter().filter(is_root) {
        let known = roots.entry(&path.host).or_insert(path);
        if order(path) < order(known) {
            *known = path;
        }
    }
    for (host, path) in roots {
        if let RuleHost::Exact(_) = host {
            building.passthrough.add(Rule {
                host: host.clone(),
                path: PathMatch::Elements(b"/".to_vec()),
                conditions: Conditions::default(),
                order: [0; 8],
                route: path.route(path.backend.clone().into()),
            });
        }
    }
}

fn order(path: &Declared<'_>) -> (u8, u64) {
    let kind = match path.path_type {
        PathType::Exact => 0,
        PathType::Prefix => 1,
        PathType::ImplementationSpecific | PathType::RegularExpression => 2,
    };
    (kind, path.age)
}
