//! From what was written to what is valid: bounds, forms, and the arguments over the file.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_saphyr::{Location, Spanned};

use super::file::{Field, Raw, RawLimits, RawTarget};
use super::{
    Config, ConfigError, ControllerLabels, DefaultBackend, Limits, LogLevel, Management, Overrides, Problem,
    Site,
};
use crate::target::Target;

/// Most bytes of a name.
const MAX_NAME: usize = 253;
/// Most bytes of a path.
const MAX_PATH: usize = 4096;
/// A page of every kernel that is supported, x86-64 and arm64 (64 KiB pages).
const MIN_RING: u32 = 64 << 10;

type Result<T> = std::result::Result<T, ConfigError>;

pub(super) fn validate(file: &Path, raw: Raw, overrides: Overrides, host_name: &str) -> Result<Config> {
    let check = Checker { file };
    let node = check.name(overrides.node, "--node", raw.node, "node")?;
    let controller = raw.controller;
    let targets = match overrides.target {
        Some((target, argument)) => {
            let site = Site::Argument(argument);
            match target_in_form(target) {
                Ok(target) => vec![(target, site)],
                Err(problem) => return Err(ConfigError::Value { site, problem }),
            }
        }
        None => check.targets(raw.targets)?,
    };
    Ok(Config {
        node: node.unwrap_or_else(|| host_name.to_owned()),
        cluster: check.name(overrides.cluster, "--cluster", raw.cluster, "cluster")?,
        controller: ControllerLabels {
            kind: check.text(controller.kind, "controller.kind")?,
            namespace: check.text(controller.namespace, "controller.namespace")?,
            pod: check.text(controller.pod, "controller.pod")?,
            container: check.text(controller.container, "controller.container")?,
        },
        targets,
        manifests: check.manifests(overrides.manifests, raw.manifests)?,
        ingress_class: check.text(raw.ingress_class, "ingress_class")?,
        default_backend: check.default_backend(raw.default_backend)?,
        trusted: check.plain("trusted", raw.trusted, |value| {
            value.parse().map_err(|_| Problem::NotANetwork { value })
        })?,
        management: Management {
            ports: check.plain("management.ports", raw.management.ports, port)?,
            paths: check.plain("management.paths", raw.management.paths, absolute)?,
        },
        query_allow: check.plain("query.allow", raw.query.allow, |value| text(value, MAX_NAME))?,
        limits: check.limits(raw.limits)?,
        poll_interval_ms: check.number32(raw.poll_interval_ms, "poll_interval_ms", 1..=1000, 5)?,
        output_queue: check.number32(raw.output_queue, "output_queue", 1..=65_536, 256)?,
        user: check.user(raw.user)?,
        log: overrides.log.or(raw.log.map(|level| level.value)).unwrap_or(LogLevel::Info),
    })
}

struct Checker<'a> {
    file: &'a Path,
}

impl Checker<'_> {
    fn site(&self, key: &str, location: Location) -> Site {
        Site::File { file: self.file.to_path_buf(), line: location.line(), key: key.to_owned() }
    }

    fn fail(&self, key: &str, location: Location) -> impl FnOnce(Problem) -> ConfigError {
        let site = self.site(key, location);
        |problem| ConfigError::Value { site, problem }
    }

    fn text(&self, field: Field<String>, key: &str) -> Result<Option<String>> {
        let Some(field) = field else { return Ok(None) };
        text(field.value, MAX_NAME).map(Some).map_err(self.fail(key, field.referenced))
    }

    fn name(
        &self,
        given: Option<String>,
        argument: &'static str,
        field: Field<String>,
        key: &str,
    ) -> Result<Option<String>> {
        let field = self.text(field, key)?;
        let given = given.map(|value| text(value, MAX_NAME)).transpose();
        Ok(given.map_err(|problem| ConfigError::Value { site: Site::Argument(argument), problem })?.or(field))
    }

    fn number32(
        &self,
        field: Field<u64>,
        key: &str,
        range: RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32> {
        let Some(Spanned { value, referenced, .. }) = field else { return Ok(default) };
        let (min, max) = range.into_inner();
        let checked = in_range(value, min.into(), max.into()).map_err(self.fail(key, referenced))?;
        Ok(u32::try_from(checked).unwrap_or(max))
    }

    fn plain<T, U>(
        &self,
        key: &str,
        list: Vec<Spanned<T>>,
        make: impl Fn(T) -> std::result::Result<U, Problem>,
    ) -> Result<Vec<U>> {
        let make = |(n, item): (usize, Spanned<T>)| {
            make(item.value).map_err(self.fail(&format!("{key}[{n}]"), item.referenced))
        };
        list.into_iter().enumerate().map(make).collect()
    }

    fn targets(&self, list: Vec<Spanned<RawTarget>>) -> Result<Vec<(Target, Site)>> {
        let make = |(n, item): (usize, Spanned<RawTarget>)| {
            let key = format!("targets[{n}]");
            self.raw_target(item.value, self.site(&key, item.referenced), &key)
        };
        list.into_iter().enumerate().map(make).collect()
    }

    fn raw_target(&self, raw: RawTarget, site: Site, key: &str) -> Result<(Target, Site)> {
        let RawTarget { cgroup, unit, pid, port: number } = raw;
        let at = |name: &str, location| self.site(&format!("{key}.{name}"), location);
        let (target, site) = match (cgroup, unit, pid, number) {
            (Some(path), None, None, None) => {
                (Ok(Target::Cgroup(path.value.into())), at("cgroup", path.referenced))
            }
            (None, Some(unit), None, None) => (Ok(Target::Unit(unit.value)), at("unit", unit.referenced)),
            (None, None, Some(pid), None) => {
                let valid = in_range(pid.value, 1, u64::from(u32::MAX));
                let target = valid.map(|pid| Target::Pid(u32::try_from(pid).unwrap_or(u32::MAX)));
                (target, at("pid", pid.referenced))
            }
            (None, None, None, Some(number)) => {
                (port(number.value).map(Target::Port), at("port", number.referenced))
            }
            (cgroup, unit, pid, number) => {
                let named = [cgroup.is_some(), unit.is_some(), pid.is_some(), number.is_some()];
                let count = named.into_iter().filter(|is_there| *is_there).count();
                (Err(Problem::NotOneTarget { count }), site)
            }
        };
        match target.and_then(target_in_form) {
            Ok(target) => Ok((target, site)),
            Err(problem) => Err(ConfigError::Value { site, problem }),
        }
    }

    fn manifests(&self, given: Option<PathBuf>, field: Field<String>) -> Result<Option<PathBuf>> {
        let (path, site) = match (given, field) {
            (Some(path), _) => (path, Site::Argument("--manifests")),
            (None, Some(field)) => {
                // A path in a file is relative to that file, wherever the program is started.
                let beside = self.file.parent().unwrap_or(Path::new(""));
                (beside.join(field.value), self.site("manifests", field.referenced))
            }
            (None, None) => return Ok(None),
        };
        if path.is_dir() {
            Ok(Some(path))
        } else {
            Err(ConfigError::Value { site, problem: Problem::NotADirectory(path) })
        }
    }

    fn default_backend(&self, field: Field<String>) -> Result<Option<DefaultBackend>> {
        let Some(Spanned { value, referenced, .. }) = field else { return Ok(None) };
        let parts = value.split_once('/').and_then(|(namespace, rest)| {
            let (service, port) = rest.split_once(':')?;
            let parts = [namespace, service, port];
            let is_name = |part: &&str| {
                !part.is_empty()
                    && part.len() <= MAX_NAME
                    && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
            };
            parts.iter().all(is_name).then(|| parts.map(str::to_owned))
        });
        match parts {
            Some([namespace, service, port]) => Ok(Some(DefaultBackend { namespace, service, port })),
            None => Err(self.fail("default_backend", referenced)(Problem::NotAService { value })),
        }
    }

    fn user(&self, field: Field<u64>) -> Result<u32> {
        match field {
            Some(field) if field.value == 0 => Err(self.fail("user", field.referenced)(Problem::Root)),
            // The largest number means "no change" to setuid(2).
            field => self.number32(field, "user", 1..=u32::MAX - 1, 65_534),
        }
    }

    fn limits(&self, raw: RawLimits) -> Result<Limits> {
        let default = Limits::default();
        let ring_place = raw.ring_bytes.as_ref().map(|field| field.referenced);
        let held_place = match (&raw.held_bytes_per_connection, &raw.held_bytes) {
            (Some(field), _) => Some(("limits.held_bytes_per_connection", field.referenced)),
            (None, Some(field)) => Some(("limits.held_bytes", field.referenced)),
            (None, None) => None,
        };
        let limits = Limits {
            ring_bytes: self.number32(
                raw.ring_bytes,
                "limits.ring_bytes",
                MIN_RING..=1 << 30,
                default.ring_bytes,
            )?,
            max_connections: self.number32(
                raw.max_connections,
                "limits.max_connections",
                1..=4 << 20,
                default.max_connections,
            )?,
            held_bytes_per_connection: self.number32(
                raw.held_bytes_per_connection,
                "limits.held_bytes_per_connection",
                4096..=64 << 20,
                default.held_bytes_per_connection,
            )?,
            held_bytes: self.number32(
                raw.held_bytes,
                "limits.held_bytes",
                4096..=1 << 30,
                default.held_bytes,
            )?,
            request_window: self.number32(
                raw.request_window,
                "limits.request_window",
                1024..=1 << 20,
                default.request_window,
            )?,
            response_window: self.number32(
                raw.response_window,
                "limits.response_window",
                1024..=1 << 20,
                default.response_window,
            )?,
        };
        if let (Some(place), false) = (ring_place, limits.ring_bytes.is_power_of_two()) {
            let problem = Problem::NotPowerOfTwo { value: limits.ring_bytes.into() };
            return Err(self.fail("limits.ring_bytes", place)(problem));
        }
        let (one, all) = (limits.held_bytes_per_connection, limits.held_bytes);
        if let (Some((key, place)), true) = (held_place, one > all) {
            let problem = Problem::AboveTotal { one: one.into(), all: all.into() };
            return Err(self.fail(key, place)(problem));
        }
        Ok(limits)
    }
}

fn in_range(value: u64, min: u64, max: u64) -> std::result::Result<u64, Problem> {
    if (min..=max).contains(&value) { Ok(value) } else { Err(Problem::OutOfRange { value, min, max }) }
}

fn port(value: u64) -> std::result::Result<u16, Problem> {
    in_range(value, 1, u64::from(u16::MAX)).map(|port| u16::try_from(port).unwrap_or(u16::MAX))
}

fn text(value: String, max: usize) -> std::result::Result<String, Problem> {
    if (1..=max).contains(&value.len()) && !value.contains(char::is_control) {
        return Ok(value);
    }
    Err(Problem::BadText { value: value.chars().take(32).collect(), max })
}

fn absolute(value: String) -> std::result::Result<String, Problem> {
    let value = text(value, MAX_PATH)?;
    if value.starts_with('/') { Ok(value) } else { Err(Problem::NotAbsolute { value }) }
}

fn target_in_form(target: Target) -> std::result::Result<Target, Problem> {
    match target {
        Target::Cgroup(path) if !path.is_absolute() => {
            Err(Problem::NotAbsolute { value: path.display().to_string() })
        }
        Target::Unit(value) => {
            let has_suffix = [".service", ".scope", ".slice"].iter().any(|suffix| value.ends_with(suffix));
            if has_suffix && !value.contains('/') {
                Ok(Target::Unit(value))
            } else {
                Err(Problem::NotAUnit { value })
            }
        }
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

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
            "auditor.yaml:2: nod: unknown field `nod`, expected one of node, cluster, controller, targets, manifests, ingress_class, default_backend, trusted, management, query, limits, poll_interval_ms, output_queue, user, log",
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
        check(
            "poll_interval_ms: -5\n",
            "auditor.yaml:1: poll_interval_ms: must be a whole number, not below 0",
        );
        check(
            "limits: {ring_bytes: 100000}\n",
            "auditor.yaml:1: limits.ring_bytes: 100000 is not a power of two",
        );
        check(
            "limits: {ring_bytes: 4096}\n",
            "auditor.yaml:1: limits.ring_bytes: 4096 is not between 65536 and 1073741824",
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
        check(
            "node: \"\"\n",
            "auditor.yaml:1: node: \"\" must have 1 to 253 bytes and no control characters",
        );
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
        check(
            "targets:\n  - port: 65536\n",
            "auditor.yaml:2: targets[0].port: 65536 is not between 1 and 65535",
        );
        check(
            "targets:\n  - unit: nginx\n",
            "auditor.yaml:2: targets[0].unit: \"nginx\" is not a systemd unit: it must end with .service, .scope or .slice, and have no slash",
        );
        check(
            "targets:\n  - cgroup: a/b\n",
            "auditor.yaml:2: targets[0].cgroup: \"a/b\" must start with a slash",
        );
        check("manifests: nowhere\n", "auditor.yaml:1: manifests: nowhere is not a directory");
        check(
            "default_backend: web\n",
            "auditor.yaml:1: default_backend: \"web\" is not NAMESPACE/SERVICE:PORT",
        );
        check(
            "trusted: [10.0.0.0/8,\n  10.0.0.0/33]\n",
            "auditor.yaml:2: trusted[1]: \"10.0.0.0/33\" is not an IP address or a network (10.0.0.0/8, 2001:db8::/32)",
        );
        check(
            "management:\n  ports: [0]\n",
            "auditor.yaml:2: management.ports[0]: 0 is not between 1 and 65535",
        );
        check(
            "management:\n  paths: [healthz]\n",
            "auditor.yaml:2: management.paths[0]: \"healthz\" must start with a slash",
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
default_backend: shop/web:http
trusted: [10.0.0.0/8, '::1']
management: {ports: [10254], paths: [/healthz]}
query: {allow: [page]}
limits:
  ring_bytes: 65536
  max_connections: 10
  held_bytes_per_connection: 4096
  held_bytes: 8192
  request_window: 2048
  response_window: 1024
poll_interval_ms: 1000
output_queue: 3
user: 1000
log: debug
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
            default_backend: Some(DefaultBackend {
                namespace: "shop".into(),
                service: "web".into(),
                port: "http".into(),
            }),
            trusted: vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()],
            management: Management { ports: vec![10254], paths: vec!["/healthz".into()] },
            query_allow: vec!["page".into()],
            limits: Limits {
                ring_bytes: 65536,
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
        };
        assert_eq!(config, expected);

        let overrides = Overrides {
            node: Some("n2".into()),
            cluster: Some("test".into()),
            target: Some((Target::Port(81), "--port")),
            manifests: Some(place.0.path().into()),
            log: Some(LogLevel::Error),
        };
        let config = place.load(text, overrides).unwrap();
        let expected = Config {
            node: "n2".into(),
            cluster: Some("test".into()),
            targets: vec![(Target::Port(81), Site::Argument("--port"))],
            manifests: Some(place.0.path().into()),
            log: LogLevel::Error,
            ..expected
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let without = Config::load(None, Overrides::default(), "host").unwrap();
        assert_eq!((without.node.as_str(), without.poll_interval_ms, without.user), ("host", 5, 65_534));
        assert_eq!(without.limits, Limits::default());
        assert!(matches!(without.require_targets(), Err(ConfigError::NoTarget)));
        let place = Place(TempDir::new().unwrap());
        for text in ["", "# nothing\n", "{}\n", "targets: []\n"] {
            assert_eq!(place.load(text, Overrides::default()).unwrap(), without, "{text:?}");
        }
    }

    #[test]
    fn bad_arguments_and_files_that_cannot_be_read() {
        let place = Place(TempDir::new().unwrap());
        let node = Overrides { node: Some(String::new()), ..Overrides::default() };
        assert_eq!(place.error("", node), "--node: \"\" must have 1 to 253 bytes and no control characters");
        let unit = Overrides { target: Some((Target::Unit("a".into()), "--unit")), ..Overrides::default() };
        let message = "--unit: \"a\" is not a systemd unit: it must end with .service, .scope or .slice, and have no slash";
        assert_eq!(place.error("", unit), message);

        let load =
            |path: &Path| Config::load(Some(path), Overrides::default(), "host").unwrap_err().to_string();
        let message = load(Path::new("/no/such/file.yaml"));
        assert_eq!(message, "/no/such/file.yaml: cannot be read: No such file or directory (os error 2)");
        let file = place.0.path().join("f");
        std::fs::write(&file, b"node: \xff\n").unwrap();
        assert!(load(&file).ends_with("f: cannot be read: stream did not contain valid UTF-8"));
        std::fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
        assert!(load(&file).ends_with("f: is larger than 1048576 bytes"));
    }
}
