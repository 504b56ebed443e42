//! Pods as the projects' own charts and manifests make them, and pods that look like them.

use serde_json::{Value, json};

use super::*;

/// A pod of these labels and containers (name, image, command line).
fn pod(labels: &[(&str, &str)], containers: &[(&str, &str, &str)]) -> Value {
    let labels: serde_json::Map<String, Value> =
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    let containers: Vec<Value> = containers
        .iter()
        .map(|(name, image, words)| json!({"name": name, "image": image, "args": words.split_whitespace().collect::<Vec<_>>()}))
        .collect();
    json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": labels},
        "spec": {"containers": containers},
    })
}

fn with(mut pod: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    pod.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value);
    pod
}

fn read(pod: Value) -> Pod {
    serde_json::from_value(pod).unwrap()
}

#[track_caller]
fn check(pod: Value, expected: Option<(ControllerKind, &str)>) {
    let found = recognise(&read(pod), &[]);
    let found = found.as_ref().map(|found| (found.kind, found.container.as_deref().unwrap_or("")));
    assert_eq!(found, expected);
}

#[track_caller]
fn is(pod: Value, kind: ControllerKind, container: &str) {
    check(pod, Some((kind, container)));
}

#[track_caller]
fn is_none(pod: Value) {
    check(pod, None);
}

/// kubernetes/ingress-nginx, deploy/static/provider/kind/deploy.yaml; rancher/rke2-charts, rke2-ingress-nginx.
#[test]
fn ingress_nginx() {
    let labels =
        |component| [("app.kubernetes.io/name", "ingress-nginx"), ("app.kubernetes.io/component", component)];
    let image = "registry.k8s.io/ingress-nginx/controller:v1.12.1@sha256:d2fbc4ec";
    is(
        pod(&labels("controller"), &[("controller", image, "/nginx-ingress-controller")]),
        ControllerKind::IngressNginx,
        "controller",
    );
    is(
        pod(&[], &[("x", "corp:5000/m/ingress-nginx/controller-chroot:1", "")]),
        ControllerKind::IngressNginx,
        "x",
    );
    is(
        pod(&labels("controller"), &[("controller", "corp:5000/renamed:1", "")]),
        ControllerKind::IngressNginx,
        "controller",
    );
    let rke2 =
        [("app.kubernetes.io/name", "rke2-ingress-nginx"), ("app.kubernetes.io/component", "controller")];
    let container =
        ("rke2-ingress-nginx-controller", "rancher/nginx-ingress-controller:v1.12.1-hardened1", "");
    is(pod(&rke2, &[container]), ControllerKind::IngressNginx, "rke2-ingress-nginx-controller");
    is_none(pod(
        &labels("default-backend"),
        &[("default-backend", "registry.k8s.io/defaultbackend-amd64:1.5", "")],
    ));
    let certgen = ("create", "registry.k8s.io/ingress-nginx/kube-webhook-certgen:v1.5.2", "create");
    is_none(pod(&labels("admission-webhook"), &[certgen]));
}

/// nginxinc/kubernetes-ingress, deployments/deployment and charts/nginx-ingress.
#[test]
fn f5_nginx() {
    is(
        pod(&[("app", "nginx-ingress")], &[("nginx-ingress", "nginx/nginx-ingress:5.0.0", "")]),
        ControllerKind::NginxIngress,
        "nginx-ingress",
    );
    let plus = "private-registry.nginx.com/nginx-ic/nginx-plus-ingress:5.0.0";
    is(
        pod(&[("app", "nginx-ingress")], &[("nginx-plus-ingress", plus, "-nginx-plus")]),
        ControllerKind::NginxIngress,
        "nginx-plus-ingress",
    );
    let chart = [("app.kubernetes.io/name", "nginx-ingress"), ("app.kubernetes.io/instance", "x")];
    is(pod(&chart, &[("nginx-ingress", "corp/renamed", "")]), ControllerKind::NginxIngress, "nginx-ingress");
    is_none(pod(&[("app", "nginx")], &[("nginx", "nginx:1.29", "")]));
}

/// nginx/nginx-gateway-fabric, internal/controller/provisioner/objects.go and deploy/default/deploy.yaml.
#[test]
fn nginx_gateway_fabric() {
    let labels = [("gateway.networking.k8s.io/gateway-name", "web"), ("app.kubernetes.io/name", "web-nginx")];
    let data = ("nginx", "ghcr.io/nginx/nginx-gateway-fabric/nginx:2.1.0", "");
    is(pod(&labels, &[data]), ControllerKind::NginxGatewayFabric, "nginx");
    is(
        pod(&labels, &[("nginx", "private-registry.nginx.com/nginx-gateway-fabric/nginx-plus:2.1.0", "")]),
        ControllerKind::NginxGatewayFabric,
        "nginx",
    );
    let control = ("nginx-gateway", "ghcr.io/nginx/nginx-gateway-fabric:2.1.0", "controller");
    is_none(pod(&[("app.kubernetes.io/name", "nginx-gateway-fabric")], &[control]));
    // Before 2.0 both were in one pod.
    is(pod(&[], &[control, data]), ControllerKind::NginxGatewayFabric, "nginx");
}

/// traefik/traefik-helm-chart, traefik/templates/_podtemplate.tpl; k3s manifests/traefik.yaml.
#[test]
fn traefik() {
    let labels = [("app.kubernetes.io/name", "traefik"), ("app.kubernetes.io/managed-by", "Helm")];
    is(pod(&labels, &[("traefik", "docker.io/traefik:v3.5.0", "")]), ControllerKind::Traefik, "traefik");
    is(
        pod(&labels, &[("release-traefik", "rancher/mirrored-library-traefik:3.3.6", "")]),
        ControllerKind::Traefik,
        "release-traefik",
    );
    is_none(pod(&[("app", "whoami")], &[("whoami", "traefik/whoami", "")]));
    let helm = pod(
        &[("helmcharts.helm.cattle.io/chart", "traefik")],
        &[("helm", "rancher/klipper-helm:v0.9", "install")],
    );
    is_none(helm);
}

/// haproxytech/kubernetes-ingress, deploy/haproxy-ingress.yaml; jcmoraisjr/haproxy-ingress, docs/haproxy-ingress.yaml. Both
/// have the label `run: haproxy-ingress` and a container of that name.
#[test]
fn haproxy() {
    let labels = [("run", "haproxy-ingress")];
    is(
        pod(&labels, &[("haproxy-ingress", "haproxytech/kubernetes-ingress", "--configmap=a/b")]),
        ControllerKind::HaproxyTech,
        "haproxy-ingress",
    );
    is(
        pod(&labels, &[("haproxy-ingress", "quay.io/jcmoraisjr/haproxy-ingress", "")]),
        ControllerKind::HaproxyIngress,
        "haproxy-ingress",
    );
    let chart = [("app.kubernetes.io/name", "kubernetes-ingress")];
    is(
        pod(&chart, &[("kubernetes-ingress-controller", "corp/renamed", "")]),
        ControllerKind::HaproxyTech,
        "kubernetes-ingress-controller",
    );
    is_none(pod(
        &[("run", "ingress-default-backend")],
        &[("b", "gcr.io/google_containers/defaultbackend:1.0", "")],
    ));
}

/// projectcontour/contour, examples/contour/03-envoy.yaml and 03-contour.yaml.
#[test]
fn contour() {
    let contour = "ghcr.io/projectcontour/contour:v1.33.0";
    let envoy = ("envoy", "docker.io/envoyproxy/envoy:distroless-v1.35.8", "-c /config/envoy.json");
    let beside = ("shutdown-manager", contour, "envoy shutdown-manager");
    is(pod(&[("app", "envoy")], &[beside, envoy]), ControllerKind::Contour, "envoy");
    let init = with(
        pod(&[("app", "envoy")], &[envoy]),
        "/spec/initContainers",
        json!([{"name": "envoy-initconfig", "image": contour}]),
    );
    is(init, ControllerKind::Contour, "envoy");
    is_none(pod(&[("app", "contour")], &[("contour", contour, "serve --incluster")]));
    is_none(pod(&[("app", "envoy")], &[envoy]));
}

/// envoyproxy/gateway, internal/infrastructure/kubernetes/proxy/testdata/deployments/default.yaml and gateway-helm.
#[test]
fn envoy_gateway() {
    let labels = [
        ("app.kubernetes.io/component", "proxy"),
        ("app.kubernetes.io/managed-by", "envoy-gateway"),
        ("app.kubernetes.io/name", "envoy"),
        ("gateway.envoyproxy.io/owning-gateway-name", "default"),
    ];
    let envoy = ("envoy", "docker.io/envoyproxy/envoy:distroless-v1.34.1", "");
    let manager = ("shutdown-manager", "docker.io/envoyproxy/gateway-dev:latest", "envoy shutdown-manager");
    is(pod(&labels, &[envoy, manager]), ControllerKind::EnvoyGateway, "envoy");
    let merged = [("gateway.envoyproxy.io/owning-gatewayclass", "merged")];
    is(pod(&merged, &[envoy, manager]), ControllerKind::EnvoyGateway, "envoy");
    let control = ("envoy-gateway", "docker.io/envoyproxy/gateway:v1.5.0", "server");
    is_none(pod(
        &[("control-plane", "envoy-gateway"), ("app.kubernetes.io/name", "gateway-helm")],
        &[control],
    ));
    let limits =
        [("app.kubernetes.io/component", "ratelimit"), ("app.kubernetes.io/managed-by", "envoy-gateway")];
    is_none(pod(&limits, &[("envoy-ratelimit", "docker.io/envoyproxy/ratelimit:master", "")]));
}

/// istio/istio, manifests/charts/gateway/templates/deployment.yaml and pilot's templates for waypoints and sidecars.
#[test]
fn istio() {
    let proxy = ("istio-proxy", "docker.io/istio/proxyv2:1.27.0", "proxy router --domain x");
    is(
        pod(&[("istio", "ingressgateway")], &[("istio-proxy", "auto", "")]),
        ControllerKind::Istio,
        "istio-proxy",
    );
    is(pod(&[], &[proxy]), ControllerKind::Istio, "istio-proxy");
    let templates = |list: &str| json!({"inject.istio.io/templates": list});
    let injected = |list| {
        with(pod(&[("istio", "x")], &[("istio-proxy", "auto", "")]), "/metadata/annotations", templates(list))
    };
    is(injected("gateway"), ControllerKind::Istio, "istio-proxy");
    is(injected("corp, gateway"), ControllerKind::Istio, "istio-proxy");
    is_none(injected("sidecar"));
    let made = [
        ("gateway.istio.io/managed", "istio.io-gateway-controller"),
        ("gateway.networking.k8s.io/gateway-name", "web"),
    ];
    is(pod(&made, &[proxy]), ControllerKind::Istio, "istio-proxy");
    let sidecar = ("istio-proxy", "docker.io/istio/proxyv2:1.27.0", "proxy sidecar --domain x");
    is_none(pod(&[("app", "shop")], &[("shop", "shop:1", ""), sidecar]));
    is_none(pod(&[("app", "istiod")], &[("discovery", "docker.io/istio/pilot:1.27.0", "discovery")]));
    // An ingress controller in the mesh stays what it is.
    let meshed = [("controller", "registry.k8s.io/ingress-nginx/controller:v1", ""), sidecar];
    is(pod(&[], &meshed), ControllerKind::IngressNginx, "controller");
}

/// Kong/kubernetes-ingress-controller, config/base/kong-ingress-dbless.yaml; Kong/charts, charts/kong and charts/ingress.
#[test]
fn kong() {
    let proxy = ("proxy", "kong:3.9", "");
    let controller = ("ingress-controller", "kong/kubernetes-ingress-controller:3.5", "");
    is(pod(&[("app", "ingress-kong")], &[proxy, controller]), ControllerKind::Kong, "proxy");
    is(pod(&[], &[("proxy", "kong/kong-gateway:3.11", "")]), ControllerKind::Kong, "proxy");
    let chart = [("app.kubernetes.io/name", "kong"), ("app.kubernetes.io/component", "app")];
    is(pod(&chart, &[controller, ("proxy", "corp/renamed", "")]), ControllerKind::Kong, "proxy");
    is_none(pod(&chart, &[controller]));
}

/// apache/apisix-helm-chart, charts/apisix/templates/_pod.tpl and charts/apisix-ingress-controller.
#[test]
fn apisix() {
    is(
        pod(&[("app.kubernetes.io/name", "apisix")], &[("apisix", "apache/apisix:3.13.0-ubuntu", "")]),
        ControllerKind::Apisix,
        "apisix",
    );
    let controller = ("manager", "apache/apisix-ingress-controller:2.0.0", "");
    is_none(pod(&[("app.kubernetes.io/name", "apisix-ingress-controller")], &[controller]));
}

/// emissary-ingress/emissary, charts/emissary-ingress/templates.
#[test]
fn emissary() {
    let image = "ghcr.io/emissary-ingress/emissary:4.0.0";
    let labels = [("app.kubernetes.io/name", "emissary-ingress"), ("product", "aes")];
    is(pod(&labels, &[("emissary-ingress", image, "")]), ControllerKind::Emissary, "emissary-ingress");
    is_none(pod(
        &[("app.kubernetes.io/name", "emissary-apiext")],
        &[("emissary-apiext", image, "apiext emissary-apiext")],
    ));
}

/// caddyserver/ingress, kubernetes/generated/deployment.yaml and charts/caddy-ingress-controller.
#[test]
fn caddy() {
    let made = pod(
        &[("app", "caddyIngressController")],
        &[("caddyingresscontroller", "caddy/ingresscontroller", "")],
    );
    is(made, ControllerKind::Caddy, "caddyingresscontroller");
    is(pod(&[], &[("c", "caddy/ingress:v0.2.2", "")]), ControllerKind::Caddy, "c");
    is_none(pod(&[], &[("caddy", "caddy:2", "file-server")]));
}

/// cilium/cilium, install/kubernetes/cilium/templates/cilium-envoy/daemonset.yaml.
#[test]
fn cilium() {
    let envoy = ("cilium-envoy", "quay.io/cilium/cilium-envoy:v1.34@sha256:00", "-c /x --base-id 0");
    is(pod(&[("k8s-app", "cilium-envoy")], &[envoy]), ControllerKind::Cilium, "cilium-envoy");
    is_none(pod(&[("k8s-app", "cilium")], &[("cilium-agent", "quay.io/cilium/cilium:v1.18.0", "")]));
}

#[test]
fn any_pod_that_was_made_for_a_gateway() {
    let labels = [("gateway.networking.k8s.io/gateway-name", "web")];
    is(pod(&labels, &[("proxy", "example.com/proxy:1", "")]), ControllerKind::Gateway, "proxy");
    is(
        pod(&labels, &[("a", "example.com/a:1", ""), ("b", "example.com/b:1", "")]),
        ControllerKind::Gateway,
        "",
    );
    let found = recognise(&read(pod(&labels, &[("proxy", "p", "")])), &[]).unwrap();
    let gateway = |found: &Controller| found.classes.gateway.clone();
    let named = |namespace: &str, name: &str| Some((namespace.to_owned(), name.to_owned()));
    assert_eq!(gateway(&found), named(&found.namespace, "web"));
    // Envoy Gateway's pods are in a namespace of its own.
    let labels =
        ["name", "namespace"].map(|what| (format!("gateway.envoyproxy.io/owning-gateway-{what}"), what));
    let labels: Vec<(&str, &str)> = labels.iter().map(|(label, value)| (label.as_str(), *value)).collect();
    let found = recognise(&read(pod(&labels, &[("envoy", "envoyproxy/envoy:v1.35.0", "")])), &[]).unwrap();
    assert_eq!(gateway(&found), named("namespace", "name"));
}

#[test]
fn pods_that_carry_nothing() {
    let controller = || pod(&[], &[("controller", "registry.k8s.io/ingress-nginx/controller:v1", "")]);
    is(controller(), ControllerKind::IngressNginx, "controller");
    let job = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u"}]);
    is_none(with(controller(), "/metadata/ownerReferences", job));
    is(
        with(controller(), "/status", json!({"phase": "Pending"})),
        ControllerKind::IngressNginx,
        "controller",
    );
    is_none(with(controller(), "/status", json!({"phase": "Succeeded"})));
    is_none(with(controller(), "/status", json!({"phase": "Failed"})));
    is_none(pod(&[], &[]));
    is_none(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}}));
    // What has no name cannot be told of, and what has no uid has no cgroup.
    is_none(with(controller(), "/metadata", json!({"name": "p", "namespace": "n"})));
    is_none(with(controller(), "/metadata", json!({"uid": "u"})));
}

#[test]
fn pods_that_the_configuration_names() {
    let own =
        pod(&[("app", "edge"), ("tier", "a")], &[("side", "s", ""), ("edge", "example.com/edge:1", "")]);
    let named = |labels: &[(&str, &str)], namespace: Option<&str>| Named {
        kind: ControllerKind::Contour,
        namespace: namespace.map(str::to_owned),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    let kind = |named: Named| recognise(&read(own.clone()), &[named]).map(|found| found.kind);
    assert_eq!(kind(named(&[("app", "edge")], None)), Some(ControllerKind::Contour));
    assert_eq!(kind(named(&[("app", "edge"), ("tier", "a")], Some("n"))), Some(ControllerKind::Contour));
    assert_eq!(kind(named(&[("app", "edge"), ("tier", "b")], None)), None);
    assert_eq!(kind(named(&[("app", "edge")], Some("other"))), None);
    assert_eq!(kind(named(&[], None)), None);
}

/// kubernetes, `pkg/kubelet/config/common.go` and `pkg/kubelet/pod/mirror_client.go`: the mirror's own uid names no cgroup.
#[test]
fn static_pods_have_another_uid() {
    let uid = |annotations: Value| {
        let pod = pod(&[], &[("controller", "registry.k8s.io/ingress-nginx/controller:v1", "")]);
        recognise(&read(with(pod, "/metadata/annotations", annotations)), &[]).unwrap().uid
    };
    let hash = "1273d1de42583755a199d1bd4af0cc6f";
    assert_eq!(uid(json!({})), "u");
    assert_eq!(uid(json!({"kubernetes.io/config.hash": hash, "kubernetes.io/config.mirror": hash})), hash);
    // Anybody can set one of them on an ordinary pod.
    assert_eq!(uid(json!({"kubernetes.io/config.hash": hash})), "u");
}

#[test]
fn classes_by_the_command_line() {
    #[track_caller]
    fn check(kind: ControllerKind, words: &str, names: &[&str], controllers: &[&str], require_class: bool) {
        let words: Vec<&str> = words.split_whitespace().collect();
        let own = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let expected =
            Classes { names: own(names), controllers: own(controllers), require_class, ..Classes::default() };
        assert_eq!(class::classes(kind, &words), expected, "{words:?}");
    }
    let nginx = ControllerKind::IngressNginx;
    check(nginx, "/nginx-ingress-controller", &["nginx"], &["k8s.io/ingress-nginx"], true);
    check(nginx, "--ingress-class=a --controller-class k8s.io/b", &["a"], &["k8s.io/b"], true);
    check(nginx, "--watch-ingress-without-class=true", &["nginx"], &["k8s.io/ingress-nginx"], false);
    check(
        nginx,
        "--watch-ingress-without-class --ingress-class=$(C)",
        &["nginx"],
        &["k8s.io/ingress-nginx"],
        false,
    );
    check(ControllerKind::NginxIngress, "-ingress-class=own", &["own"], &[], true);
    let traefik = ControllerKind::Traefik;
    check(
        traefik,
        "--providers.kubernetesIngress.ingressClass=int",
        &["int"],
        &["traefik.io/ingress-controller"],
        false,
    );
    check(traefik, "--providers.kubernetesingress", &[], &["traefik.io/ingress-controller"], false);
    let haproxy = ControllerKind::HaproxyIngress;
    check(
        haproxy,
        "--controller-class=own",
        &["haproxy"],
        &["haproxy-ingress.github.io/controller/own"],
        true,
    );
}

#[test]
fn every_kind_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<&str> =
        ControllerKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), ControllerKind::ALL.len());
    for kind in ControllerKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), json!(kind.name()));
    }
}
