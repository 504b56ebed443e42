//! The table of rules against a model that reads the specification line by line.

use auditor::attribute::routes::{Matched, Reason, Request, RequestPath};
use proptest::prelude::*;
use proptest::sample::select;

use super::support::{decide, ingress, routes, service};

#[derive(Clone, Debug)]
struct Rule {
    host: &'static str,
    path_type: &'static str,
    path: String,
}

fn elements(path: &str) -> Vec<&str> {
    path.split('/').filter(|element| !element.is_empty()).collect()
}

fn host_matches(rule: &str, request: &str) -> bool {
    match rule.strip_prefix("*.") {
        Some(suffix) => {
            request.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && rest == suffix)
        }
        None => rule.is_empty() || rule == request,
    }
}

fn path_matches(rule: &Rule, request: &str) -> bool {
    match rule.path_type {
        "Exact" => rule.path == request,
        _ => elements(request).starts_with(&elements(&rule.path)),
    }
}

/// The rule that a request falls under: every rule is looked at, and the best is taken.
fn model(rules: &[Rule], host: &str, path: &str) -> (Option<usize>, bool) {
    let rank = |rule: &Rule| match rule.host {
        "" => 2,
        host if host.starts_with('*') => 1,
        _ => 0,
    };
    let of_host = || rules.iter().enumerate().filter(|(_, rule)| host_matches(rule.host, host));
    let Some(best_host) = of_host().map(|(_, rule)| rank(rule)).min() else { return (None, false) };
    let matching = of_host().filter(|(_, rule)| rank(rule) == best_host && path_matches(rule, path));
    let types = ["Exact", "Prefix", "ImplementationSpecific"];
    let best = matching.min_by_key(|(index, rule)| {
        let kind = types.iter().position(|name| *name == rule.path_type);
        (std::cmp::Reverse(elements(&rule.path).len()), kind, *index)
    });
    (best.map(|(index, _)| index), true)
}

fn path() -> impl Strategy<Value = String> {
    let element = select(vec!["a", "b", "ab", "A", ".x", "a.b", "c", "d", "e", "f", "g", "h"]);
    (prop::collection::vec(element, 0..4), any::<bool>()).prop_map(|(elements, slash)| {
        let path = format!("/{}", elements.join("/"));
        if slash && path.len() > 1 { path + "/" } else { path }
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let hosts = select(vec!["", "a.b", "x.a.b", "*.a.b", "*.b", "b"]);
    (hosts, select(vec!["Exact", "Prefix", "ImplementationSpecific"]), path())
        .prop_map(|(host, path_type, path)| Rule { host, path_type, path })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_index_decides_as_the_specification_does(
        rules in prop::collection::vec(rule(), 0..60),
        cut in 0_usize..60,
        host in select(vec!["a.b", "x.a.b", "y.a.b", "z.y.a.b", "b", "q.b", "", ".b", "c"]),
        path in path(),
    ) {
        let names: Vec<String> = (0..rules.len()).map(|index| format!("s{index}")).collect();
        let paths: Vec<_> =
            rules.iter().zip(&names).map(|(rule, name)| (rule.host, rule.path_type, rule.path.as_str(), name.as_str())).collect();
        // In two objects, of which the first in order of names comes last in the file.
        let (first, second) = paths.split_at(cut.min(paths.len()));
        let mut yaml = String::new();
        for (name, paths) in [("b", second), ("a", first)] {
            if !paths.is_empty() {
                yaml += &ingress(name, paths);
            }
        }
        let decision = decide(&routes(&yaml), host, &path);
        let (expected, host_known) = model(&rules, host, &path);
        prop_assert_eq!(service(&decision), expected.map(|index| names[index].as_str()));
        prop_assert_eq!(decision.matched == Matched::Rule, expected.is_some());
        if expected.is_none() {
            prop_assert_eq!(decision.reason, if host_known { Reason::NoPath } else { Reason::NoHost });
        }
    }

    #[test]
    fn hostile_requests_are_decided(
        host in prop::collection::vec(any::<u8>(), 0..300),
        path in prop::collection::vec(select(b"/.%2eE0a*\x00\xff?#".as_slice()), 0..300),
    ) {
        let routes = routes(&ingress("web", &[("*.a.b", "Prefix", "/a", "s"), ("", "Exact", "/a", "t")]));
        let _ = routes.decide(&Request::get(Some(&host), &RequestPath::new(&path)));
    }
}
