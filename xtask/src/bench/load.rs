//! The bench's servers: a controller that proxies to nginx, and the load on them.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use harness::cgroup::Cgroup;
use harness::curl::{self, Transfer};
use harness::identity::Identity;
use harness::manifests::{Manifests, Route};
use harness::net::Network;
use harness::server::nginx::{Config, Nginx};

use super::client::{self, Target};
use super::ingress::{Ingress, Place};
use super::setting::Setting;

const HOST: &str = "bench.test";
const PORT: u16 = 18_080;
/// What is asked for over TLS before it is known how much the servers can do.
const FIRST: u64 = 20_000;

/// A controller, its backend, and their manifests. The servers go before their cgroups.
pub(super) struct Bed {
    ingress: Ingress,
    _backend: Nginx,
    cgroup: Cgroup,
    _backend_cgroup: Cgroup,
    manifests: Manifests,
    network: Network,
    _identity: Identity,
    setting: Setting,
    /// Requests of ours that were answered, and how many a second in the last load.
    answered: Cell<u64>,
    rate: Cell<Option<f64>>,
}

impl Bed {
    /// Starts both; the controller writes an access log or not, and is otherwise the same.
    pub(super) fn start(setting: Setting, access_log: bool) -> Result<Self> {
        let network = Network::claim()?;
        let (listen, backend) = (network.socket(1, PORT), network.socket(11, PORT));
        let route = Route { host: HOST, path: "/", service: "bench", backend };
        let manifests = Manifests::write("k8s.io/ingress-nginx", &[route])?;
        let backend_cgroup = Cgroup::create("bench-backend")?;
        let http = format!(
            "  keepalive_requests 100000000;\n  server {{ listen {backend} backlog=4096; location / {{ return 200 \"{}\\n\"; }} }}\n",
            "x".repeat(127)
        );
        let config = Config { http: &http, listens: &[backend], access_log: false, workers: 1 };
        let server = Nginx::start(&backend_cgroup, &config)?;
        let cgroup = Cgroup::create("bench-ingress")?;
        let identity = Identity::new(&[HOST])?;
        let place = Place { cgroup: &cgroup, host: HOST, listen, backend, identity: &identity };
        let ingress = Ingress::start(setting, access_log, place)?;
        Ok(Self {
            ingress,
            _backend: server,
            cgroup,
            _backend_cgroup: backend_cgroup,
            manifests,
            network,
            _identity: identity,
            setting,
            answered: Cell::new(0),
            rate: Cell::new(None),
        })
    }

    /// The controller's cgroup: nothing else runs in it.
    pub(super) fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// The controller.
    pub(super) fn ingress(&self) -> &Ingress {
        &self.ingress
    }

    /// The directory of manifests.
    pub(super) fn manifests(&self) -> &Path {
        self.manifests.path()
    }

    /// What clients ask.
    pub(super) fn target(&self) -> Target<'static> {
        Target { protocol: self.setting.protocol, host: HOST, address: self.address() }
    }

    fn address(&self) -> SocketAddr {
        self.network.socket(1, PORT)
    }

    /// Load for about so long; gives how many requests were answered, and how many a second.
    pub(super) fn load(&self, seconds: u32) -> Result<(u64, f64)> {
        let (requests, rate) = if self.setting.protocol.tls() {
            client::requests(self.target(), self.rate.get().map_or(FIRST, |rate| enough(rate, seconds)))?
        } else {
            client::busy(self.target(), seconds)?
        };
        self.answered.set(self.answered.get() + requests);
        self.rate.set(Some(rate));
        Ok((requests, rate))
    }

    /// How many requests the controller has handled in its life: over TLS what clients counted, who all waited for their
    /// answers. In the clear the client leaves in the middle of some, so nginx is asked (`ngx_http_stub_status_module`), and
    /// counts that question too.
    pub(super) fn handled(&self) -> Result<u64> {
        if self.setting.protocol.tls() {
            return Ok(self.answered.get());
        }
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
        let scheme = if self.setting.protocol.tls() { "https" } else { "http" };
        let transfer = Transfer::get(format!("{scheme}://{HOST}/"), "bench").with(&["--insecure"]);
        let responses = curl::run(self.address(), &[transfer])?;
        if responses.iter().any(|response| response.status != 200) {
            bail!("the ingress does not serve: {responses:?}");
        }
        self.answered.set(self.answered.get() + 1);
        Ok(())
    }
}

/// Requests for so many seconds at this rate.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and far below 2^52 requests"
)]
fn enough(rate: f64, seconds: u32) -> u64 {
    (rate * f64::from(seconds)).ceil() as u64
}
