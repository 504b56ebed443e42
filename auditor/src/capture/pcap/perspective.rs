//! Whose connection is it: accepted by the controller, opened by it, or none of its business.
//!
//! Consumes the options and the ends of connections, produces a [`Role`]. The kernel knows by the socket's cgroup; a
//! capture file only by ports and addresses.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use super::{Counters, Options};

/// Controller addresses that are learned from one file.
const MAX_ADDRESSES: usize = 4096;

/// What the controller is in a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Its server.
    Passive,
    /// Its client.
    Active,
}

/// The options, and what was learned since.
pub(super) struct Perspective<'a> {
    options: &'a Options,
    learned: HashSet<IpAddr>,
}

impl<'a> Perspective<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        Self { options, learned: HashSet::new() }
    }

    /// The controller's role between these two ends; none if it is at neither, as far as is known by now.
    pub(super) fn role(&self, client: SocketAddr, server: SocketAddr) -> Option<Role> {
        let Options { listen, controller_addresses } = self.options;
        if listen.is_empty() {
            return Some(Role::Passive);
        }
        let given = !controller_addresses.is_empty();
        let listens = listen.contains(&server.port());
        if listens && (!given || controller_addresses.contains(&server.ip())) {
            return Some(Role::Passive);
        }
        let is_controller = if given {
            controller_addresses.contains(&client.ip())
        } else {
            !listens && self.learned.contains(&client.ip())
        };
        is_controller.then_some(Role::Active)
    }

    /// Which of two ends is the server where no handshake tells: the one whose port is listened on; else the one with
    /// the lower port, as services have well-known ones; else the one that did not speak first.
    pub(super) fn server(&self, ends: [SocketAddr; 2], first_speaker: usize) -> usize {
        let ports = ends.map(|end| end.port());
        let listens = ports.map(|port| self.options.listen.contains(&port));
        match (listens, ports) {
            ([true, false], _) => 0,
            ([false, true], _) => 1,
            (_, [a, b]) if a < b => 0,
            (_, [a, b]) if b < a => 1,
            _ => 1 - first_speaker,
        }
    }

    /// The controller has accepted a connection at this address.
    pub(super) fn learn(&mut self, address: IpAddr, counters: &mut Counters) {
        if self.options.listen.is_empty() || !self.options.controller_addresses.is_empty() {
            return;
        }
        if self.learned.len() < MAX_ADDRESSES {
            self.learned.insert(address);
        } else if !self.learned.contains(&address) {
            counters.addresses_not_learned += 1;
        }
    }
}
