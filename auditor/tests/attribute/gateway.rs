//! Gateway API: its own conformance tests as tables, and what its documentation says beyond them.

use auditor::attribute::objects::ObjectName;
use auditor::attribute::routes::{
    Backend, Decision, Dialect, Listener, Matched, Options, Request, RequestPath, Routes, Target, Uncertainty,
};
use serde::Deserialize;

use super::support::{corpora, objects, service};

/// One expectation of a conformance test.
#[derive(Debug, Deserialize)]
struct Expected {
    method: String,
    host: Option<String>,
    path: String,
    headers: std::collections::BTreeMap<String, String>,
    backend: Option<String>,
    status: u16,
}

fn run(name: &str, count: usize) {
    let Some(folder) = corpora("gateway-conformance") else { return };
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let yaml = format!("{}\n---\n{}", read("base-manifests.yaml"), read(&format!("{name}.yaml")));
    let routes = Routes::new(&objects(&yaml.replace("{GATEWAY_CLASS_NAME}", "any")), &Options::default());
    assert_eq!(routes.problem_count(), 0, "{:?}", routes.problems());
    let expected: Vec<Expected> = serde_json::from_str(&read(&format!("{name}.expected.json"))).unwrap();
    for expected in &expected {
        let fields: Vec<(String, String)> = expected.headers.clone().into_iter().collect();
        let decision = ask(&routes, &expected.method, expected.host.as_deref(), &expected.path, &fields);
        assert_eq!(decision.doubt, None, "{expected:?}");
        assert_eq!(service(&decision), expected.backend.as_deref(), "{expected:?}: {decision:?}");
        assert_eq!(decision.matched == Matched::None, expected.status == 404, "{expected:?}");
    }
    assert_eq!(expected.len(), count, "expectations that were checked");
}

fn ask(
    routes: &Routes,
    method: &str,
    host: Option<&str>,
    target: &str,
    fields: &Vec<(String, String)>,
) -> Decision {
    let path = RequestPath::new(target.as_bytes());
    let host = host.unwrap_or("10.0.0.1");
    let query = target.split_once('?').map(|(_, query)| query.as_bytes());
    let listener = Listener { tls: Some(false), port: Some(80), server_name: None };
    routes.decide(&Request {
        method: method.as_bytes(),
        query,
        fields,
        listener,
        ..Request::get(Some(host.as_bytes()), &path)
    })
}

#[test]
fn conformance() {
    run("httproute-exact-path-matching", 6);
    run("httproute-header-matching", 11);
    run("httproute-matching-across-routes", 8);
    run("httproute-matching", 9);
    run("httproute-method-matching", 12);
    run("httproute-path-match-order", 6);
}

/// A Gateway with these (name, hostname, port, protocol, more), and routes of YAML behind it.
fn gateway(listeners: &[(&str, &str, u16, &str, &str)], routes: &str) -> Routes {
    Routes::new(&objects(&(yaml(listeners) + routes)), &Options::default())
}

fn yaml(listeners: &[(&str, &str, u16, &str, &str)]) -> String {
    let listeners: String = listeners
        .iter()
        .map(|(name, hostname, port, protocol, more)| {
            let hostname =
                if hostname.is_empty() { String::new() } else { format!("hostname: {hostname:?}, ") };
            format!("  - {{name: {name}, {hostname}port: {port}, protocol: {protocol}, {more}}}\n")
        })
        .collect();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: gw, namespace: infra}}\nspec:\n  gatewayClassName: c\n  listeners:\n{listeners}"
    )
}

/// An `HTTPRoute` with these hostnames and one rule.
fn route(name: &str, parent: &str, hostnames: &str, rule: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: infra}}\nspec:\n  parentRefs: [{{name: gw{parent}}}]\n  hostnames: [{hostnames}]\n  rules:\n  - {{{rule}}}\n"
    )
}

fn to(service: &str) -> String {
    format!("backendRefs: [{{name: {service}, port: 80}}]")
}

#[track_caller]
fn check(routes: &Routes, host: &str, target: &str, expected: Option<&str>) {
    let decision = ask(routes, "GET", Some(host), target, &Vec::new());
    assert_eq!((service(&decision), decision.doubt), (expected, None), "{host}{target}: {decision:?}");
}

/// The conformance test `HTTPRouteHostnameIntersection`, and `HTTPRouteSpec.hostnames`: a listener takes what it has in common
/// with a route, and a wildcard stands for any number of labels.
#[test]
fn hostnames_of_listener_and_route_intersect() {
    let listeners = [
        ("exact", "very.specific.com", 80, "HTTP", ""),
        ("wild", "*.wildcard.io", 80, "HTTP", ""),
        ("another", "*.anotherwildcard.io", 80, "HTTP", ""),
    ];
    let routes = gateway(
        &listeners,
        &[
            route(
                "specific",
                "",
                "non.matching.com, '*.nonmatchingwildcard.io', very.specific.com",
                &to("v1"),
            ),
            route(
                "specific-in-wild",
                "",
                "non.matching.com, wildcard.io, foo.wildcard.io, bar.wildcard.io, foo.bar.wildcard.io",
                &to("v2"),
            ),
            route("wild-in-wild", "", "'*.anotherwildcard.io'", &to("v3")),
            route("wild-in-specific", "", "'*.specific.com'", &to("v4")),
        ]
        .concat(),
    );
    for (host, expected) in [
        ("very.specific.com", Some("v1")),
        ("VERY.specific.com:8080", Some("v1")),
        ("non.matching.com", None),
        ("foo.nonmatchingwildcard.io", None),
        ("foo.wildcard.io", Some("v2")),
        ("foo.bar.wildcard.io", Some("v2")),
        ("wildcard.io", None),
        ("other.wildcard.io", None),
        ("one.anotherwildcard.io", Some("v3")),
        ("one.two.three.anotherwildcard.io", Some("v3")),
        ("anotherwildcard.io", None),
        ("foo.specific.com", None),
    ] {
        check(&routes, host, "/", expected);
    }
}

/// `Listener.hostname`: exact, then the more specific wildcard, then none; a listener that is not the most specific one takes
/// nothing of its host.
#[test]
fn the_most_specific_listener_takes_a_request() {
    let listeners = [
        ("any", "", 80, "HTTP", ""),
        ("wild", "*.example.com", 80, "HTTP", ""),
        ("deep", "*.foo.example.com", 80, "HTTP", ""),
        ("exact", "abc.foo.example.com", 80, "HTTP", ""),
    ];
    let routes = gateway(
        &listeners,
        &[
            route("any", ", sectionName: any", "", &to("any")),
            route("wild", ", sectionName: wild", "", &to("wild")),
            route("deep", ", sectionName: deep", "", &to("deep")),
            route(
                "exact",
                ", sectionName: exact",
                "",
                &format!("matches: [{{path: {{value: /x}}}}], {}", to("exact")),
            ),
        ]
        .concat(),
    );
    check(&routes, "abc.foo.example.com", "/x", Some("exact"));
    check(&routes, "abc.foo.example.com", "/y", None);
    check(&routes, "def.foo.example.com", "/", Some("deep"));
    check(&routes, "a.b.example.com", "/", Some("wild"));
    check(&routes, "example.com", "/", Some("any"));
}

/// `HTTPRouteSpec.hostnames`: most characters of a matching hostname without wildcard, then of any; less specific ones come
/// after, and are asked too.
#[test]
fn the_longest_hostname_comes_first() {
    let rule = |path: &str, service: &str| format!("matches: [{{path: {{value: {path}}}}}], {}", to(service));
    let routes = gateway(
        &[("http", "", 80, "HTTP", "")],
        &[
            route("a", "", "", &rule("/a/very/long/path", "any")),
            route("b", "", "'*.com'", &rule("/a", "short")),
            route("c", "", "'*.example.com'", &rule("/a", "long")),
            route("d", "", "www.example.com", &rule("/b", "exact")),
        ]
        .concat(),
    );
    check(&routes, "www.example.com", "/a/very/long/path", Some("long"));
    check(&routes, "www.example.com", "/b", Some("exact"));
    check(&routes, "example.com", "/a/very/long/path", Some("short"));
    check(&routes, "example.org", "/a/very/long/path", Some("any"));
    check(&routes, "www.example.com", "/c", None);
}

/// `HTTPRouteRule.matches`, criterion by criterion: each first rule of a pair comes before the second, wherever it stands.
#[test]
fn precedence() {
    let table = [
        ("path: {type: Exact, value: /foo}", "path: {value: /foo}, method: GET"),
        ("path: {value: /foo/bar}", "path: {value: /foo}, method: GET"),
        ("path: {value: /foo}, method: GET", "path: {value: /foo}, headers: [{name: a, value: '1'}]"),
        (
            "headers: [{name: a, value: '1'}, {name: b, value: '2'}]",
            "headers: [{name: a, value: '1'}], queryParams: [{name: q, value: '1'}, {name: r, value: '2'}]",
        ),
        (
            "queryParams: [{name: q, value: '1'}, {name: r, value: '2'}]",
            "queryParams: [{name: q, value: '1'}]",
        ),
        // Of equal names only the first counts, so these are one match of a field and two.
        (
            "headers: [{name: a, value: '1'}, {name: b, value: '2'}]",
            "headers: [{name: a, value: '1'}, {name: A, value: '9'}], queryParams: [{name: q, value: '1'}]",
        ),
    ];
    let fields: Vec<(String, String)> =
        [("A", "1"), ("b", "2")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    for (first, second) in table {
        let rules = [(first, "first"), (second, "second")]
            .map(|(one, service)| format!("matches: [{{{one}}}], {}", to(service)));
        // By age the second one would come first; as two rules of one route, and as two routes.
        let one = route("r", "", "", &format!("{}}}\n  - {{{}", rules[1], rules[0]));
        let two = route("a", "", "", &rules[1]) + &route("b", "", "", &rules[0]);
        for yaml in [one, two] {
            let routes = gateway(&[("http", "", 80, "HTTP", "")], &yaml);
            let decision = ask(
                &routes,
                "GET",
                None,
                if first.contains("bar") { "/foo/bar?q=1&r=2" } else { "/foo?q=1&r=2" },
                &fields,
            );
            assert_eq!(
                (service(&decision), decision.doubt),
                (Some("first"), None),
                "{first} before {second}"
            );
        }
    }
}

/// The last ties: the oldest route, the first `namespace/name`, the first rule.
#[test]
fn ties() {
    let dated = |name: &str, time: &str| {
        route(name, "", "", &to(name))
            .replace("namespace: infra}", &format!("namespace: infra, creationTimestamp: {time:?}}}"))
    };
    let listener = [("http", "", 80, "HTTP", "")];
    let old = dated("z", "2020-09-08T01:02:03Z") + &dated("a", "2020-09-08T01:02:04Z");
    check(&gateway(&listener, &old), "a", "/", Some("z"));
    let same = dated("z", "2020-09-08T01:02:03Z") + &dated("a", "2020-09-08T01:02:03Z");
    check(&gateway(&listener, &same), "a", "/", Some("a"));
    let rules = route("r", "", "", &format!("{}}}\n  - {{{}", to("one"), to("two")));
    check(&gateway(&listener, &rules), "a", "/", Some("one"));
}

/// `AllowedRoutes`, `ParentReference`: who may attach to what.
#[test]
fn attachment() {
    let namespaces = "---\n{apiVersion: v1, kind: Namespace, metadata: {name: infra, labels: {team: a}}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: other, labels: {team: b}}}\n";
    let away = route("r", ", namespace: infra", "", &to("s"))
        .replace("r, namespace: infra}", "r, namespace: other}");
    let own = route("r", "", "", &to("s"));
    for (allowed, with_namespaces, own_attaches, other_attaches) in [
        ("", true, true, false),
        ("allowedRoutes: {namespaces: {from: Same}}", true, true, false),
        ("allowedRoutes: {namespaces: {from: All}}", true, true, true),
        ("allowedRoutes: {namespaces: {from: None}}", true, false, false),
        (
            "allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: b}}}}",
            true,
            false,
            true,
        ),
        (
            "allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: [{key: team, operator: NotIn, values: [b]}]}}}",
            true,
            true,
            false,
        ),
        (
            "allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: other}}}}",
            true,
            false,
            true,
        ),
        ("allowedRoutes: {namespaces: {from: All}, kinds: [{kind: GRPCRoute}]}", true, false, false),
        ("allowedRoutes: {namespaces: {from: All}, kinds: [{kind: HTTPRoute}]}", true, true, true),
    ] {
        for (route, attaches) in [(&own, own_attaches), (&away, other_attaches)] {
            let labels = if with_namespaces { namespaces } else { "" };
            let routes = gateway(&[("http", "", 80, "HTTP", allowed)], &(labels.to_owned() + route));
            check(&routes, "a", "/", attaches.then_some("s"));
            assert_eq!(routes.problem_count(), u64::from(!attaches), "{allowed} {:?}", routes.problems());
        }
    }
    let selector = "allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: b}}}}";
    let routes = gateway(&[("http", "", 80, "HTTP", selector)], &away);
    let doubt = ask(&routes, "GET", None, "/", &Vec::new()).doubt;
    assert_eq!(doubt, Some(Uncertainty::Namespace), "the labels are not known");
    let two = [("a", "", 80, "HTTP", ""), ("b", "", 81, "HTTP", "")];
    for (parent, attaches) in [
        (", sectionName: a", true),
        (", sectionName: b", false),
        (", sectionName: c", false),
        (", port: 80", true),
        (", port: 81", false),
        (", sectionName: b, port: 80", false),
        (", namespace: elsewhere", false),
        (", kind: Service, group: ''", false),
    ] {
        check(&gateway(&two, &route("r", parent, "", &to("s"))), "a", "/", attaches.then_some("s"));
    }
}

/// `HTTPRouteFilter`, `HTTPBackendRef`, `ReferenceGrant`: what becomes of a request.
#[test]
fn targets() {
    let target = |rule: &str, more: &str| {
        let routes = gateway(&[("http", "", 80, "HTTP", "")], &(route("r", "", "", rule) + more));
        let route = ask(&routes, "GET", None, "/", &Vec::new()).route.unwrap();
        (route.target.clone(), route.backends().map(Backend::to_string).collect::<Vec<_>>().join(" "))
    };
    let redirect = |status: &str| {
        target(&format!("filters: [{{type: RequestRedirect, requestRedirect: {{{status}}}}}]"), "").0
    };
    assert_eq!(redirect(""), Target::Redirect(302));
    assert_eq!(redirect("statusCode: 301"), Target::Redirect(301));
    let weights =
        "backendRefs: [{name: a, port: 80, weight: 9}, {name: b, port: 80, weight: 0}, {name: c, port: 80}]";
    assert_eq!(target(weights, "").1, "infra/a:80 infra/c:80");
    let away = "backendRefs: [{name: a, namespace: other, port: 80}]";
    assert_eq!(target(away, "").1, "other/a:80 (not granted)");
    let grant = |from: &str, to: &str| {
        target(
            away,
            &format!("---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {{name: g, namespace: other}}\nspec:\n  from: [{{{from}}}]\n  to: [{{{to}}}]\n"),
        )
        .1
    };
    let from = "group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: infra";
    assert_eq!(grant(from, "group: '', kind: Service"), "other/a:80");
    assert_eq!(grant(from, "group: '', kind: Service, name: a"), "other/a:80");
    for (from, to) in [
        (from, "group: '', kind: Service, name: b"),
        (from, "group: '', kind: Secret"),
        ("group: gateway.networking.k8s.io, kind: GRPCRoute, namespace: infra", "group: '', kind: Service"),
        (
            "group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: elsewhere",
            "group: '', kind: Service",
        ),
    ] {
        assert_eq!(grant(from, to), "other/a:80 (not granted)", "{from} {to}");
    }
    let mirror = "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: m, port: 80}}}], backendRefs: [{name: a, port: 80}]";
    let routes = gateway(&[("http", "", 80, "HTTP", "")], &route("r", "", "", mirror));
    let route = ask(&routes, "GET", None, "/", &Vec::new()).route.unwrap();
    assert_eq!(route.mirrors.iter().map(Backend::to_string).collect::<Vec<_>>(), ["infra/m:80"]);
    assert_eq!(route.backend().unwrap().to_string(), "infra/a:80");
    assert_eq!(target("backendRefs: [{name: a}]", "").1, "(invalid)");
    assert_eq!(target("backendRefs: [{name: a, kind: Bucket, group: x.io}]", "").1, "Bucket a");
}

/// Fields and parameters of one name that come twice: proxies join, or take the first, or any; all of them must agree.
#[test]
fn repeated_fields() {
    let rule = format!("matches: [{{headers: [{{name: a, value: '1'}}]}}], {}", to("s"));
    let routes = gateway(&[("http", "", 80, "HTTP", "")], &route("r", "", "", &rule));
    let with = |values: &[&str]| {
        let fields: Vec<(String, String)> =
            values.iter().map(|value| ("A".to_owned(), (*value).to_owned())).collect();
        let decision = ask(&routes, "GET", None, "/", &fields);
        (decision.matched, decision.doubt)
    };
    assert_eq!(with(&["1"]), (Matched::Rule, None));
    assert_eq!(with(&["2", "3"]), (Matched::None, None));
    assert_eq!(with(&["1", "2"]), (Matched::Rule, Some(Uncertainty::Repeated)));
    assert_eq!(with(&[]), (Matched::None, None));
}

/// What regular expressions are compared with is up to the implementation, and so is their place among paths.
#[test]
fn regular_expressions() {
    let rule = |path: &str| {
        format!("matches: [{{path: {{type: RegularExpression, value: {path:?}}}}}], {}", to("regex"))
    };
    let prefix = |path: &str| format!("matches: [{{path: {{value: {path}}}}}], {}", to("prefix"));
    let of = |controller: &str, rules: [&str; 2], target: &str| {
        let class = format!(
            "---\n{{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {{name: c}}, spec: {{controllerName: {controller}}}}}\n"
        );
        let yaml = route("a", "", "", rules[0]) + &route("b", "", "", rules[1]) + &class;
        let decision =
            ask(&gateway(&[("http", "", 80, "HTTP", "")], &yaml), "GET", None, target, &Vec::new());
        (service(&decision).map(str::to_owned), decision.doubt)
    };
    let regex = || Some("regex".to_owned());
    for (controller, target, expected) in [
        ("gateway.envoyproxy.io/gatewayclass-controller", "/v1/x", (None, None)),
        ("gateway.envoyproxy.io/gatewayclass-controller", "/v1", (regex(), None)),
        ("traefik.io/gateway-controller", "/v1/x", (regex(), None)),
        ("example.com/unknown", "/v1/x", (regex(), Some(Uncertainty::Pattern))),
        ("example.com/unknown", "/v1", (regex(), None)),
        ("example.com/unknown", "/w1", (None, None)),
    ] {
        assert_eq!(
            of(controller, [&rule("/v[0-9]"), &prefix("/other")], target),
            expected,
            "{controller} {target}"
        );
    }
    let both = of("traefik.io/gateway-controller", [&rule("/v[0-9]"), &prefix("/")], "/v1");
    assert_eq!(both, (Some("prefix".to_owned()), Some(Uncertainty::Precedence)));
    for odd in ["(", "a{1000}{1000}", "(?=x)", "(a)\\1"] {
        let decided = of("traefik.io/gateway-controller", [&rule(odd), &prefix("/other")], "/v1");
        assert_eq!(decided, (regex(), Some(Uncertainty::Pattern)), "{odd}");
    }
}

/// `GRPCRouteRule.matches`, and whose host it is if an `HTTPRoute` has it, too.
#[test]
fn grpc() {
    let grpc = |name: &str, hostnames: &str, rule: &str| {
        route(name, "", hostnames, rule).replace("HTTPRoute", "GRPCRoute")
    };
    let method = |method: &str, service: &str| format!("matches: [{{{method}}}], {}", to(service));
    let rules = [
        method("method: {service: foo.Bar, method: Login}", "both"),
        method("method: {service: foo.Bar}", "service"),
        method("method: {method: Login}", "method"),
        method("method: {type: RegularExpression, service: 'foo\\.B.*', method: Like}", "like"),
        method("headers: [{name: version, value: two}]", "field"),
        to("all"),
    ];
    let routes = gateway(&[("http", "", 80, "HTTP", "")], &grpc("r", "", &rules.join("}\n  - {")));
    let call = |target: &str, fields: &[(&str, &str)]| {
        let mut fields: Vec<(String, String)> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        fields.push(("content-type".to_owned(), "application/grpc+proto".to_owned()));
        let decision = ask(&routes, "POST", None, target, &fields);
        assert_eq!(decision.doubt, None, "{target}");
        service(&decision).map(str::to_owned)
    };
    assert_eq!(call("/foo.Bar/Login", &[]).as_deref(), Some("both"));
    assert_eq!(call("/foo.Bar/Logout", &[("version", "two")]).as_deref(), Some("service"));
    assert_eq!(call("/foo.Baz/Login", &[]).as_deref(), Some("method"));
    assert_eq!(call("/foo.Baz/Like", &[]).as_deref(), Some("like"));
    assert_eq!(call("/fooxBaz/Like", &[]).as_deref(), Some("all"));
    assert_eq!(call("/foo.Baz/Other", &[("version", "two")]).as_deref(), Some("field"));
    assert_eq!(call("/foo.Baz/Other", &[]).as_deref(), Some("all"));
    let get = ask(&routes, "GET", None, "/", &Vec::new());
    assert_eq!(get.doubt, Some(Uncertainty::Unsupported), "no gRPC");

    let http = |host: &str| route("a", "", host, &to("http"));
    for (of_http, of_grpc, is_taken) in [
        ("a.example.com", "a.example.com", true),
        ("a.example.com", "b.example.com", false),
        ("'*.example.com'", "b.example.com", true),
        ("b.example.com", "'*.example.com'", true),
        ("'*.a.example.com'", "'*.example.com'", true),
        ("'*.example.com'", "'*.a.example.com'", true),
        ("example.com", "'*.example.com'", false),
        ("", "'*.example.com'", true),
        ("bexample.com", "'*.example.com'", false),
    ] {
        let routes =
            gateway(&[("http", "", 80, "HTTP", "")], &(http(of_http) + &grpc("b", of_grpc, &to("grpc"))));
        assert_eq!(
            routes.problem_count(),
            u64::from(is_taken),
            "{of_http} {of_grpc} {:?}",
            routes.problems()
        );
    }
}

/// `TLSRoute`: at a listener that passes TLS on, and at one that ends it.
#[test]
fn tls_routes() {
    let tls = |name: &str, parent: &str, hostnames: &str| {
        route(name, parent, hostnames, &to(name)).replace("HTTPRoute", "TLSRoute")
    };
    let routes = gateway(
        &[
            ("pass", "", 443, "TLS", "tls: {mode: Passthrough}"),
            ("end", "", 8443, "TLS", "tls: {mode: Terminate}"),
        ],
        &[
            tls("exact", ", sectionName: pass", "abc.example.com"),
            tls("wild", ", sectionName: pass", "'*.example.com'"),
            tls("ended", ", sectionName: end", "ended.example.com"),
        ]
        .concat(),
    );
    let passed = |name: &str| service(&routes.passthrough(name.as_bytes())).map(str::to_owned);
    assert_eq!(passed("ABC.example.com").as_deref(), Some("exact"));
    assert_eq!(passed("x.y.example.com").as_deref(), Some("wild"));
    assert_eq!(passed("ended.example.org"), None);
    let path = RequestPath::new(b"/any");
    let ended = |name: &'static str| {
        let listener = Listener { tls: Some(true), port: Some(8443), server_name: Some(name.as_bytes()) };
        routes.decide(&Request { listener, ..Request::get(Some(b"whatever"), &path) })
    };
    assert_eq!(service(&ended("ended.example.com")), Some("ended"));
    assert_eq!(service(&ended("other.example.com")), None);
}

/// A controller whose dialect is configured serves Gateways of its own classes only; those that are named are served anyway.
#[test]
fn gateways_of_other_controllers_are_not_served() {
    let class = |controller: &str| {
        format!(
            "---\n{{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {{name: c}}, spec: {{controllerName: {controller}}}}}\n"
        )
    };
    let gateway = yaml(&[("http", "", 80, "HTTP", "")]) + &route("r", "", "", &to("s"));
    let named = ObjectName { namespace: "infra".into(), name: "gw".into() };
    let another = ObjectName { namespace: "infra".into(), name: "other".into() };
    for (dialect, gateways, controller, is_served) in [
        (None, vec![], "traefik.io/gateway-controller", true),
        (Some(Dialect::Traefik), vec![], "traefik.io/gateway-controller", true),
        (Some(Dialect::Kong), vec![], "traefik.io/gateway-controller", false),
        (Some(Dialect::IngressNginx), vec![], "gateway.nginx.org/nginx-gateway-controller", false),
        (Some(Dialect::IngressNginx), vec![], "example.com/unknown", false),
        (Some(Dialect::Kong), vec![], "example.com/unknown", true),
        (Some(Dialect::Kong), vec![named.clone()], "traefik.io/gateway-controller", true),
        (None, vec![another], "traefik.io/gateway-controller", false),
    ] {
        let options = Options { dialect, gateways: gateways.into_iter().collect(), ..Options::default() };
        let routes = Routes::new(&objects(&(gateway.clone() + &class(controller))), &options);
        check(&routes, "a", "/", is_served.then_some("s"));
    }
}

/// Which listener a connection came in at: by port, by TLS, by server name.
#[test]
fn listeners() {
    let routes = gateway(
        &[
            ("http", "", 80, "HTTP", ""),
            ("https", "", 443, "HTTPS", ""),
            ("own", "own.example.com", 443, "HTTPS", ""),
        ],
        &[
            route("a", ", sectionName: http", "", &to("http")),
            route("b", ", sectionName: https", "", &to("https")),
            route("c", ", sectionName: own", "", &to("own")),
        ]
        .concat(),
    );
    let path = RequestPath::new(b"/");
    let at = |port: u16, tls: bool, name: Option<&'static str>, host: &'static str| {
        let listener = Listener { tls: Some(tls), port: Some(port), server_name: name.map(str::as_bytes) };
        let decision = routes.decide(&Request { listener, ..Request::get(Some(host.as_bytes()), &path) });
        (service(&decision).map(str::to_owned), decision.doubt)
    };
    let is = |service: &str| (Some(service.to_owned()), None);
    assert_eq!(at(80, false, None, "own.example.com"), is("http"));
    assert_eq!(at(443, true, Some("x"), "x"), is("https"));
    assert_eq!(at(443, true, Some("own.example.com"), "own.example.com"), is("own"));
    // Envoy Gateway's containers listen 10,000 ports higher.
    assert_eq!(at(10_443, true, None, "own.example.com"), is("own"));
    // A port that is no listener's: whatever fits.
    assert_eq!(at(8080, false, None, "x"), is("http"));
    assert_eq!(at(80, true, None, "x"), (None, None));
    // "SHOULD return a 421", or it may go on.
    let (_, doubt) = at(443, true, Some("x"), "own.example.com");
    assert_eq!(doubt, Some(Uncertainty::Listeners));
}
