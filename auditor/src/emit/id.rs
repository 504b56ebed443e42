//! Event ids: deterministic, so that the same traffic read again has the same ids, and a sink can drop what it has.
//!
//! An id is a UUID of version 8 (RFC 9562, 5.8) made of the first 128 bits of a SHA-256 over, in this order:
//!
//! 1. `auditor event id 1` and a zero byte;
//! 2. the domain: `b` and the 16 bytes of the kernel's boot id, or `f` and 16 zero bytes for a capture file;
//! 3. the connection: live, `c`, the socket's cookie (8 bytes), 38 zero bytes; from a file, `t`, both ends (16 bytes of
//!    address with IPv4 mapped into IPv6, 2 of port, each), local first, and the time of the connection's first record in
//!    nanoseconds (8 bytes, after 2 zero bytes); `-`, 38 zero bytes and when the part of the program that
//!    tells it began, in nanoseconds, for an event of no connection;
//! 4. a place: the offset of the head's first byte in its direction's stream; for a connection 0, or when it came to be
//!    known if it was open before, in nanoseconds; for an event of no head or no connection, a number that tells it from
//!    the others of its kind (8 bytes);
//! 5. the HTTP/2 stream, 0 without one (4 bytes);
//! 6. the kind's name.
//!
//! Numbers are big-endian. Every part but the last has a fixed length, so that no two inputs are the same bytes.

use std::net::{IpAddr, SocketAddr};

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use super::model::{EventId, Kind};
use crate::capture::record::{ConnectionId, Nanos, Tuple};

/// What ids are unique within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// One boot of one kernel, by its boot id (`/proc/sys/kernel/random/boot_id`).
    Boot(Uuid),
    /// A capture file. Not its name nor its hash: the same traffic in two files is the same traffic.
    File,
}

/// The part of an id that all events of a connection share: parts 1 to 3, and room for parts 4 and 5.
#[derive(Clone, Copy, Debug)]
pub struct IdScope([u8; SCOPE + 12]);

/// Parts 1 to 3.
const SCOPE: usize = PREFIX.len() + 17 + 47;
const PREFIX: &[u8] = b"auditor event id 1\0";

impl IdScope {
    /// For events of no connection, from a part of the program that began at this time.
    #[must_use]
    pub fn program(domain: Domain, begun: Nanos) -> Self {
        let mut part = [0; 46];
        put(&mut part, 38, &begun.to_be_bytes());
        Self::new(domain, b'-', &part)
    }

    /// For a connection of a kernel: its cookie is never used twice in one boot.
    #[must_use]
    pub fn socket(domain: Domain, id: ConnectionId) -> Self {
        let mut part = [0; 46];
        put(&mut part, 0, &id.0.to_be_bytes());
        Self::new(domain, b'c', &part)
    }

    /// For a connection of a capture file: its ends, and the time of its first record.
    #[must_use]
    pub fn tuple(domain: Domain, tuple: &Tuple, first: Nanos) -> Self {
        let mut part = [0; 46];
        for (at, end) in [(0, tuple.local), (18, tuple.remote)] {
            put(&mut part, at, &mapped(end));
            put(&mut part, at + 16, &end.port().to_be_bytes());
        }
        put(&mut part, 38, &first.to_be_bytes());
        Self::new(domain, b't', &part)
    }

    fn new(domain: Domain, tag: u8, part: &[u8; 46]) -> Self {
        let (domain_tag, bytes) = match domain {
            Domain::Boot(id) => (b'b', id.into_bytes()),
            Domain::File => (b'f', [0; 16]),
        };
        let mut scope = [0; SCOPE + 12];
        put(&mut scope, 0, PREFIX);
        put(&mut scope, PREFIX.len(), &[domain_tag]);
        put(&mut scope, PREFIX.len() + 1, &bytes);
        put(&mut scope, PREFIX.len() + 17, &[tag]);
        put(&mut scope, PREFIX.len() + 18, part);
        Self(scope)
    }

    /// The id of the event of this kind, at this place (a stream offset, or a number of its own) and HTTP/2 stream (0: none).
    #[must_use]
    pub fn id(&self, kind: Kind, place: u64, stream: u32) -> EventId {
        let mut parts = self.0;
        put(&mut parts, SCOPE, &place.to_be_bytes());
        put(&mut parts, SCOPE + 8, &stream.to_be_bytes());
        let hash = Sha256::new().chain_update(parts).chain_update(kind.name()).finalize();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        EventId(Builder::from_custom_bytes(bytes).into_uuid())
    }
}

fn mapped(end: SocketAddr) -> [u8; 16] {
    match end.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = into.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn tuple(local: &str, remote: &str) -> Tuple {
        Tuple { local: local.parse().unwrap(), remote: remote.parse().unwrap() }
    }

    #[test]
    fn ids_are_fixed_for_ever() {
        let boot = Domain::Boot(Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef));
        let live = IdScope::socket(boot, ConnectionId(7)).id(Kind::HttpRequest, 512, 1);
        assert_eq!(live.0.to_string(), "888f9728-4d24-84ee-a3ed-c9b347019792");
        let replay = IdScope::tuple(Domain::File, &tuple("10.0.0.1:80", "[2001:db8::1]:4000"), 1_000_000_007);
        assert_eq!(replay.id(Kind::Connection, 0, 0).0.to_string(), "4c606de8-eaff-8e73-8ecf-05ba1dee0a00");
        assert_eq!((live.0.get_version_num(), live.0.get_variant()), (8, uuid::Variant::RFC4122));
    }

    #[test]
    fn each_part_tells_events_apart() {
        let boot = |n| Domain::Boot(Uuid::from_u128(n));
        let ends = tuple("10.0.0.1:80", "10.0.0.2:4000");
        let swapped = tuple("10.0.0.2:4000", "10.0.0.1:80");
        let scopes = [
            IdScope::program(boot(0), 0),
            IdScope::program(boot(0), 1),
            IdScope::program(Domain::File, 0),
            IdScope::socket(boot(0), ConnectionId(0)),
            IdScope::socket(boot(1), ConnectionId(0)),
            IdScope::socket(boot(0), ConnectionId(1)),
            IdScope::tuple(Domain::File, &ends, 1),
            IdScope::tuple(Domain::File, &ends, 2),
            IdScope::tuple(Domain::File, &swapped, 1),
        ];
        let places = [
            (Kind::HttpRequest, 0, 0),
            (Kind::HttpRequest, 1, 0),
            (Kind::HttpRequest, 0, 1),
            (Kind::Auth, 0, 0),
        ];
        let ids: HashSet<EventId> = scopes
            .iter()
            .flat_map(|scope| places.map(|(kind, place, stream)| scope.id(kind, place, stream)))
            .collect();
        assert_eq!(ids.len(), scopes.len() * places.len());
    }
}
