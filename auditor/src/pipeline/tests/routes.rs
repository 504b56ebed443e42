//! Routes of requests: what they are matched by reaches the matcher, and what it says reaches the event.

use super::*;
use crate::attribute::manifests;
use crate::attribute::routes::Options;

/// At the port where the legs are: requests with `x-canary: yes` are for `canary`, whose endpoint the backend is; others for
/// `stable`, and one with a parameter is redirected.
const MANIFESTS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: shop}
spec: {gatewayClassName: c, listeners: [{name: web, port: 443, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{name: gw}]
  hostnames: ['*.example.com']
  rules:
  - {matches: [{path: {value: /cart}, headers: [{name: x-canary, value: 'yes'}]}], backendRefs: [{name: canary, port: 80}]}
  - {matches: [{path: {value: /cart}}], backendRefs: [{name: stable, port: 80}]}
  - {matches: [{path: {value: /cart}, queryParams: [{name: moved, value: '1'}]}], filters: [{type: RequestRedirect}]}
---
{apiVersion: v1, kind: Service, metadata: {name: stable, namespace: shop}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: canary, namespace: shop}, spec: {ports: [{port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: canary, namespace: shop, labels: {kubernetes.io/service-name: canary}}
addressType: IPv4
ports: [{port: 8443}]
endpoints: [{addresses: [10.9.0.1]}]
";

fn judged(target: &str, field: &str) -> Value {
    let objects = manifests::parse(std::path::Path::new("test.yaml"), MANIFESTS.as_bytes()).unwrap();
    let mut rig = Rig::new();
    rig.pipeline.set_attribution(Arc::new(Attribution::new(&objects, &Options::default())));
    let [mut client, mut backend] = [rig.leg(11, How::Passive), rig.leg(12, How::Active)];
    let request = format!("GET {target} HTTP/1.1\r\nHost: shop.example.com\r\n{field}\r\n");
    rig.carry(&mut client, true, request.as_bytes());
    rig.carry(&mut backend, true, request.as_bytes());
    rig.carry(&mut backend, false, OK.as_bytes());
    rig.carry(&mut client, false, OK.as_bytes());
    rig.later();
    rig.close(&backend);
    rig.close(&client);
    rig.of_kind("http.request").next().unwrap().clone()
}

#[test]
fn fields_and_parameters_choose_the_rule() {
    let canary = judged("/cart", "X-Canary: yes\r\n");
    assert_eq!(canary["agrees"], "yes", "{canary:#}");
    let route = &canary["route"];
    let named = [
        ("kind", "HTTPRoute"),
        ("namespace", "shop"),
        ("name", "web"),
        ("service", "canary"),
        ("port", "80"),
    ];
    for (key, expected) in named {
        assert_eq!(route[key], expected, "{key}");
    }
    let shown = [("host", "*.example.com"), ("path", "/cart"), ("path_type", "Prefix"), ("matched", "rule")];
    for (key, expected) in shown {
        assert_eq!(route[key], expected, "{key}");
    }
    let stable = judged("/cart", "X-Canary: no\r\n");
    assert_eq!((&stable["route"]["service"], &stable["agrees"]), (&"stable".into(), &"no".into()));
    assert_eq!(
        stable["observation"]["notes"][0],
        "route: other_service: declared shop/stable:80, observed shop/canary at 10.9.0.1:8443"
    );
    let moved = judged("/cart?moved=1", "");
    assert_eq!((&moved["route"]["service"], &moved["agrees"]), (&Value::Null, &"no".into()));
    let nothing = judged("/other", "");
    assert_eq!((&nothing["route"]["matched"], &nothing["agrees"]), (&"none".into(), &"no".into()));
}
