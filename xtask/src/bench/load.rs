//! The bench's servers and its load: nginx proxying to nginx, and wrk.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use harness::cgroup::Cgroup;
use harness::curl::{self, Transfer};
use harness::manifests::{Manifests, Route};
use harness::net::Network;
use harness::process::{Process, command};
use harness::server::nginx::{Config, Nginx};
use harness::wait;

const HOST: &str = "bench.test";
const PORT: u16 = 18_080;
/// Connections that wrk keeps busy.
const CONNECTIONS: &str = "16";
const SPARE: Duration = Duration::from_secs(30);

/// An ingress, its backend, and their manifests. The servers go before their cgroups.
pub(super) struct Bed {
    _ingress: Nginx,
    _backend: Nginx,
    cgroup: Cgroup,
    _backend_cgroup: Cgroup,
    manifests: Manifests,
    network: Network,
}

impl Bed {
    /// Starts both; the ingress writes an access log or not, and is otherwise the same.
    pub(super) fn start(access_log: bool) -> Result<Self> {
        let network = Network::claim()?;
        let (ingress, backend) = (network.socket(1, PORT), network.socket(11, PORT));
        let route = Route { host: HOST, path: "/", service: "bench", backend };
        let manifests = Manifests::write("k8s.io/ingress-nginx", &[route])?;
        let backend_cgroup = Cgroup::create("bench-backend")?;
        let http = format!(
            "  keepalive_requests 100000000;\n  server {{ listen {backend} backlog=4096; location / {{ return 200 \"{}\\n\"; }} }}\n",
            "x".repeat(127)
        );
        let config = Config { http: &http, listens: &[backend], access_log: false, workers: 1 };
        let backend = Nginx::start(&backend_cgroup, &config)?;
        let cgroup = Cgroup::create("bench-ingress")?;
        let http = format!(
            "  keepalive_requests 100000000;\n  keepalive_timeout 600s;\n  \
             upstream bench {{ server {}; keepalive 64; keepalive_requests 100000000; }}\n  \
             server {{\n    listen {ingress} backlog=4096;\n    server_name {HOST};\n    \
             proxy_set_header Host $host;\n    proxy_set_header Connection \"\";\n    \
             location / {{ proxy_pass http://bench; }}\n    location = /status {{ stub_status; }}\n  }}\n",
            network.socket(11, PORT)
        );
        let config = Config { http: &http, listens: &[ingress], access_log, workers: 1 };
        let ingress = Nginx::start(&cgroup, &config)?;
        Ok(Self {
            _ingress: ingress,
            _backend: backend,
            cgroup,
            _backend_cgroup: backend_cgroup,
            manifests,
            network,
        })
    }

    /// The ingress's cgroup: only nginx runs in it.
    pub(super) fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// The directory of manifests.
    pub(super) fn manifests(&self) -> &Path {
        self.manifests.path()
    }

    /// Where the ingress listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.network.socket(1, PORT)
    }

    /// Runs wrk for so long; gives how many requests were answered, and how many a second.
    pub(super) fn load(&self, seconds: u32) -> Result<(u64, f64)> {
        let output = tempfile::NamedTempFile::new()?;
        let mut wrk = command("wrk", None);
        wrk.args(["--threads", "1", "--connections", CONNECTIONS, "--duration", &format!("{seconds}s")]);
        wrk.args(["--header", &format!("Host: {HOST}")]).arg(format!("http://{}/", self.address()));
        wrk.stdout(output.reopen()?).stderr(Stdio::inherit());
        let mut wrk = Process::spawn_as_is("wrk", &mut wrk)?;
        let limit = Duration::from_secs(u64::from(seconds)) + SPARE;
        let status = wait::until("wrk to end", limit, || wrk.try_wait())?;
        let text = fs::read_to_string(output.path())?;
        if !status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
            bail!("wrk met errors: {text}");
        }
        parse(&text).with_context(|| format!("wrk said: {text}"))
    }

    /// How many requests the ingress has handled in its life, this question included (`ngx_http_stub_status_module`).
    pub(super) fn handled(&self) -> Result<u64> {
        let mut client = harness::raw::RawClient::connect(self.address())?;
        client
            .send(format!("GET /status HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n").as_bytes())?;
        let answer = String::from_utf8(client.read_to_close()?)?;
        let numbers = answer.lines().skip_while(|line| !line.starts_with("server accepts")).nth(1);
        let handled = numbers.and_then(|line| line.split_whitespace().nth(2)?.parse().ok());
        handled.with_context(|| format!("nginx's status: {answer}"))
    }

    /// One request, to see that all is well.
    pub(super) fn try_once(&self) -> Result<()> {
        let responses = curl::run(self.address(), &[Transfer::get(format!("http://{HOST}/"), "bench")])?;
        if responses.iter().any(|response| response.status != 200) {
            bail!("the ingress does not serve: {responses:?}");
        }
        Ok(())
    }

    /// A request as wrk sends it.
    pub(super) fn request() -> String {
        format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
    }
}

/// `  81234 requests in 2.00s, 20.1MB read` and `Requests/sec:  40617.00`.
fn parse(text: &str) -> Option<(u64, f64)> {
    let count = text.lines().find(|line| line.contains(" requests in "))?.split_whitespace().next()?;
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"))?;
    Some((count.parse().ok()?, rate.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_wrk_says() {
        let text = "  2 threads\n  81234 requests in 2.00s, 20.1MB read\nRequests/sec:  40617.00\nTransfer/sec: 1MB\n";
        assert_eq!(parse(text), Some((81_234, 40_617.0)));
        assert_eq!(parse("nothing"), None);
    }
}
