//! What kinds of objects there are.

/// A kind, as discovery tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its group; empty for the core group.
    pub group: String,
    /// Its version.
    pub version: String,
    /// Its name in paths.
    pub plural: String,
    /// Its name in objects.
    pub kind: String,
    /// Whether its objects belong to namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// One.
    #[must_use]
    pub fn new(group: &str, version: &str, plural: &str, kind: &str, namespaced: bool) -> Self {
        let [group, version, plural, kind] = [group, version, plural, kind].map(str::to_owned);
        Self { group, version, plural, kind, namespaced }
    }

    /// As objects write it: `v1`, `networking.k8s.io/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// As people and messages of the API write it: `pods`, `ingresses.networking.k8s.io`.
    #[must_use]
    pub fn name(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// What clusters serve that route by more than Ingresses: Gateway API, and Traefik's and Contour's own.
    #[must_use]
    pub fn of_routes() -> Vec<Self> {
        let gateway =
            |plural, kind, namespaced| Self::new("gateway.networking.k8s.io", "v1", plural, kind, namespaced);
        vec![
            gateway("gatewayclasses", "GatewayClass", false),
            gateway("gateways", "Gateway", true),
            gateway("httproutes", "HTTPRoute", true),
            gateway("grpcroutes", "GRPCRoute", true),
            gateway("tlsroutes", "TLSRoute", true),
            gateway("referencegrants", "ReferenceGrant", true),
            Self::new("traefik.io", "v1alpha1", "ingressroutes", "IngressRoute", true),
            Self::new("projectcontour.io", "v1", "httpproxies", "HTTPProxy", true),
        ]
    }

    /// What every cluster serves, of what the tests use.
    pub(super) fn built_in() -> Vec<Self> {
        vec![
            Self::new("", "v1", "configmaps", "ConfigMap", true),
            Self::new("", "v1", "namespaces", "Namespace", false),
            Self::new("", "v1", "nodes", "Node", false),
            Self::new("", "v1", "pods", "Pod", true),
            Self::new("", "v1", "secrets", "Secret", true),
            Self::new("", "v1", "services", "Service", true),
            Self::new("coordination.k8s.io", "v1", "leases", "Lease", true),
            Self::new("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true),
            Self::new("networking.k8s.io", "v1", "ingressclasses", "IngressClass", false),
            Self::new("networking.k8s.io", "v1", "ingresses", "Ingress", true),
        ]
    }
}
