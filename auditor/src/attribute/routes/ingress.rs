//! Rules from Ingresses: what all controllers share, and which dialect an Ingress is read in.
//!
//! The Ingress API leaves much to controllers, and they take more. What is the same everywhere is read here: classes, hosts,
//! backends, the order of objects, default backends. What paths mean, and which comes first, is a matter of the [`Dialect`].

mod contour;
mod dialect;
mod f5;
mod nginx;
mod plain;
mod traefik;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend};

use super::building::{self, Building, by_age};
use super::class::{Classes, Served};
use super::group::{Defaults, Group, Name, Served as ServedListener};
use super::host::RuleHost;
use super::path::BadPath;
use super::problem::{Place, ProblemKind};
use super::scope;
use super::{Backend, Besides, ObjectKind, ObjectRef, Options, PathType, PortRef, Route, Target};
use crate::attribute::objects::{ObjectName, Objects};
pub use dialect::{Dialect, NotADialect};
pub use traefik::RuleError;

/// The longest path of a rule, in bytes; nginx takes no longer a configuration token.
const MAX_PATH: usize = 4_096;

/// A path of an Ingress, as declared.
struct Declared<'o> {
    object: ObjectRef,
    ingress: &'o Ingress,
    rule: usize,
    part: usize,
    host: RuleHost,
    written_host: Option<Arc<str>>,
    path_type: PathType,
    /// As written, `/` where nothing is.
    path: &'o str,
    backend: Backend,
    /// Its place in the order of age, of objects and within one.
    age: u64,
}

impl Declared<'_> {
    fn place(&self) -> Place<'_> {
        Place { object: &self.object, rule: Some(self.rule), part: Some(self.part) }
    }

    /// The value of an annotation.
    fn annotation(&self, name: &str) -> Option<&str> {
        annotation(self.ingress, name)
    }

    /// The route, to this target.
    fn route(&self, target: Target) -> Arc<Route> {
        self.route_with(target, Besides::default())
    }

    fn route_with(&self, target: Target, besides: Besides) -> Arc<Route> {
        Arc::new(Route {
            object: Some(self.object.clone()),
            rule: u32::try_from(self.rule).ok(),
            host: self.written_host.clone(),
            path: Some(self.ingress_path().into()),
            path_type: Some(self.path_type),
            target,
            mirrors: Box::default(),
            besides,
        })
    }

    fn ingress_path(&self) -> &str {
        let rules = self.ingress.spec.as_ref().and_then(|spec| spec.rules.as_ref());
        let http = rules.and_then(|rules| rules.get(self.rule)?.http.as_ref());
        http.and_then(|http| http.paths.get(self.part)?.path.as_deref()).unwrap_or_default()
    }
}

fn annotation<'o>(ingress: &'o Ingress, name: &str) -> Option<&'o str> {
    ingress.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// Everything that the Ingresses of one dialect declare.
#[derive(Default)]
struct Declarations<'o> {
    paths: Vec<Declared<'o>>,
    rules: scope::Builder,
    defaults: Defaults,
    /// The default backend of the oldest Ingress with a rule for a host, if it has one.
    first_defaults: BTreeMap<RuleHost, Option<Arc<Route>>>,
    /// The Ingresses themselves, the oldest first.
    ingresses: Vec<&'o Ingress>,
}

pub(super) fn build(objects: &Objects, options: &Options, building: &mut Building) {
    let classes = Classes::new(&objects.classes);
    let mut dialects: BTreeMap<Dialect, Declarations<'_>> = BTreeMap::new();
    for ingress in by_age(&objects.ingresses, |ingress| &ingress.metadata) {
        match classes.served(ingress, &options.classes) {
            Served::Yes => {
                building.served += 1;
                let of_class = || Dialect::of(classes.controller(ingress)?);
                let dialect = options.dialect.or_else(of_class).unwrap_or_default();
                let only_paths = dialect == Dialect::IngressNginx && nginx::is_canary(ingress);
                dialects.entry(dialect).or_default().ingress(ingress, only_paths, building);
            }
            verdict => {
                building.others += 1;
                if verdict == Served::Dangling {
                    let object = building::object(ObjectKind::Ingress, &ingress.metadata);
                    building.problems.add(Place::whole(&object), ProblemKind::NoSuchClass);
                }
            }
        }
    }
    let controller = options.default_backend.as_ref().map(|(service, port)| {
        let backend = Backend::Service { service: service.clone(), port: port.clone() };
        default_route(None, backend)
    });
    // The controller's own default backend, and its own kinds, are there without any Ingress.
    if dialects.is_empty() && controller.is_some() {
        dialects.entry(options.dialect.unwrap_or_default()).or_default();
    }
    let own =
        [(Dialect::Traefik, objects.ingress_routes.len()), (Dialect::Contour, objects.http_proxies.len())];
    for (dialect, count) in own {
        if count > 0 && options.dialect.is_none_or(|only| only == dialect) {
            dialects.entry(dialect).or_default();
        }
    }
    for (dialect, mut declared) in dialects {
        if matches!(dialect, Dialect::Standard | Dialect::IngressNginx) {
            nginx::passthrough(&declared, building);
        }
        declared.defaults.controller.clone_from(&controller);
        let group = dialect.group(declared, objects, options, building);
        building.groups.push(group);
    }
}

fn default_route(object: Option<ObjectRef>, backend: Backend) -> Arc<Route> {
    Arc::new(Route {
        object,
        rule: None,
        host: None,
        path: None,
        path_type: None,
        target: backend.into(),
        mirrors: Box::default(),
        besides: Besides::default(),
    })
}

impl<'o> Declarations<'o> {
    /// `only_paths`: it declares neither hosts nor defaults.
    fn ingress(&mut self, ingress: &'o Ingress, only_paths: bool, building: &mut Building) {
        if !only_paths {
            self.ingresses.push(ingress);
        }
        let Some(spec) = &ingress.spec else { return };
        let object = building::object(ObjectKind::Ingress, &ingress.metadata);
        let rules = spec.rules.as_deref().unwrap_or_default();
        let default = spec.default_backend.as_ref().map(|backend| {
            let backend = self::backend(Place::whole(&object), backend, building);
            default_route(Some(object.clone()), backend)
        });
        if let Some(default) = default.as_ref().filter(|_| !only_paths) {
            self.defaults.any.get_or_insert_with(|| Arc::clone(default));
            if rules.is_empty() {
                self.defaults.catch_all.get_or_insert_with(|| Arc::clone(default));
            }
        }
        for (number, rule) in rules.iter().enumerate() {
            let written = rule.host.as_deref().unwrap_or_default();
            let place = Place::whole(&object).rule(number);
            let host = match RuleHost::new(written) {
                Ok(host) => host,
                Err(bad) => {
                    building.problems.add(place, bad.into());
                    continue;
                }
            };
            let written_host: Option<Arc<str>> = (host != RuleHost::Any).then(|| written.into());
            // A rule without paths still makes the host known: its requests are for the default backend.
            if !only_paths {
                self.rules.host(&host, default.as_ref());
                self.first_defaults.entry(host.clone()).or_insert_with(|| default.clone());
            }
            let paths = rule.http.as_ref().map(|http| http.paths.as_slice()).unwrap_or_default();
            for (part, path) in paths.iter().enumerate() {
                let place = place.part(part);
                let (path_type, written) = match read(path) {
                    Ok(read) => read,
                    Err(kind) => {
                        building.problems.add(place, kind);
                        continue;
                    }
                };
                self.paths.push(Declared {
                    backend: backend(place, &path.backend, building),
                    object: object.clone(),
                    ingress,
                    rule: number,
                    part,
                    host: host.clone(),
                    written_host: written_host.clone(),
                    path_type,
                    path: written,
                    age: self.paths.len() as u64,
                });
            }
        }
    }
}

/// A group of one listener, which takes everything.
fn group(dialect: Dialect, scope: scope::Scope, defaults: Defaults, paths_differ: bool) -> Group {
    let name = Name { gateway: None, listener: dialect.as_str().into() };
    Group {
        tls: None,
        port: None,
        listeners: vec![ServedListener { name, hostname: RuleHost::Any, scope }],
        by_server_name: false,
        defaults,
        paths_differ,
    }
}

fn backend(place: Place<'_>, backend: &IngressBackend, building: &mut Building) -> Backend {
    let namespace = &place.object.name.namespace;
    let read = match (&backend.service, &backend.resource) {
        (Some(service), None) => service.port.as_ref().and_then(|port| {
            let port = match (port.name.as_deref(), port.number) {
                (None | Some(""), Some(number)) => PortRef::Number(building::port(number.into())?),
                (Some(name), None | Some(0)) if !name.is_empty() => PortRef::Name(name.into()),
                _ => return None,
            };
            let service = ObjectName { namespace: Arc::clone(namespace), name: service.name.as_str().into() };
            Some(Backend::Service { service, port })
        }),
        (None, Some(resource)) => Some(Backend::Resource {
            kind: resource.kind.as_str().into(),
            name: resource.name.as_str().into(),
        }),
        _ => None,
    };
    read.unwrap_or_else(|| {
        building.problems.add(place, ProblemKind::Backend);
        Backend::Invalid
    })
}

/// What every controller demands of a path.
fn read(path: &HTTPIngressPath) -> Result<(PathType, &str), ProblemKind> {
    let path_type = match path.path_type.as_str() {
        "Exact" => PathType::Exact,
        "Prefix" => PathType::Prefix,
        "ImplementationSpecific" => PathType::ImplementationSpecific,
        _ => return Err(ProblemKind::PathType),
    };
    let written = match path.path.as_deref() {
        None | Some("") if path_type == PathType::ImplementationSpecific => "/",
        written => written.unwrap_or_default(),
    };
    if written.len() > MAX_PATH {
        return Err(ProblemKind::PathTooLong);
    }
    if !written.starts_with('/') {
        return Err(BadPath::NoPath.into());
    }
    if path_type != PathType::ImplementationSpecific && !is_valid(written) {
        return Err(ProblemKind::PathForm);
    }
    Ok((path_type, written))
}

/// What the API server demands of Exact and Prefix paths (`validateIngressRuleValue` in pkg/apis/networking/validation).
fn is_valid(path: &str) -> bool {
    !["//", "/./", "/../", "%2f", "%2F"].iter().any(|bad| path.contains(bad))
        && !["/..", "/."].iter().any(|bad| path.ends_with(bad))
}
