//! Listeners: which of them takes a request.
//!
//! Those of one Gateway at one port are a [`Group`], of which the most specific hostname takes a request (Gateway API,
//! `ListenerSpec.hostname`). Ingresses are a group of their own, with one listener for everything.

use std::sync::Arc;

use super::condition::Uncertainty;
use super::host::{RequestHost, RuleHost};
use super::request::{Listener, Request};
use super::scope::{Found, Scope};
use super::search::Watch;
use super::{Decision, Matched, Reason, Route};
use crate::attribute::objects::ObjectName;

/// Listeners of which one takes a request.
#[derive(Debug)]
pub(super) struct Group {
    /// Only over TLS, or only in the clear; none for both.
    pub(super) tls: Option<bool>,
    /// Their port; none for any.
    pub(super) port: Option<u16>,
    /// The most specific hostname first.
    pub(super) listeners: Vec<Served>,
    /// Whether requests are no matter of rules here, only the server name is: TLS is ended and its content forwarded as it is.
    pub(super) by_server_name: bool,
    /// What takes what no rule matches, each with why, the first one that there is.
    pub(super) defaults: Defaults,
    /// Whether a path that was not sent in normal form may be compared as it was sent.
    pub(super) paths_differ: bool,
}

/// What takes requests that no rule matches.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    /// The default backend of the oldest Ingress without rules.
    pub(super) catch_all: Option<Arc<Route>>,
    /// The default backend of the oldest Ingress that has one.
    pub(super) any: Option<Arc<Route>>,
    /// The controller's own.
    pub(super) controller: Option<Arc<Route>>,
}

/// A listener and its rules.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) name: Name,
    pub(super) hostname: RuleHost,
    pub(super) scope: Scope,
}

/// What a listener is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The Gateway; none for listeners of controllers that have no object for them.
    pub gateway: Option<ObjectName>,
    /// Its name there; for other listeners the kind of rules.
    pub listener: Arc<str>,
}

impl Group {
    /// Whether a connection may have come in here. `port` is the listener's port as far as it is known.
    pub(super) fn takes(&self, listener: &Listener<'_>, port: Option<u16>) -> bool {
        let tls = self.tls.zip(listener.tls).is_none_or(|(own, seen)| own == seen);
        let port = self.port.zip(port).is_none_or(|(own, seen)| own == seen);
        tls && port
    }

    /// The listener that takes a request, and whether that is certain. Over TLS the server name chooses; where the host would
    /// choose another one, the controller SHOULD answer 421, or may go on (`ListenerSpec.hostname`).
    pub(super) fn listener(
        &self,
        request: &Request<'_>,
        host: &RequestHost,
    ) -> Option<(&Served, Option<Uncertainty>)> {
        let of = |host: &RequestHost| self.listeners.iter().find(|served| served.hostname.covers(host));
        let by_host = of(host);
        let Some(name) = request.listener.server_name.filter(|_| self.tls == Some(true)) else {
            return by_host.map(|served| (served, None));
        };
        let by_name = of(&RequestHost::new(name))?;
        let same = by_host.is_some_and(|by_host| by_host.name == by_name.name);
        Some((by_name, (!same).then_some(Uncertainty::Listeners)))
    }
}

impl Group {
    /// The rule that a request falls under here.
    pub(super) fn decide(
        &self,
        request: &Request<'_>,
        host: &RequestHost,
        path: &[u8],
        watch: &mut impl Watch,
    ) -> Decision {
        if self.by_server_name {
            let Some(name) = request.listener.server_name else {
                return Decision { doubt: Some(Uncertainty::Listener), ..Decision::none(Reason::NoHost) };
            };
            return self.decide_host(request, &RequestHost::new(name), path, watch);
        }
        let decision = self.decide_host(request, host, path, watch);
        if !self.paths_differ || !request.path.rewritten() {
            return decision;
        }
        // Rules are compared with what the controller made of the path: the form in which it was sent, or the normal one.
        let as_sent = self.decide_host(request, host, request.path.raw(), &mut ());
        let same = decision.route.as_ref().map(Arc::as_ptr) == as_sent.route.as_ref().map(Arc::as_ptr);
        if same { decision } else { Decision { doubt: Some(Uncertainty::PathForm), ..decision } }
    }

    fn decide_host(
        &self,
        request: &Request<'_>,
        host: &RequestHost,
        path: &[u8],
        watch: &mut impl Watch,
    ) -> Decision {
        let served = self.listener(request, host);
        let found = served.map(|(Served { name, scope, .. }, doubt)| {
            watch.listener(name);
            let found = scope.find(request, host, path, watch);
            Found { doubt: doubt.or(found.doubt), ..found }
        });
        let (doubt, default) = found.as_ref().map_or((None, None), |found| (found.doubt, found.default));
        let miss = match &found {
            Some(found) if found.has_host => Reason::NoPath,
            _ => Reason::NoHost,
        };
        if let Some(route) = found.and_then(|found| found.route) {
            return Decision {
                matched: Matched::Rule,
                reason: Reason::of(route),
                route: Some(Arc::clone(route)),
                doubt,
            };
        }
        let Defaults { catch_all, any, controller } = &self.defaults;
        let defaults = [
            (default, Reason::HostDefault),
            (catch_all.as_ref(), Reason::CatchAll),
            (any.as_ref(), Reason::IngressDefault),
            (controller.as_ref(), Reason::ControllerDefault),
        ];
        match defaults.into_iter().find_map(|(route, reason)| Some((route?, reason))) {
            Some((route, reason)) => {
                Decision { matched: Matched::DefaultBackend, reason, route: Some(Arc::clone(route)), doubt }
            }
            None => Decision { doubt, ..Decision::none(miss) },
        }
    }
}
