//! From the steps of a rule to conditions, and to the hosts and paths that it can be looked up by.
//!
//! A rule is looked up by what every request that matches it must have: a host of a few, a path or prefix of a few. That
//! only narrows the search; whether it matches, the whole expression says.

use std::sync::Arc;

use super::parse::Token;
use crate::attribute::routes::building::Building;
use crate::attribute::routes::condition::{Condition, Several, Step, Test, Uncertainty};
use crate::attribute::routes::host::RuleHost;
use crate::attribute::routes::pattern::{Anchor, Engine};
use crate::attribute::routes::problem::Place;
use crate::attribute::routes::table::PathMatch;
use crate::attribute::routes::{PathType, Route, path};
use crate::config::Network;

/// The most hosts, and the most paths, that one rule is looked up by; one with more is asked for every request.
const MAX_KEYS: usize = 64;

/// A rule, ready to be added.
pub(super) struct Expression {
    pub(super) steps: Vec<Step>,
    pub(super) hosts: Vec<RuleHost>,
    pub(super) paths: Vec<PathMatch>,
    pub(super) shown: Shown,
}

impl Expression {
    /// One that is asked for every request.
    pub(super) fn of(steps: Vec<Step>) -> Self {
        let (hosts, paths) = (vec![RuleHost::Any], vec![PathMatch::Conditions]);
        Self { steps, hosts, paths, shown: Shown::default() }
    }
}

/// What events show of a rule: its path, if it asks for exactly one.
#[derive(Default)]
pub(super) struct Shown {
    path: Option<(PathType, Arc<str>)>,
}

impl Shown {
    /// The route, with what is shown of it.
    pub(super) fn route(&self, route: &Route, host: &RuleHost) -> Arc<Route> {
        let (path_type, path) = self.path.clone().unzip();
        Arc::new(Route {
            object: route.object.clone(),
            rule: route.rule,
            host: match host {
                RuleHost::Exact(name) => Some(name.as_str().into()),
                RuleHost::Wildcard(name) => Some(format!("*.{name}").into()),
                RuleHost::Any => None,
            },
            path,
            path_type,
            target: route.target.clone(),
            mirrors: route.mirrors.clone(),
            besides: route.besides.clone(),
        })
    }
}

/// What every request that a part of a rule matches has: one of these hosts, one of these paths. None: nothing is known.
#[derive(Clone, Default)]
struct Needs {
    hosts: Option<Vec<RuleHost>>,
    paths: Option<Vec<PathMatch>>,
}

impl Needs {
    fn and(self, other: Self) -> Self {
        Self { hosts: narrower(self.hosts, other.hosts), paths: narrower(self.paths, other.paths) }
    }

    fn or(self, other: Self) -> Self {
        Self { hosts: either(self.hosts, other.hosts), paths: either(self.paths, other.paths) }
    }
}

fn narrower<T>(one: Option<Vec<T>>, other: Option<Vec<T>>) -> Option<Vec<T>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.len() < one.len() { other } else { one }),
        (one, other) => one.or(other),
    }
}

fn either<T>(one: Option<Vec<T>>, other: Option<Vec<T>>) -> Option<Vec<T>> {
    let (mut one, other) = one.zip(other)?;
    one.extend(other);
    (one.len() <= MAX_KEYS).then_some(one)
}

/// None for a matcher that is given what it does not take: Traefik makes no router of it.
pub(super) fn compile(tokens: Vec<Token>, place: Place<'_>, building: &mut Building) -> Option<Expression> {
    let mut steps = Vec::new();
    let mut needs: Vec<Needs> = Vec::new();
    let mut shown = Vec::new();
    for token in tokens {
        match token {
            Token::Matcher { name, arguments } => {
                let (asked, needed) = matcher(&name, &arguments, place, building)?;
                shown.extend(path_of(&name, &arguments));
                steps.extend(asked);
                needs.push(needed);
            }
            Token::And | Token::Or => {
                let (right, left) = (needs.pop()?, needs.pop()?);
                let is_and = token == Token::And;
                needs.push(if is_and { left.and(right) } else { left.or(right) });
                steps.push(if is_and { Step::And } else { Step::Or });
            }
            Token::Not => {
                needs.pop()?;
                needs.push(Needs::default());
                steps.push(Step::Not);
            }
        }
    }
    let Needs { hosts, paths } = needs.pop()?;
    let path = if let [only] = shown.as_slice() { Some(only.clone()) } else { None };
    Some(Expression {
        steps,
        hosts: hosts.unwrap_or_else(|| vec![RuleHost::Any]),
        paths: paths.unwrap_or_else(|| vec![PathMatch::Conditions]),
        shown: Shown { path },
    })
}

fn path_of(name: &str, arguments: &[String]) -> Option<(PathType, Arc<str>)> {
    let path_type = match name.to_ascii_lowercase().as_str() {
        "path" => PathType::Exact,
        "pathprefix" => PathType::Prefix,
        "pathregexp" => PathType::RegularExpression,
        _ => return None,
    };
    Some((path_type, arguments.first()?.as_str().into()))
}

/// The matchers of v3, each with how many arguments it takes (pkg/muxer/http/matcher.go). Names in other cases are taken
/// (pkg/rules/parser.go).
fn matcher(
    name: &str,
    arguments: &[String],
    place: Place<'_>,
    building: &mut Building,
) -> Option<(Vec<Step>, Needs)> {
    let one = |condition| (vec![Step::Ask(condition)], Needs::default());
    let mut like = |text: &str| building.pattern(place, text, Anchor::Nowhere, Engine::Re2, false);
    let any_of = |value: &str| Test::Is(value.as_bytes().into());
    Some(match (name.to_ascii_lowercase().as_str(), arguments) {
        ("host", [written]) if written == "*" => {
            (vec![Step::Ask(Condition::PathPrefix(Box::default()))], Needs::default())
        }
        ("host", [written]) => {
            let host = RuleHost::new(written).ok()?;
            let condition = match &host {
                RuleHost::Exact(name) => Condition::Host(name.as_str().into()),
                // One label in the place of the star (`DomainMatchHostExpression`).
                RuleHost::Wildcard(name) => Condition::HostBelow(name.as_str().into()),
                RuleHost::Any => return None,
            };
            (vec![Step::Ask(condition)], Needs { hosts: Some(vec![host]), ..Needs::default() })
        }
        ("hostregexp", [text]) => one(Condition::HostPattern(like(text))),
        ("path", [written]) if written.starts_with('/') => {
            let normal = path::normalise_rule(written.as_bytes()).ok()?;
            let needs = Needs { paths: Some(vec![PathMatch::Exact(normal.clone())]), ..Needs::default() };
            (vec![Step::Ask(Condition::Path(normal.into()))], needs)
        }
        ("pathprefix", [written]) if written.starts_with('/') => {
            let normal = path::normalise_rule(written.as_bytes()).ok()?;
            let needs =
                Needs { paths: Some(vec![PathMatch::Characters(normal.clone())]), ..Needs::default() };
            (vec![Step::Ask(Condition::PathPrefix(normal.into()))], needs)
        }
        ("pathregexp", [text]) => one(Condition::PathPattern(like(text))),
        ("method", [method]) => one(Condition::Method(method.to_ascii_uppercase().into())),
        ("header", [name, value]) => {
            one(Condition::Field { name: name.as_str().into(), test: any_of(value), several: Several::Each })
        }
        ("headerregexp", [name, text]) => one(Condition::Field {
            name: name.as_str().into(),
            test: Test::Like(like(text)),
            several: Several::Each,
        }),
        // Without a value: there is one that is empty.
        ("query" | "queryregexp", [name]) => one(parameter(name, any_of(""))),
        ("query", [name, value]) => one(parameter(name, any_of(value))),
        ("queryregexp", [name, text]) => one(parameter(name, Test::Like(like(text)))),
        ("clientip", [network]) => one(Condition::Client(Box::new([network.parse::<Network>().ok()?]))),
        (
            "host" | "hostregexp" | "path" | "pathprefix" | "pathregexp" | "method" | "header"
            | "headerregexp" | "query" | "queryregexp" | "clientip",
            _,
        ) => return None,
        // Of a later version, or a plugin's.
        _ => {
            building.problems.add(place, crate::attribute::routes::problem::ProblemKind::Match);
            one(Condition::Unclear(Uncertainty::Unsupported))
        }
    })
}

fn parameter(name: &str, test: Test) -> Condition {
    Condition::Parameter { name: name.as_bytes().into(), test, several: Several::Each }
}
