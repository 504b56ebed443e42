//! A browser: headless Chromium, with HTTP/2 over TLS 1.3, its post-quantum key share (a `ClientHello` of more than one packet),
//! GREASE, and a page of many resources.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::pki::Pki;
use harness::process::{Process, command};
use harness::relay::Relay;
use harness::server::nginx::{Config, Nginx};

use crate::bed::{HOST, judge};
use crate::nginx::bed;

const LIMIT: Duration = Duration::from_secs(120);
/// Debian's, without the parts that draw on a screen.
const PROGRAM: &str = "chromium-headless-shell";
/// Pictures of the page, which are none: that they are asked for is what counts.
const RESOURCES: usize = 60;
/// Less than a `ClientHello` with X25519MLKEM768's share of 1,216 bytes (draft-ietf-tls-ecdhe-mlkem, 4.1).
const PIECE: usize = 700;

/// Chromium loads a page until nothing is on its way any more; gives the page as it is then.
fn visit(url: &str, server: SocketAddr) -> Result<String> {
    let profile = tempfile::TempDir::new()?;
    let output = profile.path().join("page");
    let mut chromium = command(PROGRAM, None);
    chromium.args([
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--ignore-certificate-errors",
    ]);
    // To nobody else: not for updates, not for names.
    chromium.args(["--disable-background-networking", "--disable-component-update", "--no-first-run"]);
    chromium.arg(format!(
        "--host-resolver-rules=MAP {HOST}:443 {server}, MAP * ~NOTFOUND, EXCLUDE {}",
        server.ip()
    ));
    chromium.arg(format!("--user-data-dir={}", profile.path().display()));
    chromium.args(["--virtual-time-budget=20000", "--dump-dom", url]);
    let mut process = Process::spawn("chromium", &mut chromium, &File::create(&output)?)?;
    let status = process.wait(LIMIT)?;
    let said = std::fs::read_to_string(&output)?;
    ensure!(status.success(), "chromium: {status}: {said}");
    Ok(said)
}

#[test]
fn chromium() -> Result<()> {
    let skip = |why: &str| writeln!(std::io::stderr(), "SKIPPED e2e::browser: {why}");
    if std::env::var_os("AUDITOR_TEST_ALL").is_none() {
        return Ok(skip("a large download: only with AUDITOR_TEST_ALL=1")?);
    }
    if !std::path::Path::new("/usr/bin").join(PROGRAM).exists() {
        return Ok(skip("no chromium-headless-shell: `cargo xtask setup --all` installs it")?);
    }
    let (bed, pki) = (bed()?, Pki::new("Test Authority")?);
    pki.issue("server", &format!("/CN={HOST}"), &format!("DNS:{HOST}"))?;
    let pictures: String =
        (0..RESOURCES).map(|number| format!("<img src=/bytes/{}?n={number}>", number * 100)).collect();
    let http = format!(
        "  upstream shop {{ server {origin}; keepalive 16; }}\n  server {{\n    listen {listen} ssl http2;\n    \
         ssl_certificate {certificate};\n    ssl_certificate_key {key};\n    ssl_protocols TLSv1.3;\n    \
         server_name {HOST};\n    proxy_set_header Host $http_host;\n    proxy_set_header Connection \"\";\n    \
         location / {{ proxy_pass http://shop; }}\n    \
         location = /page {{ default_type text/html; return 200 '<title>loaded</title>{pictures}'; }}\n  }}\n",
        origin = bed.origin.address(),
        listen = bed.server(),
        certificate = pki.certificate("server").display(),
        key = pki.key("server").display(),
    );
    let listens = [bed.server()];
    let server =
        Nginx::start(&bed.cgroup, &Config { http: &http, listens: &listens, access_log: true, workers: 1 })?;
    let relay = Relay::start(SocketAddr::new(bed.address(5), 8080), bed.server(), PIECE)?;
    let auditor = bed.audit()?;
    let page = visit(&format!("https://{HOST}/page"), relay.address())?;
    ensure!(page.contains("<title>loaded</title>"), "chromium saw {page}");
    ensure!(relay.first_record() > PIECE, "a ClientHello of {} bytes is in one packet", relay.first_record());
    let log = server.stop()?;
    let output = auditor.stop()?;
    ensure!(log.len() > RESOURCES, "{} requests in the log", log.len());
    judge(&output, &log)?;
    for event in output.of_kind("http.request")? {
        ensure!(event.text("/http/version") == Some("2"), "version of {:?}", event.value);
        ensure!(event.text("/tls/version") == Some("1.3"), "TLS of {:?}", event.value);
        ensure!(event.text("/tls/alpn") == Some("h2"), "ALPN of {:?}", event.value);
        ensure!(event.text("/tls/sni") == Some(HOST), "SNI of {:?}", event.value);
        ensure!(
            event.text("/tls/ja4").is_some_and(|ja4| ja4.starts_with("t13d")),
            "JA4 of {:?}",
            event.value
        );
        // Browsers pretend to offer it where they do not (RFC 9849, 6.2).
        ensure!(event.value.pointer("/tls/ech_offered") == Some(&true.into()), "ECH of {:?}", event.value);
        let agent = event.text("/http/request/user_agent").unwrap_or_default();
        ensure!(agent.contains("Chrom"), "user agent of {:?}", event.value);
    }
    Ok(())
}
