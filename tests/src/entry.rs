//! What a server says in its own access log, in one form for all servers.
//!
//! Consumes lines of JSON written by the log formats of [`crate::server`], produces [`LogEntry`].

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// One request, as the server itself logged it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogEntry {
    /// The request's id, from its X-Request-ID.
    pub request_id: Option<String>,
    /// The method; none for what the server could not read as a request.
    pub method: Option<String>,
    /// The request target as received.
    pub uri: String,
    /// The status sent; none if no response was sent (the client was gone).
    pub status: Option<u16>,
    /// Bytes of the response's body, where the log's number means just that.
    pub body_bytes: Option<u64>,
}

/// The line that our nginx and `HAProxy` formats write.
#[derive(Deserialize)]
struct Line {
    method: String,
    uri: String,
    status: i32,
    body_bytes: String,
    /// nginx: bytes sent of the whole response.
    #[serde(default)]
    sent: Option<String>,
    request_id: String,
    /// nginx: `OK` if the response was sent whole. `HAProxy`: `--` at the end of a normal session.
    ended: String,
    /// The response's Transfer-Encoding.
    encoding: String,
    /// nginx: the request's Expect.
    #[serde(default)]
    expect: String,
}

/// The entries of a log in our own line format.
///
/// # Errors
/// The file cannot be read, or a line is not of the format.
pub fn read_lines(path: &Path) -> Result<Vec<LogEntry>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    text.lines().filter(|line| line.starts_with('{')).map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<LogEntry> {
    let line: Line = serde_json::from_str(line).with_context(|| format!("log line {line}"))?;
    // nginx logs 499 for a client that left before there was a response, HAProxy -1: nothing was sent.
    // nginx also logs the status that it would have sent to a client that broke off its body.
    let sent = line.sent.as_deref() != Some("0");
    let status = u16::try_from(line.status).ok().filter(|status| *status != 499 && sent);
    let whole = matches!(line.ended.as_str(), "OK" | "--" | "LR");
    // nginx counts the framing of chunks as body, and an answer of 100 Continue; of a response that was cut, it counts what
    // it gave to the kernel.
    let plain = whole && present(line.encoding).is_none() && line.expect.is_empty();
    let body_bytes = line.body_bytes.parse().ok().filter(|_| plain);
    Ok(LogEntry {
        request_id: present(line.request_id),
        method: present(line.method).filter(|method| method != "<BADREQ>"),
        uri: line.uri,
        status,
        body_bytes,
    })
}

fn present(text: String) -> Option<String> {
    (!text.is_empty() && text != "-").then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line() {
        let line = r#"{"method":"GET","uri":"/a?b=1","status":200,"body_bytes":"5","request_id":"r1","ended":"OK","encoding":""}"#;
        let entry = parse_line(line).unwrap();
        assert_eq!(entry.request_id.as_deref(), Some("r1"));
        assert_eq!(
            (entry.method.as_deref(), entry.status, entry.body_bytes),
            (Some("GET"), Some(200), Some(5))
        );
        let cut = parse_line(&line.replace("\"OK\"", "\"\"")).unwrap();
        assert_eq!(cut.body_bytes, None);
        let chunked = parse_line(&line.replace("\"encoding\":\"\"", "\"encoding\":\"chunked\"")).unwrap();
        assert_eq!(chunked.body_bytes, None);
        assert_eq!(parse_line(&line.replace("200", "499")).unwrap().status, None);
        let unsent = parse_line(&line.replace("\"request_id", "\"sent\":\"0\",\"request_id")).unwrap();
        assert_eq!(unsent.status, None);
        assert_eq!(parse_line(&line.replace("GET", "")).unwrap().method, None);
    }
}
