//! The API server of the tests, as a client of other people's making sees it: kube's.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails as a test does, by panicking")]

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use harness::api_server::{ADMIN, ApiServer, Fault, On, Resource, Rules, Verb};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, ListParams, PartialObjectMeta, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ApiResource;
use kube::core::discovery::verbs;
use kube::{Api, Client, Config, Error, ResourceExt};
use serde_json::{Value, json};

async fn client(server: &ApiServer, token: &str) -> Client {
    let path = server.kubeconfig(token).unwrap();
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

fn pod(name: &str, node: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "a"}, "spec": {"nodeName": node}})
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> u16 {
    match result {
        Err(Error::Api(status)) => status.code,
        other => panic!("{other:?}"),
    }
}

/// The type, name and version of each event, until `count` came or the watch ended.
async fn events(api: &Api<Pod>, params: &WatchParams, version: &str, count: usize) -> Vec<String> {
    let stream = api.watch(params, version).await.unwrap();
    let told = stream.take(count).map(|event| match event {
        Ok(WatchEvent::Added(pod)) => format!("added {}", pod.name_any()),
        Ok(WatchEvent::Modified(pod)) => format!("modified {}", pod.name_any()),
        Ok(WatchEvent::Deleted(pod)) => format!("deleted {}", pod.name_any()),
        Ok(WatchEvent::Bookmark(bookmark)) => format!("bookmark {}", bookmark.metadata.resource_version),
        Ok(WatchEvent::Error(status)) => format!("error {}", status.code),
        Err(_) => "failed".to_owned(),
    });
    told.collect().await
}

#[tokio::test]
async fn a_list_is_of_one_moment_however_many_pages_it_has() {
    let server = ApiServer::start().unwrap();
    for number in 0..5 {
        server.put(pod(&format!("p{number}"), if number == 2 { "n2" } else { "n1" })).unwrap();
    }
    let api: Api<Pod> = Api::all(client(&server, ADMIN).await);
    let own = ListParams::default().fields("spec.nodeName=n1").limit(3);
    let first = api.list(&own).await.unwrap();
    assert_eq!(first.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["p0", "p1", "p3"]);
    assert_eq!(first.metadata.remaining_item_count, Some(1));
    server.put(pod("p5", "n1")).unwrap();
    let token = first.metadata.continue_.unwrap();
    let rest = api.list(&own.clone().continue_token(&token)).await.unwrap();
    assert_eq!(rest.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["p4"]);
    assert_eq!(rest.metadata.resource_version, first.metadata.resource_version);
    assert_eq!(rest.metadata.continue_, None);
    server.expire();
    assert_eq!(code(api.list(&own.continue_token(&token)).await), 410);
}

#[tokio::test]
async fn a_watch_tells_each_change_after_its_version() {
    let server = ApiServer::start().unwrap();
    let api: Api<Pod> = Api::all(client(&server, ADMIN).await);
    let before = server.put(pod("p0", "n1")).unwrap();
    server.put(pod("p1", "n1")).unwrap();
    server.put(pod("p2", "n2")).unwrap();
    server.put(pod("p0", "n2")).unwrap();
    server.delete("pods", Some("a"), "p1").unwrap();
    let own = WatchParams::default().fields("spec.nodeName=n1");
    let version = before.to_string();
    assert_eq!(events(&api, &own, &version, 3).await, ["added p1", "deleted p0", "deleted p1"]);
    server.expire();
    assert_eq!(code(api.watch(&own, &version).await.map(|_| ())), 410);
}

#[tokio::test]
async fn a_watch_goes_on_over_what_expires_and_ends_when_told() {
    let server = ApiServer::start().unwrap();
    let api: Api<Pod> = Api::all(client(&server, ADMIN).await);
    let version = server.put(pod("p0", "n1")).unwrap().to_string();
    let params = WatchParams::default();
    let told = events(&api, &params, &version, 9);
    let change = async {
        while server.open_watches().is_empty() {
            tokio::task::yield_now().await;
        }
        server.expire();
        server.bookmark();
        server.put(pod("p1", "n1")).unwrap();
        server.close_watches();
    };
    let (told, ()) = tokio::join!(told, change);
    // A bookmark says the version at which it is told, which the change that follows may have moved on.
    let (bookmarks, others): (Vec<_>, Vec<_>) =
        told.into_iter().partition(|event| event.starts_with("bookmark"));
    assert_eq!((bookmarks.len(), others), (1, vec!["added p1".to_owned()]));
}

#[tokio::test]
async fn objects_are_made_changed_and_removed_over_http() {
    let server = ApiServer::start().unwrap();
    let api: Api<Service> = Api::namespaced(client(&server, ADMIN).await, "a");
    let service = |cluster_ip: &str| -> Service {
        serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": {"clusterIP": cluster_ip}})).unwrap()
    };
    let made = api.create(&PostParams::default(), &service("10.0.0.1")).await.unwrap();
    assert_eq!(code(api.create(&PostParams::default(), &service("10.0.0.1")).await), 409);
    let changed = api.replace("s", &PostParams::default(), &service("10.0.0.2")).await.unwrap();
    assert_eq!((made.uid(), made.creation_timestamp()), (changed.uid(), changed.creation_timestamp()));
    assert_ne!(made.resource_version(), changed.resource_version());
    assert_eq!(api.get("s").await.unwrap().spec.unwrap().cluster_ip.as_deref(), Some("10.0.0.2"));
    api.delete("s", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(api.get("s").await), 404);
}

#[tokio::test]
async fn who_may_do_what() {
    let server = ApiServer::start().unwrap();
    let rules: Rules =
        serde_json::from_value(json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]))
            .unwrap();
    server.allow("node", rules);
    let pods: Api<Pod> = Api::all(client(&server, "node").await);
    pods.list(&ListParams::default()).await.unwrap();
    assert_eq!(code(pods.watch(&WatchParams::default(), "0").await.map(|_| ())), 403);
    let services: Api<Service> = Api::all(client(&server, "node").await);
    assert_eq!(code(services.list(&ListParams::default()).await), 403);
    assert_eq!(
        code(Api::<Pod>::all(client(&server, "nobody").await).list(&ListParams::default()).await),
        401
    );
    let asked: Vec<String> = server
        .asked()
        .iter()
        .map(|asked| {
            format!("{} {} {}", asked.token.as_deref().unwrap_or(""), asked.verb.name(), asked.resource)
        })
        .collect();
    assert_eq!(asked, ["node list pods", "node watch pods", "node list services", "nobody list pods"]);
    assert_eq!(server.asked().iter().map(|asked| asked.status).collect::<Vec<_>>(), [200, 403, 403, 401]);
}

#[tokio::test]
async fn kinds_are_served_or_not() {
    let server = ApiServer::start().unwrap();
    let client = client(&server, ADMIN).await;
    let group = "gateway.networking.k8s.io";
    assert!(!client.list_api_groups().await.unwrap().groups.iter().any(|found| found.name == group));
    assert_eq!(code(client.list_api_group_resources("gateway.networking.k8s.io/v1").await), 404);
    server.serve(Resource::new(group, "v1", "httproutes", "HTTPRoute", true));
    let discovered = kube::discovery::group(&client, group).await.unwrap();
    let (resource, capabilities) = discovered.recommended_kind("HTTPRoute").unwrap();
    let expected = ApiResource { plural: "httproutes".to_owned(), ..resource.clone() };
    assert_eq!((resource, capabilities.supports_operation(verbs::WATCH)), (expected, true));
}

#[tokio::test]
async fn metadata_alone() {
    let server = ApiServer::start().unwrap();
    server.put(pod("p0", "n1")).unwrap();
    let api: Api<Pod> = Api::all(client(&server, ADMIN).await);
    let list = api.list_metadata(&ListParams::default()).await.unwrap();
    assert_eq!(list.items.iter().map(PartialObjectMeta::name_any).collect::<Vec<_>>(), ["p0"]);
}

#[tokio::test]
async fn faults_come_where_they_are_asked_for() {
    let server = ApiServer::start().unwrap();
    let version = server.put(pod("p0", "n1")).unwrap() - 1;
    let pods: Api<Pod> = Api::all(client(&server, ADMIN).await);
    let services: Api<Service> = Api::all(client(&server, ADMIN).await);
    let once = On { plural: Some("pods"), times: Some(1), ..On::default() };
    server.fail(once.clone(), Fault::Status(500));
    services.list(&ListParams::default()).await.unwrap();
    assert_eq!(code(pods.list(&ListParams::default()).await), 500);
    pods.list(&ListParams::default()).await.unwrap();
    server.fail(once.clone(), Fault::TooMany(7));
    let Err(Error::Api(status)) = pods.list(&ListParams::default()).await else { panic!("no failure") };
    assert_eq!((status.code, status.details.map(|details| details.retry_after_seconds)), (429, Some(7)));
    let watches = On { verb: Some(Verb::Watch), times: Some(1), ..On::default() };
    let params = WatchParams::default();
    let version = version.to_string();
    for (fault, expected) in [
        (Fault::GoneEvent, &["error 410"][..]),
        // kube takes half a line at the end of a watch for its end.
        (Fault::HalfEvent, &[]),
        (Fault::Garbage, &["failed"]),
        (Fault::CloseAfter(Duration::from_millis(50)), &["added p0"]),
    ] {
        server.fail(watches.clone(), fault.clone());
        assert_eq!(events(&pods, &params, &version, 9).await, expected, "{fault:?}");
    }
    server.fail(On { verb: Some(Verb::List), ..On::default() }, Fault::Hang);
    let limit = Duration::from_millis(200);
    tokio::time::timeout(limit, pods.list(&ListParams::default())).await.unwrap_err();
    server.heal();
    server.fail(watches, Fault::HangAfterHead);
    let mut silent = pods.watch(&params, &version).await.unwrap().boxed();
    tokio::time::timeout(limit, silent.try_next()).await.unwrap_err();
    pods.list(&ListParams::default()).await.unwrap();
}
