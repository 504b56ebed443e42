//! Manifests that are wrong, huge, contradictory or hostile.

use std::fmt::Write;
use std::path::Path;

use auditor::attribute::index::Index;
use auditor::attribute::manifests::{MAX_FILE_BYTES, ManifestError, load, parse};
use auditor::attribute::routes::{Options, ProblemKind, Routes};

use super::support::{decide, ingress, objects, routes, service};

/// The message, which must name file, line and key.
#[track_caller]
fn error(file: &str, text: &str, expected: &str) {
    let error = parse(Path::new(file), text.as_bytes()).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}\nshould contain\n{expected}");
}

#[test]
fn errors_name_file_line_and_key() {
    let head = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: a}\n";
    error("a.yaml", &format!("{head}spec:\n  rules: 7\n"), "a.yaml:5:10: Ingress spec.rules: ");
    error(
        "a.yaml",
        &format!("# one\n---\n{head}---\n{head}spec:\n  rules:\n  - host: [1]\n"),
        "a.yaml:12:11: Ingress spec.rules[0].host: ",
    );
    error("a.yaml", "a: 1\n---\nkind: [\n", "a.yaml:1: kind is missing");
    error(
        "a.yaml",
        "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- {apiVersion: v1, kind: Pod, spec: 3}\n",
        "a.yaml:5:",
    );
    error(
        "a.yaml",
        "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- {apiVersion: v1, kind: Pod, spec: 3}\n",
        "items[1].spec",
    );
    error("a.yaml", "kind: x\n  bad: y\n", "a.yaml:2:");
    error("a.yaml", "kind: Pod\nkind: Pod\n", "a.yaml:2:");
    error("a.yaml", "- 1\n", "a.yaml:1:");
    error("a.yaml", "kind: Ingress\nmetadata: {name: a}\n", "a.yaml:1: apiVersion is missing");
    error("a.yaml", "kind: List\nitems: []\n", "a.yaml:1: apiVersion is missing");
    error("a.yaml", "apiVersion: v1\nkind: Pod\n", "a.yaml:1: Pod without metadata.name");
    error(
        "a.yaml",
        "apiVersion: extensions/v1beta1\nkind: Ingress\n",
        "\"extensions/v1beta1\"; only networking.k8s.io/v1 is understood",
    );
    error(
        "a.yaml",
        "apiVersion: v1\nkind: List\nitems: [{kind: List, apiVersion: v1}]\n",
        "items[0] is itself a list",
    );
    error("a.yaml", "apiVersion: v1\nkind: List\nitems: [{}]\n", "items[0].kind is missing");
    error("a.json", "{\"apiVersion\": \"v1\",\n\"kind\": \"Pod\", \"metadata\": {\"name\": 1}}", "a.json:2:");
    error("a.json", "{\"kind\": \"X\"} {}", "a.json:1:");
    let error = parse(Path::new("a.yaml"), b"a: 1\nb: \xff\n").unwrap_err();
    assert!(matches!(error, ManifestError::NotText { line: 2, .. }));
}

#[test]
fn two_objects_of_one_name_are_an_error() {
    let twice = ingress("web", &[]).replace("rules:", "rules: []").repeat(2);
    error("a.yaml", &twice, "a.yaml:7: Ingress shop/web is already defined at a.yaml:1");
}

#[test]
fn alias_bombs_do_not_expand() {
    let mut bomb =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..40 {
        let below = level - 1;
        writeln!(bomb, "a{level}: &a{level} [{}]", vec![format!("*a{below}"); 9].join(", ")).unwrap();
    }
    assert!(matches!(parse(Path::new("a.yaml"), bomb.as_bytes()), Err(ManifestError::Invalid { .. })));
    let cyclic = "apiVersion: v1\nkind: Pod\nmetadata: &m {name: x, labels: *m}\n";
    assert!(matches!(parse(Path::new("a.yaml"), cyclic.as_bytes()), Err(ManifestError::Invalid { .. })));
}

#[test]
fn deep_documents_are_refused() {
    for (open, file) in [("[", "a.yaml"), ("{\"a\":", "a.yaml"), ("[", "a.json"), ("- ", "a.yaml")] {
        let text = format!("{{\"kind\": {}", open.repeat(100_000));
        assert!(matches!(parse(Path::new(file), text.as_bytes()), Err(ManifestError::Invalid { .. })));
    }
    let text = format!("kind: X\na: {}", "\n- - - ".repeat(2).replace("- - - ", &"- ".repeat(50_000)));
    assert!(matches!(parse(Path::new("a.yaml"), text.as_bytes()), Err(ManifestError::Invalid { .. })));
}

#[test]
fn huge_files_are_refused_and_large_ones_read() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = std::fs::File::create(dir.path().join("a.yaml")).unwrap();
    file.set_len(MAX_FILE_BYTES + 1).unwrap();
    assert!(matches!(load(dir.path()), Err(ManifestError::TooMany { .. })));

    for annotation in ["x".repeat(1 << 20), "{\\\"a\\\": 1}".repeat(100_000)] {
        let yaml = ingress("web", &[("a.b", "Prefix", "/", "s")])
            .replace("namespace: shop", &format!("namespace: shop, annotations: {{big: \"{annotation}\"}}"));
        assert_eq!(service(&decide(&routes(&yaml), "a.b", "/")), Some("s"));
    }
    let many = (0..20_000).fold("# c\n---\n".repeat(100_000), |mut text, number| {
        writeln!(text, "---\n{{kind: K{number}, apiVersion: v1}}").unwrap();
        text
    });
    let ignored = objects(&many).ignored;
    assert_eq!(ignored.by_kind.values().sum::<u64>() + ignored.others, 20_000);
    assert_eq!(ignored.by_kind.len(), 64);
}

#[test]
fn what_an_api_server_would_refuse_is_left_out_and_reported() {
    let long = format!("/{}", "a".repeat(5_000));
    for (host, path_type, path, reported) in [
        ("10.0.0.1", "Prefix", "/", true),
        ("a*.b", "Prefix", "/", true),
        ("a.b:80", "Prefix", "/", true),
        ("a.b", "Prefix", "", true),
        ("a.b", "Prefix", "x", true),
        ("a.b", "Prefix", "/a//b", true),
        ("a.b", "Exact", "/a/../b", true),
        ("a.b", "Exact", "/a%2Fb", true),
        ("a.b", "Exact", "/a/.", true),
        ("a.b", "Prefix", &long, true),
        ("a.b", "prefix", "/", true),
        ("a.b", "ImplementationSpecific", "/..", true),
        ("a.b", "ImplementationSpecific", "/a(/|$)(.*)", true),
        ("a.b", "ImplementationSpecific", "/a", false),
        ("a.b", "Exact", "/a%00", true),
    ] {
        let routes = routes(&ingress("web", &[(host, path_type, path, "s")]));
        assert_eq!(
            routes.problem_count() == 1,
            reported,
            "{host} {path_type} {path}: {:?}",
            routes.problems()
        );
        for problem in routes.problems() {
            assert!(problem.to_string().starts_with("Ingress shop/web rules[0]"));
        }
    }
}

#[test]
fn problems_are_bounded_and_counted() {
    let paths: Vec<_> = (0..5_000).map(|_| ("a.b", "Prefix", "/", "s")).collect();
    let routes = routes(&ingress("web", &paths));
    assert_eq!((routes.problems().len(), routes.problem_count()), (1_000, 4_999));
    assert!(matches!(routes.problems()[0].kind, ProblemKind::Shadowed { .. }));
}

#[test]
fn nonsense_objects_are_counted() {
    let objects = objects(
        "
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: nonsense, ports: [{port: 0}, {port: 80, nodePort: 30000}, {port: -1}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {ports: [{port: 80, nodePort: 30000}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: c}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: []}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: b, labels: {kubernetes.io/service-name: ghost}}, addressType: IPv4, ports: [{port: 70000}, {port: 80}], endpoints: [{addresses: [here, 10.0.0.1]}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIP: '300.0.0.1'}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}}
",
    );
    let unusable = Index::new(&objects).unusable();
    assert_eq!((unusable.addresses, unusable.ports, unusable.node_ports), (3, 3, 1));
    assert_eq!((unusable.slices_without_service, unusable.slices_of_missing_services), (1, 1));
    assert_eq!(Routes::new(&objects, &Options::default()).problem_count(), 0);
}

#[test]
fn one_address_of_very_many_services_stays_small() {
    let mut yaml = String::new();
    for number in 0..2_000 {
        writeln!(
            yaml,
            "---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: s{number}, labels: {{kubernetes.io/service-name: s{number}}}}}, addressType: IPv4, ports: [{{port: 80}}], endpoints: [{{addresses: [10.0.0.1]}}]}}"
        )
        .unwrap();
    }
    assert_eq!(Index::new(&objects(&yaml)).unusable().beyond_bounds, 2_000 - 256);
}

/// Objects of the other kinds that an API server would refuse, or that refer to nothing: the rest goes on, and it is said.
#[test]
fn nonsense_routes_are_left_out_and_reported() {
    let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: c, listeners: [{name: l, port: 80, protocol: HTTP}]}\n---\n";
    let route = |spec: &str| {
        format!(
            "{gateway}apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{parentRefs: [{{name: gw}}], {spec}}}\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: z}}\nspec: {{parentRefs: [{{name: gw}}], hostnames: [good.example], rules: [{{backendRefs: [{{name: good, port: 80}}]}}]}}\n"
        )
    };
    let backend = "backendRefs: [{name: s, port: 80}]";
    let long = "a".repeat(300);
    let regex = "(".repeat(2_000) + &")".repeat(2_000);
    for (spec, problem) in [
        (format!("hostnames: ['10.0.0.1'], rules: [{{{backend}}}]"), "the host is an address"),
        (format!("hostnames: ['a.*.b'], rules: [{{{backend}}}]"), "the wildcard is not"),
        (format!("hostnames: ['{long}'], rules: [{{{backend}}}]"), "the host is too long"),
        (format!("rules: [{{matches: [{{path: {{value: x}}}}], {backend}}}]"), "the target has no path"),
        (
            format!("rules: [{{matches: [{{path: {{type: Fuzzy, value: /}}}}], {backend}}}]"),
            "the match is not understood",
        ),
        (
            format!(
                "rules: [{{matches: [{{path: {{type: RegularExpression, value: '{regex}'}}}}], {backend}}}]"
            ),
            "the regular expression cannot be read",
        ),
        (
            format!(
                "rules: [{{matches: [{{path: {{type: RegularExpression, value: '(((a{{0,100}}){{0,100}}){{0,100}})'}}}}], {backend}}}]"
            ),
            "the regular expression cannot be read",
        ),
        ("rules: [{backendRefs: [{name: s, port: 700000}]}]".to_owned(), "the backend is not valid"),
        (format!("rules: [{}]", format!("{{{backend}}}, ").repeat(50)), "more rules than 16"),
        (
            format!("rules: [{{matches: [{}], {backend}}}]", "{method: GET}, ".repeat(100)),
            "more matches than 64",
        ),
    ] {
        let routes = routes(&route(&spec));
        assert!(
            routes.problems().iter().any(|one| one.to_string().contains(problem)),
            "{problem}: {:?}",
            routes.problems()
        );
        assert_eq!(service(&decide(&routes, "good.example", "/")), Some("good"), "{problem}");
    }
    let dangling = route("rules: []").replace("[{name: gw}], rules", "[{name: gone}], rules");
    assert!(routes(&dangling).problems()[0].to_string().contains("Gateway default/gone does not exist"));
}

/// Regular expressions that explode elsewhere take time in proportion to the text, and their memory is bounded.
#[test]
fn regular_expressions_do_not_explode() {
    let annotation = "annotations: {nginx.ingress.kubernetes.io/use-regex: 'true'}";
    let yaml = ingress("web", &[("a.b", "ImplementationSpecific", "/(a+)+$", "s")])
        .replace("namespace: shop", &format!("namespace: shop, {annotation}"));
    let options =
        Options { dialect: Some(auditor::attribute::routes::Dialect::IngressNginx), ..Options::default() };
    let routes = Routes::new(&objects(&yaml), &options);
    let started = std::time::Instant::now();
    assert_eq!(service(&decide(&routes, "a.b", &format!("/{}b", "a".repeat(60_000)))), None);
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "not exponential");
    let many: Vec<String> = (0..12_000).map(|number| format!("/x{number}.*")).collect();
    let paths: Vec<_> =
        many.iter().map(|path| ("a.b", "ImplementationSpecific", path.as_str(), "s")).collect();
    let options =
        Options { dialect: Some(auditor::attribute::routes::Dialect::Cilium), ..Options::default() };
    let routes = Routes::new(&objects(&ingress("web", &paths)), &options);
    assert_eq!(routes.problem_count(), 2_000, "beyond the bound");
    assert!(decide(&routes, "a.b", "/y").doubt.is_some(), "what was left out might match");
}
