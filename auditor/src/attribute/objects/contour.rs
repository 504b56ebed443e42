//! Kinds of Contour (`projectcontour.io/v1`), as far as routing reads them.

use serde::Deserialize;

super::custom::kinds! {
    "projectcontour.io", "v1";
    /// Rules for HTTP of one host, or a part of them that another object includes.
    HttpProxy("HTTPProxy", "httpproxies", Namespaced) { spec: HttpProxySpec }
}

/// Of an `HTTPProxy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpProxySpec {
    /// Whose it is.
    pub ingress_class_name: Option<String>,
    /// The host, for one that is a root.
    pub virtualhost: Option<VirtualHost>,
    /// Its rules.
    pub routes: Vec<Route>,
    /// What else belongs to it.
    pub includes: Vec<Include>,
    /// What is not HTTP: TLS that is passed on, or its content as it is.
    pub tcpproxy: Option<TcpProxy>,
}

/// The host of a root.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VirtualHost {
    /// Its name; `*.` in front stands for one label.
    pub fqdn: String,
    /// How TLS is ended; none is taken without.
    pub tls: Option<Tls>,
}

/// TLS of a host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tls {
    /// Whether it is passed on.
    pub passthrough: bool,
}

/// Another object whose rules belong here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Include {
    /// Its name.
    pub name: String,
    /// Its namespace; the own one without.
    pub namespace: Option<String>,
    /// What is added to each of its rules' conditions.
    pub conditions: Vec<Condition>,
}

/// What a request must be; of several all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// How its path starts.
    pub prefix: Option<String>,
    /// Its path.
    pub exact: Option<String>,
    /// A regular expression for its path.
    pub regex: Option<String>,
    /// A field.
    pub header: Option<NamedCondition>,
    /// A parameter of its query.
    pub query_parameter: Option<NamedCondition>,
}

/// What something named must be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamedCondition {
    /// The field or parameter.
    pub name: String,
    /// There.
    pub present: bool,
    /// Not there (fields only).
    pub notpresent: bool,
    /// Holds this.
    pub contains: Option<String>,
    /// Does not hold this (fields only).
    pub notcontains: Option<String>,
    /// Is this.
    pub exact: Option<String>,
    /// Is not this (fields only).
    pub notexact: Option<String>,
    /// Starts with this (parameters only).
    pub prefix: Option<String>,
    /// Ends with this (parameters only).
    pub suffix: Option<String>,
    /// Is like this.
    pub regex: Option<String>,
    /// The case of letters does not matter.
    #[serde(rename = "ignoreCase")]
    pub ignore_case: bool,
    /// A field that is not there is an empty one.
    #[serde(rename = "treatMissingAsEmpty")]
    pub treat_missing_as_empty: bool,
}

/// A rule of an `HTTPProxy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Route {
    /// What a request must be.
    pub conditions: Vec<Condition>,
    /// Where to.
    pub services: Vec<Service>,
    /// Whether it may be asked in the clear although the host has TLS.
    pub permit_insecure: bool,
    /// A redirect instead of forwarding.
    pub request_redirect_policy: Option<Redirect>,
    /// An answer instead of forwarding.
    pub direct_response_policy: Option<Direct>,
}

/// A redirect.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Redirect {
    /// 302 without.
    pub status_code: Option<u16>,
}

/// An answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Direct {
    /// Its status.
    pub status_code: u16,
}

/// Where requests go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: i32,
    /// Its share; equal ones where none has any.
    pub weight: i64,
    /// Gets a copy, and does not answer.
    pub mirror: bool,
}

/// What is not HTTP.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TcpProxy {
    /// Where to.
    pub services: Vec<Service>,
}
