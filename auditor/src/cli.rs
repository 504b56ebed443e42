//! Raw arguments: what a person may type. Nothing is checked here but the shape; [`crate::config`] makes sense of it.

use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::attribute::routes::Dialect;
use crate::config::{LogLevel, Overrides};
use crate::route::{Asked, Header, Url};
use crate::target::Target;

const EXAMPLES: &str = "\
Examples:
  What works on this machine, and what to do about the rest:
      auditor check
  Which TLS code a controller runs, and whether it is covered:
      auditor check --port 443
  Audit nginx; events on standard output, one JSON object a line:
      auditor run --unit nginx.service
  Audit whatever listens on port 80, and name the Ingress rules:
      auditor run --port 80 --manifests ./manifests
  Audit the ingress controllers on a node of a Kubernetes cluster (as a DaemonSet: deploy/node):
      auditor node --node-name worker-1
  Everything from a file:
      auditor run --config /etc/auditor.yaml
  The same events from a capture file:
      auditor replay traffic.pcapng --listen 80
  Which rule a request falls under, step by step:
      auditor route --manifests ./manifests GET https://shop.example.com/cart -H 'X-Canary: always'
  The same of TLS, with the secrets that a client or the server logged:
      auditor replay traffic.pcapng --listen 443 --key-log keys.log

Exit codes:
  0  done, or asked to stop
  1  failed; the reason is on standard error
  2  wrong arguments or configuration; nothing was attached";

/// Audits every HTTP request that reaches the services behind an ingress controller, from the kernel: who asked, what
/// was asked, which Ingress rule, Service and backend served it, and how it ended. The controller is not changed.
#[derive(Debug, Parser)]
#[command(name = "auditor", version, after_help = EXAMPLES, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Audit a controller on this machine until stopped, and write events to standard output
    ///
    /// Needs Linux 5.10 or newer with cgroup v2, and root or `CAP_BPF`, `CAP_NET_ADMIN` and `CAP_PERFMON`: ask `auditor check`. Exactly one
    /// of --cgroup, --unit, --pid and --port says which controller, unless the configuration has `targets`.
    Run(RunArgs),
    /// Audit the ingress controllers among the pods of this node of a Kubernetes cluster
    ///
    /// They are found by the API server, as are the objects that their routes are known by. Needs what `run` needs, the node's
    /// processes in view (`hostPID`), and the rights in deploy/node. Without a kubeconfig, it is the pod's service account
    /// that asks.
    Node(NodeArgs),
    /// Make the same events from a capture file (pcap or pcapng)
    ///
    /// Needs no rights. The same files give the same events, whenever and wherever. TLS is read with the secrets of a key log
    /// (--key-log), and with those that a pcapng file holds (decryption secrets blocks; `editcap --inject-secrets tls,FILE`
    /// puts them in), wherever in it they stand; where the capture comes from a pipe, only from there on.
    Replay(ReplayArgs),
    /// Print the JSON Schema (draft 2020-12) of the events
    Schema,
    /// Say what of this machine works with the auditor, what does not, and what to do
    ///
    /// With a controller, named as for `run`, also which TLS code each of its processes runs, and whether its secrets can be read.
    Check(CheckArgs),
    /// Say which rule a request falls under, and why, from manifests alone
    ///
    /// Reads Ingress, Gateway API (Gateway, `HTTPRoute`, `GRPCRoute`, `TLSRoute`, `ReferenceGrant`), Traefik's `IngressRoute`
    /// and Contour's `HTTPProxy`, and shows each listener, host and rule that was looked at. Nothing is sent. The dialect that Ingresses are
    /// read in is that of the class's controller, unless --controller or the configuration says it.
    Route(RouteArgs),
    /// Decode what a parent that attaches hands over on standard input. Started by `run`; gives up all rights.
    #[command(hide = true)]
    Decode,
    /// Watch the API server for a parent that attaches, on standard input. Started by `node`; gives up all rights.
    #[command(hide = true)]
    Watch,
}

/// What `run` and `replay` share.
#[derive(Debug, Args)]
pub struct Common {
    /// Configuration, YAML; arguments win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Kubernetes objects as YAML files (Ingress, Service, Pod, ...), to name routes and backends by
    #[arg(long, value_name = "DIR")]
    pub manifests: Option<PathBuf>,
    /// Name of this node in the events [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Name of the cluster in the events
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// How much to log on standard error [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<LogLevel>,
}

/// `auditor run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What it shares with `replay`.
    #[command(flatten)]
    pub common: Common,
    /// The controller.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `auditor node`.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Configuration, YAML; arguments win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of this node, as its pods' `spec.nodeName` has it [default: `node` of the configuration, or the host's name]
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub node_name: Option<String>,
    /// How to reach the API server [default: as the pod's service account]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Name of the cluster in the events
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// How much to log on standard error [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<LogLevel>,
}

/// Which controller: at most one.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct TargetArgs {
    /// A cgroup v2 directory (not the root)
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<PathBuf>,
    /// A systemd unit: nginx.service
    #[arg(long, value_name = "NAME")]
    pub unit: Option<String>,
    /// The cgroup of this process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Option<u32>,
    /// The cgroup of the process that listens on this TCP port
    #[arg(long, value_name = "PORT")]
    pub port: Option<NonZeroU16>,
}

/// `auditor replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The capture
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What it shares with `run`.
    #[command(flatten)]
    pub common: Common,
    /// Secrets of TLS connections, as SSLKEYLOGFILE has curl, browsers and others write them (NSS key log); may be given again
    #[arg(long, value_name = "FILE")]
    pub key_log: Vec<PathBuf>,
    /// A TCP port that the controller listens on; may be given again [default: whoever answers a SYN listens]
    #[arg(long, value_name = "PORT")]
    pub listen: Vec<NonZeroU16>,
}

/// `auditor check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Configuration, YAML, whose `targets` are looked at
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The controller.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// `auditor route`.
#[derive(Debug, Args)]
pub struct RouteArgs {
    /// Configuration, YAML
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Kubernetes objects as YAML files; the configuration's `manifests` without
    #[arg(long, value_name = "DIR")]
    pub manifests: Option<PathBuf>,
    /// Read Ingresses as this controller does
    #[arg(long, value_name = "NAME", value_parser = dialects())]
    pub controller: Option<String>,
    /// A field of the request, 'Name: value'; may be given again
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub headers: Vec<Header>,
    /// Form of the answer
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// The method
    #[arg(value_name = "METHOD")]
    pub method: String,
    /// The URL: http or https, host, path and query
    #[arg(value_name = "URL")]
    pub url: Url,
}

fn dialects() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(Dialect::ALL.map(Dialect::as_str))
}

impl RouteArgs {
    /// What they lay over the configuration, with the file's path; what is asked; and the form of the answer.
    #[must_use]
    pub fn split(self) -> (Common, Option<Dialect>, Asked, Output) {
        let common =
            Common { config: self.config, manifests: self.manifests, node: None, cluster: None, log: None };
        let dialect = self.controller.and_then(|name| name.parse().ok());
        let asked = Asked { method: self.method, url: self.url, headers: self.headers };
        (common, dialect, asked, self.output)
    }
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl TargetArgs {
    /// The one that was given, with its argument's name.
    fn target(self) -> Option<(Target, &'static str)> {
        let Self { cgroup, unit, pid, port } = self;
        cgroup
            .map(|path| (Target::Cgroup(path), "--cgroup"))
            .or(unit.map(|name| (Target::Unit(name), "--unit")))
            .or(pid.map(|pid| (Target::Pid(pid), "--pid")))
            .or(port.map(|port| (Target::Port(port.get()), "--port")))
    }
}

impl CheckArgs {
    /// What they lay over the configuration, with the file's path, and the form of the answer.
    #[must_use]
    pub fn split(self) -> (Common, TargetArgs, Output) {
        let common = Common { config: self.config, manifests: None, node: None, cluster: None, log: None };
        (common, self.target, self.output)
    }
}

impl Common {
    /// What these arguments lay over the configuration, with the file's path.
    #[must_use]
    pub fn split(self, target: Option<TargetArgs>) -> (Option<PathBuf>, Overrides) {
        let overrides = Overrides {
            node: self.node.map(|name| (name, "--node")),
            cluster: self.cluster,
            target: target.and_then(TargetArgs::target),
            manifests: self.manifests,
            kubeconfig: None,
            log: self.log,
        };
        (self.config, overrides)
    }
}

impl NodeArgs {
    /// What these arguments lay over the configuration, with the file's path.
    #[must_use]
    pub fn split(self) -> (Option<PathBuf>, Overrides) {
        let overrides = Overrides {
            node: self.node_name.map(|name| (name, "--node-name")),
            cluster: self.cluster,
            target: None,
            manifests: None,
            kubeconfig: self.kubeconfig,
            log: self.log,
        };
        (self.config, overrides)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[track_caller]
    fn check(arguments: &str, is_right: bool) {
        let parsed = Cli::try_parse_from(arguments.split(' '));
        assert_eq!(parsed.is_ok(), is_right, "{parsed:?}");
    }

    #[test]
    fn arguments() {
        Cli::command().debug_assert();
        check("auditor run --unit nginx.service --node n1 --cluster prod --log debug", true);
        check("auditor run --config a.yaml --manifests b --port 80", true);
        check("auditor run", true);
        check("auditor run --pid 1 --port 80", false);
        check("auditor run --cgroup /a --cgroup /b", false);
        check("auditor run --pid 0", false);
        check("auditor run --port 0", false);
        check("auditor run --port 65536", false);
        check("auditor run --log loud", false);
        check("auditor replay a.pcap --listen 80 --listen 8080", true);
        check("auditor replay a.pcap --key-log a.log --key-log b.log --listen 443", true);
        check("auditor replay a.pcap --key-log", false);
        check("auditor replay", false);
        check("auditor replay a.pcap --pid 1", false);
        check("auditor check --output json", true);
        check("auditor check --output yaml", false);
        check("auditor check --port 443 --output json", true);
        check("auditor check --config a.yaml", true);
        check("auditor check --port 443 --pid 1", false);
        check("auditor route --manifests a GET http://a.b/c", true);
        check("auditor route GET http://a.b/c -H A:b --header C:d --controller traefik --output json", true);
        check("auditor route GET a.b", false);
        check("auditor route http://a.b", false);
        check("auditor route GET http://a.b -H A", false);
        check("auditor route GET http://a.b --controller apache", false);
        check("auditor schema", true);
        check("auditor decode", true);
        check("auditor watch", true);
        check("auditor node", true);
        check("auditor node --config a.yaml --node-name n1 --kubeconfig k --cluster prod --log debug", true);
        check("auditor node --port 80", false);
        check("auditor", false);
    }

    #[test]
    fn help_shows_every_command_but_the_hidden_one() {
        let help = Cli::command().render_long_help().to_string();
        for shown in ["run", "node", "replay", "schema", "check", "route", "Examples:", "Exit codes:"] {
            assert!(help.contains(shown), "{shown}");
        }
        let commands = Cli::command();
        let hidden: Vec<&str> =
            commands.get_subcommands().filter(|of| of.is_hide_set()).map(|of| of.get_name()).collect();
        assert_eq!(hidden, ["decode", "watch"]);
        assert!(!help.contains("decode"));
    }
}
