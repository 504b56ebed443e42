//! From Ingress objects to [`Routes`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend};

use super::class::{Classes, Served};
use super::host::RuleHost;
use super::path::{self, BadPath};
use super::problem::{ProblemKind, Problems};
use super::table::Builder;
use super::{Backend, Options, PathType, PortRef, Route, Routes};
use crate::attribute::objects::{ObjectName, Objects};

/// The longest path of a rule, in bytes; nginx takes no longer a configuration token.
const MAX_PATH: usize = 4_096;

/// The annotation by which ingress-nginx passes TLS on to the Service behind the path `/` of each host, by the name that the
/// client asks for, as long as it runs with `--enable-ssl-passthrough`.
const PASSTHROUGH: &str = "nginx.ingress.kubernetes.io/ssl-passthrough";

pub(super) fn build(objects: &Objects, options: &Options) -> Routes {
    let classes = Classes::new(&objects.classes);
    let mut building = Building::default();
    let mut ingresses: Vec<&Ingress> = objects.ingresses.iter().collect();
    // One without a time of creation is as good as new.
    ingresses.sort_by_key(|ingress| {
        let metadata = &ingress.metadata;
        let time = metadata.creation_timestamp.as_ref();
        (time.is_none(), time, metadata.namespace.as_deref(), metadata.name.as_deref())
    });
    let (mut served, mut others) = (0, 0);
    for ingress in ingresses {
        let name = ObjectName {
            namespace: ingress.metadata.namespace.as_deref().unwrap_or_default().into(),
            name: ingress.metadata.name.as_deref().unwrap_or_default().into(),
        };
        match classes.served(ingress, &options.classes) {
            Served::Yes => {
                served += 1;
                building.ingress(&name, ingress);
            }
            verdict => {
                others += 1;
                if verdict == Served::Dangling {
                    building.problems.add(&name, None, None, ProblemKind::NoSuchClass);
                }
            }
        }
    }
    let controller_default = options.default_backend.as_ref().map(|(service, port)| {
        let backend = Backend::Service { service: service.clone(), port: port.clone() };
        Arc::new(Route { ingress: None, host: None, path: None, path_type: None, backend })
    });
    let mut routes = Routes {
        exact: HashMap::new(),
        wildcard: HashMap::new(),
        any: None,
        passthrough: HashMap::new(),
        catch_all: building.catch_all,
        any_default: building.any_default,
        controller_default,
        falls_through: options.falls_through,
        problems: building.problems.kept,
        problem_count: building.problems.count,
        served,
        others,
    };
    for (host, table) in building.tables {
        let passed = building.passthrough.get(&host) == Some(&true);
        match host {
            RuleHost::Exact(name) => {
                let table = table.build();
                if let Some(route) = table.find(b"/").filter(|_| passed) {
                    routes.passthrough.insert(name.as_str().into(), Arc::clone(route));
                }
                drop(routes.exact.insert(name.into(), table));
            }
            RuleHost::Wildcard(name) => drop(routes.wildcard.insert(name.into(), table.build())),
            RuleHost::Any => routes.any = Some(table.build()),
        }
    }
    routes
}

#[derive(Default)]
struct Building {
    tables: BTreeMap<RuleHost, Builder>,
    /// Whether TLS for a host is passed on: the oldest Ingress with a rule for it decides.
    passthrough: BTreeMap<RuleHost, bool>,
    catch_all: Option<Arc<Route>>,
    any_default: Option<Arc<Route>>,
    problems: Problems,
}

impl Building {
    fn ingress(&mut self, name: &ObjectName, ingress: &Ingress) {
        let Some(spec) = &ingress.spec else { return };
        let rules = spec.rules.as_deref().unwrap_or_default();
        let default = spec.default_backend.as_ref().map(|backend| {
            let backend = self.backend(name, None, None, backend);
            Arc::new(Route { ingress: Some(name.clone()), host: None, path: None, path_type: None, backend })
        });
        if let Some(default) = &default {
            self.any_default.get_or_insert_with(|| Arc::clone(default));
            if rules.is_empty() {
                self.catch_all.get_or_insert_with(|| Arc::clone(default));
            }
        }
        let annotations = ingress.metadata.annotations.as_ref();
        let passed = annotations.and_then(|all| all.get(PASSTHROUGH)).is_some_and(|value| value == "true");
        for (number, rule) in rules.iter().enumerate() {
            let written = rule.host.as_deref().unwrap_or_default();
            let host = match RuleHost::new(written) {
                Ok(host) => host,
                Err(bad) => {
                    self.problems.add(name, Some(number), None, bad.into());
                    continue;
                }
            };
            let written: Option<Arc<str>> = (host != RuleHost::Any).then(|| written.into());
            self.passthrough.entry(host.clone()).or_insert(passed);
            // A rule without paths still makes the host known: its requests are for the default backend.
            let table = self.tables.entry(host.clone()).or_default();
            if let Some(default) = &default {
                table.default_backend(default);
            }
            let paths = rule.http.as_ref().map(|http| http.paths.as_slice()).unwrap_or_default();
            for (index, path) in paths.iter().enumerate() {
                self.path(name, number, index, &host, written.as_ref(), path);
            }
        }
    }

    fn path(
        &mut self,
        name: &ObjectName,
        rule: usize,
        index: usize,
        host: &RuleHost,
        written_host: Option<&Arc<str>>,
        path: &HTTPIngressPath,
    ) {
        let (path_type, normal) = match read(path) {
            Ok(read) => read,
            Err(kind) => return self.problems.add(name, Some(rule), Some(index), kind),
        };
        let written = path.path.as_deref().unwrap_or_default();
        if path_type == PathType::ImplementationSpecific
            && written.contains(['(', '[', '*', '^', '$', '\\', '|', '+'])
        {
            self.problems.add(name, Some(rule), Some(index), ProblemKind::Pattern);
        }
        let backend = self.backend(name, Some(rule), Some(index), &path.backend);
        let route = Arc::new(Route {
            ingress: Some(name.clone()),
            host: written_host.cloned(),
            path: Some(written.into()),
            path_type: Some(path_type),
            backend,
        });
        let shadow = self.tables.entry(host.clone()).or_default().add(&normal, path_type, &route);
        let Some(shadow) = shadow else { return };
        let (Some(lost), Some(by)) = (&shadow.lost.ingress, shadow.by.ingress.clone()) else { return };
        let is_new = Arc::ptr_eq(&shadow.lost, &route);
        let place = if is_new { (Some(rule), Some(index)) } else { (None, None) };
        self.problems.add(lost, place.0, place.1, ProblemKind::Shadowed { by });
    }

    fn backend(
        &mut self,
        ingress: &ObjectName,
        rule: Option<usize>,
        path: Option<usize>,
        backend: &IngressBackend,
    ) -> Backend {
        let read = match (&backend.service, &backend.resource) {
            (Some(service), None) => service.port.as_ref().and_then(|port| {
                let port = match (port.name.as_deref(), port.number) {
                    (None | Some(""), Some(number)) => {
                        PortRef::Number(u16::try_from(number).ok().filter(|number| *number > 0)?)
                    }
                    (Some(name), None | Some(0)) if !name.is_empty() => PortRef::Name(name.into()),
                    _ => return None,
                };
                let service = ObjectName {
                    namespace: Arc::clone(&ingress.namespace),
                    name: service.name.as_str().into(),
                };
                Some(Backend::Service { service, port })
            }),
            (None, Some(resource)) => Some(Backend::Resource {
                kind: resource.kind.as_str().into(),
                name: resource.name.as_str().into(),
            }),
            _ => None,
        };
        read.unwrap_or_else(|| {
            self.problems.add(ingress, rule, path, ProblemKind::Backend);
            Backend::Invalid
        })
    }
}

/// A rule's path, normalised like a request's so that `/caf%C3%A9` means one thing on both sides.
fn read(path: &HTTPIngressPath) -> Result<(PathType, Vec<u8>), ProblemKind> {
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
    let normal = path::normalise_rule(written.as_bytes())?;
    Ok((path_type, normal))
}

/// What the API server demands of Exact and Prefix paths (`validateIngressRuleValue` in pkg/apis/networking/validation).
fn is_valid(path: &str) -> bool {
    !["//", "/./", "/../", "%2f", "%2F"].iter().any(|bad| path.contains(bad))
        && !["/..", "/."].iter().any(|bad| path.ends_with(bad))
}
