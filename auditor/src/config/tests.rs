//! Whole configurations: what is taken, and the exact words for what is not.

use tempfile::TempDir;

use super::*;
use crate::attribute::controllers::ControllerKind;

type Result<T> = std::result::Result<T, ConfigError>;

struct Place(TempDir);

impl Place {
    fn load(&self, text: &str, overrides: Overrides) -> Result<Config> {
        let file = self.0.path().join("auditor.yaml");
        std::fs::write(&file, text).unwrap();
        Config::load(Some(&file), overrides, "host")
    }

    fn error(&self, text: &str, overrides: Overrides) -> String {
        let error = self.load(text, overrides).unwrap_err().to_string();
        error.replace(&format!("{}/", self.0.path().display()), "")
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(Place(TempDir::new().unwrap()).error(text, Overrides::default()), expected);
}

#[test]
fn bad_files_are_named_by_file_line_and_key() {
    check(
        "node: n1\nnod: n2\n",
        "auditor.yaml:2: nod: unknown field `nod`, expected one of node, cluster, controller, targets, manifests, kubernetes, ingress_class, dialect, gateways, strict_prefix_matching, default_backend, trusted, forwarding_headers, management, query, limits, poll_interval_ms, output_queue, user, log",
    );
    check(
        "limits:\n  ring_bytes: 8388608\n  ring: 1\n",
        "auditor.yaml:3: limits.ring: unknown field `ring`, expected one of ring_bytes, max_connections, held_bytes_per_connection, held_bytes, request_window, response_window",
    );
    check(
        "limits:\n  ring_bytes: big\n",
        "auditor.yaml:2: limits.ring_bytes: must be a whole number, not below 0",
    );
    check(
        "targets:\n  - cgroup: /a\n  - unti: a.service\n",
        "auditor.yaml:3: targets[1].unti: unknown field `unti`, expected one of cgroup, unit, pid, port",
    );
    check("poll_interval_ms: 0\n", "auditor.yaml:1: poll_interval_ms: 0 is not between 1 and 1000");
    check("poll_interval_ms: 1001\n", "auditor.yaml:1: poll_interval_ms: 1001 is not between 1 and 1000");
    check("poll_interval_ms: -5\n", "auditor.yaml:1: poll_interval_ms: must be a whole number, not below 0");
    check(
        "limits: {ring_bytes: 1100000}\n",
        "auditor.yaml:1: limits.ring_bytes: 1100000 is not a power of two",
    );
    check(
        "limits: {ring_bytes: 4096}\n",
        "auditor.yaml:1: limits.ring_bytes: 4096 is not between 1048576 and 1073741824",
    );
    check(
        "limits:\n  held_bytes: 8192\n",
        "auditor.yaml:2: limits.held_bytes: one connection may hold 262144 bytes, all together 8192",
    );
    check(
        "user: 0\n",
        "auditor.yaml:1: user: must not be 0: what decodes the bytes of strangers does not run as root",
    );
    check("user: nobody\n", "auditor.yaml:1: user: must be a whole number, not below 0");
    check(
        "log: loud\n",
        "auditor.yaml:1: log: unknown variant `loud`, expected one of error, warn, info, debug, trace",
    );
    check("node: \"\"\n", "auditor.yaml:1: node: \"\" must have 1 to 253 bytes and no control characters");
    check(
        "node: \"a\\nb\"\n",
        "auditor.yaml:1: node: \"a\\nb\" must have 1 to 253 bytes and no control characters",
    );
    check("node: [a]\n", "auditor.yaml:1: node: expected string scalar");
    check(
        "targets:\n  - {}\n",
        "auditor.yaml:2: targets[0]: must have exactly one of cgroup, unit, pid, port; it has 0",
    );
    check(
        "targets:\n  - cgroup: /a\n    port: 80\n",
        "auditor.yaml:2: targets[0]: must have exactly one of cgroup, unit, pid, port; it has 2",
    );
    check("targets:\n  - port: 65536\n", "auditor.yaml:2: targets[0].port: 65536 is not between 1 and 65535");
    check(
        "targets:\n  - unit: nginx\n",
        "auditor.yaml:2: targets[0].unit: \"nginx\" is not a systemd unit: it must end with .service, .scope or .slice, and have no slash",
    );
    check(
        "targets:\n  - cgroup: a/b\n",
        "auditor.yaml:2: targets[0].cgroup: \"a/b\" must start with a slash",
    );
    check("manifests: nowhere\n", "auditor.yaml:1: manifests: nowhere is not a directory");
    check("gateways: [web]\n", "auditor.yaml:1: gateways[0]: \"web\" is not NAMESPACE/GATEWAY");
    check(
        "dialect: apache\n",
        "auditor.yaml:1: dialect: \"apache\" is not one of standard, ingress-nginx, f5-nginx, traefik, haproxytech, haproxy-ingress, contour, kong, cilium, istio",
    );
    check("default_backend: web\n", "auditor.yaml:1: default_backend: \"web\" is not NAMESPACE/SERVICE:PORT");
    check(
        "trusted: [10.0.0.0/8,\n  10.0.0.0/33]\n",
        "auditor.yaml:2: trusted[1]: \"10.0.0.0/33\" is not an IP address or a network (10.0.0.0/8, 2001:db8::/32)",
    );
    check(
        "forwarding_headers: [Forwarded, Via]\n",
        "auditor.yaml:1: forwarding_headers[1]: \"Via\" is not one of X-Forwarded-For, Forwarded, X-Real-IP",
    );
    check("management:\n  ports: [0]\n", "auditor.yaml:2: management.ports[0]: 0 is not between 1 and 65535");
    check(
        "management:\n  paths: [healthz]\n",
        "auditor.yaml:2: management.paths[0]: \"healthz\" must start with a slash",
    );
    check(
        "kubernetes:\n  controllers:\n  - {kind: apache, labels: {a: b}}\n",
        "auditor.yaml:3: kubernetes.controllers[0].kind: \"apache\" is not one of ingress-nginx, nginx-ingress, \
         nginx-gateway-fabric, traefik, haproxytech, haproxy-ingress, contour, envoy-gateway, istio, kong, apisix, \
         emissary, caddy, cilium, gateway",
    );
    check(
        "kubernetes:\n  controllers:\n  - kind: kong\n    labels: {}\n",
        "auditor.yaml:4: kubernetes.controllers[0].labels: must have at least one label: all pods would be meant",
    );
    check("node: a\nnode: b\n", "auditor.yaml:2: node is there twice");
    check("node: [\n", "auditor.yaml:1: node: expected string scalar");
    check("- node\n", "auditor.yaml:1: expected mapping start");
    check("node: a\n---\nnode: b\n", "auditor.yaml:3: there is more than one YAML document");
}

#[test]
fn everything_can_be_set() {
    let place = Place(TempDir::new().unwrap());
    std::fs::create_dir(place.0.path().join("objects")).unwrap();
    let text = "\
node: n1
cluster: prod
controller: {kind: ingress-nginx, namespace: ingress, pod: p, container: c}
targets:
  - cgroup: /sys/fs/cgroup/a
  - unit: nginx.service
  - pid: 12
  - port: 80
manifests: objects
ingress_class: nginx
dialect: traefik
gateways: [infra/gw]
strict_prefix_matching: true
default_backend: shop/web:http
trusted: [10.0.0.0/8, '::1']
forwarding_headers: [Forwarded, x-real-ip]
management: {ports: [10254], paths: [/healthz]}
query: {allow: [page]}
limits:
  ring_bytes: 1048576
  max_connections: 10
  held_bytes_per_connection: 4096
  held_bytes: 8192
  request_window: 2048
  response_window: 1024
poll_interval_ms: 1000
output_queue: 3
user: 1000
log: debug
kubernetes:
  kubeconfig: access/config
  controllers: [{kind: contour, namespace: edge, labels: {app: own}}, {kind: kong, labels: {a: b, c: d}}]
";
    let config = place.load(text, Overrides::default()).unwrap();
    let file = place.0.path().join("auditor.yaml");
    let site = |line, key: &str| Site::File { file: file.clone(), line, key: key.into() };
    let expected = Config {
        node: "n1".into(),
        cluster: Some("prod".into()),
        controller: ControllerLabels {
            kind: Some("ingress-nginx".into()),
            namespace: Some("ingress".into()),
            pod: Some("p".into()),
            container: Some("c".into()),
        },
        targets: vec![
            (Target::Cgroup("/sys/fs/cgroup/a".into()), site(5, "targets[0].cgroup")),
            (Target::Unit("nginx.service".into()), site(6, "targets[1].unit")),
            (Target::Pid(12), site(7, "targets[2].pid")),
            (Target::Port(80), site(8, "targets[3].port")),
        ],
        manifests: Some(place.0.path().join("objects")),
        ingress_class: Some("nginx".into()),
        dialect: Some(Dialect::Traefik),
        gateways: vec![GatewayRef { namespace: "infra".to_owned(), name: "gw".to_owned() }],
        strict_prefix_matching: true,
        default_backend: Some(DefaultBackend {
            namespace: "shop".into(),
            service: "web".into(),
            port: "http".into(),
        }),
        trusted: vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()],
        forwarding_headers: vec![ForwardingHeader::Forwarded, ForwardingHeader::XRealIp],
        management: Management { ports: vec![10254], paths: vec!["/healthz".into()] },
        query_allow: vec!["page".into()],
        limits: Limits {
            ring_bytes: 1_048_576,
            max_connections: 10,
            held_bytes_per_connection: 4096,
            held_bytes: 8192,
            request_window: 2048,
            response_window: 1024,
        },
        poll_interval_ms: 1000,
        output_queue: 3,
        user: 1000,
        log: LogLevel::Debug,
        kubernetes: Kubernetes {
            kubeconfig: Some(place.0.path().join("access/config")),
            controllers: vec![
                Named {
                    kind: ControllerKind::Contour,
                    namespace: Some("edge".into()),
                    labels: [("app".into(), "own".into())].into(),
                },
                Named {
                    kind: ControllerKind::Kong,
                    namespace: None,
                    labels: [("a".into(), "b".into()), ("c".into(), "d".into())].into(),
                },
            ],
        },
    };
    assert_eq!(config, expected);
    assert!(matches!(config.require_no_targets(), Err(ConfigError::NotOfTheNode)));

    let overrides = Overrides {
        node: Some(("n2".into(), "--node")),
        cluster: Some("test".into()),
        target: Some((Target::Port(81), "--port")),
        manifests: Some(place.0.path().into()),
        kubeconfig: Some("k".into()),
        log: Some(LogLevel::Error),
    };
    let config = place.load(text, overrides).unwrap();
    let expected = Config {
        node: "n2".into(),
        cluster: Some("test".into()),
        targets: vec![(Target::Port(81), Site::Argument("--port"))],
        manifests: Some(place.0.path().into()),
        kubernetes: Kubernetes { kubeconfig: Some("k".into()), ..expected.kubernetes.clone() },
        log: LogLevel::Error,
        ..expected
    };
    assert_eq!(config, expected);
}

#[test]
fn nothing_needs_to_be_set() {
    let without = Config::load(None, Overrides::default(), "host").unwrap();
    assert_eq!((without.node.as_str(), without.poll_interval_ms, without.user), ("host", 20, 65_534));
    assert_eq!(without.limits, Limits::default());
    assert!(matches!(without.require_targets(), Err(ConfigError::NoTarget)));
    assert!(without.require_no_targets().is_ok());
    let place = Place(TempDir::new().unwrap());
    for text in ["", "# nothing\n", "{}\n", "targets: []\n"] {
        assert_eq!(place.load(text, Overrides::default()).unwrap(), without, "{text:?}");
    }
}

#[test]
fn bad_arguments_and_files_that_cannot_be_read() {
    let place = Place(TempDir::new().unwrap());
    let node = Overrides { node: Some((String::new(), "--node")), ..Overrides::default() };
    assert_eq!(place.error("", node), "--node: \"\" must have 1 to 253 bytes and no control characters");
    let unit = Overrides { target: Some((Target::Unit("a".into()), "--unit")), ..Overrides::default() };
    let message =
        "--unit: \"a\" is not a systemd unit: it must end with .service, .scope or .slice, and have no slash";
    assert_eq!(place.error("", unit), message);

    let load = |path: &Path| Config::load(Some(path), Overrides::default(), "host").unwrap_err().to_string();
    let message = load(Path::new("/no/such/file.yaml"));
    assert_eq!(message, "/no/such/file.yaml: cannot be read: No such file or directory (os error 2)");
    let file = place.0.path().join("f");
    std::fs::write(&file, b"node: \xff\n").unwrap();
    assert!(load(&file).ends_with("f: cannot be read: stream did not contain valid UTF-8"));
    std::fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(load(&file).ends_with("f: is larger than 1048576 bytes"));
}
