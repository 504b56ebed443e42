//! The tables of the Kubernetes documentation (Ingress: "Path types", "Hostname wildcards", "Multiple matches", "Default
//! backend", "Ingress class"), and what follows from several objects.

use auditor::attribute::objects::ObjectName;
use auditor::attribute::routes::{ClassFilter, Matched, Options, PathType, PortRef, Reason, Routes};

use super::support::{decide, ingress, objects, routes, service, service_of};

/// Whether these paths of one kind match, and which: the rows of the documentation's table.
#[track_caller]
fn path(rules: &[(&str, &str)], request: &str, expected: Option<&str>) {
    let paths: Vec<_> = rules.iter().map(|(path_type, path)| ("", *path_type, *path, "s")).collect();
    let routes = routes(&ingress("web", &paths));
    let decision = decide(&routes, "any.example", request);
    assert_eq!(
        decision.route.as_deref().and_then(|route| route.path.as_deref()),
        expected,
        "{rules:?} {request}"
    );
}

#[test]
fn path_types() {
    path(&[("Prefix", "/")], "/anything", Some("/"));
    path(&[("Prefix", "/")], "/", Some("/"));
    path(&[("Exact", "/foo")], "/foo", Some("/foo"));
    path(&[("Exact", "/foo")], "/bar", None);
    path(&[("Exact", "/foo")], "/foo/", None);
    path(&[("Exact", "/foo/")], "/foo", None);
    path(&[("Exact", "/foo/")], "/foo/", Some("/foo/"));
    path(&[("Exact", "/")], "/", Some("/"));
    path(&[("Exact", "/")], "/a", None);
    path(&[("Prefix", "/foo")], "/foo", Some("/foo"));
    path(&[("Prefix", "/foo")], "/foo/", Some("/foo"));
    path(&[("Prefix", "/foo/")], "/foo", Some("/foo/"));
    path(&[("Prefix", "/foo/")], "/foo/", Some("/foo/"));
    path(&[("Prefix", "/aaa/bb")], "/aaa/bbb", None);
    path(&[("Prefix", "/aaa/bbb")], "/aaa/bbb", Some("/aaa/bbb"));
    path(&[("Prefix", "/aaa/bbb/")], "/aaa/bbb", Some("/aaa/bbb/"));
    path(&[("Prefix", "/aaa/bbb")], "/aaa/bbb/", Some("/aaa/bbb"));
    path(&[("Prefix", "/aaa/bbb")], "/aaa/bbb/ccc", Some("/aaa/bbb"));
    path(&[("Prefix", "/aaa/bbb")], "/aaa/bbbxyz", None);
    path(&[("Prefix", "/"), ("Prefix", "/aaa")], "/aaa/ccc", Some("/aaa"));
    path(&[("Prefix", "/"), ("Prefix", "/aaa")], "/ccc", Some("/"));
    path(&[("Prefix", "/aaa")], "/ccc", None);
    path(&[("Prefix", "/"), ("Prefix", "/aaa"), ("Prefix", "/aaa/bbb")], "/aaa/bbb", Some("/aaa/bbb"));
    path(&[("Prefix", "/foo")], "/FOO", None);
    path(&[("Prefix", "/foo")], "/foobar", None);
}

#[test]
fn the_longest_path_wins_and_then_exact() {
    for (first, second) in [("Prefix", "Exact"), ("Exact", "Prefix")] {
        let routes =
            routes(&ingress("web", &[("a.b", first, "/foo", first), ("a.b", second, "/foo", second)]));
        assert_eq!(service(&decide(&routes, "a.b", "/foo")), Some("Exact"));
        assert_eq!(service(&decide(&routes, "a.b", "/foo/")), Some("Prefix"));
        assert_eq!(decide(&routes, "a.b", "/foo").reason, Reason::ExactPath);
    }
    path(&[("Exact", "/foo"), ("Prefix", "/foo/")], "/foo", Some("/foo"));
    path(&[("Prefix", "/foo"), ("Exact", "/foo/")], "/foo/", Some("/foo/"));
    path(&[("ImplementationSpecific", "/foo"), ("Prefix", "/foo/")], "/foo/x", Some("/foo/"));
}

#[test]
fn a_request_is_matched_by_its_normal_form() {
    path(&[("Prefix", "/admin"), ("Prefix", "/")], "/public/../admin", Some("/admin"));
    path(&[("Prefix", "/admin"), ("Prefix", "/")], "/%61dmin?x=/", Some("/admin"));
    path(&[("Prefix", "/admin"), ("Prefix", "/")], "//admin", Some("/admin"));
    path(&[("Exact", "/caf%C3%A9")], "/caf\u{e9}", Some("/caf%C3%A9"));
    path(&[("Exact", "/100%")], "/100%25", Some("/100%"));
    path(&[("Prefix", "/")], "/../etc", None);
}

/// The documentation's table of wildcards, and its neighbours.
#[test]
fn hostname_wildcards() {
    for (rule, request, matches) in [
        ("*.foo.com", "bar.foo.com", true),
        ("*.foo.com", "baz.bar.foo.com", false),
        ("*.foo.com", "foo.com", false),
        ("*.foo.com", ".foo.com", false),
        ("*.foo.com", "x@bar.foo.com", false),
        ("foo.com", "x@foo.com", false),
        ("*.foo.com", "BAR.Foo.COM.:8443", true),
        ("foo.com", "foo.com", true),
        ("foo.com", "FOO.com:80", true),
        ("foo.com", "foo.com.", true),
        ("foo.com", "xfoo.com", false),
        ("FOO.com", "foo.com", true),
        ("", "anything", true),
        ("", "[::1]:80", true),
        ("", "", true),
        ("foo.com", "", false),
    ] {
        let routes = routes(&ingress("web", &[(rule, "Prefix", "/", "s")]));
        assert_eq!(decide(&routes, request, "/").matched == Matched::Rule, matches, "{rule} {request}");
    }
}

#[test]
fn the_most_specific_host_decides_alone() {
    let yaml = ingress(
        "web",
        &[
            ("", "Prefix", "/", "any"),
            ("*.foo.com", "Prefix", "/", "wild"),
            ("*.foo.com", "Prefix", "/x", "wild-x"),
            ("bar.foo.com", "Prefix", "/x", "exact"),
        ],
    );
    let table = [
        ("bar.foo.com", "/x", Some("exact"), Some("exact")),
        ("bar.foo.com", "/y", None, Some("wild")),
        ("baz.foo.com", "/x", Some("wild-x"), Some("wild-x")),
        ("baz.foo.com", "/y", Some("wild"), Some("wild")),
        ("a.baz.foo.com", "/x", Some("any"), Some("any")),
    ];
    for (host, path, expected, falling_through) in table {
        let options = Options { falls_through: true, ..Options::default() };
        assert_eq!(service(&decide(&routes(&yaml), host, path)), expected, "{host}{path}");
        let routes = Routes::new(&objects(&yaml), &options);
        assert_eq!(service(&decide(&routes, host, path)), falling_through, "{host}{path}");
    }
}

#[test]
fn a_target_in_absolute_form_overrides_the_host() {
    let routes = routes(&ingress("web", &[("a.b", "Prefix", "/", "a"), ("c.d", "Prefix", "/", "c")]));
    assert_eq!(service(&decide(&routes, "c.d", "http://a.b/x")), Some("a"));
}

#[test]
fn the_oldest_ingress_wins_a_path() {
    let dated = |name: &str, time: &str| {
        let time = if time.is_empty() { String::new() } else { format!(", creationTimestamp: {time:?}") };
        ingress(name, &[("a.b", "Prefix", "/", name)])
            .replace("namespace: shop", &format!("namespace: shop{time}"))
    };
    for (objects, expected) in [
        ([dated("a", "2026-01-02T00:00:00Z"), dated("b", "2026-01-01T00:00:00Z")], "b"),
        ([dated("b", "2026-01-01T00:00:00Z"), dated("a", "2026-01-01T00:00:00Z")], "a"),
        ([dated("a", ""), dated("b", "2026-01-01T00:00:00Z")], "b"),
        ([dated("b", ""), dated("a", "")], "a"),
    ] {
        let routes = routes(&objects.concat());
        assert_eq!(service(&decide(&routes, "a.b", "/")), Some(expected));
        assert_eq!(routes.problem_count(), 1, "the loser is reported");
    }
    // Several Ingresses of a host are one host.
    let routes = routes(
        &(ingress("a", &[("a.b", "Prefix", "/a", "a")]) + &ingress("b", &[("a.b", "Prefix", "/a/b", "b")])),
    );
    assert_eq!(service(&decide(&routes, "a.b", "/a/b")), Some("b"));
    assert_eq!(service(&decide(&routes, "a.b", "/a/c")), Some("a"));
}

/// An Ingress with a default backend, and perhaps a rule without paths.
fn default_backend(name: &str, host: Option<&str>) -> String {
    let rules = host.map(|host| format!("  rules: [{{host: {host}}}]\n")).unwrap_or_default();
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec:\n{rules}  \
         defaultBackend: {{service: {{name: {name}, port: {{name: http}}}}}}\n"
    )
}

#[test]
fn default_backends_by_scope() {
    let rule = ingress("web", &[("a.b", "Prefix", "/x", "x")]);
    let hosted = default_backend("hosted", Some("a.b"));
    let all = default_backend("zz-all", None);
    let options = Options {
        default_backend: Some((
            ObjectName { namespace: "sys".into(), name: "fallback".into() },
            PortRef::Number(80),
        )),
        ..Options::default()
    };
    for (yaml, options, host, expected, reason) in [
        (rule.clone(), &Options::default(), "a.b", None, Reason::NoPath),
        (rule.clone(), &Options::default(), "c.d", None, Reason::NoHost),
        (rule.clone(), &options, "a.b", Some("fallback"), Reason::ControllerDefault),
        (rule.clone() + &hosted + &all, &options, "a.b", Some("hosted"), Reason::HostDefault),
        (rule.clone() + &hosted + &all, &options, "c.d", Some("zz-all"), Reason::CatchAll),
        (rule + &hosted, &options, "c.d", Some("hosted"), Reason::IngressDefault),
    ] {
        let routes = Routes::new(&objects(&yaml), options);
        let decision = decide(&routes, host, "/y");
        assert_eq!((service(&decision), decision.reason), (expected, reason));
        assert_eq!(decision.matched == Matched::DefaultBackend, expected.is_some());
    }
}

#[test]
fn classes() {
    let yaml = |class: &str| {
        let ingress = ingress("web", &[("a.b", "Prefix", "/", "s")]);
        let classes = "---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: nginx}\nspec: {controller: k8s.io/ingress-nginx}\n\
                       ---\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: other}\nspec: {controller: example.com/other}\n";
        match class.split_once('=') {
            Some(("field", name)) => {
                ingress.replace("spec:", &format!("spec:\n  ingressClassName: {name}")) + classes
            }
            Some(("annotation", name)) => {
                ingress.replace(
                    "namespace: shop",
                    &format!("annotations: {{kubernetes.io/ingress.class: {name}}}"),
                ) + classes
            }
            Some(("default", name)) => {
                let default = format!(
                    "metadata: {{name: {name}, annotations: {{ingressclass.kubernetes.io/is-default-class: 'true'}}}}"
                );
                ingress + &classes.replace(&format!("metadata: {{name: {name}}}"), &default)
            }
            _ => ingress + classes,
        }
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let open = ClassFilter::default();
    let by_name = ClassFilter { names: set(&["nginx"]), ..open.clone() };
    let unknown_name = ClassFilter { names: set(&["ghost"]), ..open.clone() };
    let by_controller = ClassFilter { controllers: set(&["k8s.io/ingress-nginx"]), ..open.clone() };
    let strict = ClassFilter { require_class: true, ..by_name.clone() };
    for (class, filter, served) in [
        ("", &open, true),
        ("", &by_name, true),
        ("", &strict, false),
        ("field=nginx", &open, true),
        ("field=ghost", &open, false),
        ("field=ghost", &unknown_name, true),
        ("field=nginx", &by_name, true),
        ("field=nginx", &strict, true),
        ("field=other", &by_name, false),
        ("field=nginx", &by_controller, true),
        ("field=other", &by_controller, false),
        ("field=ghost", &by_controller, false),
        ("annotation=nginx", &by_name, true),
        ("annotation=other", &by_name, false),
        ("annotation=ghost", &open, true),
        ("annotation=nginx", &by_controller, true),
        ("default=nginx", &strict, true),
        ("default=other", &by_name, false),
    ] {
        let options = Options { classes: filter.clone(), ..Options::default() };
        let routes = Routes::new(&objects(&yaml(class)), &options);
        assert_eq!(decide(&routes, "a.b", "/").matched == Matched::Rule, served, "{class} {filter:?}");
    }
}

#[test]
fn implementation_specific_is_a_prefix_and_says_so() {
    let routes = routes(&ingress(
        "web",
        &[("a.b", "ImplementationSpecific", "/foo", "s"), ("a.b", "ImplementationSpecific", "", "root")],
    ));
    let decision = decide(&routes, "a.b", "/foo/bar");
    assert_eq!(decision.reason, Reason::ImplementationSpecificPath);
    assert_eq!(decision.route.unwrap().path_type, Some(PathType::ImplementationSpecific));
    assert_eq!(service(&decide(&routes, "a.b", "/bar")), Some("root"));
}

/// More children than are searched by comparing.
#[test]
fn a_host_with_many_paths_finds_each_of_them() {
    let paths: Vec<String> = (0..100).map(|number| format!("/app{number}")).collect();
    let rules: Vec<_> =
        paths.iter().map(|path| ("a.b", "Prefix", path.as_str(), path.trim_start_matches('/'))).collect();
    let routes = routes(&ingress("web", &rules));
    for path in &paths {
        assert_eq!(service(&decide(&routes, "a.b", &format!("{path}/x"))), path.strip_prefix('/'));
    }
    assert_eq!(service(&decide(&routes, "a.b", "/app100")), None);
}

/// ingress-nginx's "SSL Passthrough": by exact name, to the Service behind `/`; the oldest Ingress of a host decides.
#[test]
fn passthrough_of_ingress_nginx() {
    let annotated = |yaml: String, value: &str| {
        let annotations =
            format!("annotations: {{nginx.ingress.kubernetes.io/ssl-passthrough: \"{value}\"}}, ");
        yaml.replace("metadata: {", &format!("metadata: {{{annotations}"))
    };
    let paths: &[_] = &[
        ("a.b", "Prefix", "/", "root"),
        ("a.b", "Prefix", "/api", "api"),
        ("no.root", "Prefix", "/api", "api"),
        ("*.wild", "Prefix", "/", "wild"),
    ];
    let passed = |yaml: &str, name: &str| {
        let routes = routes(yaml);
        routes.passthrough(name.as_bytes()).route.map(|route| service_of(&route).to_owned())
    };
    let yaml = annotated(ingress("web", paths), "true");
    for (name, expected) in [
        ("a.b", Some("root")),
        ("A.B", Some("root")),
        ("a.b.", None),
        ("a.b:443", None),
        ("no.root", None),
        ("x.wild", None),
        ("other", None),
        ("", None),
    ] {
        assert_eq!(passed(&yaml, name).as_deref(), expected, "{name}");
    }
    assert_eq!(passed(&annotated(ingress("web", paths), "false"), "a.b"), None);
    assert_eq!(passed(&annotated(ingress("web", paths), "yes"), "a.b"), None);
    // None has a time of creation: the first by name decides.
    let both = |first: &str, second: &str| {
        annotated(ingress("one", paths), first) + &annotated(ingress("two", paths), second)
    };
    assert_eq!(passed(&both("true", "false"), "a.b").as_deref(), Some("root"));
    assert_eq!(passed(&both("false", "true"), "a.b"), None);
}
