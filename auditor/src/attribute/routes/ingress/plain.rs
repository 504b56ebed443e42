//! Dialects in which a path is read by itself: what its type stands for, and how long it is, say all.
//!
//! - The Ingress API (`networking.k8s.io/v1`, "Path types", "Multiple matches").
//! - haproxytech (pkg/route/route.go, pkg/controller/controller.go): three maps, asked one after the other: exact; exact of
//!   prefixes; beginnings, the longest. `ImplementationSpecific` is a beginning by characters. A host is looked up by itself,
//!   then without its first label; with rules of its own it is not looked up further.
//! - jcmoraisjr (docs, "Path type", "Strict host"): the longest path first, then `exact,prefix,begin,regex`;
//!   `ImplementationSpecific` is what the annotation `path-type` says, a beginning without regard to case without it. Hosts
//!   fall through, unless `strict-host`.
//! - Contour (`internal/dag/ingress_processor.go`, `internal/sorter`): exact, then patterns, then prefixes, each the longest
//!   first. `ImplementationSpecific` is a pattern if it holds one of `^+*[]%`, else a beginning by characters.
//! - Kong (internal/dataplane/translator/subtranslator/ingress.go of its controller; its router's documentation): patterns
//!   before beginnings, of those the longest; Exact `/p` is the pattern `/p$`, Prefix that and the beginning `/p/`;
//!   `ImplementationSpecific` is a beginning, or after `/~` a pattern. Hosts fall through.
//! - Cilium (operator/pkg/model/translation): exact, then patterns, then prefixes, the longest first;
//!   `ImplementationSpecific` is a pattern.
//! - Istio (pilot/pkg/config/kube/ingress/conversion.go): the longest first, then exact; `ImplementationSpecific` is a
//!   beginning if it ends with `.*`, else exact.
//!
//! Envoy chooses a host by a wildcard for several labels; Contour and Cilium let its rules ask for one.

use std::sync::Arc;

use super::{Declarations, Declared, Dialect};
use crate::attribute::routes::building::Building;
use crate::attribute::routes::condition::{Condition, Conditions, Step, Uncertainty};
use crate::attribute::routes::group::Group;
use crate::attribute::routes::host::RuleHost;
use crate::attribute::routes::path;
use crate::attribute::routes::pattern::{Anchor, Engine};
use crate::attribute::routes::problem::ProblemKind;
use crate::attribute::routes::scope::{Order, Rule, Wildcards, most};
use crate::attribute::routes::table::{PathMatch, depth};
use crate::attribute::routes::{Options, PathType};

/// A path, read in a dialect: what it matches, and its order among those of its host.
struct Reading {
    path: PathMatch,
    steps: Vec<Step>,
    order: [u64; 2],
}

impl Reading {
    fn of(path: PathMatch, order: [u64; 2]) -> Self {
        Self { path, steps: Vec::new(), order }
    }
}

pub(super) fn group(
    dialect: Dialect,
    mut declared: Declarations<'_>,
    options: &Options,
    building: &mut Building,
) -> Group {
    for path in std::mem::take(&mut declared.paths) {
        // Normalised like a request's, so that `/caf%C3%A9` means one thing on both sides.
        let normal = match path::normalise_rule(path.path.as_bytes()) {
            Ok(normal) => normal,
            Err(bad) => {
                building.problems.add(path.place(), bad.into());
                continue;
            }
        };
        let readings = match dialect {
            Dialect::HaproxyTech => haproxytech(&path, &normal),
            Dialect::HaproxyIngress => haproxy_ingress(&path, normal, building),
            Dialect::Contour => contour(&path, normal, building),
            Dialect::Kong => kong(&path, normal, building),
            Dialect::Cilium => cilium(&path, normal, building),
            Dialect::Istio => istio(&path, normal),
            _ => standard(&path, normal, building),
        };
        let route = path.route(path.backend.clone().into());
        let [host, length] = host_order(&path.host);
        for Reading { path: matched, steps, order: [first, second] } in readings {
            if !building.room(path.place()) {
                break;
            }
            let order: Order = [host, length, first, second, path.age, 0, 0, 0];
            let (host, conditions) = (path.host.clone(), Conditions::program(steps));
            let route = Arc::clone(&route);
            declared.rules.add(Rule { host, path: matched, conditions, order, route });
        }
    }
    let (wildcards, falls_through) = match dialect {
        Dialect::Contour | Dialect::Cilium => (Wildcards::OneOfSeveral, false),
        Dialect::Istio => (Wildcards::Several, false),
        Dialect::Kong => (Wildcards::Several, true),
        Dialect::HaproxyIngress => (Wildcards::One, true),
        Dialect::HaproxyTech => (Wildcards::One, false),
        _ => (Wildcards::One, options.falls_through),
    };
    if matches!(dialect, Dialect::Contour | Dialect::Cilium | Dialect::Istio) {
        // A default backend is a rule for the path `/` of the host `*`: hosts of their own have nothing of it.
        declared.rules.without_defaults();
    }
    let scope = building.scope(declared.rules, wildcards, falls_through);
    super::group(dialect, scope, declared.defaults, dialect != Dialect::Standard)
}

/// Exact hosts first, then the longest wildcard.
pub(super) fn host_order(host: &RuleHost) -> [u64; 2] {
    match host {
        RuleHost::Exact(_) => [0, 0],
        RuleHost::Wildcard(name) => [1, most(name.len())],
        RuleHost::Any => [2, 0],
    }
}

fn standard(path: &Declared<'_>, normal: Vec<u8>, building: &mut Building) -> Vec<Reading> {
    let length = most(depth(&normal));
    vec![match path.path_type {
        PathType::Exact => Reading::of(PathMatch::Exact(normal), [length, 0]),
        PathType::Prefix => Reading::of(PathMatch::Elements(normal), [length, 1]),
        PathType::ImplementationSpecific | PathType::RegularExpression => {
            if path.path.contains(['(', '[', '*', '^', '$', '\\', '|', '+']) {
                building.problems.add(path.place(), ProblemKind::Pattern);
            }
            Reading::of(PathMatch::Elements(normal), [length, 2])
        }
    }]
}

fn haproxytech(path: &Declared<'_>, normal: &[u8]) -> Vec<Reading> {
    let base = normal.strip_suffix(b"/").unwrap_or(normal);
    let beginning = |with: &[u8]| Reading::of(PathMatch::Characters(with.to_vec()), [2, most(with.len())]);
    let itself = |path: &[u8]| Reading::of(PathMatch::Exact(path.to_vec()), [1, 0]);
    match path.path_type {
        PathType::Exact => vec![Reading::of(PathMatch::Exact(normal.to_vec()), [0, 0])],
        _ if base.is_empty() => vec![beginning(b"/")],
        PathType::Prefix => vec![itself(base), beginning(&[base, b"/"].concat())],
        _ => vec![itself(base), beginning(base)],
    }
}

fn haproxy_ingress(path: &Declared<'_>, normal: Vec<u8>, building: &mut Building) -> Vec<Reading> {
    let written = ["haproxy-ingress.github.io/path-type", "ingress.kubernetes.io/path-type"]
        .iter()
        .find_map(|name| path.annotation(name))
        .unwrap_or("begin");
    let kind = match path.path_type {
        PathType::Exact => "exact".to_owned(),
        PathType::Prefix => "prefix".to_owned(),
        _ => written.to_ascii_lowercase(),
    };
    // Patterns are not ordered by how they overlap with others, and the longest of the others comes first.
    let length = most(normal.len());
    let text = path.path.to_owned();
    let mut like = |text: &str, any_case| {
        let pattern = building.pattern(path.place(), text, Anchor::Start, Engine::Unknown, any_case);
        vec![Step::Ask(Condition::PathPattern(pattern))]
    };
    vec![match kind.as_str() {
        "exact" => Reading::of(PathMatch::Exact(normal), [length, 0]),
        "prefix" => Reading::of(PathMatch::Elements(normal), [length, 1]),
        "regex" => Reading { path: PathMatch::Conditions, steps: like(&text, false), order: [u64::MAX, 3] },
        _ => {
            let text = regex::escape(&String::from_utf8_lossy(&normal));
            Reading { path: PathMatch::Conditions, steps: like(&text, true), order: [length, 2] }
        }
    }]
}

fn contour(path: &Declared<'_>, normal: Vec<u8>, building: &mut Building) -> Vec<Reading> {
    let length = most(normal.len());
    vec![match path.path_type {
        PathType::Exact => Reading::of(PathMatch::Exact(normal), [0, 0]),
        PathType::Prefix if normal != b"/" => Reading::of(PathMatch::Elements(normal), [2, length - 1]),
        PathType::ImplementationSpecific if path.path.contains(['^', '+', '*', '[', ']', '%']) => {
            let pattern = building.pattern(path.place(), path.path, Anchor::Whole, Engine::Re2, false);
            Reading {
                path: PathMatch::Conditions,
                steps: vec![Step::Ask(Condition::PathPattern(pattern))],
                order: [1, most(path.path.len())],
            }
        }
        _ => Reading::of(PathMatch::Characters(normal), [2, length]),
    }]
}

fn kong(path: &Declared<'_>, normal: Vec<u8>, building: &mut Building) -> Vec<Reading> {
    let beginning = |with: Vec<u8>| {
        let length = most(with.len());
        Reading::of(PathMatch::Characters(with), [2, length])
    };
    match path.path_type {
        PathType::Exact => vec![Reading::of(PathMatch::Exact(normal), [0, 0])],
        PathType::Prefix if normal == b"/" => vec![beginning(normal)],
        PathType::Prefix => {
            let base = normal.strip_suffix(b"/").unwrap_or(&normal).to_vec();
            let below = [base.as_slice(), b"/"].concat();
            vec![Reading::of(PathMatch::Exact(base), [0, 0]), beginning(below)]
        }
        _ => {
            let prefix = path.annotation("konghq.com/regex-prefix").unwrap_or("/~");
            let Some(text) = path.path.strip_prefix(prefix) else { return vec![beginning(normal)] };
            let pattern = building.pattern(path.place(), text, Anchor::Start, Engine::Unknown, false);
            let steps = vec![Step::Ask(Condition::PathPattern(pattern))];
            let mut maybe = steps.clone();
            // Among patterns, which the exact paths are, too, it is the older route of Kong's that comes first.
            maybe.push(Step::Ask(Condition::Unclear(Uncertainty::Precedence)));
            let reading = |steps, order| Reading { path: PathMatch::Conditions, steps, order };
            vec![reading(maybe, [0, 0]), reading(steps, [1, 0])]
        }
    }
}

fn cilium(path: &Declared<'_>, normal: Vec<u8>, building: &mut Building) -> Vec<Reading> {
    let length = most(normal.len());
    vec![match path.path_type {
        PathType::Exact => Reading::of(PathMatch::Exact(normal), [0, 0]),
        PathType::Prefix => Reading::of(PathMatch::Elements(normal), [2, length]),
        _ if path.path == "/" => Reading::of(PathMatch::Elements(normal), [3, 0]),
        _ => {
            let pattern = building.pattern(path.place(), path.path, Anchor::Whole, Engine::Re2, false);
            Reading {
                path: PathMatch::Conditions,
                steps: vec![Step::Ask(Condition::PathPattern(pattern))],
                order: [1, most(path.path.len())],
            }
        }
    }]
}

fn istio(path: &Declared<'_>, normal: Vec<u8>) -> Vec<Reading> {
    let length = most(normal.len());
    vec![match path.path_type {
        PathType::Prefix => Reading::of(PathMatch::Elements(normal), [length, 1]),
        PathType::ImplementationSpecific if path.ingress_path().is_empty() => {
            Reading::of(PathMatch::Elements(normal), [length, 1])
        }
        PathType::ImplementationSpecific if normal.ends_with(b".*") => {
            let base = normal.get(..normal.len() - 2).unwrap_or_default().to_vec();
            Reading::of(PathMatch::Characters(base), [length + 2, 1])
        }
        _ => Reading::of(PathMatch::Exact(normal), [length, 0]),
    }]
}
