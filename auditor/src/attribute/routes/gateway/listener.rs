//! Listeners: which there are, and which routes each takes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::taken::Taken;
use super::{Known, MAX_LISTENERS, Patterns, too_many};
use crate::attribute::objects::gateway::{self as api, ParentReference};
use crate::attribute::objects::{ObjectName, Objects};
use crate::attribute::routes::building::{self, Building};
use crate::attribute::routes::host::RuleHost;
use crate::attribute::routes::problem::Place;
use crate::attribute::routes::scope;
use crate::attribute::routes::{ObjectKind, ObjectRef, Options};

/// A listener that takes routes.
pub(super) struct Listener {
    pub(super) gateway: ObjectName,
    pub(super) name: Arc<str>,
    pub(super) hostname: RuleHost,
    written: Option<Arc<str>>,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    from: From,
    kinds: Option<Vec<ObjectKind>>,
    pub(super) rules: scope::Builder,
    /// Which hosts are which kind of route's.
    pub(super) taken: Taken,
}

/// What a listener does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    /// HTTP in the clear.
    Http,
    /// HTTP in TLS, which it ends.
    Https,
    /// TLS, which it ends, with content that it does not look at.
    Terminate,
    /// TLS, which it passes on.
    Passthrough,
}

/// From which namespaces routes may attach.
enum From {
    All,
    Same,
    Selector(LabelSelector),
    None,
}

/// Whether a route may attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    Yes,
    No,
    /// The labels of its namespace are not known.
    Unclear,
}

/// The listeners that a route is attached to.
pub(super) type Attached = HashSet<usize>;

/// Reads the listeners of all Gateways of the classes that are served.
pub(super) fn read(
    objects: &Objects,
    options: &Options,
    gateways: &mut HashMap<ObjectName, Known>,
    listeners: &mut Vec<Listener>,
    building: &mut Building,
) {
    let controllers: HashMap<&str, &str> = objects
        .gateway_classes
        .iter()
        .filter_map(|class| Some((class.metadata.name.as_deref()?, class.spec.controller_name.as_str())))
        .collect();
    for gateway in building::by_age(&objects.gateways, |gateway| &gateway.metadata) {
        let object = building::object(ObjectKind::Gateway, &gateway.metadata);
        let controller = controllers.get(gateway.spec.gateway_class_name.as_str()).copied();
        let patterns = Patterns::of(controller.unwrap_or_default());
        let is_served = options.serves(&object.name, controller);
        let own = is_served.then(|| {
            let first = listeners.len();
            let all = &gateway.spec.listeners;
            too_many(building, Place::whole(&object), "listeners", all.len(), MAX_LISTENERS);
            let read = all.iter().take(MAX_LISTENERS);
            listeners.extend(read.filter_map(|listener| Listener::new(&object, listener, building)));
            (first..listeners.len()).collect()
        });
        gateways.insert(object.name, Known { listeners: own, patterns });
    }
}

impl Options {
    /// Whether a Gateway is served, by its name and by its class's controller.
    fn serves(&self, gateway: &ObjectName, controller: Option<&str>) -> bool {
        if !self.gateways.is_empty() {
            return self.gateways.contains(gateway);
        }
        // Whose Ingresses are read in a dialect serves no Gateways of another controller's class.
        if self.dialect.is_some_and(|dialect| !dialect.may_serve(controller.unwrap_or_default())) {
            return false;
        }
        let controllers = &self.classes.controllers;
        controllers.is_empty() || controller.is_some_and(|controller| controllers.contains(controller))
    }
}

impl Listener {
    /// None where it takes no routes that are read here.
    fn new(gateway: &ObjectRef, listener: &api::Listener, building: &mut Building) -> Option<Self> {
        let mode = listener.tls.as_ref().and_then(|tls| tls.mode.as_deref()).unwrap_or("Terminate");
        let protocol = match (listener.protocol.as_str(), mode) {
            ("HTTP", _) => Protocol::Http,
            ("HTTPS", _) => Protocol::Https,
            ("TLS", "Passthrough") => Protocol::Passthrough,
            ("TLS", _) => Protocol::Terminate,
            _ => return None,
        };
        let written = listener.hostname.as_deref().unwrap_or_default();
        let hostname = match RuleHost::new(written) {
            Ok(hostname) => hostname,
            Err(bad) => {
                building.problems.add(Place::whole(gateway), bad.into());
                return None;
            }
        };
        let allowed = listener.allowed_routes.as_ref();
        let namespaces = allowed.and_then(|allowed| allowed.namespaces.as_ref());
        let from = match namespaces.and_then(|namespaces| namespaces.from.as_deref()).unwrap_or("Same") {
            "All" => From::All,
            "Same" => From::Same,
            // A selector that is not there selects nothing that anybody could mean.
            "Selector" => namespaces
                .and_then(|namespaces| namespaces.selector.clone())
                .map_or(From::None, From::Selector),
            _ => From::None,
        };
        let kinds = allowed.map(|allowed| allowed.kinds.as_slice()).filter(|kinds| !kinds.is_empty());
        Some(Self {
            gateway: gateway.name.clone(),
            name: listener.name.as_str().into(),
            written: (hostname != RuleHost::Any).then(|| written.into()),
            hostname,
            port: building::port(listener.port.into())?,
            protocol,
            from,
            kinds: kinds.map(|kinds| kinds.iter().filter_map(kind).collect()),
            rules: scope::Builder::default(),
            taken: Taken::default(),
        })
    }

    /// Whether a reference to the Gateway means this listener.
    pub(super) fn is_meant_by(&self, parent: &ParentReference) -> bool {
        parent.section_name.as_deref().is_none_or(|name| *name == *self.name)
            && parent.port.is_none_or(|port| port == i32::from(self.port))
    }

    /// Whether a route may attach, by its kind and namespace.
    pub(super) fn allows(&self, route: &ObjectRef, namespaces: &Namespaces<'_>) -> Allowed {
        let by_protocol = match self.protocol {
            Protocol::Http | Protocol::Https => {
                matches!(route.kind, ObjectKind::HttpRoute | ObjectKind::GrpcRoute)
            }
            Protocol::Terminate | Protocol::Passthrough => route.kind == ObjectKind::TlsRoute,
        };
        let by_kind = self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&route.kind));
        if !by_protocol || !by_kind {
            return Allowed::No;
        }
        let is_allowed = match &self.from {
            From::All => true,
            From::Same => route.name.namespace == self.gateway.namespace,
            From::None => false,
            From::Selector(selector) => return namespaces.selected(&route.name.namespace, selector),
        };
        if is_allowed { Allowed::Yes } else { Allowed::No }
    }

    /// The hosts that a route and the listener have in common, each as it is written where it is the narrower one.
    pub(super) fn common(&self, hostnames: &[(RuleHost, Arc<str>)]) -> Vec<(RuleHost, Option<Arc<str>>)> {
        if hostnames.is_empty() {
            return vec![(self.hostname.clone(), self.written.clone())];
        }
        let mut common: BTreeMap<RuleHost, Option<Arc<str>>> = BTreeMap::new();
        for (host, written) in hostnames {
            if let Some(both) = self.hostname.intersection(host) {
                let written = if both == *host { Some(Arc::clone(written)) } else { self.written.clone() };
                common.entry(both).or_insert(written);
            }
        }
        common.into_iter().collect()
    }
}

fn kind(kind: &api::RouteGroupKind) -> Option<ObjectKind> {
    let group = kind.group.as_deref().unwrap_or("gateway.networking.k8s.io");
    match kind.kind.as_str() {
        _ if group != "gateway.networking.k8s.io" => None,
        "HTTPRoute" => Some(ObjectKind::HttpRoute),
        "GRPCRoute" => Some(ObjectKind::GrpcRoute),
        "TLSRoute" => Some(ObjectKind::TlsRoute),
        _ => None,
    }
}

/// The labels of namespaces.
pub(super) struct Namespaces<'o>(HashMap<&'o str, &'o Namespace>);

impl<'o> Namespaces<'o> {
    pub(super) fn new(namespaces: &'o [Namespace]) -> Self {
        let named = |namespace: &'o Namespace| Some((namespace.metadata.name.as_deref()?, namespace));
        Self(namespaces.iter().filter_map(named).collect())
    }

    fn selected(&self, name: &str, selector: &LabelSelector) -> Allowed {
        let Some(namespace) = self.0.get(name) else { return Allowed::Unclear };
        // The API server writes this one itself (well-known labels).
        let label = |key: &str| match key {
            "kubernetes.io/metadata.name" => Some(name),
            key => namespace.metadata.labels.as_ref()?.get(key).map(String::as_str),
        };
        let equal = selector.match_labels.iter().flatten();
        let is_equal = equal.into_iter().all(|(key, value)| label(key) == Some(value));
        let expressions = selector.match_expressions.iter().flatten();
        let holds = expressions.into_iter().all(|expression| {
            let value = label(&expression.key);
            let listed = |value| expression.values.iter().flatten().any(|one| one == value);
            match expression.operator.as_str() {
                "In" => value.is_some_and(listed),
                "NotIn" => !value.is_some_and(listed),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        });
        if is_equal && holds { Allowed::Yes } else { Allowed::No }
    }
}
