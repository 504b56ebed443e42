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
