//! A server that fails: the rest goes on, nothing is lost, nothing is invented, and what is wrong is told.

use std::time::Duration;

use auditor::attribute::manifests::Kind;
use auditor::attribute::watch::{Pace, Trouble};
use harness::api_server::{Asked, Fault, On, Rules, Verb};
use kube::config::Kubeconfig;
use serde_json::json;

use crate::cluster::{self, Cluster, KINDS};
use crate::watcher::{Watcher, fast};

const INGRESSES: &str = "ingresses.networking.k8s.io";

/// A cluster with some objects and a controller, and a watcher that knows them.
async fn known(pace: Pace) -> (Cluster, Watcher) {
    let cluster = Cluster::own().await;
    for kind in KINDS {
        cluster.put(kind, "a", "1").await;
        cluster.put(kind, "b", "1").await;
    }
    cluster.put_as(Kind::Pod, "controller", cluster.controller()).await;
    let mut watcher = Watcher::start(&cluster, pace);
    watcher.until("all lists", |watcher| watcher.store.is_known()).await;
    watcher.agree(&cluster).await;
    (cluster, watcher)
}

fn put(cluster: &Cluster, kind: Kind, name: &str, value: &str) {
    let mut object = json!({
        "apiVersion": kind.api_versions()[0], "kind": kind.name(),
        "metadata": {"name": cluster.name(kind, name), "namespace": cluster.namespace, "labels": {"value": value}},
    });
    if kind == Kind::EndpointSlice {
        object["addressType"] = "IPv4".into();
        object["endpoints"] = json!([]);
    }
    if kind == Kind::Pod {
        object["spec"] = json!({"nodeName": "elsewhere", "containers": []});
    }
    cluster.server().put(object).unwrap();
}

/// Whatever fails, and however often: when it is over, the objects are those of the server.
#[tokio::test]
async fn nothing_is_lost_and_nothing_is_invented() {
    let on = |verb| On { verb, ..On::default() };
    for (on, fault) in [
        (on(None), Fault::Status(500)),
        (on(None), Fault::TooMany(1)),
        (on(None), Fault::Status(403)),
        (on(None), Fault::Hang),
        (on(None), Fault::HangAfterHead),
        (on(None), Fault::Garbage),
        (on(Some(Verb::List)), Fault::Status(410)),
        (on(Some(Verb::Watch)), Fault::Status(410)),
        (on(Some(Verb::Watch)), Fault::GoneEvent),
        (on(Some(Verb::Watch)), Fault::HalfEvent),
        (on(Some(Verb::Watch)), Fault::CloseAfter(Duration::ZERO)),
        (on(Some(Verb::Watch)), Fault::CloseAfter(Duration::from_millis(10))),
        (on(Some(Verb::Watch)), Fault::HangAfterHead),
    ] {
        let (cluster, mut watcher) = known(fast()).await;
        cluster.server().fail(on, fault.clone());
        cluster.server().close_watches();
        for kind in KINDS {
            put(&cluster, kind, "a", "2");
        }
        let asked = cluster.server().asked().len();
        cluster.asked_until("some requests that fail", |all| all.len() > asked + 12).await;
        let plural = ["pods", "services", "ingresses", "ingressclasses", "endpointslices"];
        for (kind, plural) in
            [Kind::Pod, Kind::Service, Kind::Ingress, Kind::IngressClass, Kind::EndpointSlice]
                .into_iter()
                .zip(plural)
        {
            put(&cluster, kind, "c", "1");
            cluster.server().delete(plural, Some(&cluster.namespace), &cluster.name(kind, "b")).unwrap();
        }
        // What was told stays until something else is known.
        assert!(watcher.store.is_known(), "{fault:?}");
        cluster.server().heal();
        watcher.agree(&cluster).await;
        watcher.until("no problem", |watcher| watcher.problems.is_empty()).await;
        assert_eq!(watcher.controllers.len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn what_is_forbidden_is_told_and_the_rest_goes_on() {
    let (cluster, mut watcher) = known(fast()).await;
    cluster.server().fail(On { plural: Some("ingresses"), ..On::default() }, Fault::Status(403));
    cluster.server().close_watches();
    watcher.until("the problem", |watcher| watcher.problems.contains_key(INGRESSES)).await;
    assert_eq!(watcher.problems[INGRESSES].trouble, Trouble::Forbidden);
    put(&cluster, Kind::Service, "c", "1");
    put(&cluster, Kind::Ingress, "c", "1");
    watcher.until("the Service", |watcher| watcher.held(Kind::Service).len() == 3).await;
    assert_eq!((watcher.held(Kind::Ingress).len(), watcher.store.is_known()), (2, true));
    cluster.server().heal();
    watcher.agree(&cluster).await;
    watcher.until("no problem", |watcher| watcher.problems.is_empty()).await;
    let told: Vec<bool> = watcher.told.iter().map(|(_, problem)| problem.is_some()).collect();
    assert_eq!(told, [true, false], "{:?}", watcher.told);
}

#[tokio::test]
async fn of_what_was_never_allowed_nothing_is_known() {
    let cluster = Cluster::own().await;
    let rules: Rules = serde_json::from_value(json!([
        {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["ingressclasses"], "verbs": ["list", "watch"]},
    ]))
    .unwrap();
    cluster.server().allow("node", rules);
    cluster.put(Kind::Service, "a", "1").await;
    cluster.put_as(Kind::Pod, "controller", cluster.controller()).await;
    let kubeconfig = Kubeconfig::read_from(cluster.server().kubeconfig("node").unwrap()).unwrap();
    let mut watcher = Watcher::as_user(&cluster, cluster::client(kubeconfig).await, fast());
    watcher.until("the problem", |watcher| watcher.problems.contains_key(INGRESSES)).await;
    watcher.agree(&cluster).await;
    assert!(!watcher.store.is_known());
    cluster.server().allow("node", Rules::all());
    watcher.until("all lists", |watcher| watcher.store.is_known() && watcher.problems.is_empty()).await;
}

/// Every cluster serves it: whoever says otherwise is another server, or something between, and nothing is taken to be known by it.
#[tokio::test]
async fn what_every_cluster_serves_is_missed() {
    let (cluster, mut watcher) = known(fast()).await;
    cluster.server().unserve("ingressclasses");
    let name = "ingressclasses.networking.k8s.io";
    watcher.until("the problem", |watcher| watcher.problems.contains_key(name)).await;
    assert!(watcher.store.is_known());
    let class = harness::api_server::Resource::new(
        "networking.k8s.io",
        "v1",
        "ingressclasses",
        "IngressClass",
        false,
    );
    cluster.server().serve(class);
    cluster.put(Kind::IngressClass, "d", "1").await;
    watcher.agree(&cluster).await;
    watcher.until("no problem", |watcher| watcher.problems.is_empty()).await;
}

/// Of a kind in several versions the newest that is served is watched, also where that changes.
#[tokio::test]
async fn an_older_version_is_watched_where_there_is_no_newer() {
    let grants = |version| {
        let group = "gateway.networking.k8s.io";
        harness::api_server::Resource::new(group, version, "referencegrants", "ReferenceGrant", true)
    };
    let (cluster, mut watcher) = known(fast()).await;
    assert_eq!(watcher.held(Kind::ReferenceGrant), []);
    for version in ["v1beta1", "v1"] {
        cluster.server().serve(grants(version));
        let grant = json!({
            "apiVersion": format!("gateway.networking.k8s.io/{version}"), "kind": "ReferenceGrant",
            "metadata": {"name": "a", "namespace": cluster.namespace, "labels": {"value": version}},
            "spec": {"from": [], "to": []},
        });
        cluster.server().put(grant).unwrap();
        let expected = [("a".to_owned(), version.to_owned())];
        watcher.until(version, |watcher| watcher.held(Kind::ReferenceGrant) == expected).await;
        cluster.server().unserve("referencegrants");
        watcher.until("none", |watcher| watcher.held(Kind::ReferenceGrant).is_empty()).await;
        assert!(watcher.store.is_known() && watcher.told.is_empty());
    }
}

/// Versions expire while a watch is down: what was deleted meanwhile is told by no watch any more.
#[tokio::test]
async fn what_is_deleted_while_away_is_gone() {
    let (cluster, mut watcher) = known(fast()).await;
    let services = On { plural: Some("services"), ..On::default() };
    cluster.server().fail(services, Fault::Status(500));
    cluster.server().close_watches();
    watcher.until("the problem", |watcher| watcher.problems.contains_key("services")).await;
    cluster.server().delete("services", Some(&cluster.namespace), "a").unwrap();
    put(&cluster, Kind::Service, "c", "1");
    cluster.server().expire();
    cluster.server().heal();
    watcher.agree(&cluster).await;
    watcher.until("no problem", |watcher| watcher.problems.is_empty()).await;
}

#[tokio::test]
async fn a_server_that_ends_every_watch_at_once_is_not_pestered() {
    let pace = Pace { between: Duration::from_millis(200), most: Duration::from_millis(400), ..fast() };
    let (cluster, mut watcher) = known(pace).await;
    // In two seconds, of seven watches: ten each; or eight with pauses that double up to the longest, of which at least half is
    // kept, and eight more with that, each with a list.
    for (fault, most) in [
        (Fault::CloseAfter(Duration::ZERO), 7 * 11),
        (Fault::GoneEvent, 7 * 2 * 17),
        (Fault::Garbage, 7 * 2 * 17),
    ] {
        cluster.server().fail(On { verb: Some(Verb::Watch), ..On::default() }, fault.clone());
        let before = cluster.server().asked().len();
        cluster.server().close_watches();
        let begun = tokio::time::Instant::now();
        let limit = begun + Duration::from_secs(2);
        // As long as the test looks on, news are taken.
        tokio::select! {
            () = watcher.until("the end of the world", |_| false) => {}
            () = tokio::time::sleep_until(limit) => {}
        }
        // Kinds that are not served are asked for all the time, with the longest pause.
        let asked = cluster.server().asked();
        let asked = asked.iter().skip(before).filter(|asked| asked.status != 404).count();
        assert!((12..=most).contains(&asked), "{fault:?}: {asked}");
        cluster.server().heal();
    }
    watcher.agree(&cluster).await;
}

#[tokio::test]
async fn the_pause_that_the_server_asks_for_is_kept() {
    let pace = Pace { most: Duration::from_secs(3), ..fast() };
    let (cluster, mut watcher) = known(pace).await;
    let once = On { plural: Some("services"), verb: Some(Verb::Watch), times: Some(1) };
    cluster.server().fail(once, Fault::TooMany(1));
    cluster.server().close_watches();
    put(&cluster, Kind::Service, "c", "1");
    watcher.agree(&cluster).await;
    let is_watch = |asked: &&Asked| asked.resource == "services" && asked.verb == Verb::Watch;
    let again =
        |all: &[Asked]| all.iter().skip_while(|asked| asked.status != 429).filter(is_watch).count() > 1;
    cluster.asked_until("another watch", again).await;
    let asked = cluster.server().asked();
    let mut after =
        asked.iter().skip_while(|asked| asked.status != 429).filter(|asked| asked.resource == "services");
    let (refused, next) = (after.next().unwrap(), after.find(|asked| asked.verb == Verb::Watch).unwrap());
    assert!(next.at - refused.at >= Duration::from_secs(1), "{:?}", next.at - refused.at);
}
