//! `auditor route`: what it says of a request, for programs and for people.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does, by panicking")]

use std::path::PathBuf;

use auditor::attribute::routes::{Dialect, Options};
use auditor::route::{Answer, Asked, RouteError, explain};
use serde_json::{Value, json};

const MANIFESTS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: shop
  annotations: {nginx.ingress.kubernetes.io/default-backend: sorry}
spec:
  tls: [{hosts: [a.b], secretName: t}]
  rules:
  - host: a.b
    http:
      paths:
      - {path: /cart, pathType: Prefix, backend: {service: {name: cart, port: {name: http}}}}
      - {path: /cart, pathType: Prefix, backend: {service: {name: twice, port: {name: http}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: canary
  namespace: shop
  annotations: {nginx.ingress.kubernetes.io/canary: 'true', nginx.ingress.kubernetes.io/canary-by-header: X-Canary}
spec:
  rules:
  - host: a.b
    http: {paths: [{path: /cart, pathType: Prefix, backend: {service: {name: new, port: {number: 80}}}}]}
---
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {ports: [{name: http, port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: cart, namespace: shop, labels: {kubernetes.io/service-name: cart}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.0.0.1]}]
";

fn ask(url: &str, headers: &[&str]) -> Answer {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("all.yaml"), MANIFESTS).unwrap();
    let asked = Asked {
        method: "GET".to_owned(),
        url: url.parse().unwrap(),
        headers: headers.iter().map(|header| header.parse().unwrap()).collect(),
    };
    let options = Options { dialect: Some(Dialect::IngressNginx), ..Options::default() };
    explain(Some(&dir.path().to_owned()), &options, &asked).unwrap()
}

#[track_caller]
fn check(answer: &Answer, expected: &[(&str, Value)]) {
    let json = serde_json::to_value(answer).unwrap();
    for (pointer, value) in expected {
        assert_eq!(json.pointer(pointer), Some(value), "{pointer} of {json:#}");
    }
}

#[test]
fn a_rule_is_told_with_its_backends() {
    let answer = ask("http://a.b/cart/x?y=z", &[]);
    check(
        &answer,
        &[
            ("/request/path", json!("/cart/x")),
            ("/request/query", json!("y=z")),
            ("/matched", json!("rule")),
            ("/reason", json!("prefix_path")),
            ("/uncertain", json!(null)),
            ("/object", json!({"kind": "Ingress", "namespace": "shop", "name": "web"})),
            ("/rule", json!(0)),
            ("/host", json!("a.b")),
            ("/path", json!("/cart")),
            ("/path_type", json!("Prefix")),
            ("/service", json!("shop/cart")),
            ("/port", json!("http")),
            ("/backends/0/ready_endpoints", json!(1)),
            ("/backends/1/weight", json!(0)),
            ("/backends/1/exists", json!(false)),
            ("/redirect_to_https", json!(308)),
            ("/fallback", json!("shop/sorry")),
            ("/steps/0", json!({"step": "listener", "gateway": null, "listener": "ingress-nginx"})),
            ("/steps/1", json!({"step": "host", "host": "a.b"})),
            ("/steps/2/outcome", json!("differs")),
            (
                "/problems",
                json!(["Ingress shop/web rules[0] paths[1]: the path belongs to Ingress shop/web"]),
            ),
        ],
    );
    let text = answer.to_string();
    for line in [
        "GET http://a.b:80/cart/x?y=z\n",
        "listener  ingress-nginx\n",
        "host      a.b\n",
        "(place 5): matches\n",
        "result    Ingress shop/web rules[0] (rule, prefix_path)\n",
        "backend   shop/cart:http weight 100, 1 endpoints ready\n",
        "or        308 to https, as the request is in the clear\n",
    ] {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
}

#[test]
fn fields_and_hosts_are_asked_with() {
    check(
        &ask("https://a.b/cart", &["x-canary: always"]),
        &[("/service", json!("shop/new")), ("/redirect_to_https", json!(null))],
    );
    check(
        &ask("http://10.0.0.1/cart", &["Host: a.b"]),
        &[("/service", json!("shop/cart")), ("/request/host", json!("a.b"))],
    );
}

#[test]
fn none_is_told_with_the_reason() {
    let nothing = [("/matched", json!("none")), ("/object", json!(null)), ("/service", json!(null))];
    for (url, reason) in
        [("http://c.d/", "no_host"), ("http://a.b/x", "no_path"), ("http://a.b/../x", "bad_path")]
    {
        let answer = ask(url, &[]);
        check(&answer, &nothing);
        check(&answer, &[("/reason", json!(reason))]);
        assert!(
            answer.to_string().contains(&format!("result    none ({reason}): the controller answers itself"))
        );
    }
}

#[test]
fn without_manifests_there_is_no_answer() {
    let asked = Asked { method: "GET".to_owned(), url: "http://a".parse().unwrap(), headers: Vec::new() };
    assert!(matches!(explain(None, &Options::default(), &asked), Err(RouteError::NoManifests)));
    let gone = PathBuf::from("/nonexistent/manifests");
    assert!(matches!(explain(Some(&gone), &Options::default(), &asked), Err(RouteError::Manifests(_))));
}
