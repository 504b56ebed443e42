//! Whose address it is.

use std::net::SocketAddr;

use auditor::attribute::index::{Index, Owner};
use auditor::attribute::objects::ObjectName;

use super::support::objects;

const CLUSTER: &str = "
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: cart, namespace: shop}
  spec:
    clusterIP: 10.96.0.1
    clusterIPs: [10.96.0.1, 'fd00::1']
    externalIPs: [203.0.113.9]
    selector: {app: cart}
    ports:
    - {name: http, port: 80, targetPort: web, nodePort: 30080}
    - {name: admin, port: 81, targetPort: 9000}
    - {name: udp, port: 80, protocol: UDP}
- apiVersion: v1
  kind: Service
  metadata: {name: cart-canary, namespace: shop}
  spec: {clusterIP: None, ports: [{name: http, port: 80}]}
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  metadata: {name: cart-1, namespace: shop, labels: {kubernetes.io/service-name: cart}}
  addressType: IPv4
  ports: [{name: http, port: 8080}, {name: admin, port: 9000}, {name: udp, port: 8080, protocol: UDP}]
  endpoints:
  - {addresses: [10.244.0.5], conditions: {ready: true}, targetRef: {kind: Pod, name: cart-a}}
  - {addresses: [10.244.0.6], conditions: {ready: false}, targetRef: {kind: Pod, name: cart-b}}
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  metadata: {name: canary-1, namespace: shop, ownerReferences: [{apiVersion: v1, kind: Service, name: cart-canary, uid: u}]}
  addressType: IPv4
  ports: [{name: http, port: 8080}]
  endpoints: [{addresses: [10.244.0.5], targetRef: {kind: Pod, name: cart-a}}]
- apiVersion: v1
  kind: Pod
  metadata: {name: cart-a, namespace: shop}
  status: {podIP: 10.244.0.5, hostIP: 192.0.2.1}
- apiVersion: v1
  kind: Pod
  metadata: {name: agent, namespace: sys}
  spec: {hostNetwork: true, containers: []}
  status: {podIP: 192.0.2.1, hostIP: 192.0.2.1, hostIPs: [{ip: 192.0.2.1}, {ip: 'fd00::9'}]}
- apiVersion: v1
  kind: Pod
  metadata: {name: done, namespace: shop}
  status: {podIP: 10.244.0.9, phase: Succeeded}
";

fn describe(index: &Index, address: &str) -> String {
    match index.owner(address.parse::<SocketAddr>().unwrap()) {
        None => "nobody".to_owned(),
        Some(Owner::Endpoints(endpoints)) => {
            let names: Vec<_> =
                endpoints.iter().map(|e| format!("{}:{}:{}", e.service.name, e.port, e.ready)).collect();
            names.join(" ")
        }
        Some(Owner::Service(services)) => {
            services.iter().map(|s| format!("all of {}:{}", s.service.name, s.port)).collect()
        }
        Some(Owner::NodePort(service)) => format!("node port of {}:{}", service.service.name, service.port),
        Some(Owner::Pod(pods)) => pods.iter().map(|pod| format!("pod {}", pod.name.name)).collect(),
    }
}

#[test]
fn addresses_belong_to_whom_the_objects_say() {
    let index = Index::new(&objects(CLUSTER));
    for (address, expected) in [
        ("10.244.0.5:8080", "cart:http:true cart-canary:http:true"),
        ("[::ffff:10.244.0.5]:8080", "cart:http:true cart-canary:http:true"),
        ("10.244.0.5:9000", "cart:admin:true"),
        ("10.244.0.6:8080", "cart:http:false"),
        ("10.244.0.5:1234", "pod cart-a"),
        ("10.96.0.1:80", "all of cart:http"),
        ("[fd00::1]:81", "all of cart:admin"),
        ("203.0.113.9:80", "all of cart:http"),
        ("192.0.2.1:30080", "node port of cart:http"),
        ("[fd00::9]:30080", "node port of cart:http"),
        ("127.0.0.1:30080", "node port of cart:http"),
        ("198.51.100.1:30080", "nobody"),
        ("192.0.2.1:22", "pod agent"),
        ("10.244.0.9:80", "nobody"),
    ] {
        assert_eq!(describe(&index, address), expected, "{address}");
    }
    let cart = index.service(&ObjectName { namespace: "shop".into(), name: "cart".into() }).unwrap();
    let counts: Vec<_> = cart.ports.iter().map(|port| (&*port.name, port.endpoints, port.ready)).collect();
    assert_eq!(counts, [("http", 2, 1), ("admin", 2, 1)]);
}

#[test]
fn without_slices_the_selector_tells() {
    let index = Index::new(&objects(
        "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web, tier: front}, ports: [{name: a, port: 80, targetPort: http}, {name: b, port: 81, targetPort: 9000}, {name: c, port: 82}, {name: d, port: 83, targetPort: nowhere}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, labels: {app: web, tier: front}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: web-2, labels: {app: web, tier: front}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 8081}]}]}
status: {podIP: 10.0.0.2, conditions: [{type: Ready, status: 'False'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, labels: {app: web}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: 10.0.0.3}
",
    ));
    for (address, expected) in [
        ("10.0.0.1:8080", "web:a:true"),
        ("10.0.0.2:8081", "web:a:false"),
        ("10.0.0.1:9000", "web:b:true"),
        ("10.0.0.1:82", "web:c:true"),
        ("10.0.0.3:8080", "pod other"),
    ] {
        assert_eq!(describe(&index, address), expected, "{address}");
    }
}
