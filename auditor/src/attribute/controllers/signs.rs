//! By what each product is recognised.
//!
//! Images and labels are those of the projects' own charts and manifests; the tests name where each is from.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::{ControllerKind, GATEWAY_NAME, OWNING_GATEWAY, image, words};

/// The containers that carry a product's traffic, and the labels of its pods.
struct Sign {
    kind: ControllerKind,
    /// Ends of the paths of images.
    images: &'static [&'static str],
    /// One set of labels is enough, and all of it is needed.
    labels: &'static [&'static [(&'static str, &'static str)]],
    /// Names of the container, where the image does not say.
    containers: &'static [&'static str],
}

const NAME: &str = "app.kubernetes.io/name";
const COMPONENT: &str = "app.kubernetes.io/component";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const OWNING_CLASS: &str = "gateway.envoyproxy.io/owning-gatewayclass";

/// Images of control planes that share a name, a label or a pod with what carries traffic, and carry none themselves.
const CONTROL: &[&str] = &[
    "projectcontour/contour",
    "bitnami/contour",
    "envoyproxy/gateway*",
    "kong/kubernetes-ingress-controller",
    "kong/nightly-ingress-controller",
    "apisix-ingress-controller",
    "apisix-dashboard",
    "nginx/nginx-gateway-fabric",
    "nginxinc/nginx-gateway-fabric",
    "defaultbackend*",
    "kube-webhook-certgen",
    "istio/pilot",
    "ambassador-agent",
];

const SIGNS: &[Sign] = &[
    Sign {
        kind: ControllerKind::IngressNginx,
        images: &["ingress-nginx/controller*", "nginx-ingress-controller", "nginx-ingress-controller-*"],
        labels: &[
            &[(NAME, "ingress-nginx"), (COMPONENT, "controller")],
            &[(NAME, "rke2-ingress-nginx"), (COMPONENT, "controller")],
        ],
        containers: &["controller", "rke2-ingress-nginx-controller"],
    },
    Sign {
        kind: ControllerKind::NginxIngress,
        images: &[
            "nginx/nginx-ingress",
            "nginx-ic/nginx-plus-ingress",
            "nginx-ic*/nginx-plus-ingress",
            "nginx/kubernetes-ingress",
            "nginxinc/kubernetes-ingress",
        ],
        labels: &[&[(NAME, "nginx-ingress")]],
        containers: &["nginx-ingress", "nginx-plus-ingress"],
    },
    Sign {
        kind: ControllerKind::NginxGatewayFabric,
        images: &["nginx-gateway-fabric/nginx*"],
        labels: &[],
        containers: &["nginx"],
    },
    Sign {
        kind: ControllerKind::Traefik,
        images: &["traefik", "traefik-hub", "mirrored-library-traefik", "traefikee"],
        labels: &[&[(NAME, "traefik")]],
        containers: &["traefik"],
    },
    Sign {
        kind: ControllerKind::HaproxyTech,
        images: &["haproxytech/kubernetes-ingress", "hapee-ingress"],
        labels: &[&[(NAME, "kubernetes-ingress")]],
        containers: &["kubernetes-ingress-controller", "haproxy-ingress"],
    },
    Sign {
        kind: ControllerKind::HaproxyIngress,
        images: &["haproxy-ingress"],
        labels: &[&[(NAME, "haproxy-ingress")]],
        containers: &["haproxy-ingress", "haproxy"],
    },
    Sign {
        kind: ControllerKind::Kong,
        images: &["kong", "kong-gateway*"],
        labels: &[
            &[("gateway-operator.konghq.com/managed-by", "dataplane")],
            &[(NAME, "kong"), (COMPONENT, "app")],
        ],
        containers: &["proxy"],
    },
    Sign {
        kind: ControllerKind::Apisix,
        images: &["apisix"],
        labels: &[&[(NAME, "apisix")]],
        containers: &["apisix"],
    },
    Sign {
        kind: ControllerKind::Emissary,
        images: &[
            "emissary-ingress/emissary",
            "emissaryingress/emissary",
            "datawire/aes",
            "datawire/ambassador",
            "ambassador/aes",
        ],
        labels: &[&[(NAME, "emissary-ingress")], &[(NAME, "edge-stack")], &[("product", "aes")]],
        containers: &["ambassador", "aes", "emissary-ingress"],
    },
    Sign {
        kind: ControllerKind::Caddy,
        images: &["caddy/ingress", "caddy/ingresscontroller"],
        labels: &[&[(NAME, "caddy-ingress-controller")], &[("app", "caddyIngressController")]],
        containers: &["caddy-ingress-controller", "caddyingresscontroller"],
    },
    Sign {
        kind: ControllerKind::Cilium,
        images: &["cilium/cilium-envoy"],
        labels: &[&[("k8s-app", "cilium-envoy")]],
        containers: &["cilium-envoy"],
    },
    // Their data plane is Envoy with an image that others use as well: by labels, and by what stands beside it.
    Sign { kind: ControllerKind::EnvoyGateway, images: &[], labels: &[], containers: &["envoy"] },
    Sign { kind: ControllerKind::Contour, images: &[], labels: &[], containers: &["envoy"] },
    Sign { kind: ControllerKind::Istio, images: &[], labels: &[], containers: &["istio-proxy"] },
];

/// What a pod is, and which of its containers carries the traffic.
pub(super) fn recognise<'p>(pod: &Pod, spec: &'p PodSpec) -> Option<(ControllerKind, Option<&'p Container>)> {
    let carriers = || spec.containers.iter().filter(|container| !is_control(container));
    let kind = envoy(pod, spec)
        .or_else(|| {
            let of_image = |container: &Container| {
                SIGNS.iter().find(|sign| sign.has_image(container)).map(|sign| sign.kind)
            };
            carriers().find_map(of_image)
        })
        // What carries the traffic is not there where all that is there is known to carry none.
        .or_else(|| {
            carriers().next()?;
            SIGNS.iter().find(|sign| sign.has_labels(pod)).map(|sign| sign.kind)
        })
        .or_else(|| label(pod, GATEWAY_NAME).map(|_| ControllerKind::Gateway))?;
    Some((kind, container_of(kind, &spec.containers)))
}

/// The container that carries the traffic: by its image, else by its name, else the only one that may.
pub(super) fn container_of(kind: ControllerKind, containers: &[Container]) -> Option<&Container> {
    let sign = SIGNS.iter().find(|sign| sign.kind == kind);
    let mut carriers = containers.iter().filter(|container| !is_control(container));
    let by_image = sign.and_then(|sign| carriers.clone().find(|container| sign.has_image(container)));
    let by_name = || {
        let names = sign.map(|sign| sign.containers).unwrap_or_default();
        names.iter().find_map(|name| carriers.clone().find(|container| container.name == *name))
    };
    by_image.or_else(by_name).or_else(|| carriers.next().filter(|_| carriers.next().is_none()))
}

/// Products whose data plane is Envoy.
fn envoy(pod: &Pod, spec: &PodSpec) -> Option<ControllerKind> {
    let has = |key: &str, value: &str| label(pod, key) == Some(value);
    let named = |name: &str| spec.containers.iter().find(|container| container.name == name);
    // Envoy Gateway: internal/gatewayapi/helpers.go, GatewayOwnerLabels; merged gateways have a class for their owner.
    let owned = label(pod, OWNING_GATEWAY).or_else(|| label(pod, OWNING_CLASS)).is_some();
    if owned || (has(MANAGED_BY, "envoy-gateway") && has(COMPONENT, "proxy")) {
        return Some(ControllerKind::EnvoyGateway);
    }
    // Istio: a gateway's proxy is told that it is a router, and whoever is only given a sidecar is no gateway.
    if let Some(proxy) = named("istio-proxy") {
        let template = pod.metadata.annotations.as_ref().and_then(|all| all.get("inject.istio.io/templates"));
        let is_template = template.is_some_and(|list| list.split(',').any(|name| name.trim() == "gateway"));
        let is_router = words(proxy).windows(2).any(|pair| pair == ["proxy", "router"]);
        let is_labelled = has("istio", "ingressgateway") || label(pod, "gateway.istio.io/managed").is_some();
        return (is_template || is_router || is_labelled).then_some(ControllerKind::Istio);
    }
    // Contour: its Envoy has Contour's own image beside it, for the bootstrap and for the shutdown.
    let all = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let of = |container: &Container, suffix| {
        container.image.as_deref().is_some_and(|image| image::is(image, suffix))
    };
    let by_contour =
        all().any(|container| of(container, "projectcontour/contour") || of(container, "contour"));
    let carries = named("envoy").is_some_and(|envoy| !is_control(envoy));
    (by_contour && carries).then_some(ControllerKind::Contour)
}

fn is_control(container: &Container) -> bool {
    let image = container.image.as_deref().unwrap_or_default();
    // Emissary's conversion webhook runs the same image as its proxy.
    CONTROL.iter().any(|suffix| image::is(image, suffix)) || words(container).contains(&"apiext")
}

fn label<'p>(pod: &'p Pod, key: &str) -> Option<&'p str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

impl Sign {
    fn has_image(&self, container: &Container) -> bool {
        container
            .image
            .as_deref()
            .is_some_and(|image| self.images.iter().any(|suffix| image::is(image, suffix)))
    }

    fn has_labels(&self, pod: &Pod) -> bool {
        self.labels.iter().any(|set| set.iter().all(|(key, value)| label(pod, key) == Some(*value)))
    }
}
