//! Each controller's reading of Ingresses and of its own kinds, with the examples of its documentation or its own tests.

use auditor::attribute::index::Index;
use auditor::attribute::routes::{
    Backend, Decision, Dialect, Listener, Matched, Options, Request, RequestPath, Routes, Target, Uncertainty,
};
use auditor::attribute::verdict::{Answered, Observed, judge};

use super::support::{ingress, objects, service};

fn routes(dialect: Dialect, yaml: &str) -> Routes {
    Routes::new(&objects(yaml), &Options { dialect: Some(dialect), ..Options::default() })
}

/// Ingresses of one annotation, each with these (host, path type, path, service).
fn annotated(name: &str, annotations: &str, paths: &[(&str, &str, &str, &str)]) -> String {
    ingress(name, paths)
        .replace("namespace: shop", &format!("namespace: shop, annotations: {{{annotations}}}"))
}

fn ask(routes: &Routes, url: &str, fields: &[(&str, &str)]) -> Decision {
    let (tls, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme == "https", rest),
        None => (false, url),
    };
    let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let target = if target.is_empty() { "/" } else { target };
    let path = RequestPath::new(target.as_bytes());
    let fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let method =
        fields.iter().find(|(name, _)| name == ":method").map_or("GET", |(_, method)| method.as_str());
    routes.decide(&Request {
        method: method.as_bytes(),
        query: target.split_once('?').map(|(_, query)| query.as_bytes()),
        fields: &fields,
        listener: Listener { tls: Some(tls), port: None, server_name: None },
        client: Some([192, 0, 2, 7].into()),
        ..Request::get(Some(host.as_bytes()), &path)
    })
}

/// Services, or the status with which the controller answers itself, or why it is not certain.
fn outcome(decision: &Decision) -> String {
    if let Some(doubt) = decision.doubt {
        return format!("?{}", doubt.as_str());
    }
    match decision.route.as_deref().map(|route| (&route.target, route)) {
        None => "none".to_owned(),
        Some((Target::Redirect(status) | Target::Respond(status), _)) => status.to_string(),
        Some((Target::Backends(_), route)) => {
            let names = route.backends().map(|backend| match backend {
                Backend::Service { service, .. } => service.name.to_string(),
                other => other.to_string(),
            });
            names.collect::<Vec<_>>().join("|")
        }
    }
}

#[track_caller]
fn check(routes: &Routes, table: &[(&str, &str)]) {
    for (url, expected) in table {
        assert_eq!(outcome(&ask(routes, url, &[])), *expected, "{url}");
    }
}

/// docs/user-guide/ingress-path-matching.md, "Path Priority" and "Warning".
#[test]
fn ingress_nginx_orders_patterns_by_length() {
    let regex = "nginx.ingress.kubernetes.io/use-regex: 'true'";
    let plain = ingress(
        "test-ingress-1",
        &[("test.com", "Prefix", "/foo/bar", "service1"), ("test.com", "Prefix", "/foo/bar/", "service2")],
    );
    let pattern = annotated(
        "test-ingress-2",
        regex,
        &[("test.com", "ImplementationSpecific", "/foo/bar/(.+)", "service3")],
    );
    check(
        &routes(Dialect::IngressNginx, &(plain + &pattern)),
        &[
            ("test.com/foo/bar/1", "service3"),
            ("test.com/foo/bar/", "service2"),
            ("test.com/foo/bar", "service1"),
            ("test.com/FOO/BARbaz", "service1"),
        ],
    );
    let warning = annotated(
        "test-ingress-3",
        regex,
        &[
            ("test.com", "ImplementationSpecific", "/foo/bar/bar", "test"),
            ("test.com", "ImplementationSpecific", "/foo/bar/[A-Z0-9]{3}", "test2"),
        ],
    );
    // "the /foo/bar/bar path will match /foo/bar/[A-Z0-9]{3} as it is longer, and case-insensitive".
    check(
        &routes(Dialect::IngressNginx, &warning),
        &[("test.com/foo/bar/bar", "test2"), ("test.com/foo/bar/ba", "none")],
    );
}

#[test]
fn ingress_nginx_locations() {
    let yaml = ingress(
        "web",
        &[
            ("a.b", "Prefix", "/foo", "prefix"),
            ("a.b", "Exact", "/exact", "exact"),
            ("a.b", "ImplementationSpecific", "/impl", "impl"),
            ("a.b", "Prefix", "/slash/", "slash"),
            ("a.b", "Prefix", "/both", "both-prefix"),
            ("a.b", "Exact", "/both", "both-exact"),
            ("*.wild", "Prefix", "/", "wild"),
        ],
    );
    check(
        &routes(Dialect::IngressNginx, &yaml),
        &[
            ("a.b/foo", "prefix"),
            ("a.b/foo/x", "prefix"),
            ("a.b/foobar", "none"),
            ("a.b/exact", "exact"),
            ("a.b/exact/", "none"),
            ("a.b/impl/x", "impl"),
            ("a.b/implx", "none"),
            ("a.b/slash", "301"),
            ("a.b/slash/x", "slash"),
            ("a.b/both", "both-exact"),
            ("a.b/both/", "both-prefix"),
            ("x.wild/", "wild"),
            // nginx: "*.example.org matches not only www.example.org but www.sub.example.org as well".
            ("x.y.wild/", "wild"),
        ],
    );
    let rewrite = annotated(
        "w",
        "nginx.ingress.kubernetes.io/rewrite-target: /$2",
        &[("a.b", "ImplementationSpecific", "/something(/|$)(.*)", "rewritten")],
    );
    let others = ingress("x", &[("a.b", "Exact", "/exact", "exact")]);
    check(
        &routes(Dialect::IngressNginx, &(rewrite + &others)),
        &[
            ("a.b/something", "rewritten"),
            ("a.b/something/new", "rewritten"),
            ("a.b/somethingx", "none"),
            ("a.b/EXACTly", "exact"),
        ],
    );
    let lookahead = annotated(
        "w",
        "nginx.ingress.kubernetes.io/use-regex: 'true'",
        &[("a.b", "ImplementationSpecific", "/(?!x)", "s")],
    );
    check(&routes(Dialect::IngressNginx, &lookahead), &[("a.b/y", "?pattern")]);
}

#[test]
fn ingress_nginx_hosts_and_answers() {
    let prefix = "nginx.ingress.kubernetes.io/";
    let with = |annotations: &str| {
        routes(Dialect::IngressNginx, &annotated("web", annotations, &[("foo.bar.com", "Prefix", "/", "s")]))
    };
    check(
        &with(&format!("{prefix}server-alias: 'alias.com, *.alias.org'")),
        &[("alias.com/x", "s"), ("x.alias.org/", "s"), ("other/", "none")],
    );
    check(&with(&format!("{prefix}app-root: /app1")), &[("foo.bar.com/", "302"), ("foo.bar.com/app1", "s")]);
    check(&with(&format!("{prefix}permanent-redirect: https://x")), &[("foo.bar.com/", "301")]);
    check(
        &with(&format!("{prefix}permanent-redirect: https://x, {prefix}permanent-redirect-code: '308'")),
        &[("foo.bar.com/", "308")],
    );
    check(&with(&format!("{prefix}temporal-redirect: https://x")), &[("foo.bar.com/", "302")]);
    check(
        &with(&format!("{prefix}from-to-www-redirect: 'true'")),
        &[("www.foo.bar.com/", "308"), ("foo.bar.com/", "s")],
    );
    let tls = ingress("web", &[("a.b", "Prefix", "/", "s")])
        .replace("spec:\n", "spec:\n  tls: [{hosts: [a.b], secretName: t}]\n");
    let decision = ask(&routes(Dialect::IngressNginx, &tls), "http://a.b/", &[]);
    assert_eq!(decision.route.unwrap().besides.https, Some(308));
    // The oldest Ingress has a location, and makes the server's default.
    let dated = |name: &str, year: u32| {
        ingress(name, &[("a.b", "Prefix", "/x", name)])
            .replace(
                "namespace: shop",
                &format!("namespace: shop, creationTimestamp: '{year}-01-01T00:00:00Z'"),
            )
            .replace(
                "spec:\n",
                &format!(
                    "spec:\n  defaultBackend: {{service: {{name: default-{name}, port: {{number: 80}}}}}}\n"
                ),
            )
    };
    let all = "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: all}\nspec: {defaultBackend: {service: {name: catch, port: {number: 80}}}}\n";
    check(
        &routes(Dialect::IngressNginx, &(dated("young", 2026) + &dated("old", 2020) + all)),
        &[("a.b/x", "old"), ("a.b/y", "default-old"), ("c.d/", "catch")],
    );
}

/// docs/user-guide/nginx-configuration/annotations.md, "Canary".
/// internal/ingress/controller/controller.go, `createServers`: no server is made for a canary, and one whose host has none is
/// left out.
#[test]
fn a_canary_makes_no_host_known() {
    let wide = ingress("shop", &[("*.example.com", "Prefix", "/", "shop")]);
    let canary = annotated(
        "evil",
        "nginx.ingress.kubernetes.io/canary: 'true'",
        &[("pay.example.com", "Prefix", "/", "evil"), ("", "Prefix", "/", "evil")],
    );
    let routes = routes(Dialect::IngressNginx, &(wide + &canary));
    check(&routes, &[("pay.example.com/x", "shop"), ("other.test/x", "none")]);
}

#[test]
fn ingress_nginx_canaries() {
    let prefix = "nginx.ingress.kubernetes.io/canary";
    let with = |annotations: &str| {
        let canary = annotated(
            "canary",
            &format!("{prefix}: 'true'{annotations}"),
            &[("a.b", "Prefix", "/", "canary")],
        );
        routes(Dialect::IngressNginx, &(ingress("main", &[("a.b", "Prefix", "/", "main")]) + &canary))
    };
    let of = |routes: &Routes, fields: &[(&str, &str)]| outcome(&ask(routes, "a.b/", fields));
    let weight = with(&format!(", {prefix}-weight: '30'"));
    assert_eq!(of(&weight, &[]), "main|canary");
    assert_eq!(of(&with(&format!(", {prefix}-weight: '0'")), &[]), "main");
    assert_eq!(of(&with(&format!(", {prefix}-weight: '100'")), &[]), "canary");
    let header =
        with(&format!(", {prefix}-by-header: X-Canary, {prefix}-by-cookie: beta, {prefix}-weight: '0'"));
    for (fields, expected) in [
        (&[("x-canary", "always")][..], "canary"),
        (&[("x-canary", "never"), ("cookie", "beta=always")], "main"),
        (&[("x-canary", "other"), ("cookie", "a=b; beta=always")], "canary"),
        (&[("cookie", "beta=never")], "main"),
        (&[("cookie", "xbeta=always")], "main"),
        (&[("x-canary", "always"), ("x-canary", "never")], "?repeated_field"),
    ] {
        assert_eq!(of(&header, fields), expected, "{fields:?}");
    }
    let value = with(&format!(", {prefix}-by-header: X-Canary, {prefix}-by-header-value: v1"));
    assert_eq!(of(&value, &[("x-canary", "v1")]), "canary");
    assert_eq!(of(&value, &[("x-canary", "always")]), "main");
    let pattern = with(&format!(", {prefix}-by-header: X-Canary, {prefix}-by-header-pattern: '^v[12]$'"));
    assert_eq!(of(&pattern, &[("x-canary", "v2")]), "canary");
    // A canary without a location behind which it could stand.
    let alone = annotated("canary", &format!("{prefix}: 'true'"), &[("a.b", "Prefix", "/", "canary")]);
    check(&routes(Dialect::IngressNginx, &alone), &[("a.b/", "none")]);
}

/// A Service that serves while nobody else can ("Default Backend").
#[test]
fn ingress_nginx_falls_back() {
    let yaml = annotated(
        "web",
        "nginx.ingress.kubernetes.io/default-backend: sorry",
        &[("a.b", "Prefix", "/", "s")],
    );
    let services = |ready: bool| {
        format!(
            "---\n{{apiVersion: v1, kind: Service, metadata: {{name: s, namespace: shop}}, spec: {{ports: [{{port: 80}}]}}}}
---\n{{apiVersion: v1, kind: Service, metadata: {{name: sorry, namespace: shop}}, spec: {{ports: [{{port: 80}}]}}}}
---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: sorry, namespace: shop, labels: {{kubernetes.io/service-name: sorry}}}}, addressType: IPv4, ports: [{{port: 8080}}], endpoints: [{{addresses: [10.0.0.9]}}]}}
---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: s, namespace: shop, labels: {{kubernetes.io/service-name: s}}}}, addressType: IPv4, ports: [{{port: 8080}}], endpoints: [{{addresses: [10.0.0.1], conditions: {{ready: {ready}}}}}]}}\n"
        )
    };
    for (ready, expected) in [(false, ("yes", "no_ready_endpoint")), (true, ("unknown", "fallback"))] {
        let objects = objects(&(yaml.clone() + &services(ready)));
        let routes =
            Routes::new(&objects, &Options { dialect: Some(Dialect::IngressNginx), ..Options::default() });
        let observed =
            Observed { backend: Some("10.0.0.9:8080".parse().unwrap()), answered: Answered::Backend };
        let verdict = judge(&Index::new(&objects), &ask(&routes, "a.b/", &[]), observed);
        assert_eq!((verdict.agreement.as_str(), verdict.agreement.reason()), expected);
    }
}

/// Traefik's documentation, "`Path`, `PathPrefix` and `PathRegexp`" and "Priority"; its `TestStrictPrefixMatchingRule`.
#[test]
fn traefik_ingresses() {
    let yaml = ingress(
        "web",
        &[
            ("foobar.traefik.com", "Prefix", "/", "short"),
            ("", "Prefix", "/a/very/long/path/indeed/longer/than/the/host", "long"),
            ("a.b", "Prefix", "/v1", "v1"),
            ("a.b", "Exact", "/v12", "exact"),
            ("*.wild.com", "Prefix", "/", "wild"),
        ],
    );
    check(
        &routes(Dialect::Traefik, &yaml),
        &[
            ("foobar.traefik.com/", "short"),
            // By priority, whatever the host: the rule is longer.
            ("foobar.traefik.com/a/very/long/path/indeed/longer/than/the/host", "long"),
            ("a.b/v1", "v1"),
            ("a.b/v13", "v1"),
            ("a.b/v12", "v1"),
            ("x.wild.com/", "wild"),
            ("x.y.wild.com/", "none"),
        ],
    );
    let strict = Options { dialect: Some(Dialect::Traefik), strict_prefixes: true, ..Options::default() };
    for (path, request, matches) in [
        ("/foo", "/foo", true),
        ("/foo", "/foo/", true),
        ("/foo", "/foobar", false),
        ("/foo", "/foo/bar", true),
        ("/foo/", "/foo", true),
        ("/foo/", "/foo/", true),
        ("/foo/", "/foobar", false),
        ("/", "/foo", true),
    ] {
        let routes = Routes::new(&objects(&ingress("web", &[("a.b", "Prefix", path, "s")])), &strict);
        let decision = ask(&routes, &format!("a.b{request}"), &[]);
        assert_eq!(decision.matched == Matched::Rule, matches, "{path} {request}");
    }
    let priority = |value: &str| {
        annotated(
            "low",
            &format!("traefik.ingress.kubernetes.io/router.priority: '{value}'"),
            &[("a.b", "Prefix", "/long", "annotated")],
        ) + &ingress("other", &[("a.b", "Prefix", "/", "other")])
    };
    check(&routes(Dialect::Traefik, &priority("1")), &[("a.b/long", "other")]);
    check(&routes(Dialect::Traefik, &priority("0")), &[("a.b/long", "annotated")]);
    check(&routes(Dialect::Traefik, &priority("-5")), &[("a.b/long", "other")]);
    let default = |rules: &str| {
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: d}}\nspec: {{{rules}defaultBackend: {{service: {{name: default, port: {{number: 80}}}}}}}}\n"
        )
    };
    check(&routes(Dialect::Traefik, &default("")), &[("a.b/", "default")]);
    check(&routes(Dialect::Traefik, &default("rules: [{host: a.b}], ")), &[("a.b/", "none")]);
}

fn ingress_route(rules: &[(&str, &str)]) -> String {
    let rules: String = rules
        .iter()
        .map(|(rule, service)| {
            format!("  - {{kind: Rule, match: {rule:?}, services: [{{name: {service}, port: 80}}]}}\n")
        })
        .collect();
    format!(
        "---\napiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {{name: r}}\nspec:\n  routes:\n{rules}"
    )
}

/// Traefik's documentation, "Rules & Priority".
#[test]
fn traefik_rules() {
    let rule = |rule: &str| routes(Dialect::Traefik, &ingress_route(&[(rule, "s")]));
    for (text, url, fields, expected) in [
        ("Host(`example.com`)", "EXAMPLE.com:80/x", &[][..], "s"),
        ("Host(`example.com`)", "example.org/", &[], "none"),
        ("HostRegexp(`^.+\\.example\\.com$`)", "a.b.example.com/", &[], "s"),
        ("HostRegexp(`^[a-z]+\\.example\\.com$`)", "a.b.example.com/", &[], "none"),
        ("Header(`Content-Type`, `application/yaml`)", "x/", &[("content-type", "application/yaml")], "s"),
        ("Header(`a`, `1`)", "x/", &[("a", "2"), ("a", "1")], "s"),
        (
            "HeaderRegexp(`Content-Type`, `^application/(json|yaml)$`)",
            "x/",
            &[("content-type", "application/json")],
            "s",
        ),
        ("HeaderRegexp(`Content-Type`, `^application/(json|yaml)$`)", "x/", &[], "none"),
        ("Method(`OPTIONS`)", "x/", &[(":method", "OPTIONS")], "s"),
        ("Path(`/products`)", "x/products", &[], "s"),
        ("Path(`/products`)", "x/products/", &[], "none"),
        ("PathPrefix(`/products`)", "x/productsmore", &[], "s"),
        ("PathRegexp(`\\.(jpeg|jpg|png)$`)", "x/a/b.png", &[], "s"),
        ("PathRegexp(`(?i)^/products`)", "x/PRODUCTS/shoes", &[], "s"),
        ("Query(`mobile`, `true`)", "x/?a=b&mobile=true", &[], "s"),
        ("Query(`mobile`)", "x/?mobile", &[], "s"),
        ("Query(`mobile`)", "x/?mobile=true", &[], "none"),
        ("QueryRegexp(`mobile`, `^(true|yes)$`)", "x/?mobile=yes", &[], "s"),
        ("ClientIP(`192.0.2.0/24`)", "x/", &[], "s"),
        ("ClientIP(`192.0.2.8`)", "x/", &[], "none"),
        ("Host(`a`) || Host(`b`) && Path(`/p`)", "a/", &[], "s"),
        ("(Host(`a`) || Host(`b`)) && Path(`/p`)", "a/", &[], "none"),
        ("Host(`a`) && !PathPrefix(`/p`)", "a/q", &[], "s"),
        ("Host(`a`) && !PathPrefix(`/p`)", "a/p", &[], "none"),
        ("!(Host(`a`) || Host(`b`))", "c/", &[], "s"),
        ("host(`a`) && PATHPREFIX(`/`)", "a/", &[], "s"),
        ("Host(`a`) && Unheard(`of`)", "a/", &[], "?unsupported_match"),
        ("Host(`a`) && Unheard(`of`)", "b/", &[], "none"),
        // The router is not made.
        ("Host(`a`) && Path(`no-slash`)", "a/", &[], "none"),
        ("Host(`a`, `b`)", "a/", &[], "none"),
        ("Host(`a`", "a/", &[], "none"),
        ("PathRegexp(`(`)", "a/", &[], "?pattern"),
    ] {
        assert_eq!(outcome(&ask(&rule(text), url, fields)), expected, "{text} {url}");
    }
    let priorities = ingress_route(&[
        ("HostRegexp(`[a-z]+\\.traefik\\.com`)", "router-1"),
        ("Host(`foobar.traefik.com`)", "router-2"),
    ]);
    check(&routes(Dialect::Traefik, &priorities), &[("foobar.traefik.com/", "router-1")]);
    let given = priorities
        .replacen("services", "priority: 1, services", 1)
        .replace("match: \"Host(`", "priority: 2, match: \"Host(`");
    check(&routes(Dialect::Traefik, &given), &[("foobar.traefik.com/", "router-2")]);
    let tls = ingress_route(&[("Host(`a`)", "s")]).replace("spec:\n", "spec:\n  tls: {}\n");
    check(&routes(Dialect::Traefik, &tls), &[("https://a/", "s"), ("http://a/", "none")]);
    // Whether the entry point has TLS of its own is not known.
    check(&rule("Host(`a`)"), &[("http://a/", "s"), ("https://a/", "?unknown_listener")]);
}

/// The Envoy of Contour: docs, "Ingress", "`HTTPProxy`: request routing", "inclusion".
#[test]
fn contour_ingresses() {
    let yaml = ingress(
        "web",
        &[
            ("a.b", "Prefix", "/prefix", "prefix"),
            ("a.b", "Exact", "/prefix/exact", "exact"),
            ("a.b", "ImplementationSpecific", "/string", "string"),
            ("a.b", "ImplementationSpecific", "/[pq]refix/.*", "regex"),
            ("*.wild.com", "Prefix", "/", "wild"),
            ("", "Prefix", "/", "any"),
        ],
    );
    check(
        &routes(Dialect::Contour, &yaml),
        &[
            ("a.b/prefix", "prefix"),
            ("a.b/prefix/exact", "exact"),
            ("a.b/prefix/other", "regex"),
            ("a.b/prefixes", "none"),
            ("a.b/strings", "string"),
            ("x.wild.com/", "wild"),
            // Envoy chooses the host by its suffix; the rule asks for one label.
            ("x.y.wild.com/", "none"),
            ("other/", "any"),
        ],
    );
}

fn proxy(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: projectcontour.io/v1\nkind: HTTPProxy\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
    )
}

#[test]
fn contour_proxies() {
    let root = proxy(
        "root",
        "virtualhost: {fqdn: a.b}, includes: [{name: blog, conditions: [{prefix: /blog}]}, {name: gone, conditions: [{prefix: /gone}]}, {name: root2, conditions: [{prefix: /root}]}], routes: [{conditions: [{prefix: /}], services: [{name: s1, port: 80}]}, {conditions: [{prefix: /}, {header: {name: x-os, contains: ios}}], services: [{name: ios, port: 80}]}, {conditions: [{prefix: /}, {header: {name: x-os, notexact: mac}}], services: [{name: not-mac, port: 80}]}, {conditions: [{exact: /exact}], requestRedirectPolicy: {statusCode: 301}}, {conditions: [{prefix: /direct}], directResponsePolicy: {statusCode: 418}}, {conditions: [{regex: '/v[0-9]+/.*'}], services: [{name: regex, port: 80}]}, {conditions: [{prefix: /q}, {queryParameter: {name: a, prefix: b}}], services: [{name: query, port: 80}]}, {conditions: [{prefix: /w}], services: [{name: w1, port: 80, weight: 90}, {name: w2, port: 80, weight: 10}, {name: w3, port: 80}, {name: m, port: 80, mirror: true}]}]",
    );
    let blog = proxy(
        "blog",
        "routes: [{services: [{name: blog, port: 80}]}, {conditions: [{prefix: /admin}], services: [{name: admin, port: 80}]}]",
    );
    let other = proxy("root2", "virtualhost: {fqdn: c.d}, routes: [{services: [{name: s2, port: 80}]}]");
    let routes = routes(Dialect::Contour, &(root + &blog + &other));
    check(
        &routes,
        &[
            ("a.b/", "s1"),
            ("a.b/blog", "blog"),
            ("a.b/blog/admin/x", "admin"),
            ("a.b/blogger", "blog"),
            ("a.b/gone/x", "502"),
            ("a.b/root", "502"),
            ("a.b/exact", "301"),
            ("a.b/direct/x", "418"),
            ("a.b/v12/x", "regex"),
            ("a.b/q?a=bc", "query"),
            ("a.b/q?a=c", "s1"),
            ("a.b/w", "w1|w2"),
            ("c.d/x", "s2"),
            ("https://c.d/x", "none"),
        ],
    );
    for (value, expected) in [("my ios 9", "ios"), ("mac", "s1"), ("linux", "not-mac")] {
        assert_eq!(outcome(&ask(&routes, "a.b/", &[("x-os", value)])), expected, "{value}");
    }
    let route = ask(&routes, "a.b/w", &[]).route.unwrap();
    assert_eq!(route.mirrors.len(), 1);
}

#[test]
fn contour_tls_cycles_and_duplicates() {
    let tls = proxy(
        "tls",
        "virtualhost: {fqdn: t.e, tls: {secretName: x}}, routes: [{services: [{name: s, port: 80}]}, {conditions: [{prefix: /open}], permitInsecure: true, services: [{name: open, port: 80}]}]",
    );
    check(
        &routes(Dialect::Contour, &tls),
        &[
            ("https://t.e/", "s"),
            ("http://t.e/", "301"),
            ("http://t.e/open", "open"),
            ("https://t.e/open", "open"),
        ],
    );
    let pass = proxy(
        "pass",
        "virtualhost: {fqdn: p.e, tls: {passthrough: true}}, tcpproxy: {services: [{name: raw, port: 443}]}",
    );
    assert_eq!(service(&routes(Dialect::Contour, &pass).passthrough(b"P.e")), Some("raw"));

    let cycle = proxy(
        "a",
        "virtualhost: {fqdn: a.b}, includes: [{name: b}], routes: [{services: [{name: a, port: 80}]}]",
    ) + &proxy("b", "includes: [{name: c, conditions: [{prefix: /c}]}]")
        + &proxy("c", "includes: [{name: b}], routes: [{services: [{name: c, port: 80}]}]");
    let routes_of_cycle = routes(Dialect::Contour, &cycle);
    check(&routes_of_cycle, &[("a.b/c/x", "c"), ("a.b/x", "a")]);
    assert_eq!(routes_of_cycle.problem_count(), 1, "{:?}", routes_of_cycle.problems());

    let twice = proxy("a", "virtualhost: {fqdn: a.b}, routes: [{services: [{name: a, port: 80}]}]")
        + &proxy("b", "virtualhost: {fqdn: A.B}, routes: [{services: [{name: b, port: 80}]}]");
    check(&routes(Dialect::Contour, &twice), &[("a.b/", "none")]);

    // Forty objects, each of which includes the next one twice: not followed to the end, and said.
    let bomb: String = (0..40)
        .map(|number| {
            let host = if number == 0 { "virtualhost: {fqdn: a.b}, " } else { "" };
            let next = number + 1;
            if next == 40 {
                return proxy("p39", "routes: [{services: [{name: last, port: 80}]}]");
            }
            proxy(&format!("p{number}"), &format!("{host}includes: [{{name: p{next}, conditions: [{{prefix: /a}}]}}, {{name: p{next}, conditions: [{{prefix: /b}}]}}], routes: [{{services: [{{name: s{number}, port: 80}}]}}]"))
        })
        .collect();
    let bombed = routes(Dialect::Contour, &bomb);
    assert!(bombed.problems().iter().any(|problem| problem.to_string().contains("more includes than 10000")));
}

/// documentation/ingress.md of haproxytech, and its pkg/route: what its three maps hold.
#[test]
fn haproxytech_paths() {
    let yaml = ingress(
        "web",
        &[
            ("a.b", "Prefix", "/prefix", "prefix"),
            ("a.b", "Exact", "/prefix/exact", "exact"),
            ("a.b", "ImplementationSpecific", "/string", "string"),
            ("*.wild.com", "Prefix", "/", "wild"),
        ],
    );
    check(
        &routes(Dialect::HaproxyTech, &yaml),
        &[
            ("a.b/prefix", "prefix"),
            ("a.b/prefix/", "prefix"),
            ("a.b/prefixes", "none"),
            ("a.b/prefix/exact", "exact"),
            ("a.b/strings/x", "string"),
            ("x.wild.com/", "wild"),
            ("x.y.wild.com/", "none"),
        ],
    );
}

/// The table of "Path type" in the documentation of jcmoraisjr's.
#[test]
fn haproxy_ingress_path_types() {
    for (path_type, path, matching, others) in [
        ("begin", "/app", &["/App", "/app", "/app/1", "/app1"][..], &["/ap"][..]),
        ("exact", "/app", &["/app"], &["/App", "/app/", "/app1"]),
        ("prefix", "/app", &["/app", "/app/", "/app/1"], &["/App", "/app1"]),
        ("prefix", "/app/", &["/app", "/app/", "/app/1"], &["/App", "/app1"]),
        ("regex", "/app[0-9]+", &["/app1", "/app15/sub", "/app25xx/sub"], &["/App1", "/app/15"]),
        ("regex", "/app[0-9]+$", &["/app1", "/app15"], &["/App1", "/app15/", "/app25xx"]),
        ("regex", "/app[0-9]+/?", &["/app1", "/app15/", "/app25/sub"], &["/App15", "/app/25sub"]),
    ] {
        let annotation = format!("haproxy-ingress.github.io/path-type: {path_type}");
        let routes = routes(
            Dialect::HaproxyIngress,
            &annotated("w", &annotation, &[("a.b", "ImplementationSpecific", path, "s")]),
        );
        for (requests, expected) in [(matching, "s"), (others, "none")] {
            for request in requests {
                assert_eq!(
                    outcome(&ask(&routes, &format!("a.b{request}"), &[])),
                    expected,
                    "{path_type} {path} {request}"
                );
            }
        }
    }
    // "Strict host": false, so that wildcard hosts are visited, too.
    let strict =
        ingress("w", &[("my.domain.com", "Prefix", "/a", "svc1"), ("*.domain.com", "Prefix", "/", "svc2")]);
    check(
        &routes(Dialect::HaproxyIngress, &strict),
        &[("my.domain.com/a", "svc1"), ("my.domain.com/b", "svc2")],
    );
}

/// Kong's controller, `TestPathsFromIngressPaths`; its router: "*.example.com" stands for several labels.
#[test]
fn kong_paths() {
    let yaml = ingress(
        "web",
        &[
            ("a.b", "Prefix", "/prefix", "prefix"),
            ("a.b", "Exact", "/prefix/exact", "exact"),
            ("a.b", "ImplementationSpecific", "/string", "string"),
            ("a.b", "ImplementationSpecific", "/~/users/\\d+/profile", "regex"),
            ("a.b", "ImplementationSpecific", "/users", "users"),
            ("*.example.com", "Prefix", "/", "wild"),
        ],
    );
    check(
        &routes(Dialect::Kong, &yaml),
        &[
            ("a.b/prefix", "prefix"),
            ("a.b/prefix/x", "prefix"),
            ("a.b/prefixes", "none"),
            ("a.b/prefix/exact", "exact"),
            ("a.b/prefix/exact/", "prefix"),
            ("a.b/strings", "string"),
            ("a.b/users/12/profile", "regex"),
            ("a.b/users/x", "users"),
            ("x.y.example.com/", "wild"),
        ],
    );
}

/// docs/network/servicemesh/path-types of Cilium: its Ingress, and which path answers what.
#[test]
fn cilium_path_types() {
    let yaml = ingress(
        "multiple-path-types",
        &[
            ("pathtypes.example.com", "Exact", "/exact", "exactpath"),
            ("pathtypes.example.com", "Prefix", "/", "prefixpath"),
            ("pathtypes.example.com", "Prefix", "/prefix", "prefixpath2"),
            ("pathtypes.example.com", "ImplementationSpecific", "/impl", "implpath"),
            ("pathtypes.example.com", "ImplementationSpecific", "/impl.+", "implpath2"),
        ],
    );
    check(
        &routes(Dialect::Cilium, &yaml),
        &[
            ("pathtypes.example.com/exact", "exactpath"),
            ("pathtypes.example.com/prefix", "prefixpath2"),
            ("pathtypes.example.com/impl", "implpath"),
            ("pathtypes.example.com/implementation", "implpath2"),
            ("pathtypes.example.com/", "prefixpath"),
            ("pathtypes.example.com/exact/x", "prefixpath"),
        ],
    );
}

/// Istio's conversion of Ingresses (`createFallbackStringMatch`, and its order by length).
#[test]
fn istio_paths() {
    let yaml = ingress(
        "web",
        &[
            ("a.b", "Prefix", "/prefix", "prefix"),
            ("a.b", "Exact", "/prefix", "exact"),
            ("a.b", "ImplementationSpecific", "/impl", "impl"),
            ("a.b", "ImplementationSpecific", "/any.*", "any"),
            ("a.b", "ImplementationSpecific", "", "rest"),
        ],
    );
    check(
        &routes(Dialect::Istio, &yaml),
        &[
            ("a.b/prefix", "exact"),
            ("a.b/prefix/x", "prefix"),
            ("a.b/impl", "impl"),
            ("a.b/impl/x", "rest"),
            ("a.b/anything", "any"),
        ],
    );
}

/// nginx/kubernetes-ingress: "Host collisions" (the oldest wins), mergeable Ingresses, `nginx.org/path-regex`.
#[test]
fn f5_nginx() {
    let dated = |name: &str, year: u32, annotations: &str, paths: &[(&str, &str, &str, &str)]| {
        ingress(name, paths).replace(
            "namespace: shop",
            &format!(
                "namespace: shop, creationTimestamp: '{year}-01-01T00:00:00Z', annotations: {{{annotations}}}"
            ),
        )
    };
    let collision = dated(
        "young",
        2026,
        "",
        &[("cafe.example.com", "Prefix", "/tea", "tea"), ("other.com", "Prefix", "/", "other")],
    ) + &dated(
        "old",
        2020,
        "",
        &[
            ("cafe.example.com", "Prefix", "/coffee", "coffee"),
            ("cafe.example.com", "Exact", "/exact", "exact"),
        ],
    );
    check(
        &routes(Dialect::F5Nginx, &collision),
        &[
            ("cafe.example.com/coffee", "coffee"),
            ("cafe.example.com/coffees", "coffee"),
            ("cafe.example.com/tea", "none"),
            ("cafe.example.com/exact/", "none"),
            ("other.com/x", "other"),
        ],
    );
    let kind = |kind: &str| format!("nginx.org/mergeable-ingress-type: {kind}");
    let merged = dated("master", 2020, &kind("master"), &[])
        .replace("rules:", "rules: [{host: cafe.example.com}]")
        + &dated("tea", 2021, &kind("minion"), &[("cafe.example.com", "Prefix", "/tea", "tea")])
        + &dated("coffee", 2022, &kind("minion"), &[("cafe.example.com", "Prefix", "/coffee", "coffee")])
        + &dated("lost", 2022, &kind("minion"), &[("no-master.com", "Prefix", "/", "lost")]);
    check(
        &routes(Dialect::F5Nginx, &merged),
        &[
            ("cafe.example.com/tea/green", "tea"),
            ("cafe.example.com/coffee", "coffee"),
            ("no-master.com/", "none"),
        ],
    );
    let regex = dated(
        "w",
        2020,
        "nginx.org/path-regex: case_insensitive",
        &[("a.b", "Prefix", "/tea/[A-Z0-9]+", "tea"), ("a.b", "Prefix", "/t", "t")],
    );
    check(&routes(Dialect::F5Nginx, &regex), &[("a.b/TEA/green", "tea"), ("a.b/tea", "t")]);
}

/// By the class's `spec.controller`, without any configuration.
#[test]
fn the_class_chooses_the_dialect() {
    for (controller, dialect) in [
        ("k8s.io/ingress-nginx", Some(Dialect::IngressNginx)),
        ("nginx.org/ingress-controller", Some(Dialect::F5Nginx)),
        ("traefik.io/ingress-controller", Some(Dialect::Traefik)),
        ("haproxy.org/ingress-controller", Some(Dialect::HaproxyTech)),
        ("haproxy.org/ingress-controller/prod", Some(Dialect::HaproxyTech)),
        ("haproxy-ingress.github.io/controller/x", Some(Dialect::HaproxyIngress)),
        ("ingress-controllers.konghq.com/kong", Some(Dialect::Kong)),
        ("istio.io/ingress-controller", Some(Dialect::Istio)),
        ("haproxy.org/ingress-controllers", None),
        ("example.com/own", None),
    ] {
        assert_eq!(Dialect::of(controller), dialect, "{controller}");
    }
    let yaml = ingress("web", &[("a.b", "Prefix", "/foo", "s")])
        .replace("spec:\n", "spec:\n  ingressClassName: c\n")
        + "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: c}\nspec: {controller: traefik.io/ingress-controller}\n";
    let by_class = Routes::new(&objects(&yaml), &Options::default());
    assert_eq!(outcome(&ask(&by_class, "a.b/foobar", &[])), "s");
    let configured = Options { dialect: Some(Dialect::Standard), ..Options::default() };
    assert_eq!(outcome(&ask(&Routes::new(&objects(&yaml), &configured), "a.b/foobar", &[])), "none");
}

/// What controllers make of a path that is not in normal form differs; where that matters, it is said.
#[test]
fn paths_that_are_not_normal() {
    let yaml = ingress("web", &[("a.b", "Prefix", "/", "root"), ("a.b", "Prefix", "/admin", "admin")]);
    check(
        &routes(Dialect::Contour, &yaml),
        &[("a.b/x%20y", "root"), ("a.b/%61dmin", "?path_not_normal"), ("a.b/admin", "admin")],
    );
    check(&routes(Dialect::IngressNginx, &yaml), &[("a.b/%61dmin", "admin")]);
    assert_eq!(Uncertainty::PathForm.as_str(), "path_not_normal");
}
