//! The Kubernetes objects that attribution is built from, whatever brought them: files, or a watch.
//!
//! They are transient: [`super::index::Index`] and [`super::routes::Routes`] keep only what matching needs. Kinds of the
//! API server itself are those of `k8s-openapi`; of custom resources there are own types, pruned to what routing reads
//! ([`custom`]).

pub mod contour;
pub mod custom;
pub mod gateway;
pub mod traefik;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};

use contour::HttpProxy;
use gateway::{Gateway, GatewayClass, GrpcRoute, HttpRoute, ReferenceGrant, TlsRoute};
use traefik::IngressRoute;

/// Kinds that are counted by name among the ignored ones; further kinds are counted together.
pub const MAX_IGNORED_KINDS: usize = 64;

/// The longest name of a kind that is kept in that count, in bytes.
const MAX_KIND: usize = 128;

/// One state of the cluster. Names are present, and a namespaced object has a namespace.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Ingresses.
    pub ingresses: Vec<Ingress>,
    /// Ingress classes.
    pub classes: Vec<IngressClass>,
    /// Services.
    pub services: Vec<Service>,
    /// Endpoint slices.
    pub slices: Vec<EndpointSlice>,
    /// Pods.
    pub pods: Vec<Pod>,
    /// Namespaces, for their labels.
    pub namespaces: Vec<Namespace>,
    /// Classes of Gateways.
    pub gateway_classes: Vec<GatewayClass>,
    /// Gateways.
    pub gateways: Vec<Gateway>,
    /// Routes of HTTP (Gateway API).
    pub http_routes: Vec<HttpRoute>,
    /// Routes of gRPC (Gateway API).
    pub grpc_routes: Vec<GrpcRoute>,
    /// Routes of TLS by server name (Gateway API).
    pub tls_routes: Vec<TlsRoute>,
    /// What may be referred to from other namespaces (Gateway API).
    pub grants: Vec<ReferenceGrant>,
    /// Routes of Traefik.
    pub ingress_routes: Vec<IngressRoute>,
    /// Routes of Contour.
    pub http_proxies: Vec<HttpProxy>,
    /// Documents of other kinds.
    pub ignored: Ignored,
}

impl Objects {
    /// How many objects there are, the ignored ones not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        let native = [
            self.ingresses.len(),
            self.classes.len(),
            self.services.len(),
            self.slices.len(),
            self.pods.len(),
            self.namespaces.len(),
        ];
        let custom = [
            self.gateway_classes.len(),
            self.gateways.len(),
            self.http_routes.len(),
            self.grpc_routes.len(),
            self.tls_routes.len(),
            self.grants.len(),
            self.ingress_routes.len(),
            self.http_proxies.len(),
        ];
        native.into_iter().chain(custom).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What was read and not used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Documents by kind, at most [`MAX_IGNORED_KINDS`] kinds.
    pub by_kind: BTreeMap<String, u64>,
    /// Documents of any further kind.
    pub others: u64,
}

impl Ignored {
    /// Counts a document.
    pub fn count(&mut self, kind: &str) {
        if let Some(count) = self.by_kind.get_mut(kind) {
            *count += 1;
        } else if self.by_kind.len() < MAX_IGNORED_KINDS && kind.len() <= MAX_KIND {
            self.by_kind.insert(kind.to_owned(), 1);
        } else {
            self.others += 1;
        }
    }
}

/// A namespaced object's name. Cloning shares the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
