//! What a cluster has and does is followed.

use auditor::attribute::controllers::ControllerKind;
use auditor::attribute::manifests::Kind;

use harness::api_server::{ADMIN, ApiServer, Asked, Verb};

use crate::cluster::{Cluster, KINDS, wait};
use crate::watcher::{Watcher, fast};

#[tokio::test]
async fn a_node_without_a_controller_asks_for_its_own_pods_and_nothing_else() {
    let cluster = Cluster::own().await;
    cluster.put(Kind::Pod, "elsewhere", "x").await;
    let mut other = cluster.controller();
    other["spec"]["nodeName"] = "elsewhere".into();
    cluster.put_as(Kind::Pod, "other", other).await;
    let mut plain = cluster.controller();
    plain["spec"]["containers"][0]["image"] = "example.com/shop".into();
    cluster.put_as(Kind::Pod, "plain", plain).await;
    cluster.put(Kind::Ingress, "i", "x").await;
    let before = cluster.server().asked().len();
    let mut watcher = Watcher::start(&cluster, fast());
    watcher.until("the list", |watcher| watcher.complete).await;
    // Until the second watch: one has come to its end, and all that there is was told before.
    let watches = |all: &[Asked]| all.iter().filter(|asked| asked.verb == Verb::Watch).count();
    cluster.asked_until("two watches", |all| watches(all) >= 2).await;
    for asked in cluster.server().asked().iter().skip(before) {
        assert_eq!(asked.resource, "pods");
        assert_eq!(asked.query.get("fieldSelector"), Some(&format!("spec.nodeName={}", cluster.node)));
    }
    wait("one watch", || cluster.server().open_watches() == ["pods"]).await;
    // And then one comes.
    cluster.put_as(Kind::Pod, "new", cluster.controller()).await;
    watcher.until("the controller", |watcher| watcher.controllers.len() == 1).await;
    assert!(watcher.controllers.values().all(|found| found.pod == "new"));
}

#[tokio::test]
async fn objects_are_followed_while_a_controller_is_here() {
    follow(Cluster::any().await).await;
}

/// The way of a real cluster, which is given by a kubeconfig and shows nothing of itself.
#[tokio::test]
async fn a_cluster_by_its_kubeconfig() {
    let server = ApiServer::start().unwrap();
    let cluster = Cluster::by(&server.kubeconfig(ADMIN).unwrap()).await;
    let namespace = cluster.namespace.clone();
    follow(cluster).await;
    let removed =
        |asked: &Asked| asked.verb == Verb::Delete && asked.resource == "namespaces" && asked.status == 200;
    assert!(server.asked().iter().any(removed), "{namespace} is left behind");
}

async fn follow(cluster: Cluster) {
    for kind in KINDS {
        cluster.put(kind, "a", "1").await;
        cluster.put(kind, "b", "1").await;
    }
    let mut watcher = Watcher::start(&cluster, fast());
    cluster.put_as(Kind::Pod, "controller", cluster.controller()).await;
    watcher.until("all lists", |watcher| watcher.store.is_known()).await;
    let found = watcher.controllers.values().next().unwrap().clone();
    assert_eq!((found.kind, found.pod.as_str()), (ControllerKind::IngressNginx, "controller"));
    assert_eq!(
        (found.namespace.as_str(), found.container.as_deref()),
        (cluster.namespace.as_str(), Some("controller"))
    );
    watcher.agree(&cluster).await;
    for kind in KINDS {
        if kind != Kind::Pod {
            cluster.put(kind, "a", "2").await;
        }
        cluster.put(kind, "c", "1").await;
        cluster.delete(kind, "b").await;
    }
    watcher.agree(&cluster).await;
    assert_eq!((watcher.refused, watcher.told.len()), (0, 0));
    cluster.delete(Kind::Pod, "controller").await;
    watcher.until("its end", |watcher| watcher.controllers.is_empty()).await;
    watcher
        .until("nothing to be known", |watcher| !watcher.store.is_known() && watcher.store.size().0 == 0)
        .await;
    if let Some(server) = &cluster.server {
        wait("the end of the watches", || server.open_watches() == ["pods"]).await;
    }
    // It comes back.
    cluster.put_as(Kind::Pod, "controller", cluster.controller()).await;
    watcher.until("all lists", |watcher| watcher.store.is_known()).await;
    watcher.agree(&cluster).await;
}

/// A pod of a `StatefulSet` is made anew with its old name.
#[tokio::test]
async fn a_pod_that_is_made_anew_is_another() {
    let cluster = Cluster::any().await;
    let mut watcher = Watcher::start(&cluster, fast());
    cluster.put_as(Kind::Pod, "controller", cluster.controller()).await;
    watcher.until("the first", |watcher| watcher.controllers.len() == 1).await;
    let first = watcher.controllers.keys().next().unwrap().clone();
    cluster.delete(Kind::Pod, "controller").await;
    cluster.put_as(Kind::Pod, "controller", cluster.controller()).await;
    watcher
        .until("the second", |watcher| {
            watcher.controllers.len() == 1 && !watcher.controllers.contains_key(&first)
        })
        .await;
}

#[tokio::test]
async fn lists_come_in_pages() {
    let cluster = Cluster::own().await;
    for number in 0..1203 {
        let service = serde_json::json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": format!("s{number}"), "namespace": cluster.namespace, "labels": {"value": "x"}},
        });
        cluster.server().put(service).unwrap();
    }
    cluster.put_as(Kind::Pod, "controller", cluster.controller()).await;
    let mut watcher = Watcher::start(&cluster, fast());
    watcher.until("all lists", |watcher| watcher.store.is_known()).await;
    assert_eq!(watcher.held(Kind::Service).len(), 1203);
    let asked = cluster.server().asked();
    let pages: Vec<_> =
        asked.iter().filter(|asked| asked.resource == "services" && asked.verb.name() == "list").collect();
    assert_eq!(pages.len(), 3);
    assert!(pages.iter().all(|page| page.query.get("limit").map(String::as_str) == Some("500")));
}
