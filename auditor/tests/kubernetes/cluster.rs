//! A cluster, whichever it is, and objects to put into it.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use harness::api_server::{ADMIN, ApiServer, Asked};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use serde_json::{Value, json};

use auditor::attribute::manifests::Kind;

/// What the objects of a test are kept in; removed with it.
pub(crate) struct Cluster {
    /// The project's own; none where it is a real one.
    pub(crate) server: Option<ApiServer>,
    kubeconfig: Kubeconfig,
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) node: String,
}

/// The kinds that every cluster serves.
pub(crate) const KINDS: [Kind; 5] =
    [Kind::Ingress, Kind::IngressClass, Kind::Service, Kind::EndpointSlice, Kind::Pod];

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Cluster {
    /// The project's own server, or the real one that `KUBECONFIG` leads to.
    pub(crate) async fn any() -> Self {
        match std::env::var_os("KUBECONFIG") {
            None => Self::own().await,
            Some(path) => Self::by(Path::new(&path)).await,
        }
    }

    /// A real one, or what is taken for it.
    pub(crate) async fn by(kubeconfig: &Path) -> Self {
        Self::of(None, Kubeconfig::read_from(kubeconfig).unwrap()).await
    }

    /// The project's own server, for its faults.
    pub(crate) async fn own() -> Self {
        let server = ApiServer::start().unwrap();
        let kubeconfig = Kubeconfig::read_from(server.kubeconfig(ADMIN).unwrap()).unwrap();
        Self::of(Some(server), kubeconfig).await
    }

    async fn of(server: Option<ApiServer>, kubeconfig: Kubeconfig) -> Self {
        let client = client(kubeconfig.clone()).await;
        let name = format!("auditor-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let cluster =
            Self { server, kubeconfig, client, namespace: name.clone(), node: format!("node-{name}") };
        if cluster.server.is_none() {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
            let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource);
            api.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await.unwrap();
        }
        cluster
    }

    /// The server, with its faults.
    pub(crate) fn server(&self) -> &ApiServer {
        self.server.as_ref().unwrap()
    }

    /// Waits until the requests up to now are `enough`.
    pub(crate) async fn asked_until(&self, what: &str, enough: impl Fn(&[Asked]) -> bool) {
        wait(what, || enough(&self.server().asked())).await;
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        let version = kind.api_versions()[0];
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind.name()));
        if kind.namespaced() {
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }

    /// Makes it, or replaces the one of its name.
    pub(crate) async fn put(&self, kind: Kind, name: &str, value: &str) {
        self.put_as(kind, name, object(kind, value)).await;
    }

    /// The same of what the caller says that it is.
    pub(crate) async fn put_as(&self, kind: Kind, name: &str, mut object: Value) {
        let name = self.name(kind, name);
        object["metadata"]["name"] = name.clone().into();
        let api = self.api(kind);
        if let Some(before) = api.get_opt(&name).await.unwrap() {
            object["metadata"]["resourceVersion"] = before.resource_version().into();
            api.replace(&name, &PostParams::default(), &serde_json::from_value(object).unwrap())
                .await
                .unwrap();
        } else {
            api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        }
    }

    pub(crate) async fn delete(&self, kind: Kind, name: &str) {
        let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.api(kind).delete(&self.name(kind, name), &at_once).await.unwrap();
    }

    /// What belongs to no namespace has the test in its name.
    pub(crate) fn name(&self, kind: Kind, name: &str) -> String {
        if kind.namespaced() { name.to_owned() } else { format!("{}-{name}", self.namespace) }
    }

    /// Names and values of the objects of a kind.
    pub(crate) async fn held(&self, kind: Kind) -> Vec<(String, String)> {
        let list = self.api(kind).list(&ListParams::default()).await.unwrap();
        let own = list
            .items
            .iter()
            .filter(|object| kind.namespaced() || object.name_any().starts_with(&self.namespace));
        let mut held: Vec<(String, String)> = own
            .filter_map(|object| Some((object.name_any(), object.labels().get("value")?.clone())))
            .collect();
        held.sort();
        held
    }

    /// A pod that is ingress-nginx, on this node.
    pub(crate) fn controller(&self) -> Value {
        json!({
            "metadata": {"labels": {"value": "controller"}},
            "spec": {
                "nodeName": self.node,
                "containers": [{"name": "controller", "image": "registry.k8s.io/ingress-nginx/controller:v1.12.1"}],
            },
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.server.is_some() {
            return;
        }
        // The runtime of the test cannot wait for itself, and the client lives in it.
        let (kubeconfig, namespace) = (self.kubeconfig.clone(), self.namespace.clone());
        let remove = async move {
            let client = client(kubeconfig).await;
            let at = DeleteParams::default();
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Namespace"));
            let _ = Api::<DynamicObject>::all_with(client.clone(), &resource).delete(&namespace, &at).await;
            let resource =
                ApiResource::from_gvk(&GroupVersionKind::gvk("networking.k8s.io", "v1", "IngressClass"));
            let classes: Api<DynamicObject> = Api::all_with(client, &resource);
            for class in classes.list(&ListParams::default()).await.into_iter().flat_map(|list| list.items) {
                if class.name_any().starts_with(&namespace) {
                    let _ = classes.delete(&class.name_any(), &at).await;
                }
            }
        };
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _ = std::thread::spawn(move || runtime().block_on(remove)).join();
    }
}

/// Waits for a condition of what other threads do.
pub(crate) async fn wait(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A client for whoever the kubeconfig names.
pub(crate) async fn client(kubeconfig: Kubeconfig) -> Client {
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// An object of a kind that an API server takes, with a value that can be told apart.
fn object(kind: Kind, value: &str) -> Value {
    let mut object = match kind {
        Kind::Ingress => {
            json!({"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}})
        }
        Kind::IngressClass => json!({"spec": {"controller": "example.com/none"}}),
        Kind::Service => json!({"spec": {"ports": [{"port": 80}]}}),
        Kind::EndpointSlice => json!({"addressType": "IPv4", "endpoints": [], "ports": []}),
        Kind::Pod => {
            json!({"spec": {"nodeName": "elsewhere", "containers": [{"name": "c", "image": "example.com/i"}]}})
        }
        other => unreachable!("{other} is not served"),
    };
    object["metadata"] = json!({"labels": {"value": value}});
    object
}
