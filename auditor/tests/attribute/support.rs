//! Short ways to write objects and to ask for decisions.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use auditor::attribute::manifests;
use auditor::attribute::objects::Objects;
use auditor::attribute::routes::{Backend, Decision, Options, Request, RequestPath, Route, Routes};

/// Objects from YAML.
#[track_caller]
pub(crate) fn objects(yaml: &str) -> Objects {
    match manifests::parse(Path::new("test.yaml"), yaml.as_bytes()) {
        Ok(objects) => objects,
        Err(error) => panic!("{error}\n{yaml}"),
    }
}

/// The routes of YAML, with nothing configured.
#[track_caller]
pub(crate) fn routes(yaml: &str) -> Routes {
    Routes::new(&objects(yaml), &Options::default())
}

/// An Ingress with these (host, path type, path, service) in this order.
pub(crate) fn ingress(name: &str, paths: &[(&str, &str, &str, &str)]) -> String {
    let mut yaml = format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  rules:\n"
    );
    for (host, path_type, path, service) in paths {
        let host = if host.is_empty() { String::new() } else { format!("host: {host:?}, ") };
        writeln!(
            yaml,
            "  - {{{host}http: {{paths: [{{path: {path:?}, pathType: {path_type}, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}"
        )
        .unwrap();
    }
    yaml
}

/// What becomes of a request.
pub(crate) fn decide(routes: &Routes, host: &str, path: &str) -> Decision {
    routes.decide(&Request::get(Some(host.as_bytes()), &RequestPath::new(path.as_bytes())))
}

/// The Service that a request is for.
pub(crate) fn service(decision: &Decision) -> Option<&str> {
    decision.route.as_deref().map(service_of)
}

/// The Service of a route.
pub(crate) fn service_of(route: &Route) -> &str {
    match route.backend() {
        Some(Backend::Service { service, .. }) => &service.name,
        Some(Backend::NotGranted { .. }) => "(not granted)",
        Some(Backend::Resource { .. }) => "(resource)",
        Some(Backend::Invalid) => "(invalid)",
        None => "(none or several)",
    }
}

/// A folder of the corpora; `None`, said aloud, where it is not at hand.
pub(crate) fn corpora(name: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("AUDITOR_CORPORA") {
        Some(root) => PathBuf::from(root),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora"),
    };
    let folder = root.join(name);
    if !folder.is_dir() {
        eprintln!("SKIPPED: {name} is not at {}", folder.display());
        return None;
    }
    Some(folder)
}
