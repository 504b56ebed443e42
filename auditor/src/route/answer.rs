//! Which rule a request falls under, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::Asked;
use crate::attribute::Attribution;
use crate::attribute::routes::{
    Backend, Decision, Explanation, ObjectRef, Outcome, RequestPath, Route, Step, Target,
};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Answer {
    request: Request,
    /// `rule`, `default_backend`, `none`.
    matched: &'static str,
    /// How it came to that, in a word.
    reason: &'static str,
    /// Why it is not certain, in a word.
    uncertain: Option<&'static str>,
    object: Option<Object>,
    /// Which of the object's rules, from 0.
    rule: Option<u32>,
    host: Option<String>,
    path: Option<String>,
    path_type: Option<&'static str>,
    /// Where requests go, if to one Service.
    service: Option<String>,
    port: Option<String>,
    backends: Vec<Share>,
    /// The status with which the controller answers itself.
    answer: Option<u16>,
    /// Who gets a copy.
    mirrors: Vec<String>,
    /// The status of the redirect that a request in the clear may get instead.
    redirect_to_https: Option<u16>,
    /// The Service that serves while no endpoint is ready.
    fallback: Option<String>,
    steps: Vec<Told>,
    /// Steps beyond those.
    steps_left_out: u64,
    /// What in the objects could not be used.
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Request {
    method: String,
    scheme: &'static str,
    host: String,
    port: u16,
    /// As it is matched; none for a path that is refused.
    path: Option<String>,
    query: Option<String>,
}

#[derive(Debug, Serialize)]
struct Object {
    kind: &'static str,
    namespace: String,
    name: String,
}

/// A backend with its share.
#[derive(Debug, Serialize)]
struct Share {
    backend: String,
    service: Option<String>,
    namespace: Option<String>,
    port: Option<String>,
    weight: u32,
    /// Whether there is such a Service with such a port.
    exists: bool,
    /// How many of its endpoints are ready.
    ready_endpoints: usize,
}

/// A step.
#[derive(Debug, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
enum Told {
    Listener { gateway: Option<String>, listener: String },
    Host { host: Option<String> },
    Rule { object: String, rule: Option<u32>, path: Option<String>, place: u32, outcome: &'static str },
}

impl Answer {
    pub(super) fn new(
        asked: &Asked,
        host: &str,
        path: &RequestPath<'_>,
        explanation: Explanation,
        attribution: &Attribution,
    ) -> Self {
        let Explanation { decision, steps, left_out } = explanation;
        let Decision { matched, reason, route, doubt } = decision;
        let route = route.as_deref();
        let backends: Vec<Share> = route.map(|route| shares(route, attribution)).unwrap_or_default();
        let only = route.and_then(Route::backend);
        let (service, port) = match only {
            Some(Backend::Service { service, port } | Backend::NotGranted { service, port }) => {
                (Some(service.to_string()), Some(port.to_string()))
            }
            _ => (None, None),
        };
        let text = |part: &Option<std::sync::Arc<str>>| part.as_ref().map(|part| part.to_string());
        Self {
            request: Request {
                method: asked.method.clone(),
                scheme: if asked.url.tls { "https" } else { "http" },
                host: host.to_owned(),
                port: asked.url.port,
                path: path.normal().ok().map(|path| String::from_utf8_lossy(path).into_owned()),
                query: asked.url.query().map(str::to_owned),
            },
            matched: matched.as_str(),
            reason: reason.as_str(),
            uncertain: doubt.map(|doubt| doubt.as_str()),
            object: route.and_then(|route| route.object.as_ref()).map(object),
            rule: route.and_then(|route| route.rule),
            host: route.and_then(|route| text(&route.host)),
            path: route.and_then(|route| text(&route.path)),
            path_type: route.and_then(|route| route.path_type).map(|path_type| path_type.as_str()),
            service,
            port,
            backends,
            answer: match route.map(|route| &route.target) {
                Some(Target::Redirect(status) | Target::Respond(status)) => Some(*status),
                _ => None,
            },
            mirrors: route.iter().flat_map(|route| &route.mirrors).map(Backend::to_string).collect(),
            redirect_to_https: route.and_then(|route| route.besides.https).filter(|_| !asked.url.tls),
            fallback: route.and_then(|route| route.besides.fallback.as_ref()).map(ToString::to_string),
            steps: steps.into_iter().map(told).collect(),
            steps_left_out: left_out,
            problems: attribution.routes.problems().iter().map(ToString::to_string).collect(),
        }
    }
}

fn object(object: &ObjectRef) -> Object {
    Object {
        kind: object.kind.as_str(),
        namespace: object.name.namespace.to_string(),
        name: object.name.name.to_string(),
    }
}

fn shares(route: &Route, attribution: &Attribution) -> Vec<Share> {
    let Target::Backends(weighted) = &route.target else { return Vec::new() };
    let share = |backend: &Backend, weight| {
        let known = match backend {
            Backend::Service { service, port } | Backend::NotGranted { service, port } => {
                Some((service, port))
            }
            Backend::Resource { .. } | Backend::Invalid => None,
        };
        let found = known.and_then(|(service, port)| Some((attribution.index.service(service)?, port)));
        let port = found.and_then(|(service, port)| service.port(port));
        Share {
            backend: backend.to_string(),
            service: known.map(|(service, _)| service.name.to_string()),
            namespace: known.map(|(service, _)| service.namespace.to_string()),
            port: known.map(|(_, port)| port.to_string()),
            weight,
            exists: port.is_some(),
            ready_endpoints: port.map_or(0, |port| port.ready),
        }
    };
    weighted.iter().map(|weighted| share(&weighted.backend, weighted.weight)).collect()
}

fn told(step: Step) -> Told {
    match step {
        Step::Listener(name) => Told::Listener {
            gateway: name.gateway.map(|gateway| gateway.to_string()),
            listener: name.listener.to_string(),
        },
        Step::Host(host) => Told::Host { host },
        Step::Rule { rank, object, rule, path, outcome } => Told::Rule {
            object: object.map(|object| object.to_string()).unwrap_or_default(),
            rule,
            path,
            place: rank,
            outcome: match outcome {
                Outcome::Matches => "matches",
                Outcome::Differs => "differs",
                Outcome::Unclear(why) => why.as_str(),
            },
        },
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { method, scheme, host, port, path, query } = &self.request;
        let path = path.as_deref().unwrap_or("(a path that is refused)");
        let query = query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        writeln!(f, "{method} {scheme}://{host}:{port}{path}{query}")?;
        for step in &self.steps {
            match step {
                Told::Listener { gateway: Some(gateway), listener } => {
                    writeln!(f, "listener  {listener} of Gateway {gateway}")?;
                }
                Told::Listener { gateway: None, listener } => writeln!(f, "listener  {listener}")?,
                Told::Host { host } => writeln!(f, "host      {}", host.as_deref().unwrap_or("any"))?,
                Told::Rule { object, rule, path, place, outcome } => {
                    let rule = rule.map(|rule| format!(" rules[{rule}]")).unwrap_or_default();
                    let path = path.as_ref().map(|path| format!(", {path}")).unwrap_or_default();
                    writeln!(f, "rule      {object}{rule}{path} (place {place}): {outcome}")?;
                }
            }
        }
        if self.steps_left_out > 0 {
            writeln!(f, "          and {} more steps", self.steps_left_out)?;
        }
        self.result(f)?;
        if let Some(uncertain) = self.uncertain {
            writeln!(f, "uncertain {uncertain}")?;
        }
        if let Some(status) = self.redirect_to_https {
            writeln!(f, "or        {status} to https, as the request is in the clear")?;
        }
        if let Some(fallback) = &self.fallback {
            writeln!(f, "or        Service {fallback} while no endpoint is ready")?;
        }
        self.mirrors.iter().try_for_each(|mirror| writeln!(f, "copy      {mirror}"))?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "problem   {problem}"))
    }
}

impl Answer {
    fn result(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(object) = &self.object else {
            return match self.backends.first() {
                Some(share) => writeln!(f, "result    {} ({}, {})", share.backend, self.matched, self.reason),
                None => writeln!(f, "result    none ({}): the controller answers itself", self.reason),
            };
        };
        let Object { kind, namespace, name } = object;
        let rule = self.rule.map(|rule| format!(" rules[{rule}]")).unwrap_or_default();
        writeln!(f, "result    {kind} {namespace}/{name}{rule} ({}, {})", self.matched, self.reason)?;
        if let Some(status) = self.answer {
            writeln!(f, "answer    {status}, by the controller itself")?;
        }
        for share in &self.backends {
            let state = match (share.exists, share.ready_endpoints) {
                (false, _) => "which is not among the objects".to_owned(),
                (true, ready) => format!("{ready} endpoints ready"),
            };
            writeln!(f, "backend   {} weight {}, {state}", share.backend, share.weight)?;
        }
        Ok(())
    }
}
