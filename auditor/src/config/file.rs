//! The file as it is written: every value with its line, nothing checked but the shape.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_path_to_error::Segment;
use serde_saphyr::Spanned;

use super::error::printable;
use super::{ConfigError, LogLevel, Problem, Site};

/// A value that may be left out.
pub(super) type Field<T> = Option<Spanned<T>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    pub(super) node: Field<String>,
    pub(super) cluster: Field<String>,
    pub(super) controller: RawController,
    pub(super) targets: Vec<Spanned<RawTarget>>,
    pub(super) manifests: Field<String>,
    pub(super) kubernetes: RawKubernetes,
    pub(super) ingress_class: Field<String>,
    pub(super) dialect: Field<String>,
    pub(super) gateways: Vec<Spanned<String>>,
    pub(super) strict_prefix_matching: Field<bool>,
    pub(super) default_backend: Field<String>,
    pub(super) trusted: Vec<Spanned<String>>,
    pub(super) forwarding_headers: Vec<Spanned<String>>,
    pub(super) management: RawManagement,
    pub(super) query: RawQuery,
    pub(super) limits: RawLimits,
    pub(super) poll_interval_ms: Field<u64>,
    pub(super) output_queue: Field<u64>,
    pub(super) user: Field<u64>,
    pub(super) log: Field<LogLevel>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawController {
    pub(super) kind: Field<String>,
    pub(super) namespace: Field<String>,
    pub(super) pod: Field<String>,
    pub(super) container: Field<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTarget {
    pub(super) cgroup: Field<String>,
    pub(super) unit: Field<String>,
    pub(super) pid: Field<u64>,
    pub(super) port: Field<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawKubernetes {
    pub(super) kubeconfig: Field<String>,
    pub(super) controllers: Vec<Spanned<RawNamed>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNamed {
    pub(super) kind: Spanned<String>,
    #[serde(default)]
    pub(super) namespace: Field<String>,
    pub(super) labels: Spanned<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawManagement {
    pub(super) ports: Vec<Spanned<u64>>,
    pub(super) paths: Vec<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawQuery {
    pub(super) allow: Vec<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub(super) ring_bytes: Field<u64>,
    pub(super) max_connections: Field<u64>,
    pub(super) held_bytes_per_connection: Field<u64>,
    pub(super) held_bytes: Field<u64>,
    pub(super) request_window: Field<u64>,
    pub(super) response_window: Field<u64>,
}

pub(super) fn parse(file: &Path, text: &str) -> Result<Raw, ConfigError> {
    let mut key = String::new();
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let raw = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        serde_path_to_error::deserialize::<_, Option<Raw>>(deserializer).map_err(|error| {
            key = key_of(error.path());
            error.into_inner()
        })
    });
    raw.map(Option::unwrap_or_default).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        let site = Site::File { file: file.to_path_buf(), line, key };
        ConfigError::Value { site, problem: Problem::Parse(Box::new(error)) }
    })
}

/// The key with those above it. `value` is a layer of [`Spanned`], not a key of ours; the rest of what is left out
/// (unknown, the document itself) names nothing.
fn key_of(path: &serde_path_to_error::Path) -> String {
    let mut key = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => key.push_str(&format!("[{index}]")),
            Segment::Map { key: name } if name != "value" => {
                let dot = if key.is_empty() { "" } else { "." };
                key.push_str(dot);
                key.push_str(&printable(name));
            }
            Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    key
}
