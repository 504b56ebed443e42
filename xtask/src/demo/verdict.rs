//! Whether each request has its event, and whether that says what is true.

use harness::curl::Response;
use harness::event::Request;
use harness::net::Network;

use super::ingress::PORT;
use super::plan::Planned;
use crate::commands::say;

/// Says of each request what became of it; gives how many are missing or wrong.
pub(super) fn judge(sent: &[(Planned, Response)], events: &[Request], network: &Network) -> usize {
    let mut failures = 0;
    for (planned, response) in sent {
        let complaints = complaints(planned, response, events, network);
        let Planned { id, over, method, host, target, status, .. } = planned;
        let word = if complaints.is_empty() { "ok" } else { "WRONG" };
        let (over, complaints) = (over.name(), complaints.join("; "));
        say(&format!("{word:5} {id} {over:21} {method:6} {status} {host}{target} {complaints}"));
        failures += usize::from(word != "ok");
    }
    failures
}

fn complaints(planned: &Planned, response: &Response, events: &[Request], network: &Network) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut expect = |what: &str, expected: String, seen: String| {
        if expected != seen {
            complaints.push(format!("{what} is {seen}, expected {expected}"));
        }
    };
    expect("curl's status", planned.status.to_string(), response.status.to_string());
    let mut named =
        events.iter().filter(|event| event.http.request.id.as_deref() == Some(planned.id.as_str()));
    let Some(event) = named.next() else {
        complaints.push("MISSING: no event".to_owned());
        return complaints;
    };
    let request = &event.http.request;
    expect("number of events", 1.to_string(), (1 + named.count()).to_string());
    expect("method", planned.method.to_owned(), shown(request.method.as_deref()));
    expect("host", planned.host.to_owned(), shown(request.host.as_deref()));
    expect("path", planned.path().to_owned(), shown(request.path.as_deref()));
    expect("status", planned.status.to_string(), shown(event.status()));
    expect("body bytes", response.body_bytes.to_string(), shown(event.body_bytes()));
    expect("Service", shown(planned.service), shown(event.service()));
    let (http, tls) = planned.over.versions();
    expect("version of HTTP", http.to_owned(), shown(event.http.version.as_deref()));
    expect("scheme", planned.over.scheme().to_owned(), shown(request.scheme.as_deref()));
    let seen = event.tls.as_ref();
    expect("version of TLS", shown(tls), shown(seen.and_then(|tls| tls.version.as_deref())));
    expect("protocol agreed on", shown(planned.over.alpn()), shown(seen.and_then(|tls| tls.alpn.as_deref())));
    let named = tls.map(|_| planned.host);
    expect("SNI", shown(named), shown(seen.and_then(|tls| tls.sni.as_deref())));
    let answered_by = if planned.backends.is_empty() { "controller" } else { "backend" };
    expect("answered by", answered_by.to_owned(), shown(event.answered_by.as_deref()));
    let addresses: Vec<String> =
        planned.backends.iter().map(|host| network.socket(*host, PORT).to_string()).collect();
    let backend = shown(event.backend_socket());
    if !addresses.is_empty() && !addresses.contains(&backend) {
        complaints.push(format!("backend is {backend}, expected {}", addresses.join(" or ")));
    }
    complaints
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}
