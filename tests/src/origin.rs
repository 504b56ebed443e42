//! A backend of our own, for answers that a real server would not give on demand.
//!
//! Consumes HTTP/1.1 requests (well-formed ones: they come from the server under test); the path says what to answer:
//!
//! | path | answer |
//! |---|---|
//! | `/bytes/N` | 200 with Content-Length N |
//! | `/chunked/N` | 200 with N bytes in chunks of at most 1000, and a trailer |
//! | `/grpc/N` | 200 with a message of gRPC that is N bytes long, without its trailers |
//! | `/until-close/N` | 200 with N bytes, ended by closing |
//! | `/status/CODE` | that status; without a body where the status has none |
//! | `/cut/N` | promises N bytes, sends half, closes |
//! | `/stall/N` | promises N bytes, sends half, and no more as long as the connection is there |
//! | `/silent` | closes without an answer |
//! | `/early-hints` | 103, then 200 |
//! | `/websocket` | 101, then every byte comes back until the client closes |
//! | anything else | 200, `ok` |
//!
//! A request's body is read before the answer. Runs on threads of this process, so outside of the cgroup under test.

use std::io::{BufRead, BufReader, Read, Write, copy, repeat, sink};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};

const CHUNK: u64 = 1000;

/// The listening backend.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Origin {
    /// Listens at `address`.
    ///
    /// # Errors
    /// The address is in use.
    pub fn start(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("listen at {address}"))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let acceptor = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    // A peer that breaks the connection ends its thread: that is all there is to do.
                    std::thread::spawn(move || serve(&stream));
                }
            }
        });
        Ok(Self { address, stop, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which then sees the flag.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken) {
            let _ = acceptor.join();
        }
    }
}

struct Asked {
    method: String,
    path: String,
}

fn serve(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream);
    let mut output = stream;
    while let Some(asked) = read_request(&mut input, &mut output)? {
        if !answer(&mut input, &mut output, &asked)? {
            break;
        }
    }
    Ok(())
}

/// Reads a head and its body; none at the end of the connection.
fn read_request(input: &mut impl BufRead, output: &mut impl Write) -> Result<Option<Asked>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().context("method")?.to_owned();
    let path = words.next().context("target")?.to_owned();
    let (mut length, mut chunked) = (0_u64, false);
    loop {
        line.clear();
        input.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse()?,
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            "expect" => output.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?,
            _ => {}
        }
    }
    if chunked {
        skip_chunks(input)?;
    } else {
        copy(&mut input.by_ref().take(length), &mut sink())?;
    }
    Ok(Some(Asked { method, path }))
}

fn skip_chunks(input: &mut impl BufRead) -> Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        input.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16)?;
        if size == 0 {
            break;
        }
        copy(&mut input.by_ref().take(size + 2), &mut sink())?;
    }
    while line.trim_end() != "" {
        line.clear();
        input.read_line(&mut line)?;
    }
    Ok(())
}

/// Answers; false if the connection is to be closed.
fn answer(input: &mut impl BufRead, output: &mut impl Write, asked: &Asked) -> Result<bool> {
    let (_, path) = asked.path.split('?').next().unwrap_or_default().split_once('/').unwrap_or_default();
    let (what, number) = path.split_once('/').unwrap_or((path, ""));
    let number = number.parse::<u64>().unwrap_or_default();
    let head_only = asked.method == "HEAD";
    let body = |count: u64| repeat(b'x').take(if head_only { 0 } else { count });
    match what {
        "bytes" => {
            write!(
                output,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {number}\r\n\r\n"
            )?;
            copy(&mut body(number), output)?;
        }
        "chunked" => {
            output.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")?;
            let mut left = if head_only { return Ok(true) } else { number };
            while left > 0 {
                let size = left.min(CHUNK);
                write!(output, "{size:x}\r\n")?;
                copy(&mut body(size), output)?;
                output.write_all(b"\r\n")?;
                left -= size;
            }
            output.write_all(b"0\r\nX-Sum: 1\r\n\r\n")?;
        }
        "grpc" => {
            // In a chunk: with Content-Length a client may leave when it has so much, before the trailers come.
            let whole = number.saturating_add(5);
            write!(
                output,
                "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n{whole:x}\r\n"
            )?;
            // Not compressed, and its length.
            output.write_all(&[0])?;
            output.write_all(&u32::try_from(number).unwrap_or_default().to_be_bytes())?;
            copy(&mut body(number), output)?;
            output.write_all(b"\r\n0\r\n\r\n")?;
        }
        "until-close" => {
            output.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            copy(&mut body(number), output)?;
            return Ok(false);
        }
        "status" if matches!(number, 204 | 304) => write!(output, "HTTP/1.1 {number} Status\r\n\r\n")?,
        "status" => {
            write!(output, "HTTP/1.1 {number} Status\r\nContent-Length: 6\r\n\r\n")?;
            output.write_all(if head_only { b"" } else { b"status" })?;
        }
        "cut" => {
            write!(output, "HTTP/1.1 200 OK\r\nContent-Length: {number}\r\n\r\n")?;
            copy(&mut body(number / 2), output)?;
            return Ok(false);
        }
        "stall" => {
            write!(output, "HTTP/1.1 200 OK\r\nContent-Length: {number}\r\n\r\n")?;
            copy(&mut body(number / 2), output)?;
            // The rest never comes: whoever asked leaves first.
            copy(input, &mut sink())?;
            return Ok(false);
        }
        "silent" => return Ok(false),
        "websocket" => {
            let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
            // The accept is that of the key in RFC 6455, 1.3.
            write!(output, "{head}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")?;
            copy(input, output)?;
            return Ok(false);
        }
        "early-hints" => {
            // At once: HAProxy (2.6) now and then hands on the heads alone where the body comes after them, and times out.
            let answer: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
            let body: &[u8] = if head_only { b"" } else { b"ok" };
            output.write_all(&[answer, body].concat())?;
        }
        _ => {
            output.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")?;
            output.write_all(if head_only { b"" } else { b"ok" })?;
        }
    }
    Ok(true)
}
