//! Pods on a node of a cluster: nginx in cgroups as the kubelet makes them, its objects served by an API server.

mod bed;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::api_server::{Fault, On, Rules, Verb};
use harness::auditor::{AuditorProcess, Output};
use harness::compare::same_requests;
use harness::curl::{self, Transfer};
use harness::entry::LogEntry;
use harness::event::{Controller, Event, Request};
use harness::wait;
use nix::sys::signal::{Signal, kill};

use self::bed::{Cluster, HOST, NODE_TOKEN, Pod, Running};

const LIMIT: Duration = Duration::from_secs(20);
/// How long a change of an object may take to be in force.
const IN_FORCE: Duration = Duration::from_secs(1);

/// Waits until a pod is attached to, or no longer.
fn wait_for(auditor: &mut AuditorProcess, what: &str, pod: &Pod) -> Result<()> {
    let cgroup = pod.uid();
    let event = auditor.wait_for_event(&format!("{what} of {}", pod.name()), LIMIT, |event| {
        event.coverage() == Some(what)
            && event.text("/subject/cgroup").is_some_and(|path| path.contains(&cgroup))
    });
    let event = event.with_context(|| auditor.log())?;
    ensure!(event.text("/controller/pod") == Some(pod.name()), "{event:?}");
    Ok(())
}

/// Waits until the objects are known.
fn known(auditor: &mut AuditorProcess) -> Result<()> {
    let is_it =
        |event: &Event| event.coverage() == Some("reload") && event.text("/subject/resource").is_none();
    auditor.wait_for_event("the objects to be known", LIMIT, is_it).with_context(|| auditor.log())?;
    Ok(())
}

/// What holds for every request: it is in the log of the pod that its event names, and judged by the objects.
fn judge(output: &Output, logs: &BTreeMap<String, Vec<LogEntry>>) -> Result<()> {
    let events = output.requests()?;
    let all: Vec<LogEntry> = logs.values().flatten().cloned().collect();
    same_requests(&events, &all).with_context(|| output.coverage().unwrap_or_default())?;
    for event in &events {
        ensure!(event.observation.complete, "not whole: {event:?}");
        let controller = event.controller.clone().context("no controller")?;
        let expected = Controller {
            kind: Some("ingress-nginx".to_owned()),
            namespace: Some("ingress".to_owned()),
            pod: controller.pod.clone(),
            container: Some("controller".to_owned()),
        };
        ensure!(controller == expected, "controller of {event:?}");
        let pod = controller.pod.context("no pod")?;
        let own = logs.get(&pod).with_context(|| format!("no pod {pod}"))?;
        ensure!(
            own.iter().any(|entry| entry.request_id == event.http.request.id),
            "{pod} did not serve {event:?}"
        );
    }
    let upstream = output.upstream()?;
    ensure!(upstream.is_empty(), "requests that no client's request explains: {upstream:?}");
    Ok(())
}

/// The Service that the route names, the pod that served, and whether they agree.
fn seen(event: &Request) -> (Option<&str>, Option<&str>, Option<&str>) {
    let pod = event.backend.as_ref().and_then(|backend| backend.pod.as_deref());
    (event.service(), pod, event.agrees.as_deref())
}

fn get(path: &str, id: &str) -> Transfer {
    Transfer::get(format!("http://{HOST}{path}"), id)
}

#[test]
fn a_pod_is_audited_from_its_first_connection() -> Result<()> {
    let cluster = Cluster::new("found")?;
    let mut auditor = cluster.audit()?;
    cluster.wait_watched(&["pods"])?;
    // As on a node: the API server tells of it, the kubelet makes its cgroup, and after a while something runs there.
    let pod = cluster.pod("controller-1", 11, false)?;
    wait_for(&mut auditor, "attach", &pod)?;
    known(&mut auditor)?;
    let running = pod.run(&cluster)?;
    let responses =
        curl::run(running.address(), &[get("/hello", "r1"), get("/api/x", "r2"), get("/none", "r3")])?;
    ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    let logs = BTreeMap::from([("controller-1".to_owned(), running.stop(&cluster)?)]);
    wait_for(&mut auditor, "detach", &pod)?;
    let output = auditor.stop()?;
    judge(&output, &logs)?;
    for event in output.requests()? {
        let is_api = event.http.request.path.as_deref() == Some("/api/x");
        let expected = if is_api { ("api", "api-0") } else { ("shop", "shop-0") };
        ensure!(seen(&event) == (Some(expected.0), Some(expected.1), Some("yes")), "{event:?}");
        let route = event.route.as_ref().context("no route")?;
        ensure!(
            route.name.as_deref() == Some("web") && route.namespace.as_deref() == Some("shop"),
            "{event:?}"
        );
    }
    // Its connections are accounted for before it is told that it is gone.
    let last =
        output.lines().iter().position(|line| line.contains("\"what\":\"detach\"")).context("no detach")?;
    let connections = output.of_kind("connection")?.len();
    let before =
        output.lines().iter().take(last).filter(|line| line.contains("\"kind\":\"connection\"")).count();
    ensure!(connections > 0 && before == connections, "{before} of {connections} connections before the end");
    Ok(())
}

/// Whatever it asks for is allowed by the role that is deployed, and nothing that is allowed is not asked for.
#[test]
fn the_role_allows_what_is_asked_for_and_no_more() -> Result<()> {
    let cluster = Cluster::new("role")?;
    let mut auditor = cluster.audit()?;
    cluster.wait_watched(&["pods"])?;
    let pod = cluster.pod("controller-1", 11, true)?;
    wait_for(&mut auditor, "attach", &pod)?;
    known(&mut auditor)?;
    let all = [
        "endpointslices.discovery.k8s.io",
        "gatewayclasses.gateway.networking.k8s.io",
        "gateways.gateway.networking.k8s.io",
        "grpcroutes.gateway.networking.k8s.io",
        "httpproxies.projectcontour.io",
        "httproutes.gateway.networking.k8s.io",
        "ingressclasses.networking.k8s.io",
        "ingresses.networking.k8s.io",
        "ingressroutes.traefik.io",
        "namespaces",
        "pods",
        "pods",
        "referencegrants.gateway.networking.k8s.io",
        "services",
        "tlsroutes.gateway.networking.k8s.io",
    ];
    cluster.wait_watched(&all)?;
    let output = auditor.stop()?;
    let asked = cluster.server.asked();
    let own: Vec<_> = asked.iter().filter(|asked| asked.token.as_deref() == Some(NODE_TOKEN)).collect();
    ensure!(own.iter().all(|asked| asked.status == 200), "refused: {own:?}");
    let mut pairs: Vec<String> =
        own.iter().map(|asked| format!("{} {}", asked.verb.name(), asked.resource)).collect();
    pairs.sort();
    pairs.dedup();
    ensure!(pairs == bed::role()?.pairs(), "asked for {pairs:?}");
    // Pods of the whole cluster are asked for after there was a controller.
    let first = own.first().context("nothing was asked")?;
    ensure!(first.verb == Verb::List && first.query.contains_key("fieldSelector"), "{first:?}");
    ensure!(!output.coverage()?.contains("not_covered"), "{}", output.coverage()?);
    Ok(())
}

/// Requests to a server, over and over, until told to stop; their number.
fn load(server: std::net::SocketAddr, name: &str, stop: &AtomicBool) -> Result<usize> {
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        let id = |number: usize| format!("{name}-{round}-{number}");
        let transfers: Vec<Transfer> = (0..20)
            .map(|number| get(if number % 2 == 0 { "/hello" } else { "/api/x" }, &id(number)))
            .collect();
        let responses = curl::run(server, &transfers)?;
        ensure!(responses.iter().all(|response| response.status == 200), "{name}: {responses:?}");
        round += 1;
    }
    Ok(round * 20)
}

/// Adds, moves and removes pods, and changes a route; gives when that was, and when it was in force.
fn under_load<'s, 'p>(
    scope: &'s Scope<'s, '_>,
    cluster: &Cluster,
    auditor: &mut AuditorProcess,
    logs: &mut BTreeMap<String, Vec<LogEntry>>,
    [stop_a, stop_b, stop_c]: [&'s AtomicBool; 3],
    (a, b): (Running<'p>, Running<'p>),
) -> Result<[String; 2]> {
    let begin = |running: &Running<'_>, name: &'static str, stop: &'s AtomicBool| {
        let address = running.address();
        scope.spawn(move || load(address, name, stop))
    };
    let end = |load: ScopedJoinHandle<'_, Result<usize>>, stop: &AtomicBool| {
        stop.store(true, Ordering::Relaxed);
        load.join().map_err(|_| anyhow::anyhow!("a load panicked"))?
    };
    let (load_a, load_b) = (begin(&a, "a", stop_a), begin(&b, "b", stop_b));
    // One is added.
    let third = cluster.pod("c", 13, false)?;
    wait_for(auditor, "attach", &third)?;
    let c = third.run(cluster)?;
    let load_c = begin(&c, "c", stop_c);
    // The Ingress is changed, which nginx does not know of: the declared Service is another from then on.
    let begun = bed::now();
    cluster.route_api_to("other")?;
    std::thread::sleep(IN_FORCE);
    let in_force = bed::now();
    // One is moved: the same name at the same address, and another pod.
    end(load_b, stop_b)?;
    let mut log = b.stop(cluster)?;
    let again = cluster.pod("b", 12, false)?;
    wait_for(auditor, "attach", &again)?;
    let b = again.run(cluster)?;
    let responses = curl::run(b.address(), &[get("/hello", "b-again"), get("/api/x", "b-again-api")])?;
    ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    log.extend(b.stop(cluster)?);
    logs.insert("b".to_owned(), log);
    // One is removed.
    end(load_a, stop_a)?;
    logs.insert("a".to_owned(), a.stop(cluster)?);
    end(load_c, stop_c)?;
    logs.insert("c".to_owned(), c.stop(cluster)?);
    wait_for(auditor, "detach", &third)?;
    Ok([begun, in_force])
}

#[test]
fn pods_come_and_go_and_routes_change_under_load() -> Result<()> {
    let cluster = Cluster::new("load")?;
    let mut auditor = cluster.audit()?;
    let mut logs: BTreeMap<String, Vec<LogEntry>> = BTreeMap::new();
    let (first, second) = (cluster.pod("a", 11, false)?, cluster.pod("b", 12, false)?);
    wait_for(&mut auditor, "attach", &first)?;
    wait_for(&mut auditor, "attach", &second)?;
    known(&mut auditor)?;
    let (a, b) = (first.run(&cluster)?, second.run(&cluster)?);
    let stops: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];
    let [stop_a, stop_b, stop_c] = &stops;
    let [begun, in_force] = std::thread::scope(|scope| {
        let done = under_load(scope, &cluster, &mut auditor, &mut logs, [stop_a, stop_b, stop_c], (a, b));
        // Whatever happened, the loads end.
        stops.iter().for_each(|stop| stop.store(true, Ordering::Relaxed));
        done
    })?;
    let output = auditor.stop()?;
    judge(&output, &logs)?;
    let (mut before, mut after) = (0, 0);
    for event in output.requests()? {
        if event.http.request.path.as_deref() != Some("/api/x") {
            ensure!(seen(&event) == (Some("shop"), Some("shop-0"), Some("yes")), "{event:?}");
            continue;
        }
        let (old, new) =
            ((Some("api"), Some("api-0"), Some("yes")), (Some("other"), Some("api-0"), Some("no")));
        if event.time > in_force {
            ensure!(seen(&event) == new, "judged by what was before: {event:?}");
            after += 1;
        } else if event.time < begun {
            // It may have ended, and been judged, after the change.
            ensure!([old, new].contains(&seen(&event)), "{event:?}");
            before += usize::from(seen(&event) == old);
        } else {
            ensure!([old, new].contains(&seen(&event)), "{event:?}");
        }
    }
    ensure!(before > 20 && after > 20, "{before} requests before the change, {after} after");
    Ok(())
}

/// The API server is away, and then the process that watches it is: the auditing goes on, by what was known.
#[test]
fn the_auditing_goes_on_without_the_api_server() -> Result<()> {
    let cluster = Cluster::new("away")?;
    let mut auditor = cluster.audit()?;
    let pod = cluster.pod("a", 11, false)?;
    wait_for(&mut auditor, "attach", &pod)?;
    known(&mut auditor)?;
    let running = pod.run(&cluster)?;
    cluster.server.fail(On::default(), Fault::Status(500));
    cluster.server.close_watches();
    let unavailable = |event: &Event| event.text("/reason") == Some("api_unavailable");
    let event = auditor.wait_for_event("the trouble", LIMIT, unavailable)?;
    let resource = event.text("/subject/resource").context("no resource")?.to_owned();
    let ask = |id: &str| -> Result<()> {
        let responses =
            curl::run(running.address(), &[get("/hello", id), get("/api/x", &format!("{id}-api"))])?;
        ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
        Ok(())
    };
    ask("away")?;
    cluster.server.heal();
    let again = |event: &Event| {
        event.coverage() == Some("reload") && event.text("/subject/resource") == Some(&resource)
    };
    auditor.wait_for_event("the end of the trouble", Duration::from_secs(60), again)?;
    kill(auditor.watcher()?, Signal::SIGKILL)?;
    let failed =
        |event: &Event| event.coverage() == Some("not_covered") && event.text("/reason") == Some("failed");
    auditor.wait_for_event("the loss", LIMIT, failed)?;
    ask("killed")?;
    let before = cluster.server.asked().len();
    wait::until("another process that watches", LIMIT, || {
        Ok((cluster.server.asked().len() > before + 6).then_some(()))
    })?;
    cluster.route_api_to("other")?;
    std::thread::sleep(IN_FORCE);
    ask("back")?;
    let logs = BTreeMap::from([("a".to_owned(), running.stop(&cluster)?)]);
    wait_for(&mut auditor, "detach", &pod)?;
    let output = auditor.stop()?;
    judge(&output, &logs)?;
    for event in output.requests()? {
        let id = event.http.request.id.clone().context("no id")?;
        let expected = match id.as_str() {
            "back-api" => (Some("other"), Some("api-0"), Some("no")),
            id if id.ends_with("-api") => (Some("api"), Some("api-0"), Some("yes")),
            _ => (Some("shop"), Some("shop-0"), Some("yes")),
        };
        ensure!(seen(&event) == expected, "{event:?}");
    }
    Ok(())
}

/// A node whose API server refuses everything says so; one without a kubeconfig that can be read does not begin.
#[test]
fn a_node_that_may_not_ask_says_so() -> Result<()> {
    let cluster = Cluster::new("forbidden")?;
    cluster.server.allow(NODE_TOKEN, Rules::default());
    let mut auditor = cluster.audit()?;
    let forbidden = |event: &Event| event.text("/reason") == Some("forbidden");
    let event = auditor.wait_for_event("the refusal", LIMIT, forbidden)?;
    ensure!(event.text("/subject/resource") == Some("pods of this node"), "{event:?}");
    auditor.stop()?;
    let mut command = Command::new(harness::auditor::binary()?);
    let output =
        command.args(["node", "--kubeconfig"]).arg(cluster.server.directory().join("none")).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(error.contains("the kubeconfig cannot be used"), "{error}");
    Ok(())
}
