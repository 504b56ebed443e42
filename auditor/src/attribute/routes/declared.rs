//! What objects declare: routes, and where their requests go.

use std::fmt;
use std::sync::Arc;

use crate::attribute::objects::ObjectName;

/// A kind of object that declares routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// `networking.k8s.io`.
    Ingress,
    /// `gateway.networking.k8s.io`.
    Gateway,
    /// `gateway.networking.k8s.io`.
    HttpRoute,
    /// `gateway.networking.k8s.io`.
    GrpcRoute,
    /// `gateway.networking.k8s.io`.
    TlsRoute,
    /// `traefik.io`.
    IngressRoute,
    /// `projectcontour.io`.
    HttpProxy,
}

impl ObjectKind {
    /// As manifests write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::Gateway => "Gateway",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::TlsRoute => "TLSRoute",
            Self::IngressRoute => "IngressRoute",
            Self::HttpProxy => "HTTPProxy",
        }
    }
}

/// An object that declares routes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name.
    pub name: ObjectName,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// A rule or a default backend, and what becomes of its requests.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// The object that declares it; none for the controller's own default backend.
    pub object: Option<ObjectRef>,
    /// Which of the object's rules, from 0; none for default backends.
    pub rule: Option<u32>,
    /// The rule's host, as written; none for any host, and for default backends.
    pub host: Option<Arc<str>>,
    /// The rule's path, as written; none for any path, and for default backends.
    pub path: Option<Arc<str>>,
    /// How the path matches; none without one.
    pub path_type: Option<PathType>,
    /// What becomes of its requests.
    pub target: Target,
    /// Who gets a copy of its requests.
    pub mirrors: Box<[Backend]>,
    /// What else the object declares for some of its requests.
    pub besides: Besides,
}

/// What an object declares for those of a rule's requests that are not served as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Besides {
    /// The status of the redirect to HTTPS that those get that come in the clear. Whether they do is up to the controller's
    /// settings, too.
    pub https: Option<u16>,
    /// The Service that serves while the rule's own has no ready endpoint; any of its ports.
    pub fallback: Option<ObjectName>,
}

impl Route {
    /// The backends that may serve its requests: those with a share. None if the controller answers itself.
    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        let weighted = match &self.target {
            Target::Backends(weighted) => &**weighted,
            Target::Redirect(_) | Target::Respond(_) => &[],
        };
        weighted.iter().filter(|weighted| weighted.weight > 0).map(|weighted| &weighted.backend)
    }

    /// The backend, if there is exactly one.
    #[must_use]
    pub fn backend(&self) -> Option<&Backend> {
        let mut backends = self.backends();
        backends.next().filter(|_| backends.next().is_none())
    }
}

/// What becomes of a rule's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// They are forwarded to one of these, by their shares.
    Backends(Box<[Weighted]>),
    /// The controller redirects them itself, with this status.
    Redirect(u16),
    /// The controller answers them itself, with this status.
    Respond(u16),
}

impl From<Backend> for Target {
    fn from(backend: Backend) -> Self {
        Self::Backends(Box::new([Weighted { backend, weight: 1 }]))
    }
}

/// A backend with its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted {
    /// The backend.
    pub backend: Backend,
    /// Its share of the sum of all; with 0 it gets nothing.
    pub weight: u32,
}

/// How a rule's path matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathType {
    /// The whole path, case-sensitive.
    Exact,
    /// Element by element from the start.
    Prefix,
    /// Up to the controller; matched here as its dialect does it, and as [`PathType::Prefix`] where that is not known.
    ImplementationSpecific,
    /// A regular expression.
    RegularExpression,
}

impl PathType {
    /// As manifests write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "Exact",
            Self::Prefix => "Prefix",
            Self::ImplementationSpecific => "ImplementationSpecific",
            Self::RegularExpression => "RegularExpression",
        }
    }
}

/// What a rule refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A Service.
    Service {
        /// Which.
        service: ObjectName,
        /// Which of its ports.
        port: PortRef,
    },
    /// Some other object; which endpoints it means only the controller knows.
    Resource {
        /// Its kind.
        kind: Arc<str>,
        /// Its name.
        name: Arc<str>,
    },
    /// A Service in another namespace that nothing grants: its requests are refused.
    NotGranted {
        /// Which.
        service: ObjectName,
        /// Which of its ports.
        port: PortRef,
    },
    /// None that makes sense; see the problems of the [`Routes`](super::Routes).
    Invalid,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { service, port } => write!(f, "{service}:{port}"),
            Self::NotGranted { service, port } => write!(f, "{service}:{port} (not granted)"),
            Self::Resource { kind, name } => write!(f, "{kind} {name}"),
            Self::Invalid => f.write_str("(invalid)"),
        }
    }
}

/// A port of a Service, as a rule names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortRef {
    /// By the Service's port number.
    Number(u16),
    /// By the Service port's name.
    Name(Arc<str>),
}

impl fmt::Display for PortRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}
