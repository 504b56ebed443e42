//! The examples of RFC 7239, the forms that proxies write, and the values with which clients tried to pass for others.

use std::borrow::Cow;

use proptest::prelude::*;

use super::{ForwardingHeader, node};

/// The hops of some lines, nearest first: the address and port, or the text in brackets.
fn hops(field: ForwardingHeader, lines: &[&str]) -> Vec<String> {
    let lines: Vec<Cow<'_, [u8]>> = lines.iter().map(|line| Cow::Borrowed(line.as_bytes())).collect();
    let show = |hop: super::Hop<'_>| match hop.node {
        Some(node) => {
            node.port.map_or(format!("{}", node.address), |port| format!("{} {port}", node.address))
        }
        None => format!("<{}>", String::from_utf8_lossy(&hop.text)),
    };
    field.hops(&lines).map(show).collect()
}

#[test]
fn nodes() {
    let check = |text: &str, expected: Option<(&str, Option<u16>)>| {
        let found = node(text.as_bytes()).map(|node| (node.address.to_string(), node.port));
        assert_eq!(found, expected.map(|(address, port)| (address.to_owned(), port)), "{text}");
    };
    check("203.0.113.7", Some(("203.0.113.7", None)));
    check("203.0.113.7:80", Some(("203.0.113.7", Some(80))));
    check("203.0.113.7:_x-1", Some(("203.0.113.7", None)));
    check("2001:db8::1", Some(("2001:db8::1", None)));
    check("[2001:db8::1]", Some(("2001:db8::1", None)));
    check("[2001:db8::1]:443", Some(("2001:db8::1", Some(443))));
    check("::ffff:203.0.113.7", Some(("203.0.113.7", None)));
    check("[::ffff:203.0.113.7]:1", Some(("203.0.113.7", Some(1))));
    for bad in [
        "",
        "unknown",
        "_hidden",
        "localhost",
        "203.0.113",
        "203.0.113.07",
        "0x7f.1",
        "2130706433",
        "127.1",
        "203.0.113.7:",
        "203.0.113.7:_",
        "203.0.113.7:65536",
        "203.0.113.7:+1",
        "203.0.113.7:80:80",
        "203.0.113.7 ",
        " 203.0.113.7",
        "203.0.113.7/32",
        "[203.0.113.7]",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]443",
        "[2001:db8::1]:",
        "[]",
        "fe80::1%eth0",
        "[fe80::1%1]",
        "\u{661}.1.1.1",
    ] {
        check(bad, None);
    }
}

#[test]
fn x_forwarded_for() {
    let check = |lines: &[&str], expected: &[&str]| {
        assert_eq!(hops(ForwardingHeader::XForwardedFor, lines), expected)
    };
    check(&["203.0.113.7"], &["203.0.113.7"]);
    check(&["203.0.113.7, 10.0.0.1"], &["10.0.0.1", "203.0.113.7"]);
    check(&["203.0.113.7,10.0.0.1", "10.0.0.2"], &["10.0.0.2", "10.0.0.1", "203.0.113.7"]);
    check(&[" , 203.0.113.7 ,, ", ""], &["203.0.113.7"]);
    check(&["203.0.113.7, unknown"], &["<unknown>", "203.0.113.7"]);
    // Quotes mean nothing here.
    check(&["\"203.0.113.7, 10.0.0.1\""], &["<10.0.0.1\">", "<\"203.0.113.7>"]);
    check(&["203.0.113.7;10.0.0.1"], &["<203.0.113.7;10.0.0.1>"]);
}

#[test]
fn x_real_ip() {
    let check =
        |lines: &[&str], expected: &[&str]| assert_eq!(hops(ForwardingHeader::XRealIp, lines), expected);
    check(&["203.0.113.7"], &["203.0.113.7"]);
    check(&["203.0.113.7", "203.0.113.8"], &["203.0.113.8"]);
    check(&["203.0.113.7, 203.0.113.8"], &["<203.0.113.7, 203.0.113.8>"]);
    check(&[""], &[]);
}

#[test]
fn forwarded() {
    let check = |lines: &[&str], expected: &[&str]| {
        assert_eq!(hops(ForwardingHeader::Forwarded, lines), expected, "{lines:?}")
    };
    // RFC 7239, 4, 6 and 7.1.
    check(&["for=\"_gazonk\""], &["<_gazonk>"]);
    check(&["For=\"[2001:db8:cafe::17]:4711\""], &["2001:db8:cafe::17 4711"]);
    check(&["for=192.0.2.60;proto=http;by=203.0.113.43"], &["192.0.2.60"]);
    check(&["for=192.0.2.43, for=198.51.100.17"], &["198.51.100.17", "192.0.2.43"]);
    check(&["for=_hidden, for=_SEVKISEK"], &["<_SEVKISEK>", "<_hidden>"]);
    check(
        &["for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown"],
        &["<unknown>", "2001:db8:cafe::17", "192.0.2.43"],
    );
    check(
        &["for=192.0.2.43", "for=198.51.100.17;by=203.0.113.60;proto=http;host=example.com"],
        &["198.51.100.17", "192.0.2.43"],
    );
    check(&["for=\"192.0.2.43:47011\""], &["192.0.2.43 47011"]);
    check(&["for=\"192.0.2.43:_port\""], &["192.0.2.43"]);
    // Not quoted, though it should be.
    check(&["for=192.0.2.43:47011"], &["192.0.2.43 47011"]);
    check(&["for=[2001:db8::1]; proto=https"], &["2001:db8::1"]);
    check(&["for=\"192.0.2.\\43\""], &["192.0.2.43"]);
    check(&["proto=https ; for=192.0.2.1 ;"], &["192.0.2.1"]);
    // Elements that name nobody, or two.
    check(&["by=203.0.113.43;proto=http"], &["<by=203.0.113.43;proto=http>"]);
    check(&["for=192.0.2.1;for=192.0.2.2"], &["<for=192.0.2.1;for=192.0.2.2>"]);
    check(&["192.0.2.1"], &["<192.0.2.1>"]);
    check(&["for=;proto=http", "for"], &["<for>", "<for=;proto=http>"]);
    check(&["for =192.0.2.1"], &["<for =192.0.2.1>"]);
    // Names and values within quotes.
    check(&["host=\"a, for=6.6.6.6\";for=192.0.2.1"], &["192.0.2.1"]);
    check(&["host=\"a;for=6.6.6.6\";for=192.0.2.1"], &["192.0.2.1"]);
    check(&["xfor=6.6.6.6;for=192.0.2.1"], &["192.0.2.1"]);
}

/// What a client sends stands first; what the proxy appends must come out first, whatever the client sent.
#[test]
fn what_a_proxy_appends_is_the_nearest_hop() {
    let appended = [
        ("for=192.0.2.1", "192.0.2.1"),
        ("for=\"192.0.2.1:80\"", "192.0.2.1 80"),
        ("for=\"[2001:db8::1]\";by=\"_x\";proto=http", "2001:db8::1"),
        ("by=\"\";for=192.0.2.1;host=\"a,b\\\"\"", "192.0.2.1"),
    ];
    for sent in
        ["for=\"", "for=6.6.6.6;x=\"", "x=\"\\", "\\", "\"\"\"", "for=6.6.6.6", ",", "for=\"6.6.6.6\\\"", ""]
    {
        for (by_proxy, expected) in appended {
            let line = format!("{sent}, {by_proxy}");
            assert_eq!(hops(ForwardingHeader::Forwarded, &[&line])[0], expected, "{line}");
        }
    }
}

#[test]
fn many_entries_are_read_as_they_are_asked_for() {
    let line = "6.6.6.6, ".repeat(10_000) + "192.0.2.1";
    let lines = [Cow::Borrowed(line.as_bytes())];
    assert_eq!(ForwardingHeader::XForwardedFor.hops(&lines).count(), 10_001);
    assert_eq!(*ForwardingHeader::XForwardedFor.hops(&lines).next().unwrap().text, *b"192.0.2.1");
}

proptest! {
    /// Any bytes before a comma cannot change what stands behind it, and every hop is a part of its line.
    #[test]
    fn anything_sent(sent in proptest::collection::vec(any::<u8>(), 0..60)) {
        for field in ForwardingHeader::ALL {
            let line = [&sent[..], b", for=\"192.0.2.1\""].concat();
            let lines = [Cow::Borrowed(&line[..])];
            if field == ForwardingHeader::Forwarded {
                let first = field.hops(&lines).next().unwrap();
                prop_assert_eq!(&*first.text, b"192.0.2.1");
            }
            prop_assert!(field.hops(&lines).all(|hop| hop.text.len() <= line.len()));
        }
    }
}
