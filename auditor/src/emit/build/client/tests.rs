//! Who the client is: a table of peers, PROXY headers and forwarding headers, with the ways in which clients tried to pass for others.

use std::net::SocketAddr;
use std::sync::Arc;

use super::of_request;
use crate::capture::record::{ConnectionId, How, Tuple};
use crate::decode::forwarding::ForwardingHeader;
use crate::decode::http1::Limits;
use crate::decode::http1::head::{Head, Kind, Parsed, parse};
use crate::decode::legs::{Leg, Party};
use crate::decode::proxy_protocol::{Parser, Progress};
use crate::emit::build::Settings;
use crate::emit::id::Domain;
use crate::emit::model::{Source, Text};

/// Load balancers and proxies of the house.
const TRUSTED: [&str; 3] = ["10.0.0.0/8", "192.0.2.10", "2001:db8:1::/48"];

fn settings(order: &[ForwardingHeader]) -> Settings {
    Settings {
        source: Arc::new(Source { cluster: None, node: Text::from_static("n"), controller: None }),
        domain: Domain::File,
        management_ports: Vec::new(),
        management_paths: Vec::new(),
        query_allow: Vec::new(),
        trusted: TRUSTED.iter().map(|network| network.parse().unwrap()).collect(),
        forwarding_headers: order.to_vec(),
    }
}

fn party(peer: &str, header: &[u8]) -> Party {
    let remote: SocketAddr = peer.parse().unwrap();
    let tuple = Tuple { local: "10.0.0.9:80".parse().unwrap(), remote };
    let proxied = match Parser::default().push(header) {
        Ok(Progress::Whole(header, _)) => Some(Arc::new(*header)),
        _ => None,
    };
    assert_eq!(proxied.is_some(), !header.is_empty());
    let (how, leg) = (How::Passive, Leg::Client);
    Party {
        id: ConnectionId(1),
        tuple,
        translated: None,
        proxied,
        tls: None,
        passed: None,
        how,
        opened: 0,
        leg,
        internal: false,
    }
}

fn head(fields: &str) -> Head {
    let text = format!("GET / HTTP/1.1\r\n{fields}\r\n");
    match parse(Kind::Request, text.as_bytes(), &Limits::default()) {
        Ok(Parsed::Whole(head, _)) => head,
        other => panic!("{other:?}"),
    }
}

/// Peer, PROXY header, fields of the request; the client as `address port how`, then the notes.
#[track_caller]
fn check_in(order: &[ForwardingHeader], peer: &str, proxy: &str, fields: &[&str], expected: &str) {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let (client, notes) = of_request(&party(peer, proxy.as_bytes()), Some(&head(&fields)), &settings(order));
    let address = client.address.unwrap().get();
    let how = serde_json::to_value(client.determined_by).unwrap();
    let port = client.port.map(|port| format!(" {port}")).unwrap_or_default();
    let notes: String = notes.iter().map(|note| format!("; {}", note.as_str())).collect();
    assert_eq!(
        format!("{address}{port} {}{notes}", how.as_str().unwrap()),
        expected,
        "{peer} {proxy:?} {fields}"
    );
    assert_eq!(client.peer.map(|peer| peer.port), Some(4000));
}

#[track_caller]
fn check(peer: &str, proxy: &str, fields: &[&str], expected: &str) {
    check_in(&ForwardingHeader::ALL, peer, proxy, fields, expected);
}

const LB: &str = "10.0.0.5:4000";
const STRANGER: &str = "203.0.113.7:4000";
const LINE: &str = "PROXY TCP4 203.0.113.7 192.0.2.80 5000 80\r\n";

#[test]
fn the_peer() {
    check(STRANGER, "", &[], "203.0.113.7 4000 peer");
    check(LB, "", &[], "10.0.0.5 4000 peer");
    // Who is not trusted says nothing, in any header.
    let claims = ["X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.7", "X-Real-IP: 6.6.6.8"];
    check(STRANGER, "", &claims, "203.0.113.7 4000 peer");
    check(STRANGER, LINE, &claims, "203.0.113.7 4000 peer");
    check(STRANGER, "", &["X-Forwarded-For: 10.0.0.1"], "203.0.113.7 4000 peer");
}

#[test]
fn the_proxy_protocol() {
    check(LB, LINE, &[], "203.0.113.7 5000 proxy_protocol");
    check("[::ffff:10.0.0.5]:4000", LINE, &[], "203.0.113.7 5000 proxy_protocol");
    let six = "PROXY TCP6 2001:db8::7 ::1 5000 80\r\n";
    check(LB, six, &[], "2001:db8::7 5000 proxy_protocol");
    check(LB, "PROXY TCP6 ::ffff:203.0.113.7 ::1 5000 80\r\n", &[], "203.0.113.7 5000 proxy_protocol");
    check(LB, "PROXY UNKNOWN\r\n", &[], "10.0.0.5 4000 peer");
    check(LB, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", &[], "10.0.0.5 4000 peer");
    check(
        LB,
        "PROXY TCP4 999.1.1.1 1.1.1.1 1 1\r\n",
        &[],
        "10.0.0.5 4000 peer; proxy_protocol: an invalid address",
    );
    // Whom the header names is not trusted, so that what it sends is not believed.
    check(LB, LINE, &["X-Forwarded-For: 6.6.6.6"], "203.0.113.7 5000 proxy_protocol");
    // It names another proxy of the house, which wrote the header.
    let inner = "PROXY TCP4 10.0.0.6 192.0.2.80 5000 80\r\n";
    check(LB, inner, &["X-Forwarded-For: 6.6.6.6, 203.0.113.8"], "203.0.113.8 x_forwarded_for");
    check(LB, inner, &[], "10.0.0.6 5000 proxy_protocol");
}

#[test]
fn chains() {
    let xff = |value: &str, expected: &str| check(LB, "", &[&format!("X-Forwarded-For: {value}")], expected);
    xff("203.0.113.7", "203.0.113.7 x_forwarded_for");
    xff("203.0.113.7:1234", "203.0.113.7 1234 x_forwarded_for");
    xff("[2001:db8::7]:1234", "2001:db8::7 1234 x_forwarded_for");
    // What the client put in front, also where it names the house.
    xff("6.6.6.6, 203.0.113.7", "203.0.113.7 x_forwarded_for");
    xff("10.0.0.1, 203.0.113.7", "203.0.113.7 x_forwarded_for");
    xff("127.0.0.1, 6.6.6.6, 203.0.113.7, 10.0.0.4", "203.0.113.7 x_forwarded_for");
    xff("6.6.6.6, 203.0.113.7, 10.0.0.4, 192.0.2.10", "203.0.113.7 x_forwarded_for");
    xff("6.6.6.6, 203.0.113.7, ::ffff:10.0.0.4", "203.0.113.7 x_forwarded_for");
    xff("6.6.6.6, 203.0.113.7, 2001:db8:1::4", "203.0.113.7 x_forwarded_for");
    xff("<script>, ', 203.0.113.7", "203.0.113.7 x_forwarded_for");
    xff("6.6.6.6,,,203.0.113.7,", "203.0.113.7 x_forwarded_for");
    // Within the house.
    xff("10.0.0.3, 10.0.0.4", "10.0.0.3 x_forwarded_for");
    // Hidden, or no address: the last one reached.
    xff("unknown", "10.0.0.5 4000 peer; forwarded_for_unknown");
    xff("6.6.6.6, unknown", "10.0.0.5 4000 peer; forwarded_for_unknown");
    xff("6.6.6.6, 010.0.0.1, 10.0.0.4", "10.0.0.4 x_forwarded_for; forwarded_for_unknown");
    xff(&"6.6.6.6, ".repeat(7000), "6.6.6.6 x_forwarded_for");
    xff(&format!("{}203.0.113.7", "10.0.0.1, ".repeat(6000)), "203.0.113.7 x_forwarded_for");
    // Several lines are one list; other names are other fields.
    check(
        LB,
        "",
        &["X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 203.0.113.7"],
        "203.0.113.7 x_forwarded_for",
    );
    check(
        LB,
        "",
        &["X-Forwarded-For: 203.0.113.7", "X_Forwarded_For: 6.6.6.6"],
        "203.0.113.7 x_forwarded_for",
    );
    check(LB, "", &["X-Forwarded-For : 6.6.6.6"], "10.0.0.5 4000 peer");
    check(LB, "", &["X-Forwarded-For: 6.6.6.6,\r\n 203.0.113.7"], "203.0.113.7 x_forwarded_for");
    check(LB, "", &["X-Real-IP: 203.0.113.7"], "203.0.113.7 x_real_ip");
    check(LB, "", &["X-Real-IP: 6.6.6.6", "X-Real-IP: 203.0.113.7"], "203.0.113.7 x_real_ip");
    check(LB, "", &["Forwarded: for=6.6.6.6, for=\"[2001:db8::7]:99\""], "2001:db8::7 99 forwarded");
    check(LB, "", &["Forwarded: for=\"6.6.6.6, for=203.0.113.7"], "203.0.113.7 forwarded");
    check(LB, "", &["Forwarded: for=_hidden;proto=https"], "10.0.0.5 4000 peer; forwarded_for_unknown");
}

#[test]
fn headers_that_contradict() {
    use ForwardingHeader::{Forwarded, XForwardedFor, XRealIp};
    let fields = ["Forwarded: for=6.6.6.6", "X-Real-IP: 6.6.6.7", "X-Forwarded-For: 203.0.113.7"];
    check(LB, "", &fields, "203.0.113.7 x_forwarded_for; forwarding_headers_differ");
    check_in(&[XForwardedFor], LB, "", &fields, "203.0.113.7 x_forwarded_for");
    check_in(&[Forwarded, XForwardedFor], LB, "", &fields, "6.6.6.6 forwarded; forwarding_headers_differ");
    check_in(&[XRealIp], LB, "", &fields, "6.6.6.7 x_real_ip");
    check_in(&[XRealIp], LB, "", &["X-Forwarded-For: 203.0.113.7"], "10.0.0.5 4000 peer");
    let same = ["Forwarded: for=203.0.113.7;by=10.0.0.5", "X-Forwarded-For: 6.6.6.6, 203.0.113.7"];
    check(LB, "", &same, "203.0.113.7 x_forwarded_for");
    let hidden = ["Forwarded: for=unknown", "X-Forwarded-For: 203.0.113.7"];
    check(LB, "", &hidden, "203.0.113.7 x_forwarded_for; forwarding_headers_differ");
    // Claims of a stranger are not worth a note.
    check(STRANGER, "", &fields, "203.0.113.7 4000 peer");
}

#[test]
fn what_is_said_is_shown_believed_or_not() {
    let long = format!("X-Forwarded-For: {}203.0.113.7\r\n", "6.6.6.6, ".repeat(100));
    let (client, _) =
        of_request(&party(STRANGER, LINE.as_bytes()), Some(&head(&long)), &settings(&ForwardingHeader::ALL));
    assert_eq!(client.forwarded.len(), 32);
    assert_eq!(client.forwarded[31].as_str(), "203.0.113.7");
    let proxied = client.proxy_protocol.unwrap();
    let source = proxied.source.unwrap();
    assert_eq!(
        (proxied.version, source.address.get().to_string(), source.port),
        (1, "203.0.113.7".into(), 5000)
    );
    let (client, notes) = of_request(&party(STRANGER, b""), None, &settings(&ForwardingHeader::ALL));
    assert_eq!((client.forwarded_in, client.proxy_protocol, notes), (None, None, Vec::new()));
}
