//! Whether what served is what was declared.

use auditor::attribute::index::Index;
use auditor::attribute::routes::{Options, Routes};
use auditor::attribute::verdict::{Answered, Observed, Verdict, judge};

use super::support::{decide, objects};

const CLUSTER: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules:
  - host: a.b
    http:
      paths:
      - {path: /cart, pathType: Prefix, backend: {service: {name: cart, port: {name: http}}}}
      - {path: /number, pathType: Prefix, backend: {service: {name: cart, port: {number: 80}}}}
      - {path: /noport, pathType: Prefix, backend: {service: {name: cart, port: {number: 99}}}}
      - {path: /empty, pathType: Prefix, backend: {service: {name: empty, port: {number: 80}}}}
      - {path: /ghost, pathType: Prefix, backend: {service: {name: ghost, port: {number: 80}}}}
      - {path: /away, pathType: Prefix, backend: {service: {name: away, port: {number: 80}}}}
      - {path: /bucket, pathType: Prefix, backend: {resource: {kind: Bucket, name: b}}}
      - {path: /broken, pathType: Prefix, backend: {}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart}, spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}, {name: admin, port: 81}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: twin}, spec: {ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: other}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: empty}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: away}, spec: {type: ExternalName, externalName: x.example, ports: [{port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: cart, labels: {kubernetes.io/service-name: cart}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: admin, port: 9000}]
endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, name: cart-a}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: another, labels: {kubernetes.io/service-name: twin}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, name: cart-a}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: other, labels: {kubernetes.io/service-name: other}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.0.0.2]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: empty, labels: {kubernetes.io/service-name: empty}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.0.0.3], conditions: {ready: false}}]
";

fn verdict(path: &str, backend: Option<&str>, answered: Answered) -> Verdict {
    let objects = objects(CLUSTER);
    let (routes, index) = (Routes::new(&objects, &Options::default()), Index::new(&objects));
    let backend = backend.map(|address| address.parse().unwrap());
    judge(&index, &decide(&routes, "a.b", path), Observed { backend, answered })
}

#[test]
fn with_a_backend() {
    for (path, backend, agrees, reason) in [
        ("/cart", "10.0.0.1:8080", "yes", "endpoint"),
        ("/number", "10.0.0.1:8080", "yes", "endpoint"),
        ("/cart", "10.96.0.1:80", "yes", "service_address"),
        ("/cart", "10.96.0.1:81", "no", "other_port"),
        ("/cart", "10.0.0.1:9000", "no", "other_port"),
        ("/cart", "10.0.0.2:8080", "no", "other_service"),
        ("/cart", "10.0.0.9:8080", "unknown", "unknown_address"),
        ("/noport", "10.0.0.1:8080", "unknown", "no_such_port"),
        ("/noport", "10.0.0.2:8080", "no", "other_service"),
        ("/empty", "10.0.0.3:8080", "yes", "endpoint"),
        ("/ghost", "10.0.0.2:8080", "unknown", "no_such_service"),
        ("/away", "10.0.0.2:8080", "unknown", "external_name"),
        ("/bucket", "10.0.0.2:8080", "unknown", "resource_backend"),
        ("/broken", "10.0.0.2:8080", "unknown", "invalid_backend"),
        ("/nothing", "10.0.0.2:8080", "no", "forwarded_without_rule"),
        ("/nothing", "127.0.0.1:8181", "unknown", "unknown_address"),
        ("/../x", "10.0.0.2:8080", "unknown", "bad_path"),
    ] {
        let agreement = verdict(path, Some(backend), Answered::Backend).agreement;
        assert_eq!((agreement.as_str(), agreement.reason()), (agrees, reason), "{path} {backend}");
    }
}

#[test]
fn without_a_backend() {
    let controller = |status| Answered::Controller { status };
    for (path, answered, agrees, reason) in [
        ("/nothing", controller(404), "yes", "no_rule"),
        ("/nothing", controller(200), "unknown", "controller_answered"),
        ("/../x", controller(400), "yes", "no_rule"),
        ("/cart", controller(308), "yes", "redirect"),
        ("/cart", controller(403), "unknown", "controller_answered"),
        ("/cart", controller(503), "unknown", "controller_error"),
        ("/empty", controller(503), "yes", "no_ready_endpoint"),
        ("/ghost", controller(503), "unknown", "no_such_service"),
        ("/noport", controller(502), "unknown", "no_such_port"),
        ("/away", controller(504), "unknown", "external_name"),
        ("/bucket", controller(502), "unknown", "resource_backend"),
        ("/cart", Answered::Nobody, "unknown", "no_backend"),
    ] {
        let verdict = verdict(path, None, answered);
        let agreement = verdict.agreement;
        assert_eq!((agreement.as_str(), agreement.reason()), (agrees, reason), "{path} {answered:?}");
        assert_eq!(verdict.backend, None);
    }
}

#[test]
fn of_several_services_the_declared_one_is_named() {
    let served = verdict("/cart", Some("10.0.0.1:8080"), Answered::Backend).backend.unwrap();
    assert_eq!((&*served.service.unwrap().name, served.candidates), ("cart", 2));
    assert_eq!(&*served.pod.unwrap().name, "cart-a");
    let served = verdict("/empty", Some("10.0.0.3:8080"), Answered::Backend).backend.unwrap();
    assert_eq!(served.ready, Some(false));
}

const GATEWAY: &str = "
{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: c}, spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec: {gatewayClassName: c, listeners: [{name: l, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: gw}]
  rules:
  - {matches: [{path: {value: /split}}], backendRefs: [{name: cart, port: 80, weight: 9}, {name: other, port: 80}, {name: twin, port: 80, weight: 0}]}
  - {matches: [{path: {value: /moved}}], filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]}
  - {matches: [{path: {value: /away}}], backendRefs: [{name: secret, namespace: elsewhere, port: 80}]}
  - {matches: [{path: {value: /half}}], backendRefs: [{name: cart, port: 80}, {name: secret, namespace: elsewhere, port: 80}]}
  - {matches: [{path: {value: /zero}}], backendRefs: [{name: cart, port: 80, weight: 0}]}
  - {matches: [{path: {value: /kind}}], backendRefs: [{name: b, kind: Bucket, group: x.io}, {name: cart, port: 80}]}
  - {matches: [{path: {type: RegularExpression, value: '/x(?=y)'}}], backendRefs: [{name: cart, port: 80}]}
---
{apiVersion: v1, kind: Service, metadata: {name: secret, namespace: elsewhere}, spec: {ports: [{port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: secret, namespace: elsewhere, labels: {kubernetes.io/service-name: secret}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.0.0.7]}]
---";

fn of_gateway(path: &str, backend: Option<&str>, answered: Answered) -> (Verdict, String) {
    let objects = objects(&(GATEWAY.to_owned() + CLUSTER));
    let objects = auditor::attribute::objects::Objects { ingresses: Vec::new(), ..objects };
    let (routes, index) = (Routes::new(&objects, &Options::default()), Index::new(&objects));
    let decision = decide(&routes, "a.b", path);
    let backend = backend.map(|address| address.parse().unwrap());
    let verdict = judge(&index, &decision, Observed { backend, answered });
    let note = verdict.note(&decision, backend).unwrap_or_default();
    (verdict, note)
}

/// Shares, redirects, references that are not granted, and what cannot be told.
#[test]
fn routes_of_gateway_api() {
    for (path, backend, agrees, reason) in [
        ("/split", "10.0.0.1:8080", "yes", "endpoint"),
        ("/split", "10.0.0.2:8080", "yes", "endpoint"),
        ("/split", "10.0.0.7:8080", "no", "other_service"),
        ("/split", "10.0.0.1:9000", "no", "other_port"),
        ("/moved", "10.0.0.1:8080", "no", "forwarded_instead_of_answered"),
        ("/moved", "10.9.9.9:8080", "unknown", "unknown_address"),
        ("/away", "10.0.0.7:8080", "no", "not_granted"),
        ("/away", "10.0.0.1:8080", "no", "other_service"),
        ("/half", "10.0.0.1:8080", "yes", "endpoint"),
        ("/half", "10.0.0.7:8080", "no", "not_granted"),
        ("/zero", "10.0.0.1:8080", "no", "forwarded_without_backend"),
        ("/kind", "10.0.0.1:8080", "yes", "endpoint"),
        ("/kind", "10.0.0.2:8080", "unknown", "resource_backend"),
        ("/x", "10.0.0.1:8080", "unknown", "pattern"),
    ] {
        let (verdict, note) = of_gateway(path, Some(backend), Answered::Backend);
        let agreement = verdict.agreement;
        assert_eq!((agreement.as_str(), agreement.reason()), (agrees, reason), "{path} {backend}");
        assert_eq!(note.is_empty(), agrees == "yes");
    }
    let controller = |status| Answered::Controller { status };
    for (path, answered, agrees, reason) in [
        ("/moved", controller(301), "yes", "redirect"),
        ("/moved", controller(308), "unknown", "controller_answered"),
        ("/split", controller(301), "unknown", "controller_answered"),
        ("/away", controller(500), "yes", "no_valid_backend"),
        ("/half", controller(500), "yes", "no_valid_backend"),
        ("/zero", controller(500), "yes", "no_valid_backend"),
        ("/split", controller(500), "unknown", "controller_answered"),
        ("/split", controller(503), "unknown", "controller_error"),
        ("/x", controller(404), "unknown", "pattern"),
    ] {
        let (verdict, _) = of_gateway(path, None, answered);
        let agreement = verdict.agreement;
        assert_eq!((agreement.as_str(), agreement.reason()), (agrees, reason), "{path} {answered:?}");
    }
}

#[test]
fn both_sides_of_a_contradiction_are_named() {
    let (_, note) = of_gateway("/split", Some("10.0.0.7:8080"), Answered::Backend);
    assert_eq!(
        note,
        "route: other_service: declared default/cart:80 or default/other:80, observed elsewhere/secret at 10.0.0.7:8080"
    );
    let (_, note) = of_gateway("/moved", Some("10.0.0.1:8080"), Answered::Backend);
    assert_eq!(
        note,
        "route: forwarded_instead_of_answered: declared answer 301, observed default/cart:http at 10.0.0.1:8080"
    );
}
