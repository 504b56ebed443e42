//! The path that a request asked for, as rules are matched against it.
//!
//! Rules match what the controller understood, not what the client wrote, and the two differ on purpose in attacks. So a
//! path is normalised as nginx does it, which most controllers follow or are set up to follow: the query ends it (RFC
//! 3986, 3.4), percent-encoding is decoded once, repeated slashes are merged, `.` and `..` are resolved. What nginx
//! refuses with 400 has no normal form: a malformed escape, an encoded NUL, a `..` above the root. A controller with
//! other habits (Traefik keeps `//`) can differ, and [`RequestPath::rewritten`] marks the requests where it might.

use std::borrow::Cow;

/// A request's target: what was sent, and what rules are matched against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath<'a> {
    raw: &'a [u8],
    normal: Result<Cow<'a, [u8]>, BadPath>,
    authority: Option<&'a [u8]>,
}

/// Why a request target has no path that a rule could match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// `*` (RFC 9112, 3.2.4), an authority (3.2.3), or anything else that does not start with a slash.
    #[error("the target has no path")]
    NoPath,
    /// A `%` without two hexadecimal digits.
    #[error("malformed percent-encoding")]
    Encoding,
    /// An encoded or plain NUL.
    #[error("a NUL in the path")]
    Nul,
    /// A `..` that leaves the root.
    #[error("a path above the root")]
    AboveRoot,
}

impl<'a> RequestPath<'a> {
    /// Reads a request target (RFC 9112, 3.2), or the `:path` of HTTP/2. Allocates only if normalising changes something.
    #[must_use]
    pub fn new(target: &'a [u8]) -> Self {
        let (authority, path) = match absolute(target) {
            Some((authority, path)) => (Some(authority), path),
            None => (None, target),
        };
        let raw = match memchr::memchr2(b'?', b'#', path) {
            Some(end) => path.get(..end).unwrap_or(path),
            None => path,
        };
        // An absolute target may lack a path altogether, which means the root (RFC 9110, 4.2.3).
        let raw = if raw.is_empty() && authority.is_some() { b"/" } else { raw };
        Self { raw, normal: normalise(raw), authority }
    }

    /// The path as it was sent, without query.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The path that rules are matched against.
    ///
    /// # Errors
    /// Why there is none.
    pub fn normal(&self) -> Result<&[u8], BadPath> {
        match &self.normal {
            Ok(path) => Ok(path),
            Err(bad) => Err(*bad),
        }
    }

    /// Whether normalising changed the path.
    #[must_use]
    pub fn rewritten(&self) -> bool {
        matches!(&self.normal, Ok(Cow::Owned(path)) if path != self.raw)
    }

    /// The authority of a target in absolute form. It replaces the Host header (RFC 9112, 3.2.2).
    #[must_use]
    pub fn authority(&self) -> Option<&'a [u8]> {
        self.authority
    }
}

/// Splits `http://authority/path`.
fn absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    if target.first() == Some(&b'/') {
        return None;
    }
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    })?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    rest.split_at_checked(end)
}

/// The normal form of a path.
///
/// # Errors
/// Why it has none.
pub(super) fn normalise(raw: &[u8]) -> Result<Cow<'_, [u8]>, BadPath> {
    if raw.first() != Some(&b'/') {
        return Err(BadPath::NoPath);
    }
    if is_normal(raw) {
        return Ok(Cow::Borrowed(raw));
    }
    // What is decoded counts as if it had been written so: %2e%2e%2f is ../ for nginx.
    resolve(&decode(raw, false)?).map(Cow::Owned)
}

/// The normal form of a rule's path, so that both sides of a comparison went through the same. A `%` that begins no
/// escape stands for itself: nobody decodes what a rule's author wrote.
pub(super) fn normalise_rule(path: &[u8]) -> Result<Vec<u8>, BadPath> {
    resolve(&decode(path, true)?)
}

/// Whether there is nothing to do; may err towards work.
fn is_normal(raw: &[u8]) -> bool {
    let mut previous = 0;
    raw.iter().all(|&byte| {
        let odd = byte == b'%' || byte == 0 || (previous == b'/' && matches!(byte, b'/' | b'.'));
        previous = byte;
        !odd
    })
}

fn decode(raw: &[u8], lenient: bool) -> Result<Vec<u8>, BadPath> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&first, after)) = rest.split_first() {
        let escape = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, after))
            }
            _ => None,
        };
        let (byte, after) = match escape {
            Some(escape) => escape,
            None if first == b'%' && !lenient => return Err(BadPath::Encoding),
            None => (first, after),
        };
        if byte == 0 {
            return Err(BadPath::Nul);
        }
        decoded.push(byte);
        rest = after;
    }
    Ok(decoded)
}

/// A name or value of a query: percent-encoding decoded once, `+` is a space; a `%` that begins no escape stands for itself
/// (WHATWG URL, 5.1).
pub(super) fn decode_form(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let spaced: Vec<u8> = raw.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(unescape(&spaced))
}

fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&first, after)) = rest.split_first() {
        let escape = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, after))
            }
            _ => None,
        };
        let (byte, after) = escape.unwrap_or((first, after));
        decoded.push(byte);
        rest = after;
    }
    decoded
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Merges slashes and resolves dot segments (RFC 3986, 5.2.4). The path starts with a slash.
fn resolve(path: &[u8]) -> Result<Vec<u8>, BadPath> {
    let mut resolved = Vec::with_capacity(path.len());
    resolved.push(b'/');
    let mut elements = path.split(|&byte| byte == b'/').skip(1).peekable();
    // Invariant: `resolved` ends with a slash at the start of each turn.
    while let Some(element) = elements.next() {
        match element {
            b"" | b"." => {}
            b".." => {
                resolved.pop();
                let parent = memchr::memrchr(b'/', &resolved).ok_or(BadPath::AboveRoot)?;
                resolved.truncate(parent + 1);
            }
            name => {
                resolved.extend_from_slice(name);
                if elements.peek().is_some() {
                    resolved.push(b'/');
                }
            }
        }
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, expected: Result<&str, BadPath>) {
        let path = RequestPath::new(target.as_bytes());
        assert_eq!(
            path.normal().map(|path| String::from_utf8_lossy(path).into_owned()),
            expected.map(str::to_owned)
        );
    }

    #[test]
    fn paths_are_normalised_as_nginx_does() {
        check("/", Ok("/"));
        check("/foo", Ok("/foo"));
        check("/foo/", Ok("/foo/"));
        check("/foo?a=/../x", Ok("/foo"));
        check("/foo#x", Ok("/foo"));
        check("/foo//bar", Ok("/foo/bar"));
        check("//foo", Ok("/foo"));
        check("/foo//", Ok("/foo/"));
        check("/./foo", Ok("/foo"));
        check("/foo/.", Ok("/foo/"));
        check("/foo/..", Ok("/"));
        check("/foo/bar/..", Ok("/foo/"));
        check("/foo/../bar", Ok("/bar"));
        check("/foo/%2e%2E/bar", Ok("/bar"));
        check("/foo%2Fbar", Ok("/foo/bar"));
        check("/foo/..%2fbar", Ok("/bar"));
        check("/.well-known/x", Ok("/.well-known/x"));
        check("/...", Ok("/..."));
        check("/a%20b", Ok("/a b"));
        check("/a%253fb", Ok("/a%3fb"));
        check("/a%3Fb", Ok("/a?b"));
    }

    #[test]
    fn what_nginx_refuses_has_no_normal_form() {
        check("", Err(BadPath::NoPath));
        check("*", Err(BadPath::NoPath));
        check("?x", Err(BadPath::NoPath));
        check("example.com:443", Err(BadPath::NoPath));
        check("/..", Err(BadPath::AboveRoot));
        check("/../x", Err(BadPath::AboveRoot));
        check("/a/../../x", Err(BadPath::AboveRoot));
        check("/%", Err(BadPath::Encoding));
        check("/%2", Err(BadPath::Encoding));
        check("/%2x", Err(BadPath::Encoding));
        check("/%zz", Err(BadPath::Encoding));
        check("/%00", Err(BadPath::Nul));
        check("/a\0", Err(BadPath::Nul));
    }

    #[test]
    fn a_target_in_absolute_form_names_its_host() {
        let path = RequestPath::new(b"HTTP://Shop.Example:8080/a?b");
        assert_eq!((path.authority(), path.raw()), (Some(b"Shop.Example:8080".as_slice()), b"/a".as_slice()));
        let path = RequestPath::new(b"https://shop.example?x");
        assert_eq!(
            (path.authority(), path.normal()),
            (Some(b"shop.example".as_slice()), Ok(b"/".as_slice()))
        );
        assert_eq!(RequestPath::new(b"/http://x/").authority(), None);
    }

    #[test]
    fn only_a_change_counts_as_rewritten() {
        for (target, rewritten) in
            [("/a", false), ("/a/.b", false), ("/a//b", true), ("/%61", true), ("/%", false)]
        {
            assert_eq!(RequestPath::new(target.as_bytes()).rewritten(), rewritten, "{target}");
        }
    }

    proptest::proptest! {
        #[test]
        fn normal_paths_are_rooted_and_resolved(target in proptest::collection::vec(proptest::sample::select(b"/.%2eEfF0a?\xff".as_slice()), 0..40)) {
            if let Ok(path) = RequestPath::new(&target).normal() {
                assert_eq!(path.first(), Some(&b'/'));
                assert!(!path.windows(2).any(|pair| pair == b"//"));
                assert!(path.split(|&byte| byte == b'/').all(|element| element != b"." && element != b".."));
                assert_eq!(resolve(path).as_deref(), Ok(path));
            }
        }
    }
}
