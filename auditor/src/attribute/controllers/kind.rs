//! The products that are known.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($variant:ident = $name:literal, $doc:literal, [$($controller:literal),*];)*) => {
        /// A product that carries ingress traffic.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ControllerKind { $(#[doc = $doc] #[serde(rename = $name)] $variant,)* }

        impl ControllerKind {
            /// All of them.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// Its name in events and in the configuration.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What classes name it by (`spec.controller` of `IngressClass`, `spec.controllerName` of `GatewayClass`). An
            /// instance of its own may follow after a slash.
            #[must_use]
            pub const fn class_controllers(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($controller),*],)* }
            }
        }
    };
}

kinds! {
    IngressNginx = "ingress-nginx", "Kubernetes' own, with nginx.", ["k8s.io/ingress-nginx"];
    NginxIngress = "nginx-ingress", "F5's, with nginx.", ["nginx.org/ingress-controller"];
    NginxGatewayFabric = "nginx-gateway-fabric", "F5's for Gateway API.", ["gateway.nginx.org/nginx-gateway-controller"];
    Traefik = "traefik", "Traefik.", ["traefik.io/ingress-controller", "traefik.io/gateway-controller"];
    HaproxyTech = "haproxytech", "The one of `HAProxy` Technologies.", ["haproxy.org/ingress-controller"];
    HaproxyIngress = "haproxy-ingress", "The community's, with `HAProxy`.", ["haproxy-ingress.github.io/controller"];
    Contour = "contour", "Contour's Envoy.", ["projectcontour.io/gateway-controller"];
    EnvoyGateway = "envoy-gateway", "Envoy Gateway's Envoy.", ["gateway.envoyproxy.io/gatewayclass-controller"];
    Istio = "istio", "Istio's gateways.", ["istio.io/ingress-controller", "istio.io/gateway-controller"];
    Kong = "kong", "Kong.", ["ingress-controllers.konghq.com/kong", "konghq.com/kic-gateway-controller"];
    Apisix = "apisix", "Apache APISIX.", ["apisix.apache.org/apisix-ingress-controller"];
    Emissary = "emissary", "Emissary-ingress and Ambassador Edge Stack.", ["getambassador.io/ingress-controller"];
    Caddy = "caddy", "Caddy's ingress controller.", ["caddy.io/ingress-controller"];
    Cilium = "cilium", "Cilium's Envoy.", ["cilium.io/ingress-controller", "io.cilium/gateway-controller"];
    Gateway = "gateway", "Another implementation of Gateway API.", [];
}

impl fmt::Display for ControllerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
