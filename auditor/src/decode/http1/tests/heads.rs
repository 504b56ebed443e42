//! Heads: against `httparse` where both accept, and by table where servers are more tolerant than it is.

use proptest::prelude::*;

use crate::decode::http1::Limits;
use crate::decode::http1::head::{Head, Kind, Parsed, parse};
use crate::decode::http1::malformed::Malformed;
use crate::decode::http1::notes::Note;

#[track_caller]
fn whole(kind: Kind, text: &str) -> Head {
    match parse(kind, text.as_bytes(), &Limits::default()) {
        Ok(Parsed::Whole(head, len)) if len == text.len() => head,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn request(text: &str) -> Head {
    whole(Kind::Request, text)
}

#[test]
fn fields_are_found_whatever_their_case_and_unfolded() {
    let head = request(
        "GET /a HTTP/1.1\r\nX-One:  1 \r\nx-one:2\r\nFold: a\r\n\t b \r\n  c\r\nEmpty:\r\nE2:\r\n x\r\nhost: H\r\n\r\n",
    );
    assert_eq!(head.get("X-ONE").as_deref(), Some(&b"1"[..]));
    assert_eq!(
        head.all("x-one").map(|value| value.to_vec()).collect::<Vec<_>>(),
        [b"1".to_vec(), b"2".to_vec()]
    );
    assert_eq!(head.get("fold").as_deref(), Some(&b"a b c"[..]));
    assert_eq!(head.get("empty").as_deref(), Some(&b""[..]));
    assert_eq!(head.get("e2").as_deref(), Some(&b"x"[..]));
    assert_eq!(head.get("none"), None);
    assert_eq!(head.fields().len(), 6);
    assert!(head.notes().contains(Note::Folded) && !head.notes().contains(Note::BareLf));
}

#[test]
fn lines_without_a_colon_are_kept_and_noted() {
    let head = request("GET / HTTP/1.1\r\nnonsense\r\nA b: c\r\nHost: a\r\n\r\n");
    assert!(head.notes().contains(Note::OddField));
    assert_eq!(head.get("host").as_deref(), Some(&b"a"[..]));
}

#[test]
fn the_host_is_that_of_the_request() {
    for (line, field, host, path, query) in [
        ("GET /p?q?r", "a.B:80", "a.B", "/p", Some("q?r")),
        ("GET http://u@Abs.example:8080/x?y", "other", "Abs.example", "/x", Some("y")),
        ("GET http://abs", "other", "abs", "/", None),
        ("GET http://abs?q", "other", "abs", "", Some("q")),
        ("CONNECT [::1]:443", "other", "[::1]", "[::1]:443", None),
        ("OPTIONS *", "a", "a", "*", None),
        ("GET /r?u=http://evil/", "a", "a", "/r", Some("u=http://evil/")),
        ("GET x?u=http://evil/", "a", "a", "x", Some("u=http://evil/")),
    ] {
        let head = request(&format!("{line} HTTP/1.1\r\nHost: {field}\r\n\r\n"));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(head.host().map(|bytes| text(&bytes)).as_deref(), Some(host), "{line}");
        assert_eq!(head.host_lowercase(), Some(host.to_lowercase()));
        assert_eq!((text(head.path()).as_str(), head.query().map(text).as_deref()), (path, query), "{line}");
    }
    assert_eq!(request("GET / HTTP/1.0\r\n\r\n").host(), None);
    assert!(request("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").notes().contains(Note::SeveralHosts));
}

#[test]
fn start_lines_are_taken_as_servers_take_them() {
    let head = request("GET   /a b   HTTP/1.0 \n\n");
    assert_eq!((head.target(), head.minor_version()), (&b"/a b"[..], 0));
    assert!(head.notes().contains(Note::BareLf));
    assert_eq!(request("PROXY / HTTP/1.1\r\n\r\n").method(), b"PROXY");
    for (line, status, reason) in [
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.0 404", 404, ""),
        ("HTTP/1.1 999 ", 999, ""),
        ("HTTP/1.1 200 a b", 200, "a b"),
    ] {
        let head = whole(Kind::Response, &format!("{line}\r\n\r\n"));
        assert_eq!((head.status(), head.reason()), (status, reason.as_bytes()));
    }
    for line in
        ["HTTP/1.1 20", "HTTP/1.1 2000 x", "HTTP/1.1 099 x", "HTTP/1.1 2x0 y", "HTTP/1.1", "HTTP/1.1  "]
    {
        let result = parse(Kind::Response, format!("{line}\r\n\r\n").as_bytes(), &Limits::default());
        assert_eq!(result.err(), Some(Malformed::NotHttp), "{line}");
    }
}

/// Compares with `httparse`: where it accepts, this must too, with the same parts.
fn compare_request(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut storage = [httparse::EMPTY_HEADER; 64];
    let mut oracle = httparse::Request::new(&mut storage);
    let Ok(httparse::Status::Complete(len)) = oracle.parse(bytes) else { return Ok(()) };
    // Empty lines before a request are the connection's business.
    let lead = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let parsed = parse(Kind::Request, &bytes[lead..], &Limits::default());
    let Ok(Parsed::Whole(head, taken)) = parsed else {
        return Err(TestCaseError::fail(format!("{parsed:?} for {:?}", String::from_utf8_lossy(bytes))));
    };
    prop_assert_eq!(taken + lead, len);
    prop_assert_eq!(Some(head.method()), oracle.method.map(str::as_bytes));
    prop_assert_eq!(Some(head.target()), oracle.path.map(str::as_bytes));
    prop_assert_eq!(Some(head.minor_version()), oracle.version);
    compare_fields(&head, oracle.headers)
}

fn compare_response(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut storage = [httparse::EMPTY_HEADER; 64];
    let mut oracle = httparse::Response::new(&mut storage);
    let Ok(httparse::Status::Complete(len)) = oracle.parse(bytes) else { return Ok(()) };
    // It takes statuses below 100 and empty lines before a status line; neither is HTTP.
    if oracle.code.is_some_and(|code| code < 100) || bytes.starts_with(b"\r") || bytes.starts_with(b"\n") {
        return Ok(());
    }
    let parsed = parse(Kind::Response, bytes, &Limits::default());
    let Ok(Parsed::Whole(head, taken)) = parsed else {
        return Err(TestCaseError::fail(format!("{parsed:?} for {:?}", String::from_utf8_lossy(bytes))));
    };
    prop_assert_eq!(taken, len);
    prop_assert_eq!(Some(head.status()), oracle.code);
    compare_fields(&head, oracle.headers)
}

fn compare_fields(head: &Head, oracle: &[httparse::Header<'_>]) -> Result<(), TestCaseError> {
    let ours: Vec<_> = head.fields().iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let theirs: Vec<_> =
        oracle.iter().map(|field| (field.name.as_bytes().to_vec(), field.value.to_vec())).collect();
    prop_assert_eq!(ours, theirs);
    Ok(())
}

fn fields() -> impl Strategy<Value = String> {
    let line = ("[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,12}", "[ \t]{0,3}", "[ -~\u{80}-\u{ff}]{0,20}", "(\r)?\n");
    prop::collection::vec(
        line.prop_map(|(name, space, value, end)| format!("{name}:{space}{value}{end}")),
        0..8,
    )
    .prop_map(|lines| lines.concat())
}

/// Changes some bytes, so that nearly valid heads are compared too.
fn mutate(text: &str, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b" \t\r\n:\0HTP/1".to_vec())];
    prop::collection::vec((any::<prop::sample::Index>(), byte), 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn requests_agree_with_httparse(
        lead in "(\r\n){0,2}",
        method in "[A-Z]{1,8}",
        target in "/[!-~]{0,20}",
        minor in 0..2u8,
        fields in fields(),
        changes in changes(),
    ) {
        let text = format!("{lead}{method} {target} HTTP/1.{minor}\r\n{fields}\r\nrest");
        compare_request(&mutate(&text, &changes))?;
    }

    #[test]
    fn responses_agree_with_httparse(
        status in 100..600u16,
        reason in "( [ -~]{0,12})?",
        minor in 0..2u8,
        fields in fields(),
        changes in changes(),
    ) {
        let text = format!("HTTP/1.{minor} {status}{reason}\r\n{fields}\r\nrest");
        compare_response(&mutate(&text, &changes))?;
    }

    /// A head that is cut short is never whole, and never refused for what it lacks.
    #[test]
    fn a_prefix_is_partial(fields in fields(), at in any::<prop::sample::Index>()) {
        let text = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        let cut = &text.as_bytes()[..at.index(text.len())];
        prop_assert!(matches!(parse(Kind::Request, cut, &Limits::default()), Ok(Parsed::Partial)));
    }
}
