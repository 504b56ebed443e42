//! What a request asks for: method, path and query.

use std::collections::BTreeMap;

/// What is done, in the words of authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// One object.
    Get,
    /// All objects of a kind.
    List,
    /// Their changes.
    Watch,
    /// A new object.
    Create,
    /// Another state of an object.
    Update,
    /// No object any more.
    Delete,
    /// Which kinds there are.
    Discover,
}

impl Verb {
    /// As rules write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get | Self::Discover => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To what kinds there are: all groups, one group's version, and so on.
    Discovery(Vec<String>),
    /// To objects.
    Objects {
        group: String,
        version: String,
        plural: String,
        namespace: Option<String>,
        name: Option<String>,
    },
}

/// Reads a path: `/api/v1/...` and `/apis/GROUP/VERSION/...`
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris>).
pub(super) fn place(path: &str) -> Option<Place> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (group, rest) = match parts.as_slice() {
        ["version" | "api" | "apis"] | ["api", _] | ["apis", _] | ["apis", _, _] => {
            return Some(Place::Discovery(parts.into_iter().map(str::to_owned).collect()));
        }
        ["api", rest @ ..] => ("", rest),
        ["apis", group, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let [version, rest @ ..] = rest else { return None };
    let (namespace, rest) = match rest {
        // `/api/v1/namespaces/x` is the object x itself.
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
        rest => (None, rest),
    };
    let (plural, name) = match rest {
        [plural] => (*plural, None),
        [plural, name] => (*plural, Some((*name).to_owned())),
        _ => return None,
    };
    let [group, version, plural] = [group, version, plural].map(str::to_owned);
    Some(Place::Objects { group, version, plural, namespace, name })
}

/// Reads a query.
pub(super) fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(k, v)| (decode(k), decode(v)))
        .collect()
}

/// Undoes `+` and `%XX`.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'+' => b' ',
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let number =
                    std::str::from_utf8(&digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok());
                number.unwrap_or(b'?')
            }
            other => other,
        };
        bytes.push(byte);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Group, version, plural; namespace and name.
    type Expected<'a> = ([&'a str; 3], [Option<&'a str>; 2]);

    #[track_caller]
    fn check(path: &str, expected: Option<Expected<'_>>) {
        let expected = expected.map(|([group, version, plural], [namespace, name])| Place::Objects {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
        });
        assert_eq!(place(path), expected);
    }

    #[test]
    fn paths() {
        check("/api/v1/pods", Some((["", "v1", "pods"], [None, None])));
        check("/api/v1/namespaces/a/pods/b", Some((["", "v1", "pods"], [Some("a"), Some("b")])));
        check("/api/v1/namespaces/a", Some((["", "v1", "namespaces"], [None, Some("a")])));
        let ingresses = (["networking.k8s.io", "v1", "ingresses"], [Some("a"), None]);
        check("/apis/networking.k8s.io/v1/namespaces/a/ingresses", Some(ingresses));
        check("/", None);
        check("/api/v1/namespaces/a/pods/b/log", None);
        assert_eq!(place("/apis"), Some(Place::Discovery(vec!["apis".to_owned()])));
    }

    #[test]
    fn queries() {
        let read = query("watch=true&fieldSelector=spec.nodeName%3Dn1&x=a+b&y");
        let pairs: Vec<(&str, &str)> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            pairs,
            [("fieldSelector", "spec.nodeName=n1"), ("watch", "true"), ("x", "a b"), ("y", "")]
        );
    }
}
