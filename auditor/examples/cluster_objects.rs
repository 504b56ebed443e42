//! Measures what the objects of a large cluster cost: 10,000 Ingresses with 50,000 paths, 5,000 Services with their slices,
//! and 5,000 Pods: `cargo run --release --example cluster_objects`.

use std::time::{Duration, Instant};

use auditor::attribute::Attribution;
use auditor::attribute::index::Index;
use auditor::attribute::manifests::Kind;
use auditor::attribute::routes::{Options, Routes};
use auditor::attribute::store::{Applied, Change, Name, Store};
use serde_json::value::RawValue;
use serde_json::{Value, json};

const INGRESSES: usize = 10_000;
const OTHERS: usize = 5_000;
const ROUNDS: usize = 21;

fn main() -> anyhow::Result<()> {
    let before = resident()?;
    let started = Instant::now();
    let mut store = Store::default();
    let mut bytes = 0;
    for kind in Kind::ALL {
        store.apply(Change::Begun(kind));
        let count = match kind {
            Kind::Ingress => INGRESSES,
            Kind::IngressClass | Kind::Service | Kind::EndpointSlice | Kind::Pod => OTHERS,
            // A cluster of Ingresses.
            _ => 0,
        };
        for number in 0..count {
            // As it comes: in a message.
            let message = serde_json::to_string(&change(kind, number, "a")?)?;
            bytes += message.len();
            store.apply(serde_json::from_str(&message)?);
        }
        store.apply(Change::Listed(kind));
    }
    store.take_changed();
    println!(
        "{} objects, {bytes} bytes, kept in {:?}: {} MiB",
        store.size().0,
        started.elapsed(),
        resident()? - before
    );
    let started = Instant::now();
    let made = Attribution::new(store.objects(), &Options::default());
    println!("the first table in {:?}: {} MiB with the objects", started.elapsed(), resident()? - before);
    // What a change of a kind has made anew (`run::objects`).
    for kind in [Kind::Ingress, Kind::EndpointSlice] {
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            let message = serde_json::to_string(&change(kind, round * 31, &round.to_string())?)?;
            let started = Instant::now();
            let applied = store.apply(serde_json::from_str(&message)?);
            if store.take_changed().routes {
                drop(Routes::new(store.objects(), &Options::default()));
            } else {
                drop(Index::new(store.objects()));
            }
            rounds.push(started.elapsed());
            anyhow::ensure!(applied == Applied::Changed, "the change is one");
        }
        rounds.sort_unstable();
        let (least, median) = (rounds.first(), rounds.get(ROUNDS / 2));
        println!(
            "a change of one {kind}: {:?} (median {:?})",
            least.unwrap_or(&Duration::ZERO),
            median.unwrap_or(&Duration::ZERO)
        );
    }
    println!("{} MiB at the end, with {} objects", resident()? - before, store.size().0);
    drop(made);
    Ok(())
}

fn change(kind: Kind, number: usize, value: &str) -> anyhow::Result<Change> {
    let name = format!("{}-{number}", kind.name().to_lowercase());
    let namespace = format!("team-{}", number % 100);
    let service = format!("service-{}", number % OTHERS);
    let address = format!("10.{}.{}.{}", 64 + number / 62_500, number / 250 % 250, number % 250 + 1);
    let path = |part: usize| json!({"path": format!("/app/part{part}"), "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"name": "http"}}}});
    let mut object = match kind {
        Kind::Ingress => json!({"spec": {"ingressClassName": "ingressclass-0", "rules": [
            {"host": format!("host{number}.example.com"), "http": {"paths": (0..5).map(path).collect::<Vec<Value>>()}},
        ]}}),
        Kind::IngressClass => json!({"spec": {"controller": "k8s.io/ingress-nginx"}}),
        Kind::Service => {
            json!({"spec": {"clusterIP": address, "selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
        }
        Kind::EndpointSlice => json!({
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": format!("pod-{number}"), "namespace": namespace}}],
        }),
        Kind::Pod => json!({
            "spec": {"containers": [{"name": "app", "ports": [{"name": "http", "containerPort": 8080}]}]},
            "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
        }),
        other => anyhow::bail!("there is no {other} here"),
    };
    let labels =
        json!({"app": name, "team": namespace, "value": value, "kubernetes.io/service-name": service});
    let metadata = json!({"name": name, "namespace": namespace, "uid": format!("{number:08x}-0000-4000-8000-000000000000"), "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"});
    if let Some(fields) = object.as_object_mut() {
        fields.insert("metadata".to_owned(), metadata);
    }
    let namespace = if kind.namespaced() { namespace } else { String::new() };
    Ok(Change::Is {
        kind,
        name: Name { namespace, name },
        object: RawValue::from_string(object.to_string())?,
    })
}

/// What this process has in memory, MiB.
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.and_then(|line| line.split_whitespace().next());
    Ok(words.unwrap_or_default().parse::<u64>()? / 1024)
}
