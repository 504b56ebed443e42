//! A request in words: a URL, and fields as `curl -H` takes them.

use std::str::FromStr;

/// A URL, as far as routing asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it is `https`.
    pub tls: bool,
    /// Its host, without the port.
    pub host: String,
    /// Its port; that of the scheme without.
    pub port: u16,
    /// Path and query; `/` without.
    pub target: String,
}

/// Why it is no URL that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It does not start with `http://` or `https://`.
    #[error("it starts with neither http:// nor https://")]
    Scheme,
    /// It has no host.
    #[error("it has no host")]
    Host,
    /// Its port is no number from 1 to 65535.
    #[error("its port is no number from 1 to 65535")]
    Port,
}

impl Url {
    /// What follows the first `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }
}

impl FromStr for Url {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(BadUrl::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(BadUrl::Scheme),
        };
        // A fragment is the client's own (RFC 9110, 4.2.5).
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // The brackets of an IPv6 address hold colons that are no port.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if host.is_empty() {
            return Err(BadUrl::Host);
        }
        let port = match port {
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(BadUrl::Port)?,
        };
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { tls, host: host.to_owned(), port, target })
    }
}

/// A field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// It is not `Name: value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not of the form 'Name: value'")]
pub struct BadHeader;

impl FromStr for Header {
    type Err = BadHeader;

    fn from_str(text: &str) -> Result<Self, BadHeader> {
        let (name, value) = text.split_once(':').ok_or(BadHeader)?;
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(BadHeader);
        }
        Ok(Self { name: name.to_owned(), value: value.trim().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(bool, &str, u16, &str), BadUrl>) {
        let url = text.parse::<Url>();
        let parts = url.as_ref().map(|url| (url.tls, url.host.as_str(), url.port, url.target.as_str()));
        assert_eq!(parts.map_err(|error| *error), expected, "{text}");
    }

    #[test]
    fn urls() {
        check("http://a.b", Ok((false, "a.b", 80, "/")));
        check("HTTPS://a.b/c?d#e", Ok((true, "a.b", 443, "/c?d")));
        check("http://a.b:8080?x", Ok((false, "a.b", 8080, "/?x")));
        check("http://[::1]/", Ok((false, "[::1]", 80, "/")));
        check("http://[::1]:81/", Ok((false, "[::1]", 81, "/")));
        check("a.b/c", Err(BadUrl::Scheme));
        check("ftp://a.b", Err(BadUrl::Scheme));
        check("http:///x", Err(BadUrl::Host));
        check("http://a:0/", Err(BadUrl::Port));
        check("http://a:x/", Err(BadUrl::Port));
    }

    #[test]
    fn headers() {
        let header = |text: &str| text.parse::<Header>().map(|Header { name, value }| (name, value));
        assert_eq!(header("A: b:c "), Ok(("A".to_owned(), "b:c".to_owned())));
        assert_eq!(header("A:"), Ok(("A".to_owned(), String::new())));
        assert_eq!(header("A"), Err(BadHeader));
        assert_eq!(header(": b"), Err(BadHeader));
        assert_eq!(header("a b: c"), Err(BadHeader));
    }
}
