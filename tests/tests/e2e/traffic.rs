//! The traffic that every server takes. Each function names what it sent by X-Request-ID and checks what the client saw,
//! so that a test cannot pass because nothing happened.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use harness::auditor::Output;
use harness::curl::{self, Transfer};
use harness::raw::RawClient;
use tempfile::NamedTempFile;

use crate::bed::{HOST, body_bytes};

/// A download that no buffer holds.
const LARGE: u64 = 100 << 20;
/// A chunked body that no window of the capture holds.
const CHUNKED: usize = 2_000_000;
/// A body that holds whole requests and a whole response, so that none of it may become an event.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\
                        POST /smuggled HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n";

fn get(path: &str, id: &str) -> Transfer {
    Transfer::get(format!("http://{HOST}{path}"), id)
}

/// Kept connections, all the usual methods and kinds of answers, one curl.
pub(crate) fn ordinary(server: SocketAddr) -> Result<()> {
    let mut body = NamedTempFile::new()?;
    body.write_all(&vec![b'b'; 200_000])?;
    let upload = format!("@{}", body.path().display());
    let transfers = [
        get("/hello", "get"),
        get("/bytes/5000?secret=1", "query"),
        get("/bytes/700", "head").with(&["--head"]),
        get("/form", "post").with(&["--data-binary", "a=1&b=2"]),
        get("/upload", "upload").with(&["--data-binary", &upload, "--header", "Expect: 100-continue"]),
        get("/form", "post-chunked").with(&[
            "--data-binary",
            "a=1&b=2",
            "--header",
            "Transfer-Encoding: chunked",
        ]),
        get("/thing", "put").with(&["--request", "PUT", "--data-binary", "thing"]),
        get("/thing", "delete").with(&["--request", "DELETE"]),
        get("/chunked/2500", "chunked"),
        get("/status/204", "s204"),
        get("/status/304", "s304"),
        get("/status/404", "s404"),
        get("/status/500", "s500"),
        get("/status/404", "head-404").with(&["--head"]),
        get("/bytes/0", "empty"),
        get("/last", "last"),
    ];
    let responses = curl::run(server, &transfers)?;
    let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
    ensure!(
        statuses == [200, 200, 200, 200, 200, 200, 200, 200, 200, 204, 304, 404, 500, 404, 200, 200],
        "statuses {statuses:?}"
    );
    ensure!(responses.last().is_some_and(|last| last.connects == 0), "the connection was not kept");
    Ok(())
}

/// What [`ordinary`] sent and got, in bytes, where the server's log does not say.
pub(crate) fn check_ordinary(output: &Output) -> Result<()> {
    for (id, expected) in [
        ("get", (Some(0), Some(2))),
        ("post", (Some(7), Some(2))),
        ("upload", (Some(200_000), Some(2))),
        ("post-chunked", (Some(7), Some(2))),
        ("chunked", (Some(0), Some(2500))),
        ("head", (Some(0), Some(0))),
    ] {
        let seen = body_bytes(output, id)?;
        ensure!(seen == expected, "body bytes of {id}: {seen:?}, expected {expected:?}");
    }
    Ok(())
}

/// A download of 100 MiB, then a request on the same connection: the end of the body must be found.
pub(crate) fn large(server: SocketAddr) -> Result<()> {
    let path = format!("/bytes/{LARGE}");
    let responses = curl::run(server, &[get(&path, "large"), get("/after", "after")])?;
    ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    ensure!(responses.first().is_some_and(|first| first.body_bytes == LARGE), "{responses:?}");
    Ok(())
}

/// Bodies of many chunks, each way, each followed by another request on the connection: the last chunk must be found.
pub(crate) fn chunked(server: SocketAddr) -> Result<()> {
    let mut body = NamedTempFile::new()?;
    body.write_all(&vec![b'b'; CHUNKED])?;
    let upload = format!("@{}", body.path().display());
    let chunked: &[&str] =
        &["--data-binary", &upload, "--header", "Transfer-Encoding: chunked", "--header", "Expect:"];
    let download = format!("/chunked/{CHUNKED}");
    let sessions = [
        [get("/upload", "chunks-in").with(chunked), get("/after", "after-chunks-in")],
        [get(&download, "chunks-out"), get("/after", "after-chunks-out")],
    ];
    for session in sessions {
        let responses = curl::run(server, &session)?;
        ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
        ensure!(responses.last().is_some_and(|last| last.connects == 0), "the connection was not kept");
    }
    Ok(())
}

/// What [`chunked`] sent and got, in bytes.
pub(crate) fn check_chunked(output: &Output) -> Result<()> {
    let size = u64::try_from(CHUNKED)?;
    for (id, expected) in [("chunks-in", (Some(size), Some(2))), ("chunks-out", (Some(0), Some(size)))] {
        let seen = body_bytes(output, id)?;
        ensure!(seen == expected, "body bytes of {id}: {seen:?}, expected {expected:?}");
    }
    Ok(())
}

/// Backends that end an answer by closing, or give none.
pub(crate) fn strange_backends(server: SocketAddr) -> Result<()> {
    let responses = curl::run(server, &[get("/until-close/3000", "until-close"), get("/silent", "silent")])?;
    let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
    ensure!(statuses == [200, 502], "statuses {statuses:?}");
    Ok(())
}

/// A 103 before the answer. Not for nginx, which hands on the 103 as if it were the answer (seen with 1.22).
pub(crate) fn early_hints(server: SocketAddr) -> Result<()> {
    let responses = curl::run(server, &[get("/early-hints", "hints"), get("/after", "after-hints")])?;
    let statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
    ensure!(statuses == [200, 200], "statuses {statuses:?}");
    Ok(())
}

/// Requests sent before the answers to earlier ones, all in one write; then one byte at a time.
pub(crate) fn pipelined(server: SocketAddr) -> Result<()> {
    let mut client = RawClient::connect(server)?;
    let mut bytes = Vec::new();
    for number in 0..20 {
        write!(bytes, "GET /bytes/{number} HTTP/1.1\r\nHost: {HOST}\r\nX-Request-ID: pipe-{number}\r\n\r\n")?;
    }
    write!(
        bytes,
        "GET /end HTTP/1.1\r\nHost: {HOST}\r\nX-Request-ID: pipe-end\r\nConnection: close\r\n\r\n"
    )?;
    client.send(&bytes)?;
    let answers = client.read_to_close()?;
    ensure!(count(&answers, b"HTTP/1.1 200") == 21, "{} answers", count(&answers, b"HTTP/1.1 200"));

    let mut client = RawClient::connect(server)?;
    let slow =
        format!("GET /slow HTTP/1.1\r\nHost: {HOST}\r\nX-Request-ID: bytewise\r\nConnection: close\r\n\r\n");
    for byte in slow.as_bytes() {
        client.send(&[*byte])?;
    }
    ensure!(count(&client.read_to_close()?, b"HTTP/1.1 200") == 1, "no answer to the slow request");
    Ok(())
}

/// Bodies that hold whole messages, cut just where those begin, by both framings.
pub(crate) fn smuggled(server: SocketAddr) -> Result<()> {
    let mut client = RawClient::connect(server)?;
    let length = SMUGGLED.len();
    let head = format!(
        "POST /a HTTP/1.1\r\nHost: {HOST}\r\nX-Request-ID: body-length\r\nContent-Length: {length}\r\n\r\n"
    );
    client.send(head.as_bytes())?;
    client.send(SMUGGLED.as_bytes())?;
    client.read_until(b"\r\n\r\nok")?;
    let head = format!(
        "POST /b HTTP/1.1\r\nHost: {HOST}\r\nX-Request-ID: body-chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    client.send(head.as_bytes())?;
    client.send(format!("{length:x}\r\n").as_bytes())?;
    client.send(SMUGGLED.as_bytes())?;
    client.send(b"\r\n0\r\n\r\n")?;
    client.read_until(b"\r\nok")?;
    client.send(
        format!("GET /c HTTP/1.1\r\nHost: {HOST}\r\nX-Request-ID: body-after\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    )?;
    ensure!(count(&client.read_to_close()?, b"HTTP/1.1 200") == 1, "no answer after the bodies");
    Ok(())
}

/// What no one can read as a request; the server answers 400 or closes.
pub(crate) fn garbage(server: SocketAddr) -> Result<()> {
    let long = format!("GET /{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "a".repeat(1 << 20));
    let headers = format!("GET /many HTTP/1.1\r\nHost: {HOST}\r\n{}\r\n", "X-A: b\r\n".repeat(10_000));
    let inputs: [&[u8]; 8] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is no handshake",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"THIS IS NOT HTTP AT ALL\r\n\r\n",
        b"GET /nul\0 HTTP/1.1\r\nHost: a\0b\r\n\r\n",
        b"\r\n\r\n\r\n\r\nnothing",
        b"POST /two HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        long.as_bytes(),
        headers.as_bytes(),
    ];
    for input in inputs {
        let mut client = RawClient::connect(server)?;
        // The server may answer and close before it has read all.
        if client.send(input).is_ok() {
            client.finish()?;
        }
    }
    let responses = curl::run(server, &[get("/after-garbage", "after-garbage")])?;
    ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    Ok(())
}

/// Clients that leave with a reset in the middle of an answer, and before it.
pub(crate) fn aborted(server: SocketAddr) -> Result<()> {
    let mut client = RawClient::connect(server)?;
    client.send(
        format!("GET /bytes/{LARGE} HTTP/1.1\r\nHost: {HOST}\r\nX-Request-ID: abort-body\r\n\r\n").as_bytes(),
    )?;
    client.read_until(b"\r\n\r\n")?;
    client.read_exactly(100_000)?;
    client.reset()?;
    let mut client = RawClient::connect(server)?;
    client.send(
        format!("POST /upload HTTP/1.1\r\nHost: {HOST}\r\nX-Request-ID: abort-upload\r\nContent-Length: 1000\r\n\r\nhalf")
            .as_bytes(),
    )?;
    client.reset()
}

/// How often `needle` stands in `bytes`.
fn count(bytes: &[u8], needle: &[u8]) -> usize {
    bytes.windows(needle.len()).filter(|window| *window == needle).count()
}
