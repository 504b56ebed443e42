//! What compiling the rules of all kinds shares, and its end: [`Routes`].

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::group::Group;
use super::pattern::{Anchor, Engine, Pattern, Patterns};
use super::problem::{Place, ProblemKind, Problems};
use super::scope::{self, Shadow, Wildcards};
use super::{ObjectKind, ObjectRef, Routes};
use crate::attribute::objects::ObjectName;

/// Rules on their way to being [`Routes`].
#[derive(Default)]
pub(super) struct Building {
    pub(super) groups: Vec<Group>,
    /// Server names whose TLS is passed on.
    pub(super) passthrough: scope::Builder,
    pub(super) problems: Problems,
    pub(super) served: usize,
    pub(super) others: usize,
    patterns: Patterns,
    /// Rules that were compiled.
    rules: usize,
    is_cut: bool,
}

/// The most rules that objects are compiled to: an `HTTPRoute` stands for one rule for each of its matches, hosts and
/// listeners, which multiply.
pub const MAX_RULES: usize = 500_000;

impl Building {
    /// A pattern; one that cannot be read is a problem of its object.
    pub(super) fn pattern(
        &mut self,
        place: Place<'_>,
        text: &str,
        anchor: Anchor,
        engine: Engine,
        any_case: bool,
    ) -> Pattern {
        let full = self.patterns.is_full();
        let pattern = self.patterns.get(text, anchor, engine, any_case);
        if pattern.is_unclear() {
            let kind = if full { ProblemKind::TooManyPatterns } else { ProblemKind::Unreadable };
            self.problems.add(place, kind);
        }
        pattern
    }

    /// Counts a rule; `false` if there is no room for it. That is reported once, and makes all decisions uncertain.
    pub(super) fn room(&mut self, place: Place<'_>) -> bool {
        self.rules += 1;
        let has_room = self.rules <= MAX_RULES;
        if !has_room && !std::mem::replace(&mut self.is_cut, true) {
            self.problems.add(place, ProblemKind::TooMany { what: "rules", limit: MAX_RULES });
        }
        has_room
    }

    /// Puts the rules of a listener in order, and reports those that can never match.
    pub(super) fn scope(
        &mut self,
        rules: scope::Builder,
        wildcards: Wildcards,
        falls_through: bool,
    ) -> scope::Scope {
        let (scope, shadows) = rules.build(wildcards, falls_through);
        for Shadow { lost, by } in shadows {
            // A rule that was written once and compiled to several may stand in its own way.
            let (Some(object), Some(by)) =
                (&lost.object, by.object.clone().filter(|_| !Arc::ptr_eq(&lost, &by)))
            else {
                continue;
            };
            let rule = lost.rule.map(|rule| rule as usize);
            self.problems.add(Place { object, rule, part: None }, ProblemKind::Shadowed { by });
        }
        scope
    }

    pub(super) fn finish(mut self) -> Routes {
        let passthrough = std::mem::take(&mut self.passthrough);
        let passthrough = self.scope(passthrough, Wildcards::Several, true);
        let ports: BTreeSet<u16> = self.groups.iter().filter_map(|group| group.port).collect();
        Routes {
            groups: self.groups,
            ports,
            passthrough,
            problems: self.problems.kept,
            problem_count: self.problems.count,
            served: self.served,
            others: self.others,
            is_cut: self.is_cut,
        }
    }
}

/// An object's name. Whoever fills [`crate::attribute::objects::Objects`] sees to it that there is one.
pub(super) fn object(kind: ObjectKind, metadata: &ObjectMeta) -> ObjectRef {
    let name = ObjectName {
        namespace: metadata.namespace.as_deref().unwrap_or_default().into(),
        name: metadata.name.as_deref().unwrap_or_default().into(),
    };
    ObjectRef { kind, name }
}

/// Objects by age: the oldest first, then by `namespace/name`. One without a time of creation is as good as new.
pub(super) fn by_age<T>(objects: &[T], metadata: impl Fn(&T) -> &ObjectMeta) -> Vec<&T> {
    let mut sorted: Vec<&T> = objects.iter().collect();
    sorted.sort_by(|a, b| age(metadata(a)).cmp(&age(metadata(b))));
    sorted
}

/// What objects are sorted by.
pub(super) fn age(metadata: &ObjectMeta) -> impl Ord + '_ {
    let time = metadata.creation_timestamp.as_ref();
    (time.is_none(), time, metadata.namespace.as_deref(), metadata.name.as_deref())
}

/// A port number, if it is one.
pub(super) fn port(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number > 0)
}

/// A share, which API servers keep from 0 to 1,000,000.
pub(super) fn weight(weight: i64) -> u32 {
    u32::try_from(weight.clamp(0, 1_000_000)).unwrap_or_default()
}
