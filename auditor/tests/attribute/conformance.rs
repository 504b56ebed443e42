//! The Gherkin features of the Ingress conformance suite, as tables for the matcher.
//!
//! Not judged here, because it is no matter of routes: TLS verification, response and request headers, protocols. "404"
//! stands for "no rule". What load balancing asks for (traffic on ten pods) becomes: each of ten pods is an agreed backend.

use std::net::SocketAddr;
use std::path::PathBuf;

use auditor::attribute::index::Index;
use auditor::attribute::objects::Objects;
use auditor::attribute::routes::{Matched, Options, Routes};
use auditor::attribute::verdict::{Answered, Observed, judge};

use super::gherkin::{self, Scenario, Step};
use super::support;

/// The folder of the features.
fn corpus() -> Option<PathBuf> {
    support::corpora("ingress-conformance")
}

/// The objects that the given steps create.
fn objects<'s>(steps: impl Iterator<Item = &'s Step>) -> Objects {
    let mut yaml = String::new();
    for step in steps {
        let Some(block) = &step.block else { continue };
        if step.text.ends_with("with this spec:") {
            let name = step.quoted(0).unwrap();
            let spec: String = block.lines().map(|line| format!("  {line}\n")).collect();
            yaml += &format!(
                "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec:\n{spec}"
            );
        } else {
            yaml += &format!("---\n{block}\n");
        }
    }
    support::objects(&yaml)
}

/// What a step asks for: the URL's host and path.
fn target(step: &Step) -> Option<(String, String)> {
    if !step.text.starts_with("I send ") {
        return None;
    }
    let url = step.text.split_once("to ")?.1.replace('"', "");
    let rest = url.strip_prefix("http://").or(url.strip_prefix("https://"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    Some((host.to_owned(), format!("/{path}")))
}

/// Runs a scenario; gives back how many of its expectations were checked.
fn run(routes: &Routes, scenario: &Scenario) -> usize {
    let mut checked = 0;
    let (host, path) = scenario.steps.iter().find_map(target).expect("a scenario sends a request");
    let decision = support::decide(routes, &host, &path);
    for step in &scenario.steps {
        let name = &scenario.name;
        if step.text.starts_with("the response must be served by") {
            assert_eq!(support::service(&decision), step.quoted(0), "{name}");
            checked += 1;
        } else if let Some(status) = step.text.strip_prefix("the response status-code must be ") {
            assert_eq!(decision.matched == Matched::None, status == "404", "{name}: {decision:?}");
            checked += 1;
        }
    }
    checked
}

fn run_feature(name: &str, expected_checks: usize) {
    let Some(folder) = corpus() else { return };
    let feature = gherkin::parse(&std::fs::read_to_string(folder.join(name)).unwrap());
    let mut checked = 0;
    for scenario in &feature.scenarios {
        let objects = objects(feature.background.iter().chain(&scenario.steps));
        checked += run(&Routes::new(&objects, &Options::default()), scenario);
    }
    assert_eq!(checked, expected_checks, "expectations that were understood");
}

#[test]
fn host_rules() {
    run_feature("host_rules.feature", 9);
}

#[test]
fn path_rules() {
    run_feature("path_rules.feature", 26);
}

#[test]
fn default_backend() {
    run_feature("default_backend.feature", 12);
}

#[test]
fn an_ingress_of_a_class_that_does_not_exist_is_not_served() {
    let Some(folder) = corpus() else { return };
    let feature = gherkin::parse(&std::fs::read_to_string(folder.join("ingress_class.feature")).unwrap());
    let [scenario] = feature.scenarios.as_slice() else { panic!("one scenario") };
    assert!(scenario.steps.iter().any(|step| step.text.contains("status should not contain")));
    let routes = Routes::new(&objects(scenario.steps.iter()), &Options::default());
    assert_eq!(support::decide(&routes, "ingress-class", "/").matched, Matched::None);
    assert_eq!(routes.ingresses(), (0, 1));
}

#[test]
fn load_balancing() {
    let Some(folder) = corpus() else { return };
    let feature = gherkin::parse(&std::fs::read_to_string(folder.join("load_balancing.feature")).unwrap());
    let scaled = feature.background.iter().find(|step| step.text.contains("is scaled to")).unwrap();
    let service = scaled.quoted(0).unwrap();
    let count: u8 = scaled.text.rsplit(' ').next().unwrap().parse().unwrap();
    let mut objects = objects(feature.background.iter());
    let endpoints: String = (0..count)
        .map(|pod| format!("- {{addresses: [10.1.0.{pod}], targetRef: {{kind: Pod, name: echo-{pod}}}}}\n"))
        .collect();
    let backends = support::objects(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {service}}}\nspec: {{ports: [{{port: 8080, targetPort: 3000}}]}}\n\
         ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: e, labels: {{kubernetes.io/service-name: {service}}}}}\n\
         addressType: IPv4\nports: [{{name: '', port: 3000}}]\nendpoints:\n{endpoints}"
    ));
    objects.services = backends.services;
    objects.slices = backends.slices;
    let (routes, index) = (Routes::new(&objects, &Options::default()), Index::new(&objects));
    let (host, path) = feature.scenarios.first().unwrap().steps.iter().find_map(target).unwrap();
    let decision = support::decide(&routes, &host, &path);
    for pod in 0..count {
        let backend = Some(SocketAddr::from(([10, 1, 0, pod], 3000)));
        let verdict = judge(&index, &decision, Observed { backend, answered: Answered::Backend });
        assert_eq!((verdict.agreement.as_str(), verdict.agreement.reason()), ("yes", "endpoint"));
        assert_eq!(*verdict.backend.unwrap().pod.unwrap().name, *format!("echo-{pod}"));
    }
}
