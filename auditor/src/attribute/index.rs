//! Which Service and pod an address belongs to.
//!
//! Consumes Services, `EndpointSlices` and Pods; answers for an observed backend address which Services it is an endpoint
//! of, and for a declared backend whether there is such a Service, such a port, and a ready endpoint.
//!
//! One pod may serve several Services, and several Services may share an address: every candidate is kept, and the
//! declared route tells which one was meant. Only TCP is kept. Addresses are compared with IPv4 mapped into IPv6 unmapped.
//! Immutable, and holds nothing of the objects but names, ports and addresses; equal names share their text.

mod build;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::objects::{ObjectName, Objects};
use super::routes::PortRef;

/// The most endpoints, counted once for each Service port that they belong to.
pub const MAX_ENDPOINTS: usize = 2_000_000;
/// The most Services that one address is kept for.
pub const MAX_CANDIDATES: usize = 256;
/// The most TCP ports of one Service, and the most addresses that stand for it.
pub const MAX_SERVICE_PORTS: usize = 1_000;
/// The most endpoints of one slice, as in the API.
pub const MAX_SLICE_ENDPOINTS: usize = 1_000;
/// The most ports of one slice, and of addresses of one of its endpoints, as in the API.
pub const MAX_SLICE_PORTS: usize = 100;

/// Services, endpoints and pods by what traffic shows of them.
#[derive(Debug, Default)]
pub struct Index {
    services: HashMap<ObjectName, Arc<Service>>,
    endpoints: HashMap<SocketAddr, Box<[Endpoint]>>,
    /// Cluster, external and load balancer addresses of Services.
    virtual_addresses: HashMap<SocketAddr, Box<[ServiceAddress]>>,
    node_ports: HashMap<u16, ServiceAddress>,
    node_addresses: Box<[IpAddr]>,
    pods: HashMap<ObjectName, Arc<Pod>>,
    pods_by_address: HashMap<IpAddr, Box<[Arc<Pod>]>>,
    unusable: Unusable,
}

/// A Service.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: ObjectName,
    /// The DNS name it stands for, if it is of type `ExternalName`.
    pub external_name: Option<Arc<str>>,
    /// Its TCP ports.
    pub ports: Box<[ServicePort]>,
}

/// A TCP port of a Service.
#[derive(Debug)]
pub struct ServicePort {
    /// Its name; empty if it has none.
    pub name: Arc<str>,
    /// Its number.
    pub number: u16,
    /// Endpoints of this port, ready or not.
    pub endpoints: usize,
    /// Those of them that are ready.
    pub ready: usize,
}

impl Service {
    /// The port that an Ingress means.
    #[must_use]
    pub fn port(&self, port: &PortRef) -> Option<&ServicePort> {
        self.ports.iter().find(|candidate| match port {
            PortRef::Number(number) => candidate.number == *number,
            PortRef::Name(name) => candidate.name == *name,
        })
    }
}

/// An address as an endpoint of one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The Service; it need not exist.
    pub service: ObjectName,
    /// The name of the Service's port; empty if it has none.
    pub port: Arc<str>,
    /// The pod, if the endpoint is one.
    pub pod: Option<ObjectName>,
    /// Whether the endpoint was ready.
    pub ready: bool,
}

/// An address that stands for a whole Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAddress {
    /// The Service.
    pub service: ObjectName,
    /// The name of its port; empty if it has none.
    pub port: Arc<str>,
}

/// A pod.
#[derive(Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: ObjectName,
    /// Whether its addresses are those of its node.
    pub host_network: bool,
    /// Its addresses.
    pub addresses: Box<[IpAddr]>,
}

/// Parts of objects that could not be used, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unusable {
    /// Addresses that are not addresses of their slice's type, in whatever object.
    pub addresses: u64,
    /// Ports that are no number from 1 to 65535.
    pub ports: u64,
    /// Endpoint slices that name no Service.
    pub slices_without_service: u64,
    /// Endpoint slices of Services that do not exist; they are used nevertheless.
    pub slices_of_missing_services: u64,
    /// Node ports that two Services claim; the first in order of names keeps it.
    pub node_ports: u64,
    /// Endpoints, ports and addresses beyond what one object or the whole index may hold.
    pub beyond_bounds: u64,
}

/// What an observed address is.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'i> {
    /// An endpoint of one or several Services.
    Endpoints(&'i [Endpoint]),
    /// An address of a Service as a whole: which pod served is not known.
    Service(&'i [ServiceAddress]),
    /// A node's port for a Service: likewise.
    NodePort(&'i ServiceAddress),
    /// A pod, on a port that is no Service's.
    Pod(&'i [Arc<Pod>]),
}

impl Index {
    /// Builds the index. What cannot be used is left out and counted in [`Index::unusable`].
    #[must_use]
    pub fn new(objects: &Objects) -> Self {
        build::build(objects)
    }

    /// A Service by its name.
    #[must_use]
    pub fn service(&self, name: &ObjectName) -> Option<&Arc<Service>> {
        self.services.get(name)
    }

    /// A pod by its name.
    #[must_use]
    pub fn pod(&self, name: &ObjectName) -> Option<&Arc<Pod>> {
        self.pods.get(name)
    }

    /// The pods that have an address: one, or those on the network of one node.
    #[must_use]
    pub fn pods_at(&self, address: IpAddr) -> &[Arc<Pod>] {
        self.pods_by_address.get(&address.to_canonical()).map(|pods| &**pods).unwrap_or_default()
    }

    /// What an observed address is; the most precise of what it may be.
    #[must_use]
    pub fn owner(&self, address: SocketAddr) -> Option<Owner<'_>> {
        let ip = address.ip().to_canonical();
        let address = SocketAddr::new(ip, address.port());
        if let Some(endpoints) = self.endpoints.get(&address) {
            return Some(Owner::Endpoints(endpoints));
        }
        if let Some(services) = self.virtual_addresses.get(&address) {
            return Some(Owner::Service(services));
        }
        let pods = self.pods_at(ip);
        let node = ip.is_loopback() || self.node_addresses.binary_search(&ip).is_ok();
        if let Some(service) = self.node_ports.get(&address.port()).filter(|_| node) {
            return Some(Owner::NodePort(service));
        }
        (!pods.is_empty()).then_some(Owner::Pod(pods))
    }

    /// What could not be used.
    #[must_use]
    pub fn unusable(&self) -> Unusable {
        self.unusable
    }

    /// How many Services, endpoint addresses and pods there are.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.services.len(), self.endpoints.len(), self.pods.len())
    }
}
