//! Which controller's reading of Ingresses applies.

use std::str::FromStr;

use super::{Declarations, contour, f5, nginx, plain, traefik};
use crate::attribute::objects::Objects;
use crate::attribute::routes::Options;
use crate::attribute::routes::building::Building;
use crate::attribute::routes::group::Group;

/// A controller's reading of Ingresses, and of its own kinds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Dialect {
    /// What the Ingress API says, and nothing more; for controllers that are not known.
    #[default]
    Standard,
    /// `kubernetes/ingress-nginx`.
    IngressNginx,
    /// `nginx/kubernetes-ingress`, of F5.
    F5Nginx,
    /// Traefik, with its `IngressRoute`.
    Traefik,
    /// `haproxytech/kubernetes-ingress`.
    HaproxyTech,
    /// `jcmoraisjr/haproxy-ingress`.
    HaproxyIngress,
    /// Contour, with its `HTTPProxy`.
    Contour,
    /// Kong.
    Kong,
    /// Cilium.
    Cilium,
    /// Istio.
    Istio,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Standard,
        Self::IngressNginx,
        Self::F5Nginx,
        Self::Traefik,
        Self::HaproxyTech,
        Self::HaproxyIngress,
        Self::Contour,
        Self::Kong,
        Self::Cilium,
        Self::Istio,
    ];

    /// Its name, as configuration and arguments write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::IngressNginx => "ingress-nginx",
            Self::F5Nginx => "f5-nginx",
            Self::Traefik => "traefik",
            Self::HaproxyTech => "haproxytech",
            Self::HaproxyIngress => "haproxy-ingress",
            Self::Contour => "contour",
            Self::Kong => "kong",
            Self::Cilium => "cilium",
            Self::Istio => "istio",
        }
    }

    /// That of a class's `spec.controller`, as the controllers document it.
    #[must_use]
    pub fn of(controller: &str) -> Option<Self> {
        // Several instances of a controller tell themselves apart behind a slash.
        let is = |name: &str| {
            controller.strip_prefix(name).is_some_and(|rest| matches!(rest.as_bytes(), [] | [b'/', ..]))
        };
        match controller {
            "k8s.io/ingress-nginx" => Some(Self::IngressNginx),
            "nginx.org/ingress-controller" => Some(Self::F5Nginx),
            "traefik.io/ingress-controller" => Some(Self::Traefik),
            _ if is("haproxy.org/ingress-controller") => Some(Self::HaproxyTech),
            _ if is("haproxy-ingress.github.io/controller") => Some(Self::HaproxyIngress),
            _ if is("projectcontour.io") => Some(Self::Contour),
            "ingress-controllers.konghq.com/kong" => Some(Self::Kong),
            "cilium.io/ingress-controller" => Some(Self::Cilium),
            "istio.io/ingress-controller" => Some(Self::Istio),
            _ => None,
        }
    }

    /// Whether its controller may serve Gateways of a class with this `controllerName`.
    pub(in crate::attribute::routes) fn may_serve(self, controller: &str) -> bool {
        let of = match controller.split_once('/').map_or(controller, |(group, _)| group) {
            "traefik.io" => Self::Traefik,
            "istio.io" => Self::Istio,
            "projectcontour.io" => Self::Contour,
            "io.cilium" => Self::Cilium,
            "konghq.com" => Self::Kong,
            "haproxy.org" => Self::HaproxyTech,
            "haproxy-ingress.github.io" => Self::HaproxyIngress,
            // Of these the Ingresses are another program's.
            "gateway.envoyproxy.io" | "gateway.nginx.org" => return self == Self::Standard,
            _ => return !matches!(self, Self::IngressNginx | Self::F5Nginx),
        };
        self == of || self == Self::Standard
    }

    /// The rules of everything that is declared in it.
    pub(super) fn group(
        self,
        mut declared: Declarations<'_>,
        objects: &Objects,
        options: &Options,
        building: &mut Building,
    ) -> Group {
        match self {
            Self::IngressNginx => nginx::group(declared, building),
            Self::Traefik => traefik::group(declared, objects, options, building),
            Self::F5Nginx => f5::group(declared, building),
            Self::Contour => {
                contour::proxies(objects, options, &mut declared.rules, building);
                plain::group(self, declared, options, building)
            }
            Self::Standard
            | Self::HaproxyTech
            | Self::HaproxyIngress
            | Self::Kong
            | Self::Cilium
            | Self::Istio => plain::group(self, declared, options, building),
        }
    }
}

/// No controller whose dialect is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADialect;

impl FromStr for Dialect {
    type Err = NotADialect;

    fn from_str(text: &str) -> Result<Self, NotADialect> {
        Self::ALL.into_iter().find(|dialect| dialect.as_str() == text).ok_or(NotADialect)
    }
}
