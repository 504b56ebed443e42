//! The store against a map, and what it does with what it cannot use.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn name(kind: Kind, name: &str) -> Name {
    Name { namespace: if kind.namespaced() { "n".to_owned() } else { String::new() }, name: name.to_owned() }
}

fn object(kind: Kind, of: &str, label: &str) -> Change {
    let Name { namespace, name } = name(kind, of);
    let mut object = json!({"metadata": {"name": name, "labels": {"v": label}}});
    if kind.namespaced() {
        object["metadata"]["namespace"] = namespace.clone().into();
    }
    if kind == Kind::EndpointSlice {
        object["addressType"] = "IPv4".into();
        object["endpoints"] = json!([]);
    }
    if kind == Kind::IngressClass {
        object["spec"] = json!({"controller": label});
    }
    is(kind, Name { namespace, name }, &object)
}

fn is(kind: Kind, name: Name, object: &Value) -> Change {
    Change::Is { kind, name, object: RawValue::from_string(object.to_string()).unwrap() }
}

/// Names and labels of all objects of a kind.
fn held(store: &Store, kind: Kind) -> BTreeMap<String, String> {
    macro_rules! of {
        ($list:expr) => {
            $list
                .iter()
                .map(|object| {
                    let label = object.metadata.labels.as_ref().unwrap()["v"].clone();
                    (object.metadata.name.clone().unwrap(), label)
                })
                .collect()
        };
    }
    let objects = store.objects();
    match kind {
        Kind::Ingress => of!(objects.ingresses),
        Kind::IngressClass => of!(objects.classes),
        Kind::Service => of!(objects.services),
        Kind::EndpointSlice => of!(objects.slices),
        Kind::Pod => of!(objects.pods),
        Kind::Namespace => of!(objects.namespaces),
        Kind::GatewayClass => of!(objects.gateway_classes),
        Kind::Gateway => of!(objects.gateways),
        Kind::HttpRoute => of!(objects.http_routes),
        Kind::GrpcRoute => of!(objects.grpc_routes),
        Kind::TlsRoute => of!(objects.tls_routes),
        Kind::ReferenceGrant => of!(objects.grants),
        Kind::IngressRoute => of!(objects.ingress_routes),
        Kind::HttpProxy => of!(objects.http_proxies),
    }
}

fn listed(store: &mut Store, kind: Kind, names: &[&str]) -> Applied {
    store.apply(Change::Begun(kind));
    for name in names {
        store.apply(object(kind, name, "1"));
    }
    store.apply(Change::Listed(kind))
}

#[test]
fn nothing_is_known_before_all_that_is_needed_was_listed() {
    let mut store = Store::default();
    let needed = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Pod);
    for (place, kind) in needed.enumerate() {
        assert_eq!(listed(&mut store, kind, &["a"]), Applied::Changed);
        // One of them is unknown still, but for pods.
        assert_eq!(store.is_known(), place == Kind::ALL.len() - 2, "{kind}");
    }
    assert_eq!(store.apply(Change::Unserved(Kind::IngressClass)), Applied::Changed);
    assert!(store.is_known() && held(&store, Kind::IngressClass).is_empty());
    assert_eq!(store.apply(Change::Unwatched(Kind::Ingress)), Applied::Changed);
    assert!(!store.is_known() && held(&store, Kind::Ingress).is_empty());
    assert_eq!(store.apply(Change::Unwatched(Kind::Ingress)), Applied::Same);
}

#[test]
fn what_a_list_does_not_show_is_gone_when_it_ends() {
    let mut store = Store::default();
    let kind = Kind::Service;
    listed(&mut store, kind, &["a", "b", "c"]);
    store.apply(Change::Begun(kind));
    assert_eq!(store.apply(object(kind, "c", "1")), Applied::Same);
    assert_eq!(held(&store, kind).len(), 3);
    // The list breaks off, and begins anew.
    store.apply(Change::Begun(kind));
    store.apply(object(kind, "b", "2"));
    assert_eq!(store.apply(Change::Listed(kind)), Applied::Changed);
    assert_eq!(held(&store, kind), BTreeMap::from([("b".to_owned(), "2".to_owned())]));
    assert_eq!(listed(&mut store, kind, &[]), Applied::Changed);
    assert_eq!(listed(&mut store, kind, &[]), Applied::Same);
    assert_eq!(store.size(), (0, 0));
}

#[test]
fn what_cannot_be_used_is_not_used_as_it_was_before() {
    let kind = Kind::Ingress;
    let mut store = Store::default();
    listed(&mut store, kind, &["a", "b"]);
    let broken = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"rules": 7}});
    let refused = store.apply(is(kind, name(kind, "a"), &broken));
    assert!(matches!(refused, Applied::Refused(Refused::Invalid { .. })), "{refused:?}");
    let large = json!({"metadata": {"name": "b", "annotations": {"x": "y".repeat(MAX_OBJECT_BYTES)}}});
    let refused = store.apply(is(kind, name(kind, "b"), &large));
    assert!(matches!(refused, Applied::Refused(Refused::TooLarge { .. })), "{refused:?}");
    assert_eq!(store.size(), (0, 0));
    assert_eq!(store.apply(object(kind, "a", "3")), Applied::Changed);
}

#[test]
fn what_has_changed_is_told_apart() {
    #[track_caller]
    fn check(store: &mut Store, change: Change, routes: bool, backends: bool) {
        store.apply(change);
        assert_eq!(store.take_changed(), Changed { routes, backends });
    }
    let mut store = Store::default();
    for kind in Kind::ALL {
        let is_route = !matches!(kind, Kind::Service | Kind::EndpointSlice | Kind::Pod);
        check(&mut store, Change::Begun(kind), false, false);
        check(&mut store, object(kind, "a", "1"), is_route, !is_route);
        check(&mut store, object(kind, "a", "1"), false, false);
        check(&mut store, Change::Listed(kind), is_route, !is_route);
        check(&mut store, Change::Gone { kind, name: name(kind, "a") }, is_route, !is_route);
        check(&mut store, Change::Gone { kind, name: name(kind, "a") }, false, false);
    }
    // What is refused is not what it was.
    let broken = json!({"metadata": {"name": "a"}, "spec": 7});
    check(&mut store, is(Kind::Service, name(Kind::Service, "a"), &broken), false, true);
}

#[derive(Clone, Debug)]
enum Step {
    Put(Kind, u8, u8),
    Remove(Kind, u8),
    List(Kind, Vec<(u8, u8)>),
    Clear(Kind),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = || prop::sample::select(Kind::ALL.to_vec());
    let step = prop_oneof![
        4 => (kind(), 0..6_u8, 0..3_u8).prop_map(|(kind, name, label)| Step::Put(kind, name, label)),
        2 => (kind(), 0..6_u8).prop_map(|(kind, name)| Step::Remove(kind, name)),
        1 => (kind(), prop::collection::vec((0..6_u8, 0..3_u8), 0..5)).prop_map(|(kind, all)| Step::List(kind, all)),
        1 => kind().prop_map(Step::Clear),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #[test]
    fn it_holds_what_a_map_would(steps in steps()) {
        let mut store = Store::default();
        let mut model: BTreeMap<(Kind, String), String> = BTreeMap::new();
        for step in steps {
            let before = model.clone();
            let mut applied = Vec::new();
            match step {
                Step::Put(kind, of, label) => {
                    applied.push(store.apply(object(kind, &of.to_string(), &label.to_string())));
                    model.insert((kind, of.to_string()), label.to_string());
                    prop_assert_eq!(applied == [Applied::Changed], before != model);
                }
                Step::Remove(kind, of) => {
                    applied.push(store.apply(Change::Gone { kind, name: name(kind, &of.to_string()) }));
                    model.remove(&(kind, of.to_string()));
                    prop_assert_eq!(applied == [Applied::Changed], before != model);
                }
                Step::List(kind, all) => {
                    store.apply(Change::Begun(kind));
                    model.retain(|(other, _), _| *other != kind);
                    for (of, label) in all {
                        store.apply(object(kind, &of.to_string(), &label.to_string()));
                        model.insert((kind, of.to_string()), label.to_string());
                    }
                    store.apply(Change::Listed(kind));
                }
                Step::Clear(kind) => {
                    store.apply(Change::Unwatched(kind));
                    model.retain(|(other, _), _| *other != kind);
                }
            }
            for kind in Kind::ALL {
                let of_kind = model.iter().filter(|((other, _), _)| *other == kind);
                let expected: BTreeMap<String, String> =
                    of_kind.map(|((_, name), label)| (name.clone(), label.clone())).collect();
                prop_assert_eq!(held(&store, kind), expected);
            }
            prop_assert_eq!(store.size().0, model.len());
        }
    }
}
