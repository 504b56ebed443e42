//! Names of connections, the same whenever the same file is read.

use std::net::{IpAddr, SocketAddr};

use sha2::{Digest, Sha256};

use crate::capture::record::{ConnectionId, Nanos};

/// The name of the connection whose first packet was of `time`. Ports are reused and simple packets have no time: so the first
/// sequence number has a part in it.
pub(super) fn identify(client: SocketAddr, server: SocketAddr, time: Nanos, first: u32) -> ConnectionId {
    let mut hash = Sha256::new();
    for end in [client, server] {
        match end.ip() {
            IpAddr::V4(ip) => hash.update(ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => hash.update(ip.octets()),
        }
        hash.update(end.port().to_be_bytes());
    }
    hash.update(time.to_be_bytes());
    hash.update(first.to_be_bytes());
    ConnectionId(hash.finalize().first_chunk().copied().map_or(0, u64::from_be_bytes))
}
