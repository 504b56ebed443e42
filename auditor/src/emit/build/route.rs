//! The route that applies to a request, in the event's form, made once for each rule.

use std::sync::Arc;

use crate::attribute::routes::{Backend, Decision, Matched as Found, PathType as Kind, Route as Rule};
use crate::emit::model::Text;
use crate::emit::model::http::{Matched, PathType, Route};

/// Routes by the rule they were made from. Valid as long as the rules live, which the builder sees to.
#[derive(Debug, Default)]
pub(super) struct RouteCache {
    made: foldhash::HashMap<(*const Rule, bool), Made>,
    none: Option<Arc<Route>>,
}

/// A rule, kept alive so that its address stays its name, and what was made of it.
#[derive(Debug)]
struct Made {
    _rule: Arc<Rule>,
    route: Arc<Route>,
}

impl RouteCache {
    /// The route of a decision.
    pub(super) fn get(&mut self, decision: &Decision) -> Arc<Route> {
        let Some(rule) = &decision.route else {
            return Arc::clone(self.none.get_or_insert_with(|| Arc::new(empty(Matched::None))));
        };
        let is_rule = decision.matched == Found::Rule;
        let key = (Arc::as_ptr(rule), is_rule);
        let make = || Made { _rule: Arc::clone(rule), route: Arc::new(make(rule, is_rule)) };
        Arc::clone(&self.made.entry(key).or_insert_with(make).route)
    }

    /// The route of TLS that is passed on.
    pub(super) fn passthrough(&mut self, decision: &Decision) -> Arc<Route> {
        let mut route = self.get(decision);
        if decision.route.is_some() {
            Arc::make_mut(&mut route).matched = Matched::Passthrough;
        }
        route
    }
}

fn make(rule: &Rule, is_rule: bool) -> Route {
    let text = |text: &Arc<str>| Text::shared(Arc::clone(text));
    let object = rule.object.as_ref();
    // Of several backends none is the declared one: which of them served, the backend tells.
    let (service, port) = match rule.backend() {
        Some(Backend::Service { service, port } | Backend::NotGranted { service, port }) => {
            (Some(service), Some(Text::new(&port.to_string())))
        }
        Some(Backend::Resource { .. } | Backend::Invalid) | None => (None, None),
    };
    Route {
        kind: object.map(|object| Text::from_static(object.kind.as_str())),
        namespace: object.map(|object| text(&object.name.namespace)),
        name: object.map(|object| text(&object.name.name)),
        host: rule.host.as_ref().map(text),
        path: rule.path.as_ref().map(text),
        path_type: rule.path_type.map(|kind| match kind {
            Kind::Exact => PathType::Exact,
            Kind::Prefix => PathType::Prefix,
            Kind::ImplementationSpecific => PathType::ImplementationSpecific,
            Kind::RegularExpression => PathType::RegularExpression,
        }),
        service: service.map(|service| text(&service.name)),
        port,
        ..empty(if is_rule { Matched::Rule } else { Matched::DefaultBackend })
    }
}

fn empty(matched: Matched) -> Route {
    Route {
        matched,
        kind: None,
        namespace: None,
        name: None,
        host: None,
        path: None,
        path_type: None,
        service: None,
        port: None,
    }
}
