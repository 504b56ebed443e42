//! Who the client is by its certificate (mutual TLS), and handshakes that one side refuses.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use harness::auditor::Output;
use harness::curl::{self, Response, Transfer};
use harness::event::Event;
use harness::pki::{Described, Pki};
use harness::server::haproxy::{FRONTEND_LOG, HaProxy};

use crate::bed::{Bed, HOST, judge};
use crate::nginx::{bed, start};

/// The server's certificate and the client's; and one that an authority of the same kind, which nobody here knows, signed.
struct Parties {
    pki: Pki,
    strangers: Pki,
}

impl Parties {
    fn new() -> Result<Self> {
        let (pki, strangers) = (Pki::new("Test Authority")?, Pki::new("Somebody")?);
        pki.issue("server", &format!("/CN={HOST}"), &format!("DNS:{HOST},DNS:*.{HOST},IP:127.0.0.1"))?;
        pki.issue("alice", "/O=Acme, Inc./CN=alice", "URI:spiffe://shop.test/alice,email:alice@shop.test")?;
        strangers.issue("mallory", "/O=Acme, Inc./CN=alice", "DNS:mallory.test")?;
        Ok(Self { pki, strangers })
    }

    fn get(&self, path: &str, arguments: &[&str]) -> Transfer {
        let authority = self.pki.authority().display().to_string();
        // The id is the path's, which is the client's name.
        Transfer::get(format!("https://{HOST}{path}"), path.trim_start_matches('/'))
            .with(&["--cacert", &authority])
            .with(arguments)
    }

    /// One request each, on a connection of its own: with a certificate, without one, with a stranger's.
    fn ask(&self, server: SocketAddr, version: &[&str]) -> Result<Vec<Response>> {
        let shown = |pki: &Pki, name: &str| {
            [
                "--cert".into(),
                pki.certificate(name).display().to_string(),
                "--key".into(),
                pki.key(name).display().to_string(),
            ]
        };
        let (alice, mallory) = (shown(&self.pki, "alice"), shown(&self.strangers, "mallory"));
        let transfers = [
            self.get("/alice", version).with(&alice.each_ref().map(String::as_str)),
            self.get("/nobody", version),
            self.get("/mallory", version).with(&mallory.each_ref().map(String::as_str)),
        ];
        let run = |transfer| curl::run(server, std::slice::from_ref(transfer));
        Ok(transfers.iter().map(run).collect::<Result<Vec<_>>>()?.concat())
    }
}

/// What the event says of a certificate is what openssl does.
fn check_certificate(event: &Event, pointer: &str, expected: &Described, names: &[&str]) -> Result<()> {
    let certificate = event.value.pointer(pointer).context("no certificate")?;
    let text =
        |name: &str| certificate.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let told = Described {
        sha256: text("sha256"),
        subject: text("subject"),
        issuer: text("issuer"),
        serial: text("serial_number"),
        not_before: text("not_before"),
        not_after: text("not_after"),
    };
    ensure!(told == *expected, "told {told:?}, openssl says {expected:?}");
    let told = certificate.get("alternative_names").context("no names")?;
    ensure!(*told == serde_json::json!(names), "names {told}");
    ensure!(
        certificate.get("alternative_names_left_out") == Some(&0.into()),
        "names are left out: {certificate}"
    );
    Ok(())
}

/// The event of a request.
fn event_of(events: &[Event], id: &str) -> Result<Event> {
    let event = events.iter().find(|event| event.text("/http/request/id") == Some(id));
    event.cloned().with_context(|| format!("no event for {id}"))
}

fn nginx_asks((tls, name): (&str, &str), http: &[&str], verify: &str) -> Result<()> {
    let (bed, parties) = (bed()?, Parties::new()?);
    let (pki, strangers) = (&parties.pki, &parties.strangers);
    let how = format!(
        "ssl http2;\n    ssl_certificate {};\n    ssl_certificate_key {};\n    ssl_client_certificate {};\n    \
         ssl_verify_client {verify};\n    ssl_protocols {name}",
        pki.certificate("server").display(),
        pki.key("server").display(),
        pki.authority().display(),
    );
    let server = start(&bed, &[(bed.server(), &how)])?;
    let auditor = bed.audit()?;
    let responses = parties.ask(bed.server(), http)?;
    let log = server.stop()?;
    let output = auditor.stop()?;

    // nginx ends the handshake whatever it thinks of the certificate, and answers the request with an error.
    let without = if verify == "on" { 400 } else { 200 };
    let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
    ensure!(statuses == [200, without, 400], "statuses {statuses:?}");
    judge(&output, &log)?;
    let events = output.of_kind("http.request")?;
    ensure!(events.len() == 3, "{} events", events.len());
    for event in events.iter().chain(clients(&output)?.iter()) {
        ensure!(event.text("/tls/version") == Some(tls), "TLS of {:?}", event.value);
        ensure!(event.text("/tls/handshake") == Some("completed"), "handshake of {:?}", event.value);
        let requested = event.value.pointer("/tls/client_certificate_requested");
        ensure!(requested == Some(&true.into()), "nginx asked: {:?}", event.value);
        let names = [format!("DNS:{HOST}"), format!("DNS:*.{HOST}"), "IP:127.0.0.1".to_owned()];
        let names = names.each_ref().map(String::as_str);
        check_certificate(event, "/tls/certificate", &pki.describe("server")?, &names)?;
    }
    let alice = event_of(&events, "alice")?;
    let names = ["URI:spiffe://shop.test/alice", "email:alice@shop.test"];
    check_certificate(&alice, "/tls/client_certificate", &pki.describe("alice")?, &names)?;
    ensure!(alice.text("/tls/client_certificate/subject") == Some("CN=alice,O=Acme\\, Inc."), "{alice:?}");
    let nobody = event_of(&events, "nobody")?;
    ensure!(nobody.value.pointer("/tls/client_certificate") == Some(&serde_json::Value::Null), "{nobody:?}");
    let mallory = event_of(&events, "mallory")?;
    let described = strangers.describe("mallory")?;
    check_certificate(&mallory, "/tls/client_certificate", &described, &["DNS:mallory.test"])
}

/// The `connection` events of clients, in order of time.
fn clients(output: &Output) -> Result<Vec<Event>> {
    let mut events = output.of_kind("connection")?;
    events.retain(|event| event.text("/leg") == Some("client"));
    events.sort_by_key(|event| event.text("/time").map(str::to_owned));
    Ok(events)
}

const TLS_1_2: (&str, &str) = ("1.2", "TLSv1.2");
const TLS_1_3: (&str, &str) = ("1.3", "TLSv1.3");

#[test]
fn demanded_tls_1_2() -> Result<()> {
    nginx_asks(TLS_1_2, &["--http1.1"], "on")?;
    nginx_asks(TLS_1_2, &["--http2"], "on")
}

#[test]
fn demanded_tls_1_3() -> Result<()> {
    nginx_asks(TLS_1_3, &["--http1.1"], "on")?;
    nginx_asks(TLS_1_3, &["--http2"], "on")
}

#[test]
fn optional_tls_1_2() -> Result<()> {
    nginx_asks(TLS_1_2, &["--http1.1"], "optional")?;
    nginx_asks(TLS_1_2, &["--http2"], "optional")
}

#[test]
fn optional_tls_1_3() -> Result<()> {
    nginx_asks(TLS_1_3, &["--http1.1"], "optional")?;
    nginx_asks(TLS_1_3, &["--http2"], "optional")
}

/// `HAProxy` refuses in the handshake: with an alert, of which the client's connection tells.
fn haproxy_refuses(version: &str, name: &str, reasons: [&str; 2]) -> Result<()> {
    let (bed, parties) = (Bed::new("haproxy", "haproxy.org/ingress-controller")?, Parties::new()?);
    let sections = format!(
        "frontend https\n  bind {server} ssl crt {both} ca-file {authority} verify required ssl-min-ver {name} \
         ssl-max-ver {name}\n{FRONTEND_LOG}  default_backend shop\nbackend shop\n  server shop-0 {origin}\n",
        server = bed.server(),
        both = parties.pki.both("server").display(),
        authority = parties.pki.authority().display(),
        origin = bed.origin.address(),
    );
    let server = HaProxy::start(&bed.cgroup, &sections, &[bed.server()])?;
    let auditor = bed.audit()?;
    let responses = parties.ask(bed.server(), &[])?;
    let log = server.stop()?;
    let output = auditor.stop()?;
    let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
    ensure!(statuses == [200, 0, 0], "statuses {statuses:?}");

    let connections = clients(&output)?;
    let [alice, nobody, mallory] = connections.as_slice() else {
        anyhow::bail!("{} connections", connections.len());
    };
    ensure!(alice.text("/tls/handshake") == Some("completed"), "{alice:?}");
    check_certificate(
        alice,
        "/tls/client_certificate",
        &parties.pki.describe("alice")?,
        &["URI:spiffe://shop.test/alice", "email:alice@shop.test"],
    )?;
    for (refused, reason) in [nobody, mallory].into_iter().zip(reasons) {
        ensure!(refused.text("/tls/version") == Some(version), "{refused:?}");
        check_failure(refused, "server", reason)?;
    }
    ensure!(nobody.value.pointer("/tls/client_certificate") == Some(&serde_json::Value::Null), "{nobody:?}");
    let described = parties.strangers.describe("mallory")?;
    check_certificate(mallory, "/tls/client_certificate", &described, &["DNS:mallory.test"])?;

    // In TLS 1.3 a client sends its request before it knows that it is refused: it was asked, and nobody answered.
    let (served, refused): (Vec<_>, Vec<_>) = output
        .of_kind("http.request")?
        .into_iter()
        .partition(|event| event.value.pointer("/http/response/status").is_some());
    ensure!(served.len() == 1 && log.len() == 1, "{} served, {} logged", served.len(), log.len());
    for event in refused {
        ensure!(event.text("/tls/handshake") == Some("failed"), "served without a certificate? {event:?}");
        ensure!(event.text("/answered_by") == Some("nobody"), "{event:?}");
    }
    Ok(())
}

/// The connection's handshake failed, with this alert of this side's.
fn check_failure(event: &Event, side: &str, reason: &str) -> Result<()> {
    ensure!(event.text("/tls/handshake") == Some("failed"), "handshake of {:?}", event.value);
    let alert = event.value.pointer("/tls/alerts/0").context("no alert")?;
    let expected =
        serde_json::json!({"from": side, "fatal": true, "in_handshake": true, "description": reason});
    ensure!(*alert == expected, "alert {alert}, expected {expected}");
    Ok(())
}

/// RFC 5246, 7.4.6: a server that is shown no certificate and wants one answers `handshake_failure`.
#[test]
fn refused_tls_1_2() -> Result<()> {
    haproxy_refuses("1.2", "TLSv1.2", ["handshake_failure", "unknown_ca"])
}

/// RFC 8446, 4.4.2.4 and 6.2: `certificate_required`.
#[test]
fn refused_tls_1_3() -> Result<()> {
    haproxy_refuses("1.3", "TLSv1.3", ["certificate_required", "unknown_ca"])
}

/// The client does not trust the server, or they have no version in common: no request, and the reason.
#[test]
fn clients_that_refuse_and_versions_that_differ() -> Result<()> {
    for (_, name) in [TLS_1_2, TLS_1_3] {
        let (bed, parties) = (bed()?, Parties::new()?);
        let how = format!(
            "ssl;\n    ssl_certificate {};\n    ssl_certificate_key {};\n    ssl_protocols {name}",
            parties.pki.certificate("server").display(),
            parties.pki.key("server").display(),
        );
        let server = start(&bed, &[(bed.server(), &how)])?;
        let auditor = bed.audit()?;
        let strangers = parties.strangers.authority().display().to_string();
        // The last of two --cacert counts.
        let distrusting = parties.get("/distrusting", &["--cacert", &strangers]);
        let other: &[&str] = if name == "TLSv1.2" { &["--tlsv1.3"] } else { &["--tls-max", "1.2"] };
        for transfer in [distrusting, parties.get("/other", other)] {
            let responses = curl::run(bed.server(), &[transfer])?;
            ensure!(responses.iter().all(|response| response.status == 0), "{responses:?}");
        }
        let log = server.stop()?;
        let output = auditor.stop()?;
        judge(&output, &log)?;
        let connections = clients(&output)?;
        let [distrusting, other] = connections.as_slice() else {
            anyhow::bail!("{} connections", connections.len());
        };
        check_failure(distrusting, "client", "unknown_ca")?;
        check_failure(other, "server", "protocol_version")?;
    }
    Ok(())
}
