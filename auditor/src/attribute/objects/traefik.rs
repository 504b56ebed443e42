//! Kinds of Traefik (`traefik.io/v1alpha1`), as far as routing reads them.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;

super::custom::kinds! {
    "traefik.io", "v1alpha1";
    /// Rules for HTTP, in a language of their own.
    IngressRoute("IngressRoute", "ingressroutes", Namespaced) { spec: IngressRouteSpec }
}

/// Of an `IngressRoute`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressRouteSpec {
    /// Where it listens; the default ones without.
    pub entry_points: Vec<String>,
    /// Its rules.
    pub routes: Vec<Route>,
    /// Whether it is for TLS, which is then all that it is for.
    pub tls: Option<Tls>,
}

/// TLS of an `IngressRoute`; only whether there is one matters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Tls {}

/// A rule of an `IngressRoute`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Route {
    /// What a request must be.
    #[serde(rename = "match")]
    pub rule: String,
    /// Which comes first: the greater; the rule's length for 0.
    pub priority: i64,
    /// The version of the rule language: `v3` (the default) or `v2`.
    pub syntax: Option<String>,
    /// Where to.
    pub services: Vec<Service>,
    /// What is done before, by name.
    pub middlewares: Vec<Middleware>,
}

/// What is done with a request before it is forwarded; it may answer itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Middleware {
    /// Its name.
    pub name: String,
}

/// Where requests go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    /// `Service` (the default) or `TraefikService`.
    pub kind: Option<String>,
    /// Its name.
    pub name: String,
    /// Its namespace; the route's own without.
    pub namespace: Option<String>,
    /// Its port, by number or name.
    pub port: Option<IntOrString>,
    /// Its share; 1 without.
    pub weight: Option<i64>,
}
