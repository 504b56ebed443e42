//! From Services, `EndpointSlices` and Pods to an [`Index`].

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    Endpoint, Index, MAX_CANDIDATES, MAX_ENDPOINTS, MAX_SERVICE_PORTS, MAX_SLICE_ENDPOINTS, MAX_SLICE_PORTS,
    Pod, Service, ServiceAddress, ServicePort, Unusable,
};
use crate::attribute::objects::{ObjectName, Objects};

mod selector;

/// The label by which a slice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Keeps one copy of each text.
#[derive(Default)]
struct Interner(HashSet<Arc<str>>);

impl Interner {
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.0.insert(Arc::clone(&new));
        new
    }

    fn name(&mut self, metadata: &ObjectMeta) -> ObjectName {
        ObjectName {
            namespace: self.text(metadata.namespace.as_deref().unwrap_or_default()),
            name: self.text(metadata.name.as_deref().unwrap_or_default()),
        }
    }
}

#[derive(Default)]
struct Building {
    texts: Interner,
    services: HashMap<ObjectName, Service>,
    endpoints: HashMap<SocketAddr, Vec<Endpoint>>,
    virtual_addresses: HashMap<SocketAddr, Vec<ServiceAddress>>,
    node_ports: BTreeMap<u16, ServiceAddress>,
    node_addresses: BTreeSet<IpAddr>,
    pods: HashMap<ObjectName, Arc<Pod>>,
    pods_by_address: HashMap<IpAddr, Vec<Arc<Pod>>>,
    endpoint_count: usize,
    unusable: Unusable,
}

pub(super) fn build(objects: &Objects) -> Index {
    let mut building = Building::default();
    // In order of names, so that the same objects give the same index whatever order they came in.
    let mut services: Vec<_> = objects.services.iter().collect();
    services.sort_by_key(|service| (service.metadata.namespace.as_deref(), service.metadata.name.as_deref()));
    for service in &services {
        building.service(service);
    }
    for pod in &objects.pods {
        building.pod(pod);
    }
    let mut sliced = HashSet::new();
    for slice in &objects.slices {
        sliced.extend(building.slice(slice));
    }
    // On a host without a cluster nobody writes slices: then they are derived as the API server's controller does it.
    let pods = selector::Pods::new(&objects.pods);
    for service in services {
        let name = building.texts.name(&service.metadata);
        if !sliced.contains(&name) {
            building.derive(&name, service, &pods);
        }
    }
    building.finish()
}

impl Building {
    fn service(&mut self, service: &core::Service) {
        let name = self.texts.name(&service.metadata);
        let Some(spec) = &service.spec else { return };
        let external = spec.type_.as_deref() == Some("ExternalName");
        let mut ports = Vec::new();
        // Ports times addresses: a small object must not become a large table.
        let addresses = self.bounded(addresses(service), MAX_SLICE_PORTS);
        for port in self.bounded(spec.ports.iter().flatten(), MAX_SERVICE_PORTS) {
            if !tcp(port.protocol.as_deref()) {
                continue;
            }
            let Some(number) = self.port(port.port) else { continue };
            let port_name = self.texts.text(port.name.as_deref().unwrap_or_default());
            let own = ServiceAddress { service: name.clone(), port: Arc::clone(&port_name) };
            for address in &addresses {
                if let Some(ip) = self.address(address) {
                    self.virtual_addresses.entry(SocketAddr::new(ip, number)).or_default().push(own.clone());
                }
            }
            if let Some(node_port) = port.node_port.filter(|port| *port != 0)
                && let Some(node_port) = self.port(node_port)
            {
                match self.node_ports.entry(node_port) {
                    Entry::Vacant(entry) => drop(entry.insert(own)),
                    Entry::Occupied(_) => self.unusable.node_ports += 1,
                }
            }
            ports.push(ServicePort { name: port_name, number, endpoints: 0, ready: 0 });
        }
        let external_name =
            spec.external_name.as_deref().filter(|_| external).map(|name| self.texts.text(name));
        let service = Service { name: name.clone(), external_name, ports: ports.into() };
        self.services.insert(name, service);
    }

    fn pod(&mut self, pod: &core::Pod) {
        let Some(status) = &pod.status else { return };
        let mut nodes: Vec<&str> = status.host_ip.as_deref().into_iter().collect();
        nodes.extend(status.host_ips.iter().flatten().map(|host| host.ip.as_str()));
        for address in nodes {
            if let Some(ip) = self.address(address) {
                self.node_addresses.insert(ip);
            }
        }
        // A pod that ended has given its address back, and another may have it.
        if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return;
        }
        let mut addresses = BTreeSet::new();
        let listed = status.pod_ips.iter().flatten().map(|pod| pod.ip.as_str());
        for address in
            status.pod_ip.as_deref().into_iter().chain(listed).filter(|address| !address.is_empty())
        {
            addresses.extend(self.address(address));
        }
        let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or_default();
        let name = self.texts.name(&pod.metadata);
        let pod = Arc::new(Pod {
            name: name.clone(),
            host_network,
            addresses: addresses.iter().copied().collect(),
        });
        for address in addresses {
            self.pods_by_address.entry(address).or_default().push(Arc::clone(&pod));
        }
        self.pods.insert(name, pod);
    }

    /// Adds a slice's endpoints; gives back the Service whose slice it is.
    fn slice(&mut self, slice: &EndpointSlice) -> Option<ObjectName> {
        let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME));
        let owner = || {
            let owners = slice.metadata.owner_references.as_deref().unwrap_or_default();
            owners
                .iter()
                .find(|owner| owner.kind == "Service" && owner.api_version == "v1")
                .map(|owner| &owner.name)
        };
        let Some(service) = service.or_else(owner) else {
            self.unusable.slices_without_service += 1;
            return None;
        };
        let namespace = self.texts.text(slice.metadata.namespace.as_deref().unwrap_or_default());
        let service = ObjectName { namespace: Arc::clone(&namespace), name: self.texts.text(service) };
        if !self.services.contains_key(&service) {
            self.unusable.slices_of_missing_services += 1;
        }
        let mut ports = Vec::new();
        for port in self.bounded(slice.ports.iter().flatten(), MAX_SLICE_PORTS) {
            // A port without a number stands for all ports, which says nothing about any.
            if let Some(number) = port.port.filter(|_| tcp(port.protocol.as_deref()))
                && let Some(number) = self.port(number)
            {
                ports.push((self.texts.text(port.name.as_deref().unwrap_or_default()), number));
            }
        }
        for endpoint in self.bounded(slice.endpoints.iter(), MAX_SLICE_ENDPOINTS) {
            let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            let pod = pod
                .and_then(|target| target.name.as_deref())
                .map(|name| ObjectName { namespace: Arc::clone(&namespace), name: self.texts.text(name) });
            let conditions = endpoint.conditions.as_ref();
            // "nil should be interpreted as true" (EndpointConditions.ready).
            let ready = conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
            for address in self.bounded(endpoint.addresses.iter(), MAX_SLICE_PORTS) {
                if slice.address_type == "FQDN" {
                    continue;
                }
                let Some(ip) = self.address(address) else { continue };
                for (name, number) in &ports {
                    let port = Arc::clone(name);
                    let endpoint = Endpoint { service: service.clone(), port, pod: pod.clone(), ready };
                    self.endpoint(SocketAddr::new(ip, *number), endpoint);
                }
            }
        }
        Some(service)
    }

    /// Adds the endpoints of a Service that has no slice: the pods that its selector selects.
    fn derive(&mut self, name: &ObjectName, service: &core::Service, pods: &selector::Pods<'_>) {
        let Some(spec) = &service.spec else { return };
        let Some(selector) = spec.selector.as_ref().filter(|selector| !selector.is_empty()) else { return };
        for pod in pods.select(&name.namespace, selector) {
            let pod_name = self.texts.name(&pod.metadata);
            let Some(known) = self.pods.get(&pod_name).cloned() else { continue };
            if self.endpoint_count >= MAX_ENDPOINTS {
                self.unusable.beyond_bounds += 1;
                return;
            }
            for port in spec
                .ports
                .iter()
                .flatten()
                .take(MAX_SERVICE_PORTS)
                .filter(|port| tcp(port.protocol.as_deref()))
            {
                let Some(number) = selector::target_port(port, pod).and_then(|number| self.port(number))
                else {
                    continue;
                };
                let port = self.texts.text(port.name.as_deref().unwrap_or_default());
                for ip in &known.addresses {
                    let endpoint = Endpoint {
                        service: name.clone(),
                        port: Arc::clone(&port),
                        pod: Some(pod_name.clone()),
                        ready: selector::is_ready(pod),
                    };
                    self.endpoint(SocketAddr::new(*ip, number), endpoint);
                }
            }
        }
    }

    /// At most so many of what an object lists; the others are counted.
    fn bounded<T>(&mut self, listed: impl Iterator<Item = T>, limit: usize) -> Vec<T> {
        let mut listed = listed.fuse();
        let kept = listed.by_ref().take(limit).collect();
        self.unusable.beyond_bounds += listed.count() as u64;
        kept
    }

    fn endpoint(&mut self, address: SocketAddr, endpoint: Endpoint) {
        let candidates = self.endpoints.entry(address).or_default();
        // While a slice is rewritten an endpoint may be in two slices.
        let same =
            |other: &&mut Endpoint| (&other.service, &other.port) == (&endpoint.service, &endpoint.port);
        let is_new = match candidates.iter_mut().find(same) {
            Some(known) if known.ready || !endpoint.ready => return,
            Some(known) => {
                known.ready = true;
                false
            }
            None => true,
        };
        if is_new {
            if candidates.len() >= MAX_CANDIDATES || self.endpoint_count >= MAX_ENDPOINTS {
                self.unusable.beyond_bounds += 1;
                return;
            }
            self.endpoint_count += 1;
        }
        if let Some(service) = self.services.get_mut(&endpoint.service)
            && let Some(port) = service.ports.iter_mut().find(|port| port.name == endpoint.port)
        {
            port.endpoints += usize::from(is_new);
            port.ready += usize::from(endpoint.ready);
        }
        if is_new {
            candidates.push(endpoint);
        }
    }

    fn port(&mut self, number: i32) -> Option<u16> {
        let number = u16::try_from(number).ok().filter(|number| *number > 0);
        self.unusable.ports += u64::from(number.is_none());
        number
    }

    fn address(&mut self, text: &str) -> Option<IpAddr> {
        let address = text.parse::<IpAddr>().ok();
        self.unusable.addresses += u64::from(address.is_none());
        address.map(|address| address.to_canonical())
    }

    fn finish(mut self) -> Index {
        for candidates in self.endpoints.values_mut() {
            candidates.sort_by(|a, b| (&a.service, &a.port).cmp(&(&b.service, &b.port)));
        }
        for pods in self.pods_by_address.values_mut() {
            pods.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Index {
            services: self.services.into_iter().map(|(name, service)| (name, Arc::new(service))).collect(),
            endpoints: boxed(self.endpoints),
            virtual_addresses: boxed(self.virtual_addresses),
            node_ports: self.node_ports.into_iter().collect(),
            node_addresses: self.node_addresses.into_iter().collect(),
            pods: self.pods,
            pods_by_address: boxed(self.pods_by_address),
            unusable: self.unusable,
        }
    }
}

fn boxed<K: Eq + std::hash::Hash, V>(map: HashMap<K, Vec<V>>) -> HashMap<K, Box<[V]>> {
    map.into_iter().map(|(key, values)| (key, values.into())).collect()
}

/// The addresses that stand for a whole Service.
fn addresses(service: &core::Service) -> impl Iterator<Item = &str> {
    let spec = service.spec.as_ref();
    let cluster = spec.and_then(|spec| spec.cluster_ip.as_deref());
    let clusters = spec.and_then(|spec| spec.cluster_ips.as_deref()).unwrap_or_default();
    let external = spec.and_then(|spec| spec.external_ips.as_deref()).unwrap_or_default();
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let balancers = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    let all: BTreeSet<&str> = cluster
        .into_iter()
        .chain(clusters.iter().map(String::as_str))
        .chain(external.iter().map(String::as_str))
        .chain(balancers.iter().filter_map(|ingress| ingress.ip.as_deref()))
        .filter(|address| !address.is_empty() && *address != "None")
        .collect();
    all.into_iter()
}

/// The protocol is TCP if nothing is said.
fn tcp(protocol: Option<&str>) -> bool {
    matches!(protocol, None | Some("TCP" | ""))
}
