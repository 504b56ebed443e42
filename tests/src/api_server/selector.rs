//! Selectors by label and by field.
//!
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#api>,
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/>. A field that the API server does
//! not know for a kind is an error, as there.

use serde_json::Value;

/// Which objects are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    fields: Vec<Term>,
    labels: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector` of a list of `plural`.
    pub(super) fn new(plural: &str, labels: &str, fields: &str) -> Result<Self, String> {
        let fields: Vec<Term> =
            terms(fields).map(|text| term(&text)).collect::<Option<_>>().ok_or("bad field selector")?;
        let labels =
            terms(labels).map(|text| term(&text)).collect::<Option<_>>().ok_or("bad label selector")?;
        let known = |key: &str| match plural {
            "pods" => ["metadata.name", "metadata.namespace", "spec.nodeName", "status.phase"].contains(&key),
            "secrets" => ["metadata.name", "metadata.namespace", "type"].contains(&key),
            _ => ["metadata.name", "metadata.namespace"].contains(&key),
        };
        match fields.iter().find(|term| !known(&term.key)) {
            Some(term) => Err(format!("field label not supported: {}", term.key)),
            None => Ok(Self { fields, labels }),
        }
    }

    /// Whether it means this object.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| {
            let labels = object.get("metadata").and_then(|metadata| metadata.get("labels"));
            labels.and_then(|labels| labels.get(key)).and_then(Value::as_str)
        };
        let field = |path: &str| {
            let found = path.split('.').try_fold(object, |value, key| value.get(key));
            // A field that is not set is the empty text.
            Some(found.and_then(Value::as_str).unwrap_or_default())
        };
        self.labels.iter().all(|term| term.test.passes(label(&term.key)))
            && self.fields.iter().all(|term| term.test.passes(field(&term.key)))
    }
}

impl Test {
    fn passes(&self, value: Option<&str>) -> bool {
        match self {
            Self::In(values) => value.is_some_and(|value| values.iter().any(|other| other == value)),
            Self::NotIn(values) => value.is_none_or(|value| values.iter().all(|other| other != value)),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
        }
    }
}

/// Splits at commas outside of parentheses.
fn terms(text: &str) -> impl Iterator<Item = String> {
    let mut depth = 0_u32;
    let mut parts = vec![String::new()];
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if letter == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty())
}

fn term(text: &str) -> Option<Term> {
    let of =
        |key: &str, test| Some(Term { key: key.trim().to_owned(), test }).filter(|term| !term.key.is_empty());
    let one = |value: &str| vec![value.trim().to_owned()];
    let several = |list: &str| {
        let inside = list.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inside.split(',').map(|value| value.trim().to_owned()).collect::<Vec<_>>())
    };
    if let Some((key, list)) = text.split_once(" notin ") {
        return of(key, Test::NotIn(several(list)?));
    }
    if let Some((key, list)) = text.split_once(" in ") {
        return of(key, Test::In(several(list)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return of(key, Test::NotIn(one(value)));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return of(key, Test::In(one(value)));
    }
    match text.strip_prefix('!') {
        Some(key) => of(key, Test::Absent),
        None => of(text, Test::Exists),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(labels: &str, fields: &str, expected: bool) {
        let pod = json!({
            "metadata": {"name": "p", "labels": {"app": "web", "tier": "front"}}, "spec": {"nodeName": "n1"},
        });
        assert_eq!(Selector::new("pods", labels, fields).unwrap().matches(&pod), expected);
    }

    #[test]
    fn selectors() {
        check("", "", true);
        check("app=web,tier in (front, back)", "", true);
        check("app==web, tier notin (front)", "", false);
        check("app,!gone", "", true);
        check("gone", "", false);
        check("app!=web", "", false);
        check("gone!=x", "", true);
        check("", "spec.nodeName=n1,metadata.name=p", true);
        check("", "spec.nodeName!=n1", false);
        check("", "status.phase=", true);
        assert!(Selector::new("services", "", "spec.nodeName=n1").is_err());
    }
}
