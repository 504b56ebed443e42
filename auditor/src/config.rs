//! The validated configuration, made from one YAML file and the arguments, which win over it.
//!
//! Consumes a file's text and [`Overrides`]; produces a [`Config`] in which every value is within its bounds, or a
//! [`ConfigError`] that names the file, the line and the key (or the argument) before anything is attached. An unknown key
//! is an error. Nothing is read here but that one file.

mod error;
mod file;
mod network;
#[cfg(test)]
mod tests;
mod validate;

use std::fs::File;
use std::io::Read;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

pub use error::{ConfigError, Problem, Site};
pub use network::Network;

use crate::attribute::controllers::Named;
use crate::attribute::routes::Dialect;
use crate::decode::forwarding::ForwardingHeader;
use crate::target::Target;

/// Most bytes that a configuration file may have.
const MAX_FILE: u64 = 1 << 20;

/// Everything that can be configured, within bounds.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Config {
    /// The node's name in every event.
    pub node: String,
    /// The cluster's name in every event.
    pub cluster: Option<String>,
    /// What events say of the controller.
    pub controller: ControllerLabels,
    /// Which cgroups are audited, and where each was named.
    #[serde(skip)]
    pub targets: Vec<(Target, Site)>,
    /// Where the Kubernetes objects are, as YAML files.
    pub manifests: Option<PathBuf>,
    /// The API server that `auditor node` asks.
    pub kubernetes: Kubernetes,
    /// Only Ingresses of this class; all without one.
    pub ingress_class: Option<String>,
    /// How Ingresses are read; by the controller of their class without.
    pub dialect: Option<Dialect>,
    /// Only these Gateways; all of the served classes without.
    pub gateways: Vec<GatewayRef>,
    /// Whether Traefik compares prefixes of Ingresses by element.
    pub strict_prefix_matching: bool,
    /// Answers requests that no rule matches.
    pub default_backend: Option<DefaultBackend>,
    /// Peers whose PROXY header and forwarding header say who the client is.
    pub trusted: Vec<Network>,
    /// Which forwarding headers are asked, and in which order.
    pub forwarding_headers: Vec<ForwardingHeader>,
    /// What is not ingress traffic.
    pub management: Management,
    /// Names of query parameters whose values may be shown; all others are masked.
    pub query_allow: Vec<String>,
    /// Bounds.
    pub limits: Limits,
    /// Milliseconds between two looks at the ring.
    pub poll_interval_ms: u32,
    /// Batches of events that wait for the output.
    pub output_queue: u32,
    /// User and group that the decoding process runs as.
    pub user: u32,
    /// How much is logged.
    pub log: LogLevel,
}

/// What events say of the controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ControllerLabels {
    /// Which product.
    pub kind: Option<String>,
    /// Namespace of its pod.
    pub namespace: Option<String>,
    /// Its pod.
    pub pod: Option<String>,
    /// Its container.
    pub container: Option<String>,
}

/// A Gateway.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GatewayRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The cluster, as `auditor node` finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Kubernetes {
    /// How to reach the API server; by the pod's service account without.
    pub kubeconfig: Option<PathBuf>,
    /// Pods that carry ingress traffic and are not recognised by themselves.
    pub controllers: Vec<Named>,
}

/// A Service that answers what no rule matches.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DefaultBackend {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// Its port: a name or a number.
    pub port: String,
}

/// What is not ingress traffic: health checks, metrics, the admin API.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Management {
    /// Ports of the controller.
    pub ports: Vec<u16>,
    /// Paths, exact.
    pub paths: Vec<String>,
}

/// Bounds on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Bytes of the ring between kernel and userspace: a power of two of whole pages.
    pub ring_bytes: u32,
    /// Connections that are followed at once.
    pub max_connections: u32,
    /// Bytes of one connection that wait for a missing piece.
    pub held_bytes_per_connection: u32,
    /// Bytes of all connections that wait for a missing piece.
    pub held_bytes: u32,
    /// Bytes copied from the start of each turn of a client.
    pub request_window: u32,
    /// Bytes copied from the start of each turn of a server.
    pub response_window: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ring_bytes: 16 << 20,
            max_connections: 65_536,
            held_bytes_per_connection: 256 << 10,
            held_bytes: 32 << 20,
            request_window: 64 << 10,
            // A whole record of TLS, and some more.
            response_window: 20 << 10,
        }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Data was lost.
    Error,
    /// Something is wrong; nothing was lost.
    Warn,
    /// What a person wants to know.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl From<LogLevel> for tracing::level_filters::LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// What the arguments say; it wins over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--node` or `--node-name`, with the argument's name.
    pub node: Option<(String, &'static str)>,
    /// `--cluster`.
    pub cluster: Option<String>,
    /// `--cgroup`, `--unit`, `--pid` or `--port`, with the argument's name; replaces all of the file's targets.
    pub target: Option<(Target, &'static str)>,
    /// `--manifests`.
    pub manifests: Option<PathBuf>,
    /// `--kubeconfig`.
    pub kubeconfig: Option<PathBuf>,
    /// `--log`.
    pub log: Option<LogLevel>,
}

/// What a replay needs beside the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The capture file.
    pub capture: PathBuf,
    /// Key logs: the secrets of its TLS connections.
    pub key_logs: Vec<PathBuf>,
    /// Ports that the controller listens on; none: by who sent the first SYN.
    pub listen: Vec<NonZeroU16>,
}

impl Config {
    /// Reads the file, if there is one, and lays the arguments over it. `host_name` is the node's name where neither says.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], for the first thing that is wrong.
    pub fn load(file: Option<&Path>, overrides: Overrides, host_name: &str) -> Result<Self, ConfigError> {
        let text = match file {
            Some(path) => read(path)?,
            None => String::new(),
        };
        let path = file.unwrap_or(Path::new(""));
        let raw = if text.is_empty() { file::Raw::default() } else { file::parse(path, &text)? };
        validate::validate(path, raw, overrides, host_name)
    }

    /// The targets; at least one.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoTarget`].
    pub fn require_targets(&self) -> Result<&[(Target, Site)], ConfigError> {
        if self.targets.is_empty() { Err(ConfigError::NoTarget) } else { Ok(&self.targets) }
    }
}

impl Config {
    /// For `auditor node`, which finds its targets and its objects by the API server.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotOfTheNode`]: the file names targets or manifests.
    pub fn require_no_targets(&self) -> Result<(), ConfigError> {
        if self.targets.is_empty() && self.manifests.is_none() {
            Ok(())
        } else {
            Err(ConfigError::NotOfTheNode)
        }
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { file: path.to_path_buf(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    let read = file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if read as u64 > MAX_FILE {
        return Err(ConfigError::TooLarge { file: path.to_path_buf(), limit: MAX_FILE });
    }
    Ok(text)
}
