//! What is known of a connection while its messages are on their way to becoming events.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::assemble::tls::facts::Facts;
use crate::capture::record::{ConnectionId, How, Nanos, Tuple};
use crate::decode::proxy_protocol::Header;

/// One connection of the controller, as both its exchanges and its own event tell of it.
#[derive(Clone, Debug)]
pub struct Party {
    /// Its name.
    pub id: ConnectionId,
    /// Its ends, as the socket shows them.
    pub tuple: Tuple,
    /// Its ends on the wire, where the peer's address was translated.
    pub translated: Option<Tuple>,
    /// The header of the PROXY protocol that it began with, from whoever opened it.
    pub proxied: Option<Arc<Header>>,
    /// What its TLS handshake says, once that is over; in the end also of one that failed.
    pub tls: Option<Arc<Facts>>,
    /// Its TLS is passed on without being ended, or comes from where it is: the other end, on the wire, of the controller's
    /// other connection on which the same `ClientHello` was seen.
    pub passed: Option<SocketAddr>,
    /// How it came to be known.
    pub how: How,
    /// When it opened, or was first noticed.
    pub opened: Nanos,
    /// Whose connection.
    pub leg: Leg,
    /// The other end is a socket of the same controller.
    pub internal: bool,
}

/// Whose connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// A client's.
    Client,
    /// A backend's.
    Backend,
}

impl Party {
    /// Whether a proxy may name the other side so: by its address, or by the one that its PROXY header names.
    #[must_use]
    pub fn is_at(&self, address: IpAddr) -> bool {
        self.ends().any(|end| end.ip().to_canonical() == address)
    }

    /// The same, with the port.
    #[must_use]
    pub fn is_end(&self, end: SocketAddr) -> bool {
        let same =
            |own: SocketAddr| own.port() == end.port() && own.ip().to_canonical() == end.ip().to_canonical();
        self.ends().any(same)
    }

    fn ends(&self) -> impl Iterator<Item = SocketAddr> {
        [Some(self.tuple.remote), self.proxied.as_ref().and_then(|header| header.source())]
            .into_iter()
            .flatten()
    }
}
