//! Who may do what: the rules of a role.

use std::path::Path;

use anyhow::{Result, bail};
use serde::Deserialize;

use super::path::Verb;
use super::resource::Resource;

/// What a user may do, as a `ClusterRole` writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Rules(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    api_groups: Vec<String>,
    #[serde(default)]
    resources: Vec<String>,
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct Object {
    kind: String,
    #[serde(default)]
    rules: Rules,
}

impl Rules {
    /// Those of the `ClusterRole` in a manifest.
    ///
    /// # Errors
    /// It cannot be read, or has none or several.
    pub fn read(manifest: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(manifest)?;
        let objects: Vec<Object> = serde_saphyr::from_multiple(&text)?;
        let mut roles = objects.into_iter().filter(|object| object.kind == "ClusterRole");
        match (roles.next(), roles.next()) {
            (Some(role), None) => Ok(role.rules),
            _ => bail!("{} has no ClusterRole, or several", manifest.display()),
        }
    }

    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        let any = || vec!["*".to_owned()];
        Self(vec![Rule { api_groups: any(), resources: any(), verbs: any() }])
    }

    /// Whether they allow this. What kinds there are, everybody may ask (`system:discovery`).
    pub(super) fn allow(&self, verb: Verb, resource: &Resource) -> bool {
        let has = |list: &[String], name: &str| list.iter().any(|entry| entry == "*" || entry == name);
        self.0.iter().any(|rule| {
            has(&rule.verbs, verb.name())
                && has(&rule.api_groups, &resource.group)
                && has(&rule.resources, &resource.plural)
        })
    }

    /// Each pair of resource and verb that is allowed, as `verb resource`.
    #[must_use]
    pub fn pairs(&self) -> Vec<String> {
        let mut pairs = Vec::new();
        for rule in &self.0 {
            for group in &rule.api_groups {
                for plural in &rule.resources {
                    let dot = if group.is_empty() { "" } else { "." };
                    pairs.extend(rule.verbs.iter().map(|verb| format!("{verb} {plural}{dot}{group}")));
                }
            }
        }
        pairs.sort();
        pairs
    }
}
