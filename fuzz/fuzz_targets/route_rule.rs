//! An arbitrary rule of Traefik's language, and a request. The rule is taken or refused, the same each time; a rule and its
//! opposite never both match for sure, and one of them does where nothing is uncertain.

#![no_main]

use auditor::attribute::objects::Objects;
use auditor::attribute::objects::traefik::{IngressRoute, IngressRouteSpec, Route};
use auditor::attribute::routes::{Matched, Options, Request, RequestPath, Routes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (String, String, String, Vec<(String, String)>)| {
    let (rule, host, target, fields) = input;
    let path = RequestPath::new(target.as_bytes());
    let decide = |rule: String| {
        let route = Route { rule, ..Route::default() };
        let spec = IngressRouteSpec { routes: vec![route], ..IngressRouteSpec::default() };
        let object = IngressRoute { spec, ..IngressRoute::default() };
        let routes = Routes::new(
            &Objects { ingress_routes: vec![object], ..Objects::default() },
            &Options::default(),
        );
        let request = Request {
            fields: &fields,
            query: target.split_once('?').map(|(_, query)| query.as_bytes()),
            client: Some([192, 0, 2, 1].into()),
            listener: auditor::attribute::routes::Listener { tls: Some(false), ..Default::default() },
            ..Request::get(Some(host.as_bytes()), &path)
        };
        (routes.problem_count(), routes.decide(&request))
    };
    let (problems, decision) = decide(rule.clone());
    assert_eq!(decide(rule.clone()), (problems, decision.clone()));
    let (opposite_problems, opposite) = decide(format!("!({rule})"));
    let is_certain = decision.doubt.is_none() && opposite.doubt.is_none();
    if problems == 0 && opposite_problems == 0 && is_certain && path.normal().is_ok() {
        let matches = decision.matched == Matched::Rule;
        assert_ne!(matches, opposite.matched == Matched::Rule, "{rule}");
    }
});
