//! Manifests for a test: one Ingress whose paths lead to Services whose endpoints are given.
//!
//! Consumes routes, produces a directory of YAML for `auditor run --manifests`, removed with its guard.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

const FILE: &str = "objects.yaml";

/// One path of the Ingress.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// The host of its rule.
    pub host: &'a str,
    /// The path, of type Prefix.
    pub path: &'a str,
    /// The Service, which has one endpoint.
    pub service: &'a str,
    /// Where that endpoint listens.
    pub backend: SocketAddr,
}

/// A directory of manifests.
#[derive(Debug)]
pub struct Manifests {
    directory: TempDir,
}

impl Manifests {
    /// Writes an `IngressClass` for `controller` (`spec.controller`), and the routes: all in namespace `test`, Ingress `test`.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn write(controller: &str, routes: &[Route<'_>]) -> Result<Self> {
        let manifests = Self { directory: TempDir::new()? };
        manifests.replace(controller, routes)?;
        Ok(manifests)
    }

    /// Replaces them by those of other routes, at once.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn replace(&self, controller: &str, routes: &[Route<'_>]) -> Result<()> {
        let mut rules = String::new();
        let mut objects = String::new();
        for route in routes {
            let Route { host, path, service, backend } = route;
            write!(
                rules,
                "  - host: {host}\n    http:\n      paths:\n      - path: {path}\n        pathType: Prefix\n        \
                 backend: {{service: {{name: {service}, port: {{number: 80}}}}}}\n"
            )?;
            let family = if backend.is_ipv4() { "IPv4" } else { "IPv6" };
            let (address, port) = (backend.ip(), backend.port());
            write!(
                objects,
                "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {service}, namespace: test}}\nspec:\n  \
                 selector: {{app: {service}}}\n  ports: [{{name: http, port: 80, targetPort: {port}}}]\n\
                 ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {service}-1\n  \
                 namespace: test\n  labels: {{kubernetes.io/service-name: {service}}}\naddressType: {family}\n\
                 endpoints:\n- addresses: [\"{address}\"]\n  conditions: {{ready: true}}\n  \
                 targetRef: {{kind: Pod, name: {service}-0, namespace: test}}\n\
                 ports: [{{name: http, port: {port}, protocol: TCP}}]\n"
            )?;
        }
        let ingress = format!(
            "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: test}}\nspec:\n  \
             controller: {controller}\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\n\
             metadata: {{name: test, namespace: test}}\nspec:\n  ingressClassName: test\n  rules:\n{rules}"
        );
        self.replace_by(&(ingress + &objects))
    }

    /// Replaces them by `text`, whatever it is: one file, and at once.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn replace_by(&self, text: &str) -> Result<()> {
        // A name that is no manifest's, so that nothing is read half written.
        let new = self.directory.path().join("new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, self.directory.path().join(FILE))?)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}
