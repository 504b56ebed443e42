//! Loopback addresses that no one else uses.
//!
//! Consumes nothing, produces a [`Network`]: a /24 of 127.0.0.0/8 of one's own, so that fixed ports can be used without
//! a race. The claim is a listening socket on the last address of the /24, held until the guard is dropped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::wait;

/// The port of the claim; any would do, below the ephemeral range.
const CLAIM_PORT: u16 = 18_079;
const READY_LIMIT: Duration = Duration::from_secs(20);
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// A /24 of loopback addresses.
#[derive(Debug)]
pub struct Network {
    prefix: [u8; 3],
    _claim: TcpListener,
}

impl Network {
    /// Claims a free one.
    ///
    /// # Errors
    /// None is free.
    pub fn claim() -> Result<Self> {
        let start = u16::try_from(std::process::id() % 0x7fff).unwrap_or_default();
        for step in 0..0x3fff_u16 {
            // 127.64.0.0/10 upwards: what people configure by hand is lower.
            let [high, low] = (start.wrapping_add(step) & 0x3fff).to_be_bytes();
            let prefix = [127, 64 | high, low];
            let address = Ipv4Addr::new(prefix[0], prefix[1], prefix[2], 254);
            if let Ok(claim) = TcpListener::bind((address, CLAIM_PORT)) {
                return Ok(Self { prefix, _claim: claim });
            }
        }
        bail!("no loopback network is free (is something listening on 0.0.0.0:{CLAIM_PORT}?)")
    }

    /// One of its addresses; 254 is taken by the claim.
    #[must_use]
    pub fn address(&self, host: u8) -> IpAddr {
        Ipv4Addr::new(self.prefix[0], self.prefix[1], self.prefix[2], host).into()
    }

    /// One of its addresses, with a port.
    #[must_use]
    pub fn socket(&self, host: u8, port: u16) -> SocketAddr {
        SocketAddr::new(self.address(host), port)
    }

    /// The first three numbers, with the dots: `127.x.y.`.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{}.{}.{}.", self.prefix[0], self.prefix[1], self.prefix[2])
    }
}

/// A free port on `::1`, where there is only one address. Found by binding: a stranger could take it before it is used.
///
/// # Errors
/// The machine has no IPv6 loopback.
pub fn free_ipv6() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv6Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Waits until something accepts connections at `address`. `alive` fails if what should listen has ended.
///
/// # Errors
/// Nothing listens within the limit.
pub fn wait_listening(address: SocketAddr, mut alive: impl FnMut() -> Result<()>) -> Result<()> {
    wait::until(&format!("a listener at {address}"), READY_LIMIT, || {
        alive()?;
        Ok(TcpStream::connect_timeout(&address, CONNECT_LIMIT).is_ok().then_some(()))
    })
}
