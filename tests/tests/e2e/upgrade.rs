//! A WebSocket through nginx: seen as an upgrade, counted to its end, and never read as HTTP.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use harness::raw::RawClient;
use harness::server::nginx::{Config, Nginx};
use tempfile::NamedTempFile;

use crate::bed::HOST;
use crate::nginx;

/// The example of RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const SHORT: usize = 50;
const LONG: usize = 3_000_000;

/// A masked binary frame (RFC 6455, 5.2) with this payload.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82, 0xff];
    frame.extend((payload.len() as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

#[test]
fn websocket() -> Result<()> {
    let bed = nginx::bed()?;
    let log = NamedTempFile::new()?;
    let http = format!(
        "  log_format bytes '$status $body_bytes_sent';\n  server {{\n    listen {server};\n    server_name {HOST};\n    \
         access_log access.log audit;\n    access_log {log} bytes;\n    location / {{\n      proxy_pass http://{origin};\n      \
         proxy_set_header Host $http_host;\n      proxy_set_header Upgrade $http_upgrade;\n      \
         proxy_set_header Connection Upgrade;\n    }}\n  }}\n",
        server = bed.server(),
        log = log.path().display(),
        origin = bed.origin.address(),
    );
    let listens = [bed.server()];
    let server =
        Nginx::start(&bed.cgroup, &Config { http: &http, listens: &listens, access_log: true, workers: 1 })?;
    let auditor = bed.audit()?;
    let begun = Instant::now();
    let mut client = RawClient::connect(bed.server())?;
    let head = format!(
        "GET /websocket HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nX-Request-ID: ws\r\n\r\n"
    );
    client.send(head.as_bytes())?;
    ensure!(client.read_until(b"\r\n\r\n")?.starts_with(b"HTTP/1.1 101"), "no upgrade");
    let mut sent = 0;
    // Payloads that look like requests, longer than what any window of the capture holds.
    let request = format!("GET /in-the-tunnel HTTP/1.1\r\nHost: {HOST}\r\n\r\n").into_bytes();
    for size in [SHORT, LONG, SHORT] {
        let payload: Vec<u8> = request.iter().copied().cycle().take(size).collect();
        // In parts: all of it at once would fill every buffer on the way to the echo and back.
        for part in frame(&payload).chunks(10_000) {
            client.send(part)?;
            ensure!(client.read_exactly(part.len())? == part, "the echo differs");
            sent += part.len();
        }
    }
    client.finish()?;
    let lasted = u64::try_from(begun.elapsed().as_micros())?;
    server.stop()?;
    let output = auditor.stop()?;
    let events = output.of_kind("http.request")?;
    ensure!(events.len() == 1, "events {events:?}");
    let event = events.first().context("no event")?;
    let number = |pointer: &str| event.value.pointer(pointer).and_then(serde_json::Value::as_u64);
    ensure!(event.text("/http/tunnel/protocol") == Some("websocket"), "{event:?}");
    ensure!(number("/http/tunnel/request_bytes") == Some(sent as u64), "{sent} bytes: {event:?}");
    let logged = fs::read_to_string(log.path())?;
    let back = number("/http/tunnel/response_bytes").unwrap_or_default();
    ensure!(logged.trim() == format!("101 {back}"), "nginx logged {logged:?}: {event:?}");
    ensure!(number("/http/response/status") == Some(101), "{event:?}");
    let duration = number("/http/tunnel/duration_us").context("no duration")?;
    ensure!(duration <= lasted && duration * 2 > lasted, "it took {lasted}, the event says {duration}");
    ensure!(event.text("/outcome") == Some("completed"), "{event:?}");
    ensure!(event.text("/backend/join") == Some("exact"), "{event:?}");
    let connections = output.of_kind("connection")?;
    let tunnels = connections.iter().filter(|event| event.text("/protocol") == Some("tunnel"));
    ensure!(tunnels.count() == 2, "{connections:?}");
    ensure!(output.upstream()?.is_empty(), "{:?}", output.upstream()?);
    Ok(())
}
