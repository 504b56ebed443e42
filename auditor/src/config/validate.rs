//! From what was written to what is valid: bounds, forms, and the arguments over the file.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_saphyr::{Location, Spanned};

use super::file::{Field, Raw, RawKubernetes, RawLimits, RawNamed, RawTarget};
use super::{
    Config, ConfigError, ControllerLabels, DefaultBackend, GatewayRef, Kubernetes, Limits, LogLevel,
    Management, Overrides, Problem, Site,
};
use crate::attribute::controllers::{ControllerKind, Named};
use crate::attribute::routes::Dialect;
use crate::decode::forwarding::ForwardingHeader;
use crate::target::Target;

/// Most bytes of a name.
const MAX_NAME: usize = 253;
/// Most bytes of a path.
const MAX_PATH: usize = 4096;
/// Holds the largest copies of packets, several of them.
const MIN_RING: u32 = 1 << 20;

type Result<T> = std::result::Result<T, ConfigError>;

pub(super) fn validate(file: &Path, raw: Raw, overrides: Overrides, host_name: &str) -> Result<Config> {
    let check = Checker { file };
    let (given, argument) =
        overrides.node.map_or((None, "--node"), |(name, argument)| (Some(name), argument));
    let node = check.name(given, argument, raw.node, "node")?;
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
        kubernetes: check.kubernetes(overrides.kubeconfig, raw.kubernetes)?,
        ingress_class: check.text(raw.ingress_class, "ingress_class")?,
        dialect: check.dialect(raw.dialect)?,
        gateways: check.plain("gateways", raw.gateways, gateway)?,
        strict_prefix_matching: raw.strict_prefix_matching.is_some_and(|field| field.value),
        default_backend: check.default_backend(raw.default_backend)?,
        trusted: check.plain("trusted", raw.trusted, |value| {
            value.parse().map_err(|_| Problem::NotANetwork { value })
        })?,
        forwarding_headers: match check.plain(
            "forwarding_headers",
            raw.forwarding_headers,
            forwarding_header,
        )? {
            none if none.is_empty() => ForwardingHeader::ALL.to_vec(),
            named => named,
        },
        management: Management {
            ports: check.plain("management.ports", raw.management.ports, port)?,
            paths: check.plain("management.paths", raw.management.paths, absolute)?,
        },
        query_allow: check.plain("query.allow", raw.query.allow, |value| text(value, MAX_NAME))?,
        limits: check.limits(raw.limits)?,
        poll_interval_ms: check.number32(raw.poll_interval_ms, "poll_interval_ms", 1..=1000, 20)?,
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

    fn kubernetes(&self, given: Option<PathBuf>, raw: RawKubernetes) -> Result<Kubernetes> {
        let beside = self.file.parent().unwrap_or(Path::new(""));
        let controllers = raw.controllers.into_iter().enumerate();
        let controllers =
            controllers.map(|(n, item)| self.named(item.value, &format!("kubernetes.controllers[{n}]")));
        Ok(Kubernetes {
            kubeconfig: given.or(raw.kubeconfig.map(|field| beside.join(field.value))),
            controllers: controllers.collect::<Result<_>>()?,
        })
    }

    fn named(&self, raw: RawNamed, key: &str) -> Result<Named> {
        let kind = ControllerKind::ALL.into_iter().find(|kind| kind.name() == raw.kind.value);
        let kind = kind.ok_or_else(|| {
            let known = ControllerKind::ALL.map(ControllerKind::name).join(", ");
            let value = raw.kind.value.chars().take(32).collect();
            self.fail(&format!("{key}.kind"), raw.kind.referenced)(Problem::NotAController { value, known })
        })?;
        let labels = raw.labels.value;
        if labels.is_empty() {
            return Err(self.fail(&format!("{key}.labels"), raw.labels.referenced)(Problem::NoLabels));
        }
        Ok(Named { kind, namespace: self.text(raw.namespace, &format!("{key}.namespace"))?, labels })
    }

    fn default_backend(&self, field: Field<String>) -> Result<Option<DefaultBackend>> {
        let Some(Spanned { value, referenced, .. }) = field else { return Ok(None) };
        let parts = value.split_once('/').and_then(|(namespace, rest)| {
            let (service, port) = rest.split_once(':')?;
            let parts = [namespace, service, port];
            parts.iter().all(|part| is_name(part)).then(|| parts.map(str::to_owned))
        });
        match parts {
            Some([namespace, service, port]) => Ok(Some(DefaultBackend { namespace, service, port })),
            None => Err(self.fail("default_backend", referenced)(Problem::NotAService { value })),
        }
    }

    fn dialect(&self, field: Field<String>) -> Result<Option<Dialect>> {
        let Some(Spanned { value, referenced, .. }) = field else { return Ok(None) };
        let named = value.parse().map(Some);
        named.map_err(|_| {
            self.fail("dialect", referenced)(Problem::NotADialect { value: value.chars().take(32).collect() })
        })
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

/// Names of fields are compared without case (RFC 9110, 5.1).
fn forwarding_header(value: String) -> std::result::Result<ForwardingHeader, Problem> {
    let named = ForwardingHeader::ALL.into_iter().find(|header| header.name().eq_ignore_ascii_case(&value));
    named.ok_or_else(|| Problem::NotAForwardingHeader { value: value.chars().take(32).collect() })
}

fn gateway(value: String) -> std::result::Result<GatewayRef, Problem> {
    match value.split_once('/') {
        Some((namespace, name)) if is_name(namespace) && is_name(name) => {
            Ok(GatewayRef { namespace: namespace.to_owned(), name: name.to_owned() })
        }
        _ => Err(Problem::NotAGateway { value: value.chars().take(64).collect() }),
    }
}

/// A name of a Kubernetes object.
fn is_name(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= MAX_NAME
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
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
