//! What the Ingress API says (`networking.k8s.io/v1`, "Path types", "Multiple matches"), and nothing more.

use super::{Declarations, Dialect, group};
use crate::attribute::routes::building::Building;
use crate::attribute::routes::condition::Conditions;
use crate::attribute::routes::group::Group;
use crate::attribute::routes::host::RuleHost;
use crate::attribute::routes::path;
use crate::attribute::routes::problem::ProblemKind;
use crate::attribute::routes::scope::{Order, Rule, Wildcards, most};
use crate::attribute::routes::table::{PathMatch, depth};
use crate::attribute::routes::{Options, PathType};

pub(super) fn group_of(mut declared: Declarations<'_>, options: &Options, building: &mut Building) -> Group {
    for path in std::mem::take(&mut declared.paths) {
        // Normalised like a request's, so that `/caf%C3%A9` means one thing on both sides.
        let normal = match path::normalise_rule(path.path.as_bytes()) {
            Ok(normal) => normal,
            Err(bad) => {
                building.problems.add(path.place(), bad.into());
                continue;
            }
        };
        if path.path_type == PathType::ImplementationSpecific && looks_like_a_pattern(path.path) {
            building.problems.add(path.place(), ProblemKind::Pattern);
        }
        let (kind, order) = match path.path_type {
            PathType::Exact => (PathMatch::Exact as fn(_) -> _, 0),
            PathType::Prefix => (PathMatch::Elements as fn(_) -> _, 1),
            PathType::ImplementationSpecific | PathType::RegularExpression => (PathMatch::Elements as _, 2),
        };
        let [host, length] = host_order(&path.host);
        let order: Order = [host, length, most(depth(&normal)), order, path.age, 0, 0, 0];
        let route = path.route(path.backend.clone().into());
        let rule =
            Rule { host: path.host, path: kind(normal), conditions: Conditions::default(), order, route };
        declared.rules.add(rule);
    }
    let scope = building.scope(declared.rules, Wildcards::One, options.falls_through);
    group(Dialect::Standard, scope, declared.defaults, false)
}

/// Exact hosts first, then the longest wildcard.
pub(super) fn host_order(host: &RuleHost) -> [u64; 2] {
    match host {
        RuleHost::Exact(_) => [0, 0],
        RuleHost::Wildcard(name) => [1, most(name.len())],
        RuleHost::Any => [2, 0],
    }
}

fn looks_like_a_pattern(path: &str) -> bool {
    path.contains(['(', '[', '*', '^', '$', '\\', '|', '+'])
}
