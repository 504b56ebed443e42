//! A relay that cuts what clients send into small packets, as a path with a small MTU would: on loopback everything fits in one.
//!
//! Consumes connections; produces the same to another address, each piece of the client's written by itself (`TCP_NODELAY`, so
//! that it is a packet of its own). Threads of this process, which end with their connections.

use std::io::{Read, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};

/// A listening relay.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    first_record: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens at `address` and hands on to `server`, in pieces of at most `piece` bytes.
    ///
    /// # Errors
    /// The address is in use.
    pub fn start(address: SocketAddr, server: SocketAddr, piece: usize) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("listen at {address}"))?;
        let address = listener.local_addr()?;
        let (first_record, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let acceptor = std::thread::spawn({
            let (first_record, stop) = (Arc::clone(&first_record), Arc::clone(&stop));
            move || {
                for client in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(client) = client else { continue };
                    // A connection that breaks ends its threads: that is all there is to do.
                    let first_record = Arc::clone(&first_record);
                    std::thread::spawn(move || serve(&client, server, piece, &first_record));
                }
            }
        });
        Ok(Self { address, first_record, stop, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The longest first record of TLS that a client has sent: its `ClientHello`, without the header.
    #[must_use]
    pub fn first_record(&self) -> usize {
        self.first_record.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // So that it looks.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn serve(
    client: &TcpStream,
    server: SocketAddr,
    piece: usize,
    first_record: &AtomicUsize,
) -> std::io::Result<()> {
    let server = TcpStream::connect(server)?;
    server.set_nodelay(true)?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    let back = std::thread::spawn(move || {
        let _ = copy(&mut from_server, &mut to_client);
        to_client.shutdown(Shutdown::Write)
    });
    let mut bytes = vec![0; piece];
    let mut first = true;
    loop {
        let len = (&*client).read(&mut bytes).unwrap_or(0);
        if len == 0 {
            break;
        }
        // RFC 8446, 5.1.
        if let Some(&[22, _, _, high, low]) = bytes.first_chunk()
            && std::mem::take(&mut first)
        {
            first_record.fetch_max(u16::from_be_bytes([high, low]).into(), Ordering::SeqCst);
        }
        (&server).write_all(bytes.get(..len).unwrap_or_default())?;
    }
    server.shutdown(Shutdown::Write)?;
    let _ = back.join();
    Ok(())
}
