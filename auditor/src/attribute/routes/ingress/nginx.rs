//! `kubernetes/ingress-nginx` (internal/ingress/controller/{controller,location}.go, its template and its Lua balancer).
//!
//! - A host is an nginx server. Its locations are, of one path and type, the oldest Ingress's; Prefix `/p` is the locations
//!   `= /p` and `/p/`, and `ImplementationSpecific` is Prefix. `location /p/` alone redirects `/p` to itself (nginx,
//!   "location"). The longest location that matches wins, `=` first.
//! - If one Ingress of the host has `use-regex`, or a `rewrite-target` that differs from the path, all locations of the host
//!   are patterns without regard to case and without an end, the longest first ("Ingress Path Matching").
//! - `canary` Ingresses stand behind a location of the same path and type: by field, then by cookie, then by their share.
//! - Wildcards are nginx's, for any number of labels. Hosts of `server-alias` are hosts of the server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Declarations, Declared, Dialect, annotation, plain};
use crate::attribute::objects::ObjectName;
use crate::attribute::routes::building::{self, Building};
use crate::attribute::routes::condition::{Condition, Conditions, Several, Test};
use crate::attribute::routes::group::Group;
use crate::attribute::routes::host::RuleHost;
use crate::attribute::routes::pattern::{Anchor, Engine};
use crate::attribute::routes::problem::ProblemKind;
use crate::attribute::routes::scope::{Rule, Wildcards, most};
use crate::attribute::routes::table::PathMatch;
use crate::attribute::routes::{Backend, Besides, PathType, Route, Target, Weighted, path};

/// The annotations that are read, without their prefix.
const PREFIX: &str = "nginx.ingress.kubernetes.io/";
/// By it TLS is passed on to the Service behind the path `/` of each host, by the name that the client asks for, as long as
/// the controller runs with `--enable-ssl-passthrough`.
const PASSTHROUGH: &str = "nginx.ingress.kubernetes.io/ssl-passthrough";
/// The most aliases of a host.
const MAX_ALIASES: usize = 256;

impl Declared<'_> {
    fn nginx(&self, name: &str) -> Option<&str> {
        self.annotation(&format!("{PREFIX}{name}")).map(str::trim).filter(|value| !value.is_empty())
    }

    fn is_set(&self, name: &str) -> bool {
        self.nginx(name) == Some("true")
    }

    /// Whether its server's locations become patterns because of it.
    fn makes_patterns(&self) -> bool {
        self.is_set("use-regex") || self.nginx("rewrite-target").is_some_and(|target| target != self.path)
    }
}

/// Whether an Ingress only adds canaries to the servers of others: it makes none, nor locations, aliases or defaults
/// (internal/ingress/controller/controller.go, `createServers` and `mergeAlternativeBackends`).
pub(super) fn is_canary(ingress: &k8s_openapi::api::networking::v1::Ingress) -> bool {
    annotation(ingress, "nginx.ingress.kubernetes.io/canary") == Some("true")
}

pub(super) fn group(mut declared: Declarations<'_>, building: &mut Building) -> Group {
    let mut servers: BTreeMap<RuleHost, Server<'_>> = BTreeMap::new();
    let (canaries, paths): (Vec<_>, Vec<_>) =
        std::mem::take(&mut declared.paths).into_iter().partition(|path| is_canary(path.ingress));
    for path in paths {
        let server = servers.entry(path.host.clone()).or_default();
        // `ImplementationSpecific` is made Prefix when an Ingress is read (internal/k8s/main.go).
        let is_exact = path.path_type == PathType::Exact;
        let key = (path.path, is_exact);
        if let Some(first) = server.locations.get(&key) {
            let by = first.object.clone();
            building.problems.add(path.place(), ProblemKind::Shadowed { by });
        } else {
            server.locations.insert(key, path);
        }
    }
    for path in canaries {
        if let Some(server) = servers.get_mut(&path.host) {
            server.canaries.entry((path.path, path.path_type == PathType::Exact)).or_insert(path);
        }
    }
    aliases(&declared, &mut servers, building);
    // The oldest Ingress of a host makes its server, and with it the location `/` for what nothing else matches; an Ingress
    // without rules makes that of the server for hosts that are not known.
    declared.rules.without_defaults();
    for (host, default) in std::mem::take(&mut declared.first_defaults) {
        declared.rules.host(&host, default.as_ref());
    }
    if let Some(default) = declared.defaults.catch_all.take() {
        declared.rules.host(&RuleHost::Any, Some(&default));
    }
    declared.defaults.any = None;
    let known: BTreeSet<RuleHost> = servers.keys().cloned().collect();
    for (host, server) in &servers {
        for host in std::iter::once(host).chain(&server.aliases) {
            server.compile(host, &mut declared, building);
        }
        redirect_www(host, server, &known, &mut declared);
    }
    let scope = building.scope(declared.rules, Wildcards::Several, false);
    super::group(Dialect::IngressNginx, scope, declared.defaults, false)
}

/// An nginx server: the locations of a host, by path and whether they are Exact.
#[derive(Default)]
struct Server<'o> {
    locations: BTreeMap<(&'o str, bool), Declared<'o>>,
    canaries: BTreeMap<(&'o str, bool), Declared<'o>>,
    aliases: Vec<RuleHost>,
}

/// The aliases of the oldest Ingress of a host that has some; one that is a host itself is none.
fn aliases<'o>(
    declared: &Declarations<'o>,
    servers: &mut BTreeMap<RuleHost, Server<'o>>,
    building: &mut Building,
) {
    let known: BTreeSet<RuleHost> = servers.keys().cloned().collect();
    for ingress in &declared.ingresses {
        let Some(written) = annotation(ingress, "nginx.ingress.kubernetes.io/server-alias") else { continue };
        let object = building::object(super::ObjectKind::Ingress, &ingress.metadata);
        let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
        for host in rules.filter_map(|rule| RuleHost::new(rule.host.as_deref().unwrap_or_default()).ok()) {
            let Some(server) = servers.get_mut(&host).filter(|server| server.aliases.is_empty()) else {
                continue;
            };
            for alias in written.split(',').map(str::trim).filter(|alias| !alias.is_empty()).take(MAX_ALIASES)
            {
                match RuleHost::new(alias) {
                    Ok(alias) if known.contains(&alias) || alias == RuleHost::Any => {}
                    Ok(alias) => server.aliases.push(alias),
                    // A pattern (`~^www`) is left out: which of them comes first depends on the order of servers.
                    Err(bad) => {
                        let place = crate::attribute::routes::problem::Place::whole(&object);
                        building.problems.add(place, bad.into());
                    }
                }
            }
        }
    }
}

/// `from-to-www-redirect`: the host's name with or without `www.` in front, unless it is a host itself.
fn redirect_www(
    host: &RuleHost,
    server: &Server<'_>,
    known: &BTreeSet<RuleHost>,
    declared: &mut Declarations<'_>,
) {
    let RuleHost::Exact(name) = host else { return };
    let Some(path) = server.locations.values().find(|path| path.is_set("from-to-www-redirect")) else {
        return;
    };
    let other = match name.strip_prefix("www.") {
        Some(bare) => bare.to_owned(),
        None => format!("www.{name}"),
    };
    let other = RuleHost::Exact(other);
    if !known.contains(&other) {
        declared.rules.host(&other, None);
        declared.rules.add(Rule {
            host: other,
            path: PathMatch::Elements(b"/".to_vec()),
            conditions: Conditions::default(),
            order: [0; 8],
            route: path.route(Target::Redirect(308)),
        });
    }
}

/// Where a location stands: what it matches, and its order among those of its server.
struct Placement {
    path: PathMatch,
    condition: Option<Condition>,
    order: [u64; 3],
    /// It answers itself in the place of the location.
    redirect: Option<u16>,
}

impl Placement {
    fn of(path: PathMatch, order: [u64; 3]) -> Self {
        Self { path, condition: None, order, redirect: None }
    }
}

impl Server<'_> {
    fn compile(&self, host: &RuleHost, declared: &mut Declarations<'_>, building: &mut Building) {
        declared.rules.host(host, None);
        let is_regex = self.locations.values().any(Declared::makes_patterns);
        let [first, second] = plain::host_order(host);
        let mut texts = 0;
        let mut previous = None;
        for (&(written, is_exact), location) in &self.locations {
            texts += usize::from(previous.replace(written) != Some(written));
            let placements = if is_regex {
                vec![self.pattern(written, is_exact, texts, location, building)]
            } else {
                match path::normalise_rule(written.as_bytes()) {
                    Ok(normal) => self.literal(written, is_exact, normal, location),
                    Err(bad) => {
                        building.problems.add(location.place(), bad.into());
                        continue;
                    }
                }
            };
            let routes = self.routes(location, (written, is_exact), building);
            for Placement { path, condition, order: [a, b, c], redirect } in placements {
                let routes = match redirect {
                    Some(status) => vec![(Conditions::default(), location.route(Target::Redirect(status)))],
                    None => routes.clone(),
                };
                for (number, (conditions, route)) in routes.into_iter().enumerate() {
                    if !building.room(location.place()) {
                        return;
                    }
                    let conditions = match &condition {
                        Some(condition) => conditions.and(condition.clone()),
                        None => conditions,
                    };
                    let order = [first, second, a, b, c, location.age, number as u64, 0];
                    declared.rules.add(Rule {
                        host: host.clone(),
                        path: path.clone(),
                        conditions,
                        order,
                        route,
                    });
                }
            }
        }
    }

    /// A location of a server whose locations are patterns: the longest first, of one length the greater text.
    fn pattern(
        &self,
        written: &str,
        is_exact: bool,
        texts: usize,
        location: &Declared<'_>,
        building: &mut Building,
    ) -> Placement {
        // Beside an Exact of the same path a Prefix is only what is below (`updateServerLocations`).
        let is_split = !is_exact && written != "/" && !location.makes_patterns();
        let text = if is_split && self.locations.contains_key(&(written, true)) && !written.ends_with('/') {
            format!("{written}/")
        } else {
            written.to_owned()
        };
        let pattern = building.pattern(location.place(), &text, Anchor::Start, Engine::Pcre, true);
        Placement {
            path: PathMatch::Conditions,
            condition: Some(Condition::PathPattern(pattern)),
            order: [0, most(written.len()), most(texts)],
            redirect: None,
        }
    }

    /// A location that is compared as it is.
    fn literal(
        &self,
        written: &str,
        is_exact: bool,
        normal: Vec<u8>,
        location: &Declared<'_>,
    ) -> Vec<Placement> {
        let mut placements = Vec::new();
        let app_root = location.nginx("app-root").filter(|root| root.starts_with('/'));
        if written == "/" && app_root.is_some() {
            let redirect = Some(302);
            placements
                .push(Placement { redirect, ..Placement::of(PathMatch::Exact(b"/".to_vec()), [0, 0, 0]) });
        }
        if is_exact {
            placements.push(Placement::of(PathMatch::Exact(normal), [0, 1, 0]));
            return placements;
        }
        let base = normal.strip_suffix(b"/").unwrap_or(&normal).to_vec();
        if normal.ends_with(b"/") && !base.is_empty() {
            let redirect = Some(301);
            placements
                .push(Placement { redirect, ..Placement::of(PathMatch::Exact(base.clone()), [0, 3, 0]) });
        } else if !base.is_empty() && !self.locations.contains_key(&(written, true)) {
            placements.push(Placement::of(PathMatch::Exact(base.clone()), [0, 2, 0]));
        }
        let below = [base.as_slice(), b"/"].concat();
        let length = most(below.len());
        placements.push(Placement::of(PathMatch::Characters(below), [1, length, 0]));
        placements
    }

    /// What becomes of a location's requests: in this order, the first whose conditions hold.
    fn routes(
        &self,
        location: &Declared<'_>,
        key: (&str, bool),
        building: &mut Building,
    ) -> Vec<(Conditions, Arc<Route>)> {
        let always = Conditions::default;
        let code = |name, default| location.nginx(name).and_then(|code| code.parse().ok()).unwrap_or(default);
        if location.nginx("temporal-redirect").is_some() {
            let status = code("temporal-redirect-code", 302);
            return vec![(always(), location.route(Target::Redirect(status)))];
        }
        if location.nginx("permanent-redirect").is_some() {
            let status = code("permanent-redirect-code", 301);
            return vec![(always(), location.route(Target::Redirect(status)))];
        }
        let besides = besides(location);
        let Some(canary) = self.canaries.get(&key) else {
            return vec![(always(), location.route_with(location.backend.clone().into(), besides))];
        };
        let route = |target| location.route_with(target, besides.clone());
        let only = |backend: &Backend| route(Target::from(backend.clone()));
        let (own, other) = (only(&location.backend), only(&canary.backend));
        let shares = |own: u32, other: u32| {
            let weighted = |backend: &Backend, weight| Weighted { backend: backend.clone(), weight };
            route(Target::Backends(Box::new([
                weighted(&location.backend, own),
                weighted(&canary.backend, other),
            ])))
        };
        // Who was served by one of them before stays with it.
        if location.nginx("affinity").is_some() || canary.nginx("affinity").is_some() {
            return vec![(always(), shares(1, 1))];
        }
        let mut routes = Vec::new();
        if let Some(name) = canary.nginx("canary-by-header") {
            let is = |value: &str| Test::Is(value.as_bytes().into());
            let field = |test| Condition::Field { name: name.into(), test, several: Several::Unclear };
            if let Some(value) = canary.nginx("canary-by-header-value") {
                routes.push((Conditions::all(vec![field(is(value))]), Arc::clone(&other)));
            } else if let Some(text) = canary.nginx("canary-by-header-pattern") {
                let pattern = building.pattern(canary.place(), text, Anchor::Nowhere, Engine::Pcre, false);
                routes.push((Conditions::all(vec![field(Test::Like(pattern))]), Arc::clone(&other)));
            } else {
                routes.push((Conditions::all(vec![field(is("always"))]), Arc::clone(&other)));
                routes.push((Conditions::all(vec![field(is("never"))]), Arc::clone(&own)));
            }
        }
        if let Some(name) = canary.nginx("canary-by-cookie") {
            let cookie = |value: &str| {
                Conditions::all(vec![Condition::Cookie {
                    name: name.as_bytes().into(),
                    value: value.as_bytes().into(),
                }])
            };
            routes.push((cookie("always"), Arc::clone(&other)));
            routes.push((cookie("never"), Arc::clone(&own)));
        }
        let number = |name| canary.nginx(name).and_then(|number| number.parse::<u32>().ok());
        let total = number("canary-weight-total").filter(|total| *total > 100).unwrap_or(100);
        let weight = number("canary-weight").unwrap_or_default().min(total);
        routes.push((always(), shares(total - weight, weight)));
        routes
    }
}

fn besides(location: &Declared<'_>) -> Besides {
    let tls =
        location.ingress.spec.as_ref().and_then(|spec| spec.tls.as_ref()).is_some_and(|tls| !tls.is_empty());
    let redirects =
        (tls && location.nginx("ssl-redirect") != Some("false")) || location.is_set("force-ssl-redirect");
    let fallback = location
        .nginx("default-backend")
        .map(|name| ObjectName { namespace: Arc::clone(&location.object.name.namespace), name: name.into() });
    Besides { https: redirects.then_some(308), fallback }
}

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
