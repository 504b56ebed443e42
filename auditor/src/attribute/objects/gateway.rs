//! Kinds of Gateway API (`gateway.networking.k8s.io`, v1), as far as routing reads them.
//!
//! Defaults that the API server writes (`kubebuilder:default` in apis/v1) are not relied on: manifests have not been
//! through it, so whoever reads an absent field applies them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

super::custom::kinds! {
    "gateway.networking.k8s.io", "v1";
    /// A class of Gateways.
    GatewayClass("GatewayClass", "gatewayclasses", Cluster) { spec: GatewayClassSpec }
    /// Listeners of a data plane.
    Gateway("Gateway", "gateways", Namespaced) { spec: GatewaySpec }
    /// Rules for HTTP.
    HttpRoute("HTTPRoute", "httproutes", Namespaced) { spec: RouteSpec<HttpRule> }
    /// Rules for gRPC.
    GrpcRoute("GRPCRoute", "grpcroutes", Namespaced) { spec: RouteSpec<GrpcRule> }
    /// Rules for TLS, by server name.
    TlsRoute("TLSRoute", "tlsroutes", Namespaced) { spec: RouteSpec<TlsRule> }
    /// What other namespaces may refer to in this one.
    ReferenceGrant("ReferenceGrant", "referencegrants", Namespaced) { spec: GrantSpec }
}

/// Of a `GatewayClass`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClassSpec {
    /// Who serves the class's Gateways.
    pub controller_name: String,
}

/// Of a Gateway.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewaySpec {
    /// Its class.
    pub gateway_class_name: String,
    /// Its listeners.
    pub listeners: Vec<Listener>,
}

/// Where a Gateway takes connections.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Listener {
    /// Its name in the Gateway.
    pub name: String,
    /// The only host it is for.
    pub hostname: Option<String>,
    /// Its port.
    pub port: i32,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP`, `UDP`.
    pub protocol: String,
    /// How TLS is ended.
    pub tls: Option<ListenerTls>,
    /// Which routes may attach.
    pub allowed_routes: Option<AllowedRoutes>,
}

/// How a listener ends TLS.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListenerTls {
    /// `Terminate` (the default) or `Passthrough`.
    pub mode: Option<String>,
}

/// Which routes may attach to a listener.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AllowedRoutes {
    /// From where; the Gateway's own namespace without.
    pub namespaces: Option<RouteNamespaces>,
    /// Of which kinds; those of the protocol without.
    pub kinds: Vec<RouteGroupKind>,
}

/// From which namespaces.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RouteNamespaces {
    /// `All`, `Same` (the default), `Selector`, `None`.
    pub from: Option<String>,
    /// The namespaces' labels, with `Selector`.
    pub selector: Option<LabelSelector>,
}

/// A kind of route.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RouteGroupKind {
    /// Its group; that of Gateway API without.
    pub group: Option<String>,
    /// Its name.
    pub kind: String,
}

/// Of a route, whatever its rules.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default, bound = "R: Deserialize<'de>")]
pub struct RouteSpec<R> {
    /// What it attaches to.
    pub parent_refs: Vec<ParentReference>,
    /// Which hosts it is for; all of its listeners' without.
    pub hostnames: Vec<String>,
    /// Its rules; none stands for one that matches everything.
    pub rules: Option<Vec<R>>,
}

impl<R> Default for RouteSpec<R> {
    fn default() -> Self {
        Self { parent_refs: Vec::new(), hostnames: Vec::new(), rules: None }
    }
}

/// What a route attaches to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParentReference {
    /// Its group; that of Gateway API without.
    pub group: Option<String>,
    /// Its kind; `Gateway` without.
    pub kind: Option<String>,
    /// Its namespace; the route's own without.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Only this listener.
    pub section_name: Option<String>,
    /// Only listeners at this port.
    pub port: Option<i32>,
}

/// A rule of an `HTTPRoute`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRule {
    /// Any of these; everything without.
    pub matches: Vec<HttpMatch>,
    /// What is done beside forwarding, or instead of it.
    pub filters: Vec<Filter>,
    /// Where to.
    pub backend_refs: Vec<BackendRef>,
}

/// What a request must be: all of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpMatch {
    /// Its path; the prefix `/` without.
    pub path: Option<ValueMatch>,
    /// Its fields.
    pub headers: Vec<NamedMatch>,
    /// Parameters of its query.
    pub query_params: Vec<NamedMatch>,
    /// Its method.
    pub method: Option<String>,
}

/// A value and how it is compared.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ValueMatch {
    /// How; for paths `PathPrefix` without.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// With what; for paths `/` without.
    pub value: Option<String>,
}

/// The value of something named, and how it is compared.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamedMatch {
    /// How; `Exact` without.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// The field or parameter.
    pub name: String,
    /// With what.
    pub value: String,
}

/// What is done beside forwarding, or instead of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Filter {
    /// Which.
    #[serde(rename = "type")]
    pub type_: String,
    /// The answer, with `RequestRedirect`.
    pub request_redirect: Option<Redirect>,
    /// Who gets a copy, with `RequestMirror`.
    pub request_mirror: Option<Mirror>,
}

/// A redirect.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Redirect {
    /// 302 without.
    pub status_code: Option<u16>,
}

/// Who gets a copy of a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mirror {
    /// Where it is sent.
    pub backend_ref: BackendRef,
}

/// Where requests go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BackendRef {
    /// Its group; the core one without.
    pub group: Option<String>,
    /// Its kind; `Service` without.
    pub kind: Option<String>,
    /// Its name.
    pub name: String,
    /// Its namespace; the route's own without.
    pub namespace: Option<String>,
    /// Its port.
    pub port: Option<i32>,
    /// Its share; 1 without.
    pub weight: Option<i64>,
    /// What is done beside forwarding, or instead of it.
    pub filters: Vec<Filter>,
}

/// A rule of a `GRPCRoute`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRule {
    /// Any of these; everything without.
    pub matches: Vec<GrpcMatch>,
    /// What is done beside forwarding.
    pub filters: Vec<Filter>,
    /// Where to.
    pub backend_refs: Vec<BackendRef>,
}

/// What a call must be: all of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GrpcMatch {
    /// Its service and method.
    pub method: Option<GrpcMethod>,
    /// Its fields.
    pub headers: Vec<NamedMatch>,
}

/// A service and a method of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GrpcMethod {
    /// How they are compared; `Exact` without.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// The service; any without.
    pub service: Option<String>,
    /// The method; any without.
    pub method: Option<String>,
}

/// A rule of a `TLSRoute`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsRule {
    /// Where to.
    pub backend_refs: Vec<BackendRef>,
}

/// Of a `ReferenceGrant`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GrantSpec {
    /// Who may refer.
    pub from: Vec<GrantFrom>,
    /// To what.
    pub to: Vec<GrantTo>,
}

/// Who may refer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GrantFrom {
    /// A kind's group.
    pub group: String,
    /// A kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
}

/// To what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GrantTo {
    /// A kind's group; empty for the core one.
    pub group: String,
    /// A kind.
    pub kind: String,
    /// Only the one of this name.
    pub name: Option<String>,
}
