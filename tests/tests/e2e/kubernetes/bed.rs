//! A node of a cluster: an API server with objects, and pods that are nginx in cgroups of the kubelet's form.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use harness::api_server::{ApiServer, Resource, Rules};
use harness::auditor::{AuditorProcess, Options};
use harness::cgroup::Cgroup;
use harness::entry::LogEntry;
use harness::net::Network;
use harness::origin::Origin;
use harness::server::nginx::{Config, Nginx};
use harness::wait;
use serde_json::{Value, json};

/// The host of the one Ingress.
pub(crate) const HOST: &str = "shop.test";
/// What the auditor shows the API server.
pub(crate) const NODE_TOKEN: &str = "node";

const LIMIT: Duration = Duration::from_secs(20);
/// The kubelet's cgroups, below one of the test's own.
const PODS: &str = "kubepods.slice/kubepods-burstable.slice";

/// Guards, in the order in which they must go.
pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    tree: Cgroup,
    shop: Origin,
    api: Origin,
    network: Network,
    node: String,
}

/// A pod of the node that has a cgroup and in which nothing runs yet.
pub(crate) struct Pod {
    name: String,
    uid: String,
    host: u8,
    container: Cgroup,
    /// That of the pod, in which the container's is: it goes last.
    cgroup: Cgroup,
}

/// A pod with nginx in it.
pub(crate) struct Running<'p> {
    pod: &'p Pod,
    nginx: Nginx,
    address: SocketAddr,
}

/// The rules of the role that is deployed.
pub(crate) fn role() -> Result<Rules> {
    Rules::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/node/rbac.yaml"))
}

/// The time as events write it.
pub(crate) fn now() -> String {
    format!("{:.9}", k8s_openapi::jiff::Timestamp::now())
}

impl Cluster {
    /// An Ingress with a path for each of two Services, each with one pod.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let network = Network::claim()?;
        let server = ApiServer::start()?;
        server.allow(NODE_TOKEN, role()?);
        Resource::of_routes().into_iter().for_each(|resource| server.serve(resource));
        let (shop, api) = (Origin::start(network.socket(2, 8080))?, Origin::start(network.socket(3, 8080))?);
        let node = format!("node-{}-{name}", std::process::id());
        let cluster = Self { server, tree: Cgroup::create(name)?, shop, api, network, node };
        cluster.put(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"},
            "spec": {"controller": "k8s.io/ingress-nginx"},
        }))?;
        cluster.route_api_to("api")?;
        for (service, address) in [("shop", cluster.shop.address()), ("api", cluster.api.address())] {
            cluster.service(service, address)?;
        }
        // A Service that leads somewhere else.
        cluster.service("other", cluster.network.socket(4, 8080))?;
        Ok(cluster)
    }

    /// The auditor, on this node.
    pub(crate) fn audit(&self) -> Result<AuditorProcess> {
        AuditorProcess::start_node(&self.server.kubeconfig(NODE_TOKEN)?, &self.node, Options::default())
    }

    /// Waits until these resources are watched, and no others.
    pub(crate) fn wait_watched(&self, resources: &[&str]) -> Result<()> {
        wait::until(&format!("watches of {resources:?}"), LIMIT, || {
            let mut open = self.server.open_watches();
            open.sort();
            Ok((open == resources).then_some(()))
        })
    }

    /// The path `/api` leads to this Service from now on.
    pub(crate) fn route_api_to(&self, service: &str) -> Result<()> {
        let path = |path: &str, service: &str| json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"name": "http"}}}});
        self.put(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "web", "namespace": "shop", "managedFields": [{"manager": "kubectl"}]},
            "spec": {
                "ingressClassName": "nginx",
                "rules": [{"host": HOST, "http": {"paths": [path("/", "shop"), path("/api", service)]}}],
            },
        }))
    }

    /// A pod that is ingress-nginx: the API server tells of it before it has a cgroup, or after that.
    pub(crate) fn pod(&self, name: &str, host: u8, cgroup_first: bool) -> Result<Pod> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let uid = format!("{:08x}-0000-4000-8000-{number:012x}", std::process::id());
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "ingress", "uid": uid,
                "labels": {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"},
            },
            "spec": {
                "nodeName": self.node,
                "containers": [{"name": "controller", "image": "registry.k8s.io/ingress-nginx/controller:v1.12.1"}],
            },
            "status": {"phase": "Pending"},
        });
        if !cgroup_first {
            self.put(object.clone())?;
        }
        let slice = format!("kubepods-burstable-pod{}.slice", uid.replace('-', "_"));
        let cgroup = self.tree.within(&format!("{PODS}/{slice}"))?;
        let container = cgroup.within(&format!("cri-containerd-{number:064x}.scope"))?;
        if cgroup_first {
            self.put(object)?;
        }
        Ok(Pod { name: name.to_owned(), uid, host, cgroup, container })
    }

    fn service(&self, name: &str, address: SocketAddr) -> Result<()> {
        self.put(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"ports": [{"name": "http", "port": 80, "targetPort": address.port()}]},
        }))?;
        let pod = format!("{name}-0");
        self.put(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": format!("{name}-1"), "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": [address.ip().to_string()], "conditions": {"ready": true},
                "targetRef": {"kind": "Pod", "name": pod, "namespace": "shop"},
            }],
            "ports": [{"name": "http", "port": address.port(), "protocol": "TCP"}],
        }))?;
        self.put(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "namespace": "shop"},
            "spec": {"nodeName": "elsewhere", "containers": [{"name": "c", "image": "example.com/shop"}]},
            "status": {"phase": "Running", "podIP": address.ip().to_string()},
        }))
    }

    fn put(&self, object: Value) -> Result<()> {
        self.server.put(object).map(|_| ())
    }
}

impl Pod {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its uid, as its cgroup has it in its name.
    pub(crate) fn uid(&self) -> String {
        self.uid.replace('-', "_")
    }

    /// Starts nginx in its container.
    pub(crate) fn run(&self, cluster: &Cluster) -> Result<Running<'_>> {
        let address = cluster.network.socket(self.host, 8080);
        let http = format!(
            "  upstream shop {{ server {shop}; keepalive 16; }}\n  upstream api {{ server {api}; keepalive 16; }}\n  \
             server {{\n    listen {address};\n    server_name {HOST};\n    proxy_set_header Host $http_host;\n    \
             proxy_set_header Connection \"\";\n    proxy_set_header X-Request-ID $http_x_request_id;\n    \
             location / {{ proxy_pass http://shop; }}\n    location /api {{ proxy_pass http://api; }}\n  }}\n",
            shop = cluster.shop.address(),
            api = cluster.api.address(),
        );
        let config = Config { http: &http, listens: &[address], access_log: true, workers: 1 };
        Ok(Running { pod: self, nginx: Nginx::start(&self.container, &config)?, address })
    }
}

impl Running<'_> {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it as the kubelet does: what runs in it, its cgroup, its object. Gives its access log.
    pub(crate) fn stop(self, cluster: &Cluster) -> Result<Vec<LogEntry>> {
        let log = self.nginx.stop()?;
        wait::until("the pod to be empty", LIMIT, || {
            Ok(self.pod.container.processes()?.is_empty().then_some(()))
        })?;
        std::fs::remove_dir(self.pod.container.path()).context("remove the container's cgroup")?;
        std::fs::remove_dir(self.pod.cgroup.path()).context("remove the pod's cgroup")?;
        cluster.server.delete("pods", Some("ingress"), &self.pod.name)?;
        Ok(log)
    }
}
