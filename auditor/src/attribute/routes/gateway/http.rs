//! `HTTPRoute`: "Exact" path, longest "Prefix" path, method, most headers, most query parameters.

use std::sync::Arc;

use super::{Cluster, MAX_MATCHES, MAX_RULES, Match, Patterns, backend, first_of_each, pattern, too_many};
use crate::attribute::objects::gateway::{HttpMatch, HttpRule, NamedMatch, RouteSpec, ValueMatch};
use crate::attribute::routes::building::Building;
use crate::attribute::routes::condition::{Condition, Conditions, Several, Step, Test, Uncertainty};
use crate::attribute::routes::path;
use crate::attribute::routes::problem::{Place, ProblemKind};
use crate::attribute::routes::scope::most;
use crate::attribute::routes::table::PathMatch;
use crate::attribute::routes::{Besides, ObjectRef, PathType, Route, Target};

/// Where a regular expression stands among paths is up to the implementation: before prefixes and behind them, of which
/// the first is uncertain.
const EXACT: u64 = 0;
const PATTERN_MAYBE: u64 = 1;
const PREFIX: u64 = 2;
const PATTERN: u64 = 3;

/// The rules of a route, in their own order.
pub(super) fn matches(
    object: &ObjectRef,
    spec: &RouteSpec<HttpRule>,
    patterns: Patterns,
    cluster: &Cluster<'_>,
    building: &mut Building,
) -> Vec<Match> {
    let everything = [HttpRule::default()];
    let rules = spec.rules.as_deref().unwrap_or(&everything);
    too_many(building, Place::whole(object), "rules", rules.len(), MAX_RULES);
    let mut all = Vec::new();
    for (number, rule) in rules.iter().take(MAX_RULES).enumerate() {
        let place = Place::whole(object).rule(number);
        let redirect = rule.filters.iter().find(|filter| filter.type_ == "RequestRedirect");
        let target = match redirect {
            Some(filter) => {
                let status = filter.request_redirect.as_ref().and_then(|redirect| redirect.status_code);
                Target::Redirect(status.unwrap_or(302))
            }
            None => backend::target(place, &rule.backend_refs, cluster, building),
        };
        let mirrors = backend::mirrors(place, &rule.filters, cluster, building);
        let everything = [HttpMatch::default()];
        let matches = if rule.matches.is_empty() { &everything } else { rule.matches.as_slice() };
        too_many(building, place, "matches", matches.len(), MAX_MATCHES);
        for (part, one) in matches.iter().take(MAX_MATCHES).enumerate() {
            let place = place.part(part);
            let Some((path_type, written)) = read_path(one.path.as_ref(), place, building) else { continue };
            let route = Arc::new(Route {
                object: Some(object.clone()),
                rule: u32::try_from(number).ok(),
                host: None,
                path: Some(written.into()),
                path_type: Some(path_type),
                target: target.clone(),
                mirrors: mirrors.clone(),
                besides: Besides::default(),
            });
            compile(one, path_type, written, &route, patterns, place, building, &mut all);
        }
    }
    all
}

/// How a path is compared, and with what.
fn read_path<'o>(
    path: Option<&'o ValueMatch>,
    place: Place<'_>,
    building: &mut Building,
) -> Option<(PathType, &'o str)> {
    let type_ = path.and_then(|path| path.type_.as_deref()).unwrap_or("PathPrefix");
    let value = path.and_then(|path| path.value.as_deref()).unwrap_or("/");
    let path_type = match type_ {
        "Exact" => PathType::Exact,
        "PathPrefix" => PathType::Prefix,
        "RegularExpression" => PathType::RegularExpression,
        // A word of a later version, or of nobody: what it means is not known.
        _ => {
            building.problems.add(place, ProblemKind::Match);
            PathType::ImplementationSpecific
        }
    };
    let is_path = matches!(path_type, PathType::Exact | PathType::Prefix);
    if is_path && !value.starts_with('/') {
        building.problems.add(place, path::BadPath::NoPath.into());
        return None;
    }
    Some((path_type, value))
}

#[expect(clippy::too_many_arguments, reason = "a match, where it stands, and what is made of it")]
fn compile(
    one: &HttpMatch,
    path_type: PathType,
    written: &str,
    route: &Arc<Route>,
    patterns: Patterns,
    place: Place<'_>,
    building: &mut Building,
    all: &mut Vec<Match>,
) {
    let mut steps = Vec::new();
    if let Some(method) = &one.method {
        steps.push(Step::Ask(Condition::Method(method.as_str().into())));
    }
    let headers = first_of_each(&one.headers, |header| header.name.to_ascii_lowercase());
    let parameters = first_of_each(&one.query_params, |parameter| parameter.name.clone());
    for header in &headers {
        steps.extend(named(header, patterns, place, building, &|test| Condition::Field {
            name: header.name.as_str().into(),
            test,
            several: Several::Unclear,
        }));
    }
    for parameter in &parameters {
        steps.extend(named(parameter, patterns, place, building, &|test| Condition::Parameter {
            name: parameter.name.as_bytes().into(),
            test,
            several: Several::Unclear,
        }));
    }
    let more = [u64::from(one.method.is_none()), most(headers.len()), most(parameters.len())];
    let [method, headers, parameters] = more;
    let length = most(written.len());
    let mut add = |path, steps, kind, length| {
        let (route, conditions) = (Arc::clone(route), Conditions::program(steps));
        all.push(Match { route, path, conditions, order: [kind, length, method, headers, parameters] });
    };
    let normal = match path_type {
        PathType::Exact | PathType::Prefix => match path::normalise_rule(written.as_bytes()) {
            Ok(normal) => normal,
            Err(bad) => return building.problems.add(place, bad.into()),
        },
        PathType::RegularExpression | PathType::ImplementationSpecific => Vec::new(),
    };
    match path_type {
        PathType::Exact => add(PathMatch::Exact(normal), steps, EXACT, 0),
        PathType::Prefix => add(PathMatch::Elements(normal), steps, PREFIX, length),
        PathType::RegularExpression => {
            steps.extend(pattern(building, place, written, patterns, Condition::PathPattern));
            let mut maybe = steps.clone();
            maybe.push(Step::Ask(Condition::Unclear(Uncertainty::Precedence)));
            add(PathMatch::Conditions, maybe, PATTERN_MAYBE, length);
            add(PathMatch::Conditions, steps, PATTERN, length);
        }
        PathType::ImplementationSpecific => {
            steps.push(Step::Ask(Condition::Unclear(Uncertainty::Unsupported)));
            add(PathMatch::Conditions, steps, EXACT, 0);
        }
    }
}

/// What a field or parameter must be.
pub(super) fn named(
    one: &NamedMatch,
    patterns: Patterns,
    place: Place<'_>,
    building: &mut Building,
    make: &dyn Fn(Test) -> Condition,
) -> Vec<Step> {
    match one.type_.as_deref().unwrap_or("Exact") {
        "Exact" => vec![Step::Ask(make(Test::Is(one.value.as_bytes().into())))],
        "RegularExpression" => {
            pattern(building, place, &one.value, patterns, |pattern| make(Test::Like(pattern)))
        }
        _ => {
            building.problems.add(place, ProblemKind::Match);
            vec![Step::Ask(Condition::Unclear(Uncertainty::Unsupported))]
        }
    }
}
