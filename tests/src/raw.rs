//! A client that sends just the bytes it is given: for what no decent client would send.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use std::os::fd::AsRawFd;
use std::os::linux::net::TcpStreamExt;

use anyhow::{Context, Result, bail};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const READ_LIMIT: Duration = Duration::from_secs(20);
/// More than any answer that a test reads whole.
const MAX_ANSWER: u64 = 64 << 20;

/// A connection.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
}

impl RawClient {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&server, CONNECT_LIMIT)
            .with_context(|| format!("connect to {server}"))?;
        stream.set_read_timeout(Some(READ_LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// A client of a stream that is connected already.
    ///
    /// # Errors
    /// The socket refuses its options.
    pub fn of(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(READ_LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Connects without acknowledging the server's SYN: the ACK that ends the handshake bears the first bytes sent.
    ///
    /// # Errors
    /// Nobody listens, or the address is not IPv4.
    pub fn connect_silently(server: SocketAddr) -> Result<Self> {
        let SocketAddr::V4(address) = server else { bail!("{server} is not an IPv4 address") };
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let stream = TcpStream::from(socket);
        // A socket that is not in quick mode saves that ACK, since data will soon follow (net/ipv4/tcp_input.c,
        // tcp_rcv_synsent_state_process).
        stream.set_quickack(false)?;
        connect(stream.as_raw_fd(), &SockaddrIn::from(address))
            .with_context(|| format!("connect to {server}"))?;
        stream.set_read_timeout(Some(READ_LIMIT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Sends bytes; each call is a segment of its own, as far as the kernel does not have to cut it.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Reads up to and including `end`.
    ///
    /// # Errors
    /// The server closed before, or is silent too long.
    pub fn read_until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut one = [0];
        while !bytes.ends_with(end) {
            self.stream.read_exact(&mut one).with_context(|| {
                format!(
                    "after {:?}",
                    String::from_utf8_lossy(bytes.get(..bytes.len().min(500)).unwrap_or_default())
                )
            })?;
            bytes.extend_from_slice(&one);
        }
        Ok(bytes)
    }

    /// Says that nothing more will be sent, and reads what still comes until the server closes or resets.
    ///
    /// # Errors
    /// The server is silent too long.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        // Refused if the server has reset the connection: reading says so as well.
        let _ = self.stream.shutdown(Shutdown::Write);
        self.read_to_close()
    }

    /// Reads what comes until the server closes or resets.
    ///
    /// # Errors
    /// The server is silent too long.
    pub fn read_to_close(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match (&mut self.stream).take(MAX_ANSWER).read_to_end(&mut bytes) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error).context("read to the end"),
            _ => Ok(bytes),
        }
    }

    /// Closes with a reset, whatever is still to come.
    ///
    /// # Errors
    /// The socket refuses the option.
    pub fn reset(self) -> Result<()> {
        // With a linger time of zero, close sends RST (socket(7), SO_LINGER).
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        Ok(setsockopt(&self.stream, sockopt::Linger, &linger)?)
    }

    /// Reads exactly this many bytes.
    ///
    /// # Errors
    /// The server closed before, or is silent too long.
    pub fn read_exactly(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
