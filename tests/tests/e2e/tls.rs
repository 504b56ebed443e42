//! TLS: nginx as the ingress, with the secrets that the tap reads from its library, each request held against its log.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use harness::auditor::Output;
use harness::curl::{self, Transfer};
use harness::process::{Process, command};
use harness::server::nginx::Nginx;
use tempfile::TempDir;

use crate::bed::{Bed, HOST, judge, judge_backend};
use crate::nginx::{bed, start};

/// A key and a certificate that signs itself.
struct Identity(TempDir);

impl Identity {
    fn new() -> Result<Self> {
        let directory = TempDir::new()?;
        let mut openssl = command("openssl", None);
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        openssl.args(["-subj", &format!("/CN={HOST}"), "-days", "2", "-batch"]).current_dir(directory.path());
        openssl.args(["-keyout", "key.pem", "-out", "certificate.pem"]);
        let mut process = Process::spawn_as_is("openssl", &mut openssl)?;
        let limit = std::time::Duration::from_secs(60);
        let status = harness::wait::until("openssl to end", limit, || process.try_wait())?;
        ensure!(status.success(), "openssl: {status}");
        Ok(Self(directory))
    }

    /// nginx that serves TLS of one version, and HTTP/2 to those who ask for it.
    fn nginx(&self, bed: &Bed, version: &str) -> Result<Nginx> {
        let at = self.0.path().display();
        let how = format!(
            "ssl http2;\n    ssl_certificate {at}/certificate.pem;\n    ssl_certificate_key {at}/key.pem;\n    \
             ssl_protocols {version}"
        );
        start(bed, &[(bed.server(), &how)])
    }
}

fn get(path: &str, id: &str, arguments: &[&str]) -> Transfer {
    Transfer::get(format!("https://{HOST}{path}"), id).with(&["--insecure"]).with(arguments)
}

/// One version of TLS, one of HTTP, some traffic, and the judgement.
fn check(
    (tls, nginx_name): (&str, &str),
    http: &str,
    traffic: impl FnOnce(SocketAddr) -> Result<()>,
) -> Result<Output> {
    let (bed, identity) = (bed()?, Identity::new()?);
    let server = identity.nginx(&bed, nginx_name)?;
    let auditor = bed.audit()?;
    traffic(bed.server())?;
    let log = server.stop()?;
    let output = auditor.stop()?;
    ensure!(!log.is_empty(), "nginx logged nothing");
    judge(&output, &log)?;
    for event in output.requests()? {
        ensure!(event.http.version.as_deref() == Some(http), "version of {event:?}");
    }
    let mut secure = 0;
    for event in output.of_kind("http.request")? {
        ensure!(event.text("/tls/version") == Some(tls), "TLS of {:?}", event.value);
        ensure!(event.text("/tls/sni") == Some(HOST), "SNI of {:?}", event.value);
        ensure!(event.text("/http/request/scheme") == Some("https"), "scheme of {:?}", event.value);
        let subject = event.text("/tls/certificate/subject");
        // A resumed session shows no certificate.
        ensure!(
            subject.is_none() || subject == Some(&format!("CN={HOST}")),
            "certificate of {:?}",
            event.value
        );
        secure += usize::from(subject.is_some());
    }
    ensure!(secure > 0, "no certificate was seen");
    for (id, path) in [("get", "/hello"), ("upload", "/upload")] {
        judge_backend(&output, bed.origin.address(), id).with_context(|| path.to_owned())?;
    }
    Ok(output)
}

fn ordinary(server: SocketAddr, version: &[&str]) -> Result<()> {
    let body = "b".repeat(150_000);
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), &body)?;
    let upload = format!("@{}", file.path().display());
    let with = |path: &str, id: &str, more: &[&str]| get(path, id, &[version, more].concat());
    let transfers = [
        with("/hello", "get", &[]),
        with("/bytes/5000?secret=1", "query", &[]),
        with("/bytes/700", "head", &["--head"]),
        with("/form", "post", &["--data-binary", "a=1&b=2"]),
        with("/upload", "upload", &["--data-binary", &upload]),
        with("/chunked/2500", "chunked", &[]),
        with("/bytes/2000000", "large", &[]),
        with("/status/404", "s404", &[]),
        with("/own", "own", &[]),
        with("/bytes/0", "last", &[]),
    ];
    let responses = curl::run(server, &transfers)?;
    let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
    ensure!(statuses == [200, 200, 200, 200, 200, 200, 200, 404, 404, 200], "statuses {statuses:?}");
    // And connections of their own, one after the other: the secrets of each must be read.
    for number in 0..20 {
        let responses = curl::run(server, &[with("/hello", &format!("single-{number}"), &[])])?;
        ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    }
    Ok(())
}

/// Bodies longer than the ring, and what follows them on their connection.
fn long(server: SocketAddr, version: &[&str]) -> Result<()> {
    let with = |path: &str, id: &str, more: &[&str]| get(path, id, &[version, more].concat());
    let transfers = [
        with("/hello", "get", &[]),
        with("/bytes/104857600", "long", &[]),
        with("/upload", "upload", &["--data-binary", "a=1"]),
        with("/bytes/50000000", "longer", &[]),
        with("/own", "own", &[]),
    ];
    let responses = curl::run(server, &transfers)?;
    let bodies: Vec<u64> = responses.iter().map(|response| response.body_bytes).collect();
    ensure!(bodies.get(1) == Some(&104_857_600) && bodies.get(3) == Some(&50_000_000), "bodies {bodies:?}");
    let connects: u32 = responses.iter().map(|response| response.connects).sum();
    ensure!(connects == 1, "{connects} connections");
    Ok(())
}

const TLS_1_2: (&str, &str) = ("1.2", "TLSv1.2");
const TLS_1_3: (&str, &str) = ("1.3", "TLSv1.3");

#[test]
fn http1_over_tls_1_2() -> Result<()> {
    check(TLS_1_2, "1.1", |server| ordinary(server, &["--http1.1"])).map(drop)
}

#[test]
fn http1_over_tls_1_3() -> Result<()> {
    check(TLS_1_3, "1.1", |server| ordinary(server, &["--http1.1"])).map(drop)
}

#[test]
fn http2_over_tls_1_2() -> Result<()> {
    check(TLS_1_2, "2", |server| ordinary(server, &["--http2"])).map(drop)
}

#[test]
fn http2_over_tls_1_3() -> Result<()> {
    check(TLS_1_3, "2", |server| ordinary(server, &["--http2"])).map(drop)
}

#[test]
fn long_bodies_over_tls_1_2() -> Result<()> {
    check(TLS_1_2, "1.1", |server| long(server, &["--http1.1"])).map(drop)
}

#[test]
fn long_bodies_over_tls_1_3() -> Result<()> {
    check(TLS_1_3, "1.1", |server| long(server, &["--http1.1"])).map(drop)
}
