//! Hosts: what a rule may say, and what of a Host header is compared with it.
//!
//! A request's host is hostile bytes; it is brought into one form (lower case, no port, no trailing dot) on the stack, and
//! whatever cannot be a DNS name or an address literal simply matches no host.

use std::net::Ipv6Addr;

/// The longest DNS name in text, in bytes (RFC 1035, 2.3.4).
pub(super) const MAX_HOST: usize = 253;

/// Why a rule's host can match nothing. The API server refuses each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    /// Longer than 253 bytes, or with a label longer than 63.
    #[error("the host is too long")]
    TooLong,
    /// An address. Rules take names only.
    #[error("the host is an address")]
    Address,
    /// A `*` that is not the whole first label, or has nothing behind it.
    #[error("the wildcard is not the whole first label")]
    Wildcard,
    /// A byte that no DNS name has, an empty label, or one that starts or ends with a hyphen; a port among them.
    #[error("the host is not a DNS name")]
    Name,
}

/// The host of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum RuleHost {
    /// This name.
    Exact(String),
    /// One more label before this name.
    Wildcard(String),
    /// Any.
    Any,
}

impl RuleHost {
    /// Reads a rule's host (RFC 1123 subdomain, as the API server checks it).
    pub(super) fn new(host: &str) -> Result<Self, BadHost> {
        // The length is looked at first: nothing else may depend on how much an object holds.
        if host.len() > MAX_HOST + 1 {
            return Err(BadHost::TooLong);
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if host.is_empty() {
            return Ok(Self::Any);
        }
        let (wildcard, name) = match host.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, host.as_str()),
        };
        if name.contains('*') || (wildcard && name.is_empty()) {
            return Err(BadHost::Wildcard);
        }
        if host.len() > MAX_HOST || name.split('.').any(|label| label.len() > 63) {
            return Err(BadHost::TooLong);
        }
        if name.parse::<std::net::Ipv4Addr>().is_ok()
            || name.trim_matches(['[', ']']).parse::<Ipv6Addr>().is_ok()
        {
            return Err(BadHost::Address);
        }
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        if !name.split('.').all(label) {
            return Err(BadHost::Name);
        }
        Ok(if wildcard { Self::Wildcard(name.to_owned()) } else { Self::Exact(name.to_owned()) })
    }
}

impl RuleHost {
    /// Whether a request's host is this one, where a wildcard stands for any number of labels (Gateway API).
    pub(super) fn covers(&self, host: &RequestHost) -> bool {
        match self {
            Self::Exact(name) => host.name() == name,
            Self::Wildcard(name) => host.parents().any(|parent| parent == name),
            Self::Any => true,
        }
    }

    /// What both stand for, where a wildcard stands for any number of labels (Gateway API).
    pub(super) fn intersection(&self, other: &Self) -> Option<Self> {
        let below = |name: &str, wildcard: &str| {
            name.strip_suffix(wildcard).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        };
        match (self, other) {
            (Self::Any, host) | (host, Self::Any) => Some(host.clone()),
            (Self::Exact(one), Self::Exact(two)) => (one == two).then(|| self.clone()),
            (exact @ Self::Exact(name), Self::Wildcard(wildcard))
            | (Self::Wildcard(wildcard), exact @ Self::Exact(name)) => {
                below(name, wildcard).then(|| exact.clone())
            }
            (Self::Wildcard(one), Self::Wildcard(two)) if one == two || below(one, two) => Some(self.clone()),
            (Self::Wildcard(one), Self::Wildcard(two)) => below(two, one).then(|| other.clone()),
        }
    }

    /// Characters of an exact name, and of any name, as precedence counts them.
    pub(super) fn specificity(&self) -> (usize, usize) {
        match self {
            Self::Exact(name) => (name.len(), name.len()),
            Self::Wildcard(name) => (0, name.len() + 2),
            Self::Any => (0, 0),
        }
    }
}

/// The host of a request, in the form that is compared.
pub(super) struct RequestHost {
    buffer: [u8; MAX_HOST],
    length: usize,
}

impl RequestHost {
    /// Reads a Host header, an `:authority`, or the authority of a target. Never fails: what is no name matches nothing.
    pub(super) fn new(authority: &[u8]) -> Self {
        let none = Self { buffer: [0; MAX_HOST], length: 0 };
        let host = authority.trim_ascii();
        // An address literal is never the host of a rule, and holds colons that are no port.
        if host.first() == Some(&b'[') {
            return none;
        }
        let host = match memchr::memchr(b':', host) {
            Some(colon) => host.get(..colon).unwrap_or_default(),
            None => host,
        };
        let host = host.strip_suffix(b".").unwrap_or(host);
        // User information is not part of a Host (RFC 9110, 7.2); an `@` is one of the bytes that no name has.
        let named = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if !host.iter().all(named) {
            return none;
        }
        let mut buffer = [0; MAX_HOST];
        let Some(target) = buffer.get_mut(..host.len()) else { return none };
        target.copy_from_slice(host);
        target.make_ascii_lowercase();
        Self { buffer, length: host.len() }
    }

    /// The name; empty if there is none that a rule could have.
    pub(super) fn name(&self) -> &str {
        self.buffer.get(..self.length).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
    }

    /// What follows the first label, which must not be empty: what a wildcard would have to be written for.
    pub(super) fn parent(&self) -> Option<&str> {
        self.name()
            .split_once('.')
            .filter(|(label, parent)| !label.is_empty() && !parent.is_empty())
            .map(|(_, parent)| parent)
    }
}

impl RequestHost {
    /// What follows each label, the longest first: what a wildcard for several labels might be written for.
    pub(super) fn parents(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(self.parent(), |name| {
            name.split_once('.').map(|(_, parent)| parent).filter(|parent| !parent.is_empty())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn rule(host: &str, expected: Result<RuleHost, BadHost>) {
        assert_eq!(RuleHost::new(host), expected, "{host}");
    }

    #[test]
    fn rules_take_names_and_whole_label_wildcards() {
        rule("", Ok(RuleHost::Any));
        rule("Foo.COM", Ok(RuleHost::Exact("foo.com".to_owned())));
        rule("foo.com.", Ok(RuleHost::Exact("foo.com".to_owned())));
        rule("*.foo.com", Ok(RuleHost::Wildcard("foo.com".to_owned())));
        rule("*.com", Ok(RuleHost::Wildcard("com".to_owned())));
        rule("*", Err(BadHost::Wildcard));
        rule("*.", Err(BadHost::Wildcard));
        rule("a*.foo.com", Err(BadHost::Wildcard));
        rule("*.*.com", Err(BadHost::Wildcard));
        rule("foo.*.com", Err(BadHost::Wildcard));
        rule("10.0.0.1", Err(BadHost::Address));
        rule("[::1]", Err(BadHost::Address));
        rule("foo.com:80", Err(BadHost::Name));
        rule("foo..com", Err(BadHost::Name));
        rule("-a.com", Err(BadHost::Name));
        rule("a_b.com", Err(BadHost::Name));
        rule("foo.com/", Err(BadHost::Name));
        rule("bücher.example", Err(BadHost::Name));
        rule(&"a".repeat(64), Err(BadHost::TooLong));
        rule(&"a.".repeat(1 << 19), Err(BadHost::TooLong));
    }

    #[test]
    fn a_request_host_is_compared_without_case_port_and_final_dot() {
        for (host, name, parent) in [
            ("Foo.com", "foo.com", Some("com")),
            ("foo.com:8080", "foo.com", Some("com")),
            ("foo.com.", "foo.com", Some("com")),
            ("foo.com.:443", "foo.com", Some("com")),
            ("user@foo.com", "", None),
            ("a b.foo.com", "", None),
            ("a_b.foo.com", "a_b.foo.com", Some("foo.com")),
            ("localhost", "localhost", None),
            (".foo.com", ".foo.com", None),
            ("[::1]:80", "", None),
            ("", "", None),
        ] {
            let host = RequestHost::new(host.as_bytes());
            assert_eq!((host.name(), host.parent()), (name, parent));
        }
        assert_eq!(RequestHost::new(&[b'a'; 254]).name(), "");
        assert_eq!(RequestHost::new(&[0xff; 9]).name(), "");
    }
}
