//! Contour's `HTTPProxy` (`internal/dag/httpproxy_processor.go`, `conditions.go`; `internal/sorter`): roots have a host, includes
//! bring rules of other objects under conditions of their own.
//!
//! Conditions of all includes on the way and of the rule are put together: paths one behind the other, of which the last
//! says how it is compared; fields and parameters all. Exact paths come first, then patterns, then prefixes (by character),
//! each the longest first; then the most fields, the most parameters. A host with TLS answers 301 in the clear, unless a rule
//! permits it.
//!
//! Included objects may include others, and one object may be included often: that is followed without recursion, no deeper
//! than 64 and no more than 10,000 times for one root. A cycle is left out where it closes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::attribute::objects::contour::{
    Condition as Asked, HttpProxy, NamedCondition, Route as Declared, Service,
};
use crate::attribute::objects::{ObjectName, Objects};
use crate::attribute::routes::building::{self, Building};
use crate::attribute::routes::condition::{Condition, Conditions, Several, Step, Test};
use crate::attribute::routes::host::RuleHost;
use crate::attribute::routes::pattern::{Anchor, Engine};
use crate::attribute::routes::problem::{Place, ProblemKind};
use crate::attribute::routes::scope::{Builder, Rule, most};
use crate::attribute::routes::table::PathMatch;
use crate::attribute::routes::{
    Backend, Besides, ObjectKind, ObjectRef, Options, PathType, PortRef, Route, Target, Weighted, path,
};

/// The deepest way of includes, and the most that are followed for one root.
const MAX_DEPTH: usize = 64;
const MAX_INCLUDES: usize = 10_000;
/// The most rules of one object, services of one rule, and conditions on one way.
const MAX_ROUTES: usize = 1_000;
const MAX_SERVICES: usize = 100;
const MAX_CONDITIONS: usize = 256;

/// Objects by name.
type Known<'o> = HashMap<ObjectName, &'o HttpProxy>;

/// Adds the rules of all roots.
pub(super) fn proxies(objects: &Objects, options: &Options, rules: &mut Builder, building: &mut Building) {
    let name = |proxy: &HttpProxy| building::object(ObjectKind::HttpProxy, &proxy.metadata).name;
    let known: Known<'_> = objects.http_proxies.iter().map(|proxy| (name(proxy), proxy)).collect();
    let mut roots: BTreeMap<RuleHost, Vec<&HttpProxy>> = BTreeMap::new();
    for proxy in building::by_age(&objects.http_proxies, |proxy| &proxy.metadata) {
        let Some(host) = proxy.spec.virtualhost.as_ref().filter(|_| is_served(proxy, options)) else {
            continue;
        };
        match RuleHost::new(&host.fqdn) {
            Ok(host) => roots.entry(host).or_default().push(proxy),
            Err(bad) => {
                let object = building::object(ObjectKind::HttpProxy, &proxy.metadata);
                building.problems.add(Place::whole(&object), bad.into());
            }
        }
    }
    for (number, (host, proxies)) in roots.into_iter().enumerate() {
        let [root] = proxies.as_slice() else {
            // "fqdn is used in multiple HTTPProxies": none of them is valid.
            let objects: Vec<ObjectRef> = proxies
                .iter()
                .map(|proxy| building::object(ObjectKind::HttpProxy, &proxy.metadata))
                .collect();
            for (object, by) in objects.iter().zip(objects.iter().cycle().skip(1)) {
                building.problems.add(Place::whole(object), ProblemKind::HostTaken { by: by.clone() });
            }
            continue;
        };
        rules.host(&host, None);
        let mut walk =
            Walk { host, root, known: &known, rules, building, age: (1 << 40) + ((number as u64) << 20) };
        walk.root();
    }
}

/// By field, by annotation, or without a class (docs, "Ingress class").
fn is_served(proxy: &HttpProxy, options: &Options) -> bool {
    let annotations = proxy.metadata.annotations.as_ref();
    let annotated = |name: &str| annotations.and_then(|all| all.get(name)).map(String::as_str);
    let class = annotated("projectcontour.io/ingress.class")
        .or_else(|| annotated("kubernetes.io/ingress.class"))
        .or(proxy.spec.ingress_class_name.as_deref());
    let names = &options.classes.names;
    names.is_empty() || class.is_some_and(|class| names.contains(class))
}

/// The rules of one root.
struct Walk<'w, 'o> {
    host: RuleHost,
    root: &'o HttpProxy,
    known: &'w Known<'o>,
    rules: &'w mut Builder,
    building: &'w mut Building,
    age: u64,
}

/// An object that is included, on its way to being read.
struct Included<'o> {
    proxy: &'o HttpProxy,
    /// Those that it was included by, the root first.
    above: Vec<ObjectName>,
    conditions: Vec<&'o Asked>,
}

impl<'o> Walk<'_, 'o> {
    fn root(&mut self) {
        let object = building::object(ObjectKind::HttpProxy, &self.root.metadata);
        let host = self.root.spec.virtualhost.as_ref();
        let passes = host.and_then(|host| host.tls.as_ref()).is_some_and(|tls| tls.passthrough);
        if let Some(tcp) = self.root.spec.tcpproxy.as_ref().filter(|_| passes) {
            let place = Place::whole(&object);
            let (target, _) = forward(place, &tcp.services, self.building);
            let route = self.route(&object, 0, None, target, Box::default());
            let path = PathMatch::Elements(b"/".to_vec());
            let (host, conditions) = (self.host.clone(), Conditions::default());
            self.building.passthrough.add(Rule { host, path, conditions, order: [0; 8], route });
        }
        let mut waiting = vec![Included { proxy: self.root, above: Vec::new(), conditions: Vec::new() }];
        let mut followed = 0;
        while let Some(step) = waiting.pop() {
            let object = building::object(ObjectKind::HttpProxy, &step.proxy.metadata);
            followed += 1;
            if followed > MAX_INCLUDES || step.above.len() > MAX_DEPTH {
                let (what, limit) = ("includes", MAX_INCLUDES);
                return self
                    .building
                    .problems
                    .add(Place::whole(&object), ProblemKind::TooMany { what, limit });
            }
            self.includes(&object, &step, &mut waiting);
            self.routes(&object, &step);
        }
    }

    fn includes(&mut self, object: &ObjectRef, step: &Included<'o>, waiting: &mut Vec<Included<'o>>) {
        for include in step.proxy.spec.includes.iter().take(MAX_ROUTES) {
            let place = Place::whole(object);
            let namespace = match include.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
                Some(namespace) => namespace.into(),
                None => Arc::clone(&object.name.namespace),
            };
            let name = ObjectName { namespace, name: include.name.as_str().into() };
            let mut conditions = step.conditions.clone();
            conditions.extend(&include.conditions);
            if conditions.len() > MAX_CONDITIONS || waiting.len() > MAX_INCLUDES {
                let (what, limit) = ("conditions", MAX_CONDITIONS);
                self.building.problems.add(place, ProblemKind::TooMany { what, limit });
                continue;
            }
            if object.name == name || step.above.contains(&name) {
                let by = ObjectRef { kind: ObjectKind::HttpProxy, name };
                self.building.problems.add(place, ProblemKind::Cycle { by });
                continue;
            }
            match self.known.get(&name).filter(|included| included.spec.virtualhost.is_none()) {
                Some(included) => {
                    let mut above = step.above.clone();
                    above.push(object.name.clone());
                    waiting.push(Included { proxy: included, above, conditions });
                }
                // What is not there, or is a root itself, is answered 502 (`addStatusBadGatewayRoute`).
                None => {
                    self.building.problems.add(place, ProblemKind::Dangling { kind: "HTTPProxy", name });
                    self.add(
                        object,
                        0,
                        &include.conditions.iter().collect::<Vec<_>>(),
                        Target::Respond(502),
                        Box::default(),
                        false,
                    );
                }
            }
        }
    }

    fn routes(&mut self, object: &ObjectRef, step: &Included<'o>) {
        let routes = &step.proxy.spec.routes;
        if routes.len() > MAX_ROUTES {
            let (what, limit) = ("routes", MAX_ROUTES);
            self.building.problems.add(Place::whole(object), ProblemKind::TooMany { what, limit });
        }
        for (number, route) in routes.iter().take(MAX_ROUTES).enumerate() {
            let mut conditions = step.conditions.clone();
            conditions.extend(route.conditions.iter().take(MAX_CONDITIONS));
            let (target, mirrors) = target(Place::whole(object).rule(number), route, self.building);
            self.add(object, number, &conditions, target, mirrors, route.permit_insecure);
        }
    }

    fn route(
        &self,
        object: &ObjectRef,
        number: usize,
        path: Option<(PathType, &str)>,
        target: Target,
        mirrors: Box<[Backend]>,
    ) -> Arc<Route> {
        Arc::new(Route {
            object: Some(object.clone()),
            rule: u32::try_from(number).ok(),
            host: self.root.spec.virtualhost.as_ref().map(|host| host.fqdn.as_str().into()),
            path: path.map(|(_, path)| path.into()),
            path_type: path.map(|(path_type, _)| path_type),
            target,
            mirrors,
            besides: Besides::default(),
        })
    }

    fn add(
        &mut self,
        object: &ObjectRef,
        number: usize,
        asked: &[&Asked],
        target: Target,
        mirrors: Box<[Backend]>,
        permits_insecure: bool,
    ) {
        let place = Place::whole(object).rule(number);
        let Some((path_type, text)) = merged(asked) else {
            return self.building.problems.add(place, path::BadPath::NoPath.into());
        };
        // Includes add to one another's.
        if text.len() > super::MAX_PATH {
            return self.building.problems.add(place, ProblemKind::PathTooLong);
        }
        let normal = match path::normalise_rule(text.as_bytes()) {
            Ok(normal) => normal,
            Err(bad) => return self.building.problems.add(place, bad.into()),
        };
        let mut steps = Vec::new();
        let length = most(text.len());
        let (path, first) = match path_type {
            PathType::Exact => (PathMatch::Exact(normal), [0, 0]),
            PathType::RegularExpression => {
                let pattern = self.building.pattern(place, &text, Anchor::Whole, Engine::Re2, false);
                steps.push(Step::Ask(Condition::PathPattern(pattern)));
                (PathMatch::Conditions, [1, length])
            }
            _ => (PathMatch::Characters(normal), [2, length]),
        };
        let (fields, parameters) = named(asked, place, self.building, &mut steps);
        self.age += 1;
        let [kind, length] = first;
        let mut order = [0, 0, kind, length, most(fields), most(parameters), self.age, 0];
        let route = self.route(object, number, Some((path_type, &text)), target, mirrors);
        let has_tls = self.root.spec.virtualhost.as_ref().is_some_and(|host| host.tls.is_some());
        // Without TLS a host has no certificate, and is not asked over TLS.
        let mut variants = vec![(has_tls, Arc::clone(&route))];
        if has_tls {
            let plain = if permits_insecure {
                route
            } else {
                self.route(object, number, Some((path_type, &text)), Target::Redirect(301), Box::default())
            };
            variants.push((false, plain));
        }
        for (tls, route) in variants {
            if !self.building.room(place) {
                return;
            }
            let conditions = Conditions::program(steps.clone()).and(Condition::Tls(tls));
            let (host, path) = (self.host.clone(), path.clone());
            order[7] += 1;
            self.rules.add(Rule { host, path, conditions, order, route });
        }
    }
}

/// The path that conditions ask for together. None for one that does not start with a slash.
fn merged(asked: &[&Asked]) -> Option<(PathType, String)> {
    let (mut text, mut is_regex, mut last) = (String::new(), false, PathType::Prefix);
    for condition in asked {
        let given = |part: &Option<String>| part.clone().filter(|part| !part.is_empty());
        let (part, path_type) = if let Some(prefix) = given(&condition.prefix) {
            (prefix, PathType::Prefix)
        } else if let Some(exact) = given(&condition.exact) {
            (exact, PathType::Exact)
        } else if let Some(regex) = given(&condition.regex) {
            is_regex = true;
            (regex, PathType::RegularExpression)
        } else {
            continue;
        };
        if !part.starts_with('/') {
            return None;
        }
        last = path_type;
        text.push_str(&part);
    }
    let mut single = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '/' || !single.ends_with('/') {
            single.push(character);
        }
    }
    if single.is_empty() {
        single.push('/');
    }
    Some((if is_regex { PathType::RegularExpression } else { last }, single))
}

/// Fields and parameters that are asked for: how many of each.
fn named(
    asked: &[&Asked],
    place: Place<'_>,
    building: &mut Building,
    steps: &mut Vec<Step>,
) -> (usize, usize) {
    let (mut fields, mut parameters) = (0, 0);
    for condition in asked {
        if let Some(field) = &condition.header {
            fields += 1;
            let make =
                |test| Condition::Field { name: field.name.as_str().into(), test, several: Several::Unclear };
            if field.present || field.notpresent {
                let (name, present) = (field.name.as_str().into(), field.present);
                steps.push(Step::Ask(Condition::FieldIs { name, present }));
            }
            ask(field, place, building, steps, &make);
        }
        if let Some(parameter) = &condition.query_parameter {
            parameters += 1;
            let name: Box<[u8]> = parameter.name.as_bytes().into();
            let make = |test| Condition::Parameter { name: name.clone(), test, several: Several::Unclear };
            if parameter.present {
                steps.push(Step::Ask(make(Test::Any)));
            }
            ask(parameter, place, building, steps, &make);
        }
    }
    (fields, parameters)
}

fn ask(
    one: &NamedCondition,
    place: Place<'_>,
    building: &mut Building,
    steps: &mut Vec<Step>,
    make: &dyn Fn(Test) -> Condition,
) {
    let any_case = one.ignore_case;
    let bytes = |text: &str| -> Box<[u8]> { text.as_bytes().into() };
    let is = |text: &str| if any_case { Test::IsAnyCase(bytes(text)) } else { Test::Is(bytes(text)) };
    let holds = |text: &str| Test::Holds { what: bytes(text), any_case };
    let mut positive = |test| steps.push(Step::Ask(make(test)));
    one.exact.as_deref().into_iter().for_each(|text| positive(is(text)));
    one.contains.as_deref().into_iter().for_each(|text| positive(holds(text)));
    if let Some(text) = one.prefix.as_deref() {
        positive(Test::Starts { with: bytes(text), any_case });
    }
    if let Some(text) = one.suffix.as_deref() {
        positive(Test::Ends { with: bytes(text), any_case });
    }
    if let Some(text) = one.regex.as_deref() {
        positive(Test::Like(building.pattern(place, text, Anchor::Whole, Engine::Re2, any_case)));
    }
    let negative = [one.notexact.as_deref().map(is), one.notcontains.as_deref().map(holds)];
    for test in negative.into_iter().flatten() {
        steps.extend([Step::Ask(make(test)), Step::Not]);
        // Envoy does not take a field that is not there for one that is not so, unless it is told to.
        if !one.treat_missing_as_empty {
            steps.extend([Step::Ask(make(Test::Any)), Step::And]);
        }
    }
}

fn target(place: Place<'_>, route: &Declared, building: &mut Building) -> (Target, Box<[Backend]>) {
    if let Some(redirect) = &route.request_redirect_policy {
        return (Target::Redirect(redirect.status_code.unwrap_or(302)), Box::default());
    }
    if let Some(direct) = &route.direct_response_policy {
        return (Target::Respond(direct.status_code), Box::default());
    }
    forward(place, &route.services, building)
}

fn forward(place: Place<'_>, services: &[Service], building: &mut Building) -> (Target, Box<[Backend]>) {
    if services.len() > MAX_SERVICES {
        building.problems.add(place, ProblemKind::TooMany { what: "services", limit: MAX_SERVICES });
    }
    let namespace = &place.object.name.namespace;
    let mut backend = |service: &Service| match building::port(service.port.into()) {
        Some(port) => Backend::Service {
            service: ObjectName { namespace: Arc::clone(namespace), name: service.name.as_str().into() },
            port: PortRef::Number(port),
        },
        None => {
            building.problems.add(place, ProblemKind::Backend);
            Backend::Invalid
        }
    };
    let taken = services.iter().take(MAX_SERVICES);
    let (mirrors, others): (Vec<&Service>, Vec<&Service>) = taken.partition(|service| service.mirror);
    // Where none has a share, all have the same.
    let has_shares = others.iter().any(|service| service.weight > 0);
    let weighted = others.iter().map(|service| Weighted {
        backend: backend(service),
        weight: if has_shares { building::weight(service.weight) } else { 1 },
    });
    let target = Target::Backends(weighted.collect());
    (target, mirrors.into_iter().map(backend).collect())
}
