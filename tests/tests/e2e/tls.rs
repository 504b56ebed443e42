//! TLS: each server as the ingress, with the secrets that the tap reads from its library, each request held against its log.
//!
//! Here is what all of them take: one version of TLS, one of HTTP, some traffic, and the judgement. One file per server.

mod backend;
mod caddy;
mod debian;
mod envoy;
mod go;
mod haproxy;
mod load;
mod nginx;

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use harness::auditor::Output;
use harness::curl::{self, Transfer};
use harness::entry::LogEntry;
use harness::identity::Identity;

use crate::bed::{Bed, HOST, judge, judge_backend};

/// The one version of TLS that a server speaks.
#[derive(Clone, Copy, Debug)]
enum Tls {
    V12,
    V13,
}

/// The one version of HTTP that the client speaks.
#[derive(Clone, Copy, Debug)]
enum Http {
    V1,
    V2,
}

impl Tls {
    /// As in events.
    fn number(self) -> &'static str {
        match self {
            Self::V12 => "1.2",
            Self::V13 => "1.3",
        }
    }

    /// As in the configuration of servers that use OpenSSL.
    fn name(self) -> &'static str {
        match self {
            Self::V12 => "TLSv1.2",
            Self::V13 => "TLSv1.3",
        }
    }
}

impl Http {
    /// As in events.
    fn number(self) -> &'static str {
        match self {
            Self::V1 => "1.1",
            Self::V2 => "2",
        }
    }

    /// As among the application protocols of TLS.
    fn alpn(self) -> &'static str {
        match self {
            Self::V1 => "http/1.1",
            Self::V2 => "h2",
        }
    }

    /// curl's argument.
    fn argument(self) -> &'static str {
        match self {
            Self::V1 => "--http1.1",
            Self::V2 => "--http2",
        }
    }
}

/// The usual traffic for one server, and the judgement. The server is started on the bed, for one version of TLS: it answers
/// 404 for `/own` itself, and the backend answers all else. What is returned stops it and reads its log.
fn check<Stop: FnOnce() -> Result<Vec<LogEntry>>>(
    bed: Result<Bed>,
    start: impl FnOnce(&Bed, &Identity, Tls) -> Result<Stop>,
    (tls, http): (Tls, Http),
) -> Result<()> {
    let (bed, output) = audit(bed, start, (tls, http), |server| ordinary(server, http))?;
    for id in ["get", "upload"] {
        judge_backend(&output, bed.origin.address(), id)?;
    }
    Ok(())
}

/// The same for any traffic, without a judgement of the backend's leg.
fn audit<Stop: FnOnce() -> Result<Vec<LogEntry>>>(
    bed: Result<Bed>,
    start: impl FnOnce(&Bed, &Identity, Tls) -> Result<Stop>,
    (tls, http): (Tls, Http),
    traffic: impl FnOnce(SocketAddr) -> Result<()>,
) -> Result<(Bed, Output)> {
    let (bed, identity) = (bed?, Identity::new(&[HOST])?);
    let stop = start(&bed, &identity, tls)?;
    let auditor = bed.audit()?;
    traffic(bed.server())?;
    let log = stop()?;
    let output = auditor.stop()?;
    ensure!(!log.is_empty(), "the server logged nothing");
    judge(&output, &log)?;
    judge_tls(&output, tls, http)?;
    Ok((bed, output))
}

/// What the events say of TLS and of the version of HTTP: it is fixed by the configuration of both sides.
fn judge_tls(output: &Output, tls: Tls, http: Http) -> Result<()> {
    for event in output.requests()? {
        ensure!(event.http.version.as_deref() == Some(http.number()), "version of {event:?}");
    }
    let mut secure = 0;
    for event in output.of_kind("http.request")? {
        ensure!(event.text("/tls/version") == Some(tls.number()), "TLS of {:?}", event.value);
        ensure!(event.text("/tls/sni") == Some(HOST), "SNI of {:?}", event.value);
        ensure!(event.text("/tls/alpn") == Some(http.alpn()), "ALPN of {:?}", event.value);
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
    Ok(())
}

fn get(path: &str, id: &str) -> Transfer {
    Transfer::get(format!("https://{HOST}{path}"), id).with(&["--insecure"])
}

/// The usual methods and kinds of answers on one connection, then connections of their own.
fn ordinary(server: SocketAddr, http: Http) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), "b".repeat(150_000))?;
    let upload = format!("@{}", file.path().display());
    let with = |path: &str, id: &str, more: &[&str]| get(path, id).with(&[http.argument()]).with(more);
    let transfers = [
        with("/hello", "get", &[]),
        with("/bytes/5000?secret=1", "query", &[]),
        with("/bytes/700", "head", &["--head"]),
        with("/form", "post", &["--data-binary", "a=1&b=2"]),
        with("/upload", "upload", &["--data-binary", &upload]),
        with("/chunked/2500", "chunked", &[]),
        // Both legs of it fit in half of the ring, however late that is read: past that not all of TLS is copied.
        with("/bytes/1000000", "large", &[]),
        with("/status/404", "s404", &[]),
        with("/own", "own", &[]),
        with("/bytes/0", "last", &[]),
    ];
    let responses = curl::run(server, &transfers)?;
    let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
    ensure!(statuses == [200, 200, 200, 200, 200, 200, 200, 404, 404, 200], "statuses {statuses:?}");
    // The secrets of each connection must be read.
    for number in 0..20 {
        let responses = curl::run(server, &[with("/hello", &format!("single-{number}"), &[])])?;
        ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    }
    Ok(())
}

/// The four tests of a server: `check` is called with the version of TLS and that of HTTP.
macro_rules! each_version {
    ($check:path) => {
        #[test]
        fn http1_over_tls_1_2() -> anyhow::Result<()> {
            $check(crate::tls::Tls::V12, crate::tls::Http::V1)
        }

        #[test]
        fn http1_over_tls_1_3() -> anyhow::Result<()> {
            $check(crate::tls::Tls::V13, crate::tls::Http::V1)
        }

        #[test]
        fn http2_over_tls_1_2() -> anyhow::Result<()> {
            $check(crate::tls::Tls::V12, crate::tls::Http::V2)
        }

        #[test]
        fn http2_over_tls_1_3() -> anyhow::Result<()> {
            $check(crate::tls::Tls::V13, crate::tls::Http::V2)
        }
    };
}
use each_version;
