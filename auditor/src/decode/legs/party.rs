//! What is known of a connection while its messages are on their way to becoming events.

use std::net::IpAddr;

use crate::capture::record::{ConnectionId, How, Nanos, Tuple};

/// One connection of the controller, as both its exchanges and its own event tell of it.
#[derive(Clone, Debug)]
pub struct Party {
    /// Its name.
    pub id: ConnectionId,
    /// Its ends, as the socket shows them.
    pub tuple: Tuple,
    /// Its ends on the wire, where the peer's address was translated.
    pub translated: Option<Tuple>,
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
    /// The address of the other side.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        self.tuple.remote.ip()
    }
}
