//! The rules of one listener: by host, then by path.
//!
//! Whatever wrote them, rules come in here as [`Rule`]s: a host, paths, conditions, and an [`Order`] in which the dialect said
//! which comes first. So precedence is decided once, when the rules are built, and a request is only looked up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Route;
use super::condition::{Conditions, Uncertainty};
use super::host::{RequestHost, RuleHost};
use super::request::Request;
use super::search::{Search, Watch};
use super::table::{self, Entry, PathMatch, Table};

/// What comes first: the least, number by number.
pub(super) type Order = [u64; 8];

/// The place in an [`Order`] of what comes the sooner the more there is of it.
pub(super) fn most(count: usize) -> u64 {
    u64::MAX - count as u64
}

/// A rule.
pub(super) struct Rule {
    pub(super) host: RuleHost,
    pub(super) path: PathMatch,
    pub(super) conditions: Conditions,
    pub(super) order: Order,
    pub(super) route: Arc<Route>,
}

/// For how many labels a wildcard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wildcards {
    One,
    Several,
    /// For several when a host is chosen, for one when its rules are asked (Envoy, with a condition for the host).
    OneOfSeveral,
}

/// The rules of a listener, ready to match.
#[derive(Debug)]
pub(super) struct Scope {
    exact: HashMap<Box<str>, HostRules>,
    /// By what follows the `*.`.
    wildcard: HashMap<Box<str>, HostRules>,
    any: Option<HostRules>,
    wildcards: Wildcards,
    falls_through: bool,
}

#[derive(Debug)]
struct HostRules {
    /// As the rules write it; none for any host.
    name: Option<Box<str>>,
    table: Table,
    /// Takes what no rule of the host matches.
    default: Option<Arc<Route>>,
}

/// What was found for a request.
pub(super) struct Found<'t> {
    /// The rule, if there is one.
    pub(super) route: Option<&'t Arc<Route>>,
    /// Why that is not certain.
    pub(super) doubt: Option<Uncertainty>,
    /// Whether there are rules for the host at all.
    pub(super) has_host: bool,
    /// What takes the host's requests that no rule matches.
    pub(super) default: Option<&'t Arc<Route>>,
}

impl Scope {
    /// The rule that a request falls under.
    pub(super) fn find<'t>(
        &'t self,
        request: &Request<'_>,
        host: &RequestHost,
        path: &[u8],
        watch: &mut impl Watch,
    ) -> Found<'t> {
        let mut search = Search::new(request, host.name(), path, watch);
        let (mut has_host, mut default) = (false, None);
        for (rules, is_asked) in self.hosts(host) {
            if is_asked {
                search.host(rules.name.as_deref());
                rules.table.find(path, &mut search);
            }
            has_host = true;
            default = default.or(rules.default.as_ref());
            if !self.falls_through {
                break;
            }
        }
        let (entry, doubt) = search.end();
        Found { route: entry.map(|entry| &entry.route), doubt, has_host, default }
    }

    /// The rules for a host, the most specific first, and whether they are asked at all. Evaluated one after the other: most
    /// requests are decided by the first.
    fn hosts<'t, 'h>(
        &'t self,
        host: &'h RequestHost,
    ) -> impl Iterator<Item = (&'t HostRules, bool)> + use<'t, 'h> {
        let exact = std::iter::once_with(|| self.exact.get(host.name()).map(|rules| (rules, true)));
        let reach = if self.wildcards == Wildcards::One { 1 } else { usize::MAX };
        let wildcard = host.parents().take(reach).enumerate().map(|(label, parent)| {
            let is_asked = label == 0 || self.wildcards == Wildcards::Several;
            self.wildcard.get(parent).map(|rules| (rules, is_asked))
        });
        let any = std::iter::once_with(|| self.any.as_ref().map(|rules| (rules, true)));
        exact.chain(wildcard).chain(any).flatten()
    }
}

/// Rules on their way into a [`Scope`].
#[derive(Default)]
pub(super) struct Builder {
    rules: Vec<Rule>,
    /// Hosts that are known, with what takes the rest of their requests.
    hosts: BTreeMap<RuleHost, Option<Arc<Route>>>,
}

/// A rule that can never match, and the one that comes before it.
pub(super) struct Shadow {
    pub(super) lost: Arc<Route>,
    pub(super) by: Arc<Route>,
}

impl Builder {
    pub(super) fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// Forgets what takes the rest of hosts' requests.
    pub(super) fn without_defaults(&mut self) {
        self.hosts.values_mut().for_each(|default| *default = None);
    }

    /// Takes over the rules of another listener.
    pub(super) fn append(&mut self, other: Self) {
        self.rules.extend(other.rules);
        self.hosts.extend(other.hosts);
    }

    /// Makes a host known, and gives it a default backend unless it has one.
    pub(super) fn host(&mut self, host: &RuleHost, default: Option<&Arc<Route>>) {
        let known = self.hosts.entry(host.clone()).or_default();
        if known.is_none() {
            *known = default.cloned();
        }
    }

    /// Puts the rules in order; gives back those that can never match.
    pub(super) fn build(mut self, wildcards: Wildcards, falls_through: bool) -> (Scope, Vec<Shadow>) {
        self.rules.sort_by_key(|rule| rule.order);
        let mut tables: BTreeMap<RuleHost, table::Builder> = BTreeMap::new();
        let mut shadows = Vec::new();
        for (rank, rule) in self.rules.into_iter().enumerate() {
            let rank = u32::try_from(rank).unwrap_or(u32::MAX);
            let route = Arc::clone(&rule.route);
            let entry = Entry { rank, conditions: rule.conditions, route: rule.route };
            if let Some(by) = tables.entry(rule.host).or_default().add(&rule.path, entry) {
                shadows.push(Shadow { lost: route, by });
            }
        }
        for host in self.hosts.keys() {
            tables.entry(host.clone()).or_default();
        }
        let mut scope =
            Scope { exact: HashMap::new(), wildcard: HashMap::new(), any: None, wildcards, falls_through };
        for (host, table) in tables {
            let default = self.hosts.get_mut(&host).and_then(Option::take);
            let rules = |name: Option<String>| HostRules {
                name: name.map(String::into_boxed_str),
                table: table.build(),
                default,
            };
            match host {
                RuleHost::Exact(name) => {
                    drop(scope.exact.insert(name.as_str().into(), rules(Some(name))));
                }
                RuleHost::Wildcard(name) => {
                    let written = format!("*.{name}");
                    drop(scope.wildcard.insert(name.into(), rules(Some(written))));
                }
                RuleHost::Any => scope.any = Some(rules(None)),
            }
        }
        (scope, shadows)
    }
}
