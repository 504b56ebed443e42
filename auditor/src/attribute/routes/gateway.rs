//! Rules from Gateway API (v1): Gateways and their listeners, and the routes that attach to them.
//!
//! What is said here in "MUST" is that of the API's own documentation (`apis/v1/*_types.go`). A route attaches to those
//! listeners of its parents that allow its kind and namespace and have a host in common with it; there it is one rule for
//! each host, rule and match. Precedence: most characters of a host without wildcard, then of any; then what
//! [`http`] and [`grpc`] say; then the oldest route, the first `namespace/name`, the first rule.
//!
//! Not read: `ListenerSet`, `TCPRoute`, `UDPRoute`, policies.

mod backend;
mod grpc;
mod http;
mod listener;
mod taken;
mod tls;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::building::{self, Building, age};
use super::condition::{Condition, Conditions, Uncertainty};
use super::group::{Defaults, Group, Name, Served};
use super::host::RuleHost;
use super::pattern::{Anchor, Engine};
use super::problem::{Place, ProblemKind};
use super::scope::{Order, Rule, Wildcards, most};
use super::table::PathMatch;
use super::{ObjectKind, ObjectRef, Options, Route};
use crate::attribute::objects::gateway::{GrpcRoute, HttpRoute, ParentReference, TlsRoute};
use crate::attribute::objects::{ObjectName, Objects};
use backend::Grants;
use listener::{Allowed, Attached, Listener, Namespaces, Protocol};

/// Bounds of the API server on lists of one object (`+kubebuilder:validation:MaxItems`).
const MAX_PARENTS: usize = 32;
const MAX_LISTENERS: usize = 64;
const MAX_HOSTNAMES: usize = 16;
const MAX_RULES: usize = 16;
const MAX_MATCHES: usize = 64;
const MAX_BACKENDS: usize = 16;
const MAX_FIELDS: usize = 16;

/// What compiling routes needs of the rest of the cluster.
struct Cluster<'o> {
    gateways: HashMap<ObjectName, Known>,
    namespaces: Namespaces<'o>,
    grants: Grants<'o>,
}

/// A Gateway that exists.
struct Known {
    /// Its place among those that are served.
    listeners: Option<Vec<usize>>,
    /// How the class's controller compares regular expressions, as far as it is known.
    patterns: Patterns,
}

/// How a controller compares regular expressions: "implementation-specific".
#[derive(Clone, Copy)]
enum Patterns {
    /// With the whole text, by RE2: those whose data plane is Envoy.
    Whole,
    /// With a part of the text, by Go's engine: Traefik.
    Part,
    Unknown,
}

impl Patterns {
    fn of(controller: &str) -> Self {
        let envoy = ["gateway.envoyproxy.io/", "istio.io/", "projectcontour.io/", "io.cilium/"];
        match controller {
            _ if envoy.iter().any(|group| controller.starts_with(group)) => Self::Whole,
            "traefik.io/gateway-controller" => Self::Part,
            _ => Self::Unknown,
        }
    }
}

/// A route on its way to the listeners that it attaches to.
struct Attaching<'o> {
    object: ObjectRef,
    parents: &'o [ParentReference],
    hostnames: Vec<(RuleHost, Arc<str>)>,
    /// Its place in the order of age.
    age: u64,
}

/// What a route asks of a request at one of its listeners, beside the host.
struct Match {
    route: Arc<Route>,
    path: PathMatch,
    conditions: Conditions,
    /// What precedence says of it between the host and the route's age.
    order: [u64; 5],
}

pub(super) fn build(objects: &Objects, options: &Options, building: &mut Building) {
    let mut listeners: Vec<Listener> = Vec::new();
    let mut cluster = Cluster {
        gateways: HashMap::new(),
        namespaces: Namespaces::new(&objects.namespaces),
        grants: Grants::new(&objects.grants),
    };
    listener::read(objects, options, &mut cluster.gateways, &mut listeners, building);
    if !listeners.is_empty() {
        layer7(objects, &cluster, &mut listeners, building);
        tls::attach(objects, &cluster, &mut listeners, building);
    }
    groups(listeners, building);
}

/// HTTP and gRPC, together in order of age: of two kinds with a host in common, the oldest route has it.
fn layer7(objects: &Objects, cluster: &Cluster<'_>, listeners: &mut [Listener], building: &mut Building) {
    enum Either<'o> {
        Http(&'o HttpRoute),
        Grpc(&'o GrpcRoute),
    }
    let http = objects.http_routes.iter().map(|route| (&route.metadata, Either::Http(route)));
    let grpc = objects.grpc_routes.iter().map(|route| (&route.metadata, Either::Grpc(route)));
    let mut routes: Vec<_> = http.chain(grpc).collect();
    routes.sort_by(|(one, _), (other, _)| age(one).cmp(&age(other)));
    for (place, (_, route)) in routes.into_iter().enumerate() {
        let age = place as u64;
        match route {
            Either::Http(route) => {
                let object = building::object(ObjectKind::HttpRoute, &route.metadata);
                let Some(attaching) =
                    Attaching::new(object, &route.spec.parent_refs, &route.spec.hostnames, age, building)
                else {
                    continue;
                };
                attaching.attach(cluster, listeners, building, |patterns, building| {
                    http::matches(&attaching.object, &route.spec, patterns, cluster, building)
                });
            }
            Either::Grpc(route) => {
                let object = building::object(ObjectKind::GrpcRoute, &route.metadata);
                let Some(attaching) =
                    Attaching::new(object, &route.spec.parent_refs, &route.spec.hostnames, age, building)
                else {
                    continue;
                };
                attaching.attach(cluster, listeners, building, |patterns, building| {
                    grpc::matches(&attaching.object, &route.spec, patterns, cluster, building)
                });
            }
        }
    }
}

impl<'o> Attaching<'o> {
    /// None where every one of its hosts can match nothing.
    fn new(
        object: ObjectRef,
        parents: &'o [ParentReference],
        hostnames: &[String],
        age: u64,
        building: &mut Building,
    ) -> Option<Self> {
        let mut hosts = Vec::new();
        for written in hostnames.iter().take(MAX_HOSTNAMES) {
            match RuleHost::new(written) {
                Ok(host) => hosts.push((host, written.as_str().into())),
                Err(bad) => building.problems.add(Place::whole(&object), bad.into()),
            }
        }
        too_many(building, Place::whole(&object), "hostnames", hostnames.len(), MAX_HOSTNAMES);
        too_many(building, Place::whole(&object), "parentRefs", parents.len(), MAX_PARENTS);
        let matches_nothing = hosts.is_empty() && !hostnames.is_empty();
        (!matches_nothing).then_some(Self { object, parents, hostnames: hosts, age })
    }

    /// Adds the rules that `matches` makes to every listener that takes the route.
    fn attach(
        &self,
        cluster: &Cluster<'_>,
        listeners: &mut [Listener],
        building: &mut Building,
        mut matches: impl FnMut(Patterns, &mut Building) -> Vec<Match>,
    ) {
        let mut attached = Attached::default();
        for parent in self.parents.iter().take(MAX_PARENTS) {
            if !is_gateway(parent) {
                continue;
            }
            let namespace = match parent.namespace.as_deref() {
                Some(namespace) => namespace.into(),
                None => Arc::clone(&self.object.name.namespace),
            };
            let gateway = ObjectName { namespace, name: parent.name.as_str().into() };
            let Some(known) = cluster.gateways.get(&gateway) else {
                let kind = ProblemKind::Dangling { kind: "Gateway", name: gateway };
                building.problems.add(Place::whole(&self.object), kind);
                continue;
            };
            let Some(own) = &known.listeners else { continue };
            let mut taken = false;
            for place in own {
                let Some(listener) = listeners.get_mut(*place) else { continue };
                if !listener.is_meant_by(parent) {
                    continue;
                }
                let allowed = listener.allows(&self.object, &cluster.namespaces);
                let hosts = listener.common(&self.hostnames);
                if allowed == Allowed::No || hosts.is_empty() {
                    continue;
                }
                taken = true;
                if attached.insert(*place) {
                    let matches = matches(known.patterns, building);
                    self.add(listener, hosts, &matches, allowed, building);
                }
            }
            if !taken {
                building.problems.add(Place::whole(&self.object), ProblemKind::NotAllowed { gateway });
            }
        }
    }

    fn add(
        &self,
        listener: &mut Listener,
        hosts: Vec<(RuleHost, Option<Arc<str>>)>,
        matches: &[Match],
        allowed: Allowed,
        building: &mut Building,
    ) {
        for (host, written) in hosts {
            if let Some(by) = listener.taken.by_another(&host, &self.object) {
                building.problems.add(Place::whole(&self.object), ProblemKind::HostTaken { by });
                continue;
            }
            listener.taken.take(&host, &self.object);
            listener.rules.host(&host, None);
            let (exact, characters) = host.specificity();
            for (number, one) in matches.iter().enumerate() {
                if !building.room(Place::whole(&self.object)) {
                    return;
                }
                let [a, b, c, d, e] = one.order;
                // The last place holds the route's age, and within it the order of its rules.
                let last = (self.age << 32) | number as u64;
                let order: Order = [most(exact), most(characters), a, b, c, d, e, last];
                let conditions = match allowed {
                    Allowed::Unclear => one.conditions.and(Condition::Unclear(Uncertainty::Namespace)),
                    Allowed::Yes | Allowed::No => one.conditions.clone(),
                };
                let route = of_host(&one.route, written.as_ref());
                listener.rules.add(Rule {
                    host: host.clone(),
                    path: one.path.clone(),
                    conditions,
                    order,
                    route,
                });
            }
        }
    }
}

/// The route, at one of its hosts. Made for each host: an event names the host that the rule was found by.
fn of_host(route: &Arc<Route>, host: Option<&Arc<str>>) -> Arc<Route> {
    if route.host.as_ref() == host {
        return Arc::clone(route);
    }
    Arc::new(Route {
        object: route.object.clone(),
        rule: route.rule,
        host: host.cloned(),
        path: route.path.clone(),
        path_type: route.path_type,
        target: route.target.clone(),
        mirrors: route.mirrors.clone(),
        besides: route.besides.clone(),
    })
}

fn is_gateway(parent: &ParentReference) -> bool {
    let group = parent.group.as_deref().unwrap_or("gateway.networking.k8s.io");
    group == "gateway.networking.k8s.io" && parent.kind.as_deref().unwrap_or("Gateway") == "Gateway"
}

fn too_many(building: &mut Building, place: Place<'_>, what: &'static str, count: usize, limit: usize) {
    if count > limit {
        building.problems.add(place, ProblemKind::TooMany { what, limit });
    }
}

/// Listeners of one Gateway at one port, and of one sort, are a group.
fn groups(listeners: Vec<Listener>, building: &mut Building) {
    let mut groups: BTreeMap<(ObjectName, u16, Protocol), Vec<Listener>> = BTreeMap::new();
    for listener in listeners.into_iter().filter(|listener| listener.protocol != Protocol::Passthrough) {
        let key = (listener.gateway.clone(), listener.port, listener.protocol);
        groups.entry(key).or_default().push(listener);
    }
    for ((_, port, protocol), mut listeners) in groups {
        listeners.sort_by_key(|listener| {
            let (exact, characters) = listener.hostname.specificity();
            (most(exact), most(characters))
        });
        let mut served = Vec::new();
        for listener in listeners {
            let name = Name { gateway: Some(listener.gateway), listener: listener.name };
            let scope = building.scope(listener.rules, Wildcards::Several, true);
            served.push(Served { name, hostname: listener.hostname, scope });
        }
        building.groups.push(Group {
            tls: Some(protocol != Protocol::Http),
            port: Some(port),
            listeners: served,
            by_server_name: protocol == Protocol::Terminate,
            defaults: Defaults::default(),
            paths_differ: true,
        });
    }
}

/// A regular expression of a path, field or parameter: what the controller compares it with, or, where that is not known, what
/// all of them agree on.
fn pattern(
    building: &mut Building,
    place: Place<'_>,
    text: &str,
    patterns: Patterns,
    make: impl Fn(super::pattern::Pattern) -> Condition,
) -> Vec<super::condition::Step> {
    use super::condition::Step::{And, Ask, Or};
    let mut compiled = |anchor, engine| make(building.pattern(place, text, anchor, engine, false));
    match patterns {
        Patterns::Whole => vec![Ask(compiled(Anchor::Whole, Engine::Re2))],
        Patterns::Part => vec![Ask(compiled(Anchor::Nowhere, Engine::Re2))],
        Patterns::Unknown => vec![
            Ask(compiled(Anchor::Whole, Engine::Unknown)),
            Ask(compiled(Anchor::Nowhere, Engine::Unknown)),
            Ask(Condition::Unclear(Uncertainty::Pattern)),
            And,
            Or,
        ],
    }
}

/// Fields by name: of several for one name only the first counts ("equivalent header names").
fn first_of_each<T>(named: &[T], name: impl Fn(&T) -> String) -> Vec<&T> {
    let mut seen = std::collections::HashSet::new();
    named.iter().take(MAX_FIELDS).filter(|one| seen.insert(name(one))).collect()
}

/// The routes of one kind, by age.
fn by_age(routes: &[TlsRoute]) -> Vec<&TlsRoute> {
    building::by_age(routes, |route| &route.metadata)
}
