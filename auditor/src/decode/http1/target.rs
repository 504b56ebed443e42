//! The request target (RFC 9112, 3.2) and the authority in it or in `Host`, taken apart without a copy.

use memchr::{memchr, memmem, memrchr};

/// The authority of an absolute-form target: between `://` and the path. None for another form.
pub(super) fn authority(target: &[u8]) -> Option<&[u8]> {
    let (_, rest) = split_scheme(target)?;
    rest.get(..authority_end(rest))
}

/// The scheme of an absolute-form target.
pub(super) fn scheme(target: &[u8]) -> Option<&[u8]> {
    split_scheme(target).map(|(scheme, _)| scheme)
}

/// Path and query, without the authority: `/` where an absolute-form target has none, `*` as it is.
pub(super) fn path_and_query(target: &[u8]) -> &[u8] {
    match split_scheme(target) {
        Some((_, rest)) => match rest.get(authority_end(rest)..) {
            None | Some([]) => b"/",
            Some(path) => path,
        },
        None => target,
    }
}

/// `path?query` at its first question mark.
pub(super) fn split_query(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b'?', path) {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..)),
        None => (path, None),
    }
}

/// The host of an authority: without user information and port; an IPv6 literal keeps its brackets (RFC 3986, 3.2.2).
pub(super) fn host(authority: &[u8]) -> &[u8] {
    let authority = memrchr(b'@', authority).and_then(|at| authority.get(at + 1..)).unwrap_or(authority);
    let end = if authority.first() == Some(&b'[') {
        memchr(b']', authority).map_or(authority.len(), |at| at + 1)
    } else {
        memchr(b':', authority).unwrap_or(authority.len())
    };
    authority.get(..end).unwrap_or(authority)
}

/// Scheme and what follows `://`. The scheme is letters, digits, `+`, `-`, `.` (RFC 3986, 3.1): a `://` in a query is none.
fn split_scheme(target: &[u8]) -> Option<(&[u8], &[u8])> {
    if !target.first()?.is_ascii_alphabetic() {
        return None;
    }
    let at = memmem::find(target, b"://")?;
    let scheme = target.get(..at)?;
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if scheme.iter().all(valid) { Some((scheme, target.get(at + 3..)?)) } else { None }
}

fn authority_end(rest: &[u8]) -> usize {
    rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len())
}
