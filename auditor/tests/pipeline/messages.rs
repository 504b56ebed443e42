//! Messages as bytes.

use std::fmt::Write as _;

use super::plan::{Exchange, Framing, Reply, Rules};

/// What bodies are made of: whole messages, none of which may become an event.
const FILLING: &[u8] =
    b"GET /evil HTTP/1.1\r\nHost: h\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n0\r\n\r\n";

pub(crate) fn address(client: u8) -> [u8; 4] {
    [203, 0, 113, client]
}

fn dotted(client: u8) -> String {
    address(client).map(|number| number.to_string()).join(".")
}

/// The head that a client sends. Its User-Agent is the exchange's number: the auditor shows it and joins nothing by it.
pub(crate) fn asked(number: usize, exchange: &Exchange) -> Vec<u8> {
    let mut fields = format!("Host: {}\r\n", exchange.host);
    if let Some(client) = exchange.forged {
        write!(fields, "X-Forwarded-For: {}\r\n", dotted(client)).unwrap();
    }
    if let Some(id) = exchange.request_id {
        write!(fields, "X-Request-ID: id-{id}\r\n").unwrap();
    }
    head(number, exchange, exchange.path, fields)
}

/// The head that the controller makes of it.
pub(crate) fn forwarded(number: usize, client: u8, exchange: &Exchange, rules: &Rules) -> Vec<u8> {
    let mut fields = format!("Host: {}\r\n", if rules.host { exchange.host } else { "upstream" });
    let mut chain: Vec<String> = exchange.forged.map(dotted).into_iter().collect();
    chain.extend(rules.forwarded_for.then(|| dotted(client)));
    if !chain.is_empty() {
        write!(fields, "X-Forwarded-For: {}\r\n", chain.join(", ")).unwrap();
    }
    match exchange.request_id {
        _ if rules.own_ids => write!(fields, "X-Request-ID: own-{number}\r\n").unwrap(),
        Some(id) => write!(fields, "X-Request-ID: id-{id}\r\n").unwrap(),
        None => {}
    }
    head(number, exchange, rewritten(exchange.path, rules), fields)
}

/// The target that the controller forwards.
pub(crate) fn rewritten<'a>(path: &'a str, rules: &Rules) -> &'a str {
    path.strip_prefix("/api").filter(|_| rules.rewrites).unwrap_or(path)
}

fn head(number: usize, exchange: &Exchange, target: &str, mut fields: String) -> Vec<u8> {
    if let Some(trace) = exchange.trace {
        write!(fields, "traceparent: 00-{trace:032x}-{:016x}-01\r\n", fields.len()).unwrap();
    }
    fields += &framing_field(exchange.framing, exchange.size);
    format!("{} {target} HTTP/1.1\r\nUser-Agent: {number}\r\n{fields}\r\n", exchange.method).into_bytes()
}

fn framing_field(framing: Framing, size: usize) -> String {
    match framing {
        Framing::None => String::new(),
        Framing::Length => format!("Content-Length: {size}\r\n"),
        Framing::Chunked(_) => "Transfer-Encoding: chunked\r\n".to_owned(),
        Framing::Close => "Connection: close\r\n".to_owned(),
    }
}

/// A body, framed.
pub(crate) fn body(framing: Framing, size: usize) -> Vec<u8> {
    let plain: Vec<u8> = FILLING.iter().copied().cycle().take(size).collect();
    match framing {
        Framing::None => Vec::new(),
        Framing::Length | Framing::Close => plain,
        Framing::Chunked(chunk) => {
            let mut framed = Vec::new();
            for part in plain.chunks(chunk) {
                framed.extend(format!("{:x};x=y\r\n", part.len()).bytes());
                framed.extend(part);
                framed.extend(b"\r\n");
            }
            framed.extend(b"0\r\nX-Sum: 1\r\n\r\n");
            framed
        }
    }
}

/// A response as it goes over a leg; the controller may have framed it anew.
pub(crate) fn reply(method: &str, reply: &Reply, framing: Framing) -> Vec<u8> {
    let mut bytes = Vec::new();
    if reply.interim {
        bytes.extend(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    }
    let fields = framing_field(framing, reply.size);
    bytes.extend(format!("HTTP/1.1 {} Status\r\n{fields}\r\n", reply.status).bytes());
    if method != "HEAD" {
        bytes.extend(body(framing, reply.size));
    }
    bytes
}

/// Bytes of a response's body without its framing.
pub(crate) fn reply_size(method: &str, reply: &Reply) -> usize {
    if method == "HEAD" || reply.framing == Framing::None { 0 } else { reply.size }
}
