//! Traefik: Ingresses and `IngressRoute`s are routers of one list, of which the one with the greatest priority comes first
//! (docs, "Rules & Priority"; pkg/provider/kubernetes, pkg/muxer/http).
//!
//! A priority that is not given is the length of the rule, whatever the rule asks for: a long path without a host comes before
//! a short one with. An Ingress's path is made such a rule (`Host("h") && PathPrefix("/p")`), with prefixes by character unless
//! `strictPrefixMatching`. A default backend counts only for an Ingress without rules, and comes last.
//!
//! Over which entry points a router is reached is the controller's configuration. One with TLS takes only TLS; of one
//! without it cannot be told whether it is asked over TLS, as an entry point may have TLS of its own.

mod expression;
mod parse;

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Declarations, Dialect};
use crate::attribute::objects::traefik::{IngressRoute, Route as Router, Service};
use crate::attribute::objects::{ObjectName, Objects};
use crate::attribute::routes::building::{self, Building};
use crate::attribute::routes::condition::{Condition, Conditions, Step, Uncertainty};
use crate::attribute::routes::group::Group;
use crate::attribute::routes::host::RuleHost;
use crate::attribute::routes::problem::{Place, ProblemKind};
use crate::attribute::routes::scope::{Builder, Rule, Wildcards};
use crate::attribute::routes::table::PathMatch;
use crate::attribute::routes::{
    Backend, Besides, ObjectKind, Options, PathType, PortRef, Route, Target, Weighted,
};
use expression::Expression;
pub use parse::RuleError;

/// The most rules of one `IngressRoute`, and services of one rule.
const MAX_ROUTES: usize = 1_000;
const MAX_SERVICES: usize = 100;

const ANNOTATION: &str = "traefik.ingress.kubernetes.io/router.";

pub(super) fn group(
    mut declared: Declarations<'_>,
    objects: &Objects,
    options: &Options,
    building: &mut Building,
) -> Group {
    for path in std::mem::take(&mut declared.paths) {
        let router = |name: &str| path.annotation(&format!("{ANNOTATION}{name}"));
        let matcher = match (path.path_type, router("pathmatcher")) {
            (PathType::Exact, _) => "Path",
            (PathType::ImplementationSpecific, Some(matcher @ ("Path" | "PathPrefix" | "PathRegexp"))) => {
                matcher
            }
            _ => "PathPrefix",
        };
        let mut rules = Vec::new();
        if let Some(host) = &path.written_host {
            rules.push(format!("Host({host:?})"));
        }
        if !path.ingress_path().is_empty() {
            rules.push(path_rule(options.strict_prefixes, matcher, path.path));
        }
        // A path without anything is no rule, and Traefik takes none.
        let text = rules.join(" && ");
        if text.is_empty() {
            continue;
        }
        let priority = router("priority").and_then(|priority| priority.parse().ok()).unwrap_or(0);
        let route = path.route(path.backend.clone().into());
        let tls = (router("tls") == Some("true")).then_some(true);
        add(&text, priority, tls, path.age, &route, path.place(), &mut declared.rules, building);
    }
    ingress_routes(objects, options, &mut declared.rules, building);
    if let Some(default) = declared.defaults.catch_all.take() {
        declared.rules.add(Rule {
            host: RuleHost::Any,
            path: PathMatch::Characters(b"/".to_vec()),
            conditions: Conditions::default(),
            order: [u64::MAX; 8],
            route: default,
        });
    }
    declared.rules.without_defaults();
    declared.defaults.any = None;
    let scope = building.scope(declared.rules, Wildcards::One, true);
    super::group(Dialect::Traefik, scope, declared.defaults, true)
}

fn path_rule(strict: bool, matcher: &str, path: &str) -> String {
    match path.strip_suffix('/').unwrap_or(path) {
        base if strict && matcher == "PathPrefix" && !base.is_empty() => {
            format!("(Path({base:?}) || PathPrefix({:?}))", format!("{base}/"))
        }
        _ => format!("{matcher}({path:?})"),
    }
}

fn ingress_routes(objects: &Objects, options: &Options, rules: &mut Builder, building: &mut Building) {
    for (age, object) in
        building::by_age(&objects.ingress_routes, |route| &route.metadata).into_iter().enumerate()
    {
        if !is_served(object, options) {
            continue;
        }
        let name = building::object(ObjectKind::IngressRoute, &object.metadata);
        let whole = Place::whole(&name);
        if object.spec.routes.len() > MAX_ROUTES {
            building.problems.add(whole, ProblemKind::TooMany { what: "routes", limit: MAX_ROUTES });
        }
        for (number, rule) in object.spec.routes.iter().take(MAX_ROUTES).enumerate() {
            let place = whole.rule(number);
            let route = Arc::new(Route {
                object: Some(name.clone()),
                rule: u32::try_from(number).ok(),
                host: None,
                path: None,
                path_type: None,
                target: target(place, rule, building),
                mirrors: Box::default(),
                besides: Besides::default(),
            });
            // Those of Ingresses and of other kinds that are of one length: which comes first is not said.
            let age = (1 << 40) + ((age as u64) << 16) + number as u64;
            let tls = Some(object.spec.tls.is_some());
            if rule.syntax.as_deref().is_some_and(|syntax| syntax == "v2") {
                building.problems.add(place, ProblemKind::Match);
                let unclear = vec![Step::Ask(Condition::Unclear(Uncertainty::Unsupported))];
                let expression = Expression::of(unclear);
                add_expression(
                    expression,
                    priority(&rule.rule, rule.priority),
                    tls,
                    age,
                    &route,
                    place,
                    rules,
                    building,
                );
                continue;
            }
            add(&rule.rule, rule.priority, tls, age, &route, place, rules, building);
        }
    }
}

/// Without a class that is configured, all are served (`providers.kubernetesCRD.ingressClass`).
fn is_served(object: &IngressRoute, options: &Options) -> bool {
    let names = &options.classes.names;
    let annotations = object.metadata.annotations.as_ref();
    let class = annotations.and_then(|all| all.get("kubernetes.io/ingress.class"));
    names.is_empty() || class.is_some_and(|class| names.contains(class))
}

fn target(place: Place<'_>, rule: &Router, building: &mut Building) -> Target {
    if rule.services.len() > MAX_SERVICES {
        building.problems.add(place, ProblemKind::TooMany { what: "services", limit: MAX_SERVICES });
    }
    let weighted = rule.services.iter().take(MAX_SERVICES).map(|service| Weighted {
        backend: backend(place, service, building),
        weight: building::weight(service.weight.unwrap_or(1)),
    });
    Target::Backends(weighted.collect())
}

fn backend(place: Place<'_>, service: &Service, building: &mut Building) -> Backend {
    match service.kind.as_deref().unwrap_or("Service") {
        "Service" => {}
        kind => return Backend::Resource { kind: kind.into(), name: service.name.as_str().into() },
    }
    let port = match &service.port {
        Some(IntOrString::Int(number)) => building::port((*number).into()).map(PortRef::Number),
        Some(IntOrString::String(text)) => match text.parse() {
            Ok(number) => building::port(number).map(PortRef::Number),
            Err(_) => Some(PortRef::Name(text.as_str().into())),
        },
        None => None,
    };
    let namespace = match service.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
        Some(namespace) => namespace.into(),
        None => Arc::clone(&place.object.name.namespace),
    };
    match port {
        Some(port) if !service.name.is_empty() => {
            let service = ObjectName { namespace, name: service.name.as_str().into() };
            Backend::Service { service, port }
        }
        _ => {
            building.problems.add(place, ProblemKind::Backend);
            Backend::Invalid
        }
    }
}

fn priority(text: &str, given: i64) -> i64 {
    if given == 0 { i64::try_from(text.len()).unwrap_or(i64::MAX) } else { given }
}

#[expect(clippy::too_many_arguments, reason = "a router: its rule, where it is from, and where it goes")]
fn add(
    text: &str,
    given: i64,
    tls: Option<bool>,
    age: u64,
    route: &Arc<Route>,
    place: Place<'_>,
    rules: &mut Builder,
    building: &mut Building,
) {
    let expression = match parse::parse(text) {
        Ok(parsed) => expression::compile(parsed, place, building),
        // Traefik does not make a router of it.
        Err(error) => return building.problems.add(place, ProblemKind::Rule(error)),
    };
    match expression {
        Some(expression) => {
            add_expression(expression, priority(text, given), tls, age, route, place, rules, building);
        }
        None => building.problems.add(place, ProblemKind::Match),
    }
}

#[expect(clippy::too_many_arguments, reason = "a router: its rule, where it is from, and where it goes")]
fn add_expression(
    expression: Expression,
    priority: i64,
    tls: Option<bool>,
    age: u64,
    route: &Arc<Route>,
    place: Place<'_>,
    rules: &mut Builder,
    building: &mut Building,
) {
    let Expression { mut steps, hosts, paths, shown } = expression;
    steps.extend(match tls {
        Some(true) => vec![Step::Ask(Condition::Tls(true))],
        Some(false) => vec![
            Step::Ask(Condition::Tls(false)),
            Step::Ask(Condition::Unclear(Uncertainty::Listener)),
            Step::Or,
        ],
        None => Vec::new(),
    });
    let conditions = Conditions::program(steps);
    // Greater priorities first, negative ones last.
    let order = (i128::from(i64::MAX) - i128::from(priority)).try_into().unwrap_or(u64::MAX - 1);
    let order = [order, age, 0, 0, 0, 0, 0, 0];
    let mut seen = HashSet::new();
    for host in &hosts {
        for path in &paths {
            if !seen.insert((host, path)) {
                continue;
            }
            if !building.room(place) {
                return;
            }
            let named = route.host.is_some() || route.path.is_some();
            let route = if named { Arc::clone(route) } else { shown.route(route, host) };
            rules.host(host, None);
            let (host, path, conditions) = (host.clone(), path.clone(), conditions.clone());
            rules.add(Rule { host, path, conditions, order, route });
        }
    }
}
