//! Gateway API's precedence against a model that reads the specification line by line.

use std::cmp::Reverse;
use std::fmt::Write as _;

use auditor::attribute::routes::{Listener, Options, Request, RequestPath, Routes};
use proptest::prelude::*;
use proptest::sample::select;

use super::support::{objects, service};

#[derive(Clone, Debug)]
struct Match {
    host: &'static str,
    exact: bool,
    path: String,
    method: Option<&'static str>,
    headers: Vec<&'static str>,
    parameters: Vec<&'static str>,
}

fn elements(path: &str) -> Vec<&str> {
    path.split('/').filter(|element| !element.is_empty()).collect()
}

/// "a match for `*.example.com` would match both `test.example.com`, and `foo.test.example.com`, but not `example.com`".
fn host_matches(rule: &str, host: &str) -> bool {
    match rule.strip_prefix('*') {
        _ if rule.is_empty() => true,
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => rule == host,
    }
}

impl Match {
    fn takes(&self, host: &str, path: &str, method: &str, headers: &[&str], parameters: &[&str]) -> bool {
        let by_path =
            if self.exact { path == self.path } else { elements(path).starts_with(&elements(&self.path)) };
        host_matches(self.host, host)
            && by_path
            && self.method.is_none_or(|wanted| wanted == method)
            && self.headers.iter().all(|wanted| headers.contains(wanted))
            && self.parameters.iter().all(|wanted| parameters.contains(wanted))
    }

    /// What comes first is the least.
    fn order(&self) -> impl Ord {
        let wild = self.host.is_empty() || self.host.starts_with('*');
        (
            Reverse(if wild { 0 } else { self.host.len() }),
            Reverse(self.host.len()),
            !self.exact,
            Reverse(if self.exact { 0 } else { self.path.len() }),
            self.method.is_none(),
            Reverse(self.headers.len()),
            Reverse(self.parameters.len()),
        )
    }
}

fn a_match() -> impl Strategy<Value = Match> {
    let subset = |all: [&'static str; 2]| proptest::sample::subsequence(all.to_vec(), 0..=2);
    (
        select(vec!["", "*.com", "*.b.com", "a.b.com", "b.com"]),
        any::<bool>(),
        proptest::collection::vec(select(vec!["a", "ab", "b"]), 0..3),
        any::<bool>(),
        proptest::option::weighted(0.3, select(vec!["GET", "POST"])),
        subset(["x", "y"]),
        subset(["p", "q"]),
    )
        .prop_map(|(host, exact, path, slash, method, headers, parameters)| {
            let slash = if slash && !path.is_empty() { "/" } else { "" };
            Match { host, exact, path: format!("/{}{slash}", path.join("/")), method, headers, parameters }
        })
}

fn yaml(matches: &[Match]) -> String {
    let mut yaml = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: c, listeners: [{name: l, port: 80, protocol: HTTP}]}\n".to_owned();
    for (number, one) in matches.iter().enumerate() {
        let hostnames = if one.host.is_empty() { String::new() } else { format!("{:?}", one.host) };
        let path_type = if one.exact { "Exact" } else { "PathPrefix" };
        let method = one.method.map(|method| format!("method: {method}, ")).unwrap_or_default();
        let named = |names: &[&str]| {
            names.iter().map(|name| format!("{{name: {name}, value: '1'}}")).collect::<Vec<_>>().join(", ")
        };
        let (headers, parameters) = (named(&one.headers), named(&one.parameters));
        // By name in order, and without a time: the first object is the first in age.
        write!(
            yaml,
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r{number:03}}}\nspec:\n  parentRefs: [{{name: gw}}]\n  hostnames: [{hostnames}]\n  rules: [{{matches: [{{path: {{type: {path_type}, value: {:?}}}, {method}headers: [{headers}], queryParams: [{parameters}]}}], backendRefs: [{{name: s{number}, port: 80}}]}}]\n",
            one.path
        )
        .unwrap();
    }
    yaml
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn precedence_is_that_of_the_specification(
        matches in proptest::collection::vec(a_match(), 1..8),
        requests in proptest::collection::vec(
            (
                select(vec!["a.b.com", "b.com", "x.b.com", "y.x.b.com", "c.com", "com"]),
                proptest::collection::vec(select(vec!["a", "ab", "b"]), 0..3),
                any::<bool>(),
                select(vec!["GET", "POST"]),
                proptest::sample::subsequence(vec!["x", "y"], 0..=2),
                proptest::sample::subsequence(vec!["p", "q"], 0..=2),
            ),
            8,
        ),
    ) {
        let routes = Routes::new(&objects(&yaml(&matches)), &Options::default());
        for (host, path, slash, method, headers, parameters) in requests {
            let slash = if slash && !path.is_empty() { "/" } else { "" };
            let path = format!("/{}{slash}", path.join("/"));
            let query: Vec<String> = parameters.iter().map(|name| format!("{name}=1")).collect();
            let query = query.join("&");
            let fields: Vec<(String, String)> =
                headers.iter().map(|name| (name.to_uppercase(), "1".to_owned())).collect();
            let wanted = matches.iter().enumerate()
                .filter(|(_, one)| one.takes(host, &path, method, &headers, &parameters))
                .min_by(|(a, one), (b, other)| one.order().cmp(&other.order()).then(a.cmp(b)))
                .map(|(number, _)| format!("s{number}"));
            let target = RequestPath::new(path.as_bytes());
            let decision = routes.decide(&Request {
                method: method.as_bytes(),
                query: Some(query.as_bytes()),
                fields: &fields,
                listener: Listener { tls: Some(false), port: Some(80), server_name: None },
                ..Request::get(Some(host.as_bytes()), &target)
            });
            prop_assert_eq!(service(&decision), wanted.as_deref(), "{} {}{}?{}", method, host, path, query);
            prop_assert_eq!(decision.doubt, None);
        }
    }
}
