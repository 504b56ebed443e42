//! The ingress of the demo and its backends: two nginx, each in a cgroup of its own, and the manifests that describe them.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use harness::cgroup::Cgroup;
use harness::identity::Identity;
use harness::net::Network;
use harness::server::nginx::{Config, Nginx};
use tempfile::TempDir;

use super::plan::{LARGE, Over, SLOW, SLOW_RATE};

/// Port of the ingress and of all backends, as the manifests have it.
pub(super) const PORT: u16 = 18_080;
/// Port of the ingress for TLS.
const TLS_PORT: u16 = 18_443;
/// What the committed manifests have where this run has its own network.
const COMMITTED_PREFIX: &str = "127.77.0.";
const MANIFESTS: [(&str, &str); 2] = [
    ("shop.yaml", include_str!("../../../deploy/demo/shop.yaml")),
    ("api.yaml", include_str!("../../../deploy/demo/api.yaml")),
];

/// Everything but the auditor. The servers go before the cgroups and the files that they use.
pub(super) struct Ingress {
    _ingress: Nginx,
    _backends: Nginx,
    cgroup: Cgroup,
    _backend_cgroup: Cgroup,
    directory: TempDir,
    _certificate: Identity,
    /// In the clear, and for TLS.
    addresses: [SocketAddr; 2],
}

impl Ingress {
    /// Starts all.
    pub(super) fn start(network: &Network) -> Result<Self> {
        let directory = TempDir::new()?;
        for (name, size) in [("slow", SLOW), ("large", LARGE)] {
            // Sparse: takes no room.
            File::create(directory.path().join(name))?.set_len(size)?;
        }
        let manifests = directory.path().join("manifests");
        fs::create_dir(&manifests)?;
        for (name, text) in MANIFESTS {
            fs::write(manifests.join(name), text.replace(COMMITTED_PREFIX, &network.prefix()))?;
        }
        let backend_cgroup = Cgroup::create("demo-backends")?;
        let listens: Vec<SocketAddr> = [11, 21, 31, 32, 41].map(|host| network.socket(host, PORT)).into();
        let http = backends(network, directory.path());
        let config = Config { http: &http, listens: &listens, access_log: false, workers: 1 };
        let backends = Nginx::start(&backend_cgroup, &config)?;
        let cgroup = Cgroup::create("demo-ingress")?;
        let certificate = Identity::new(&["shop.demo.test", "api.demo.test"])?;
        let addresses = [PORT, TLS_PORT].map(|port| network.socket(1, port));
        let http = ingress(network, addresses, certificate.directory());
        let config = Config { http: &http, listens: &addresses, access_log: false, workers: 1 };
        let ingress = Nginx::start(&cgroup, &config)?;
        Ok(Self {
            _ingress: ingress,
            _backends: backends,
            cgroup,
            _backend_cgroup: backend_cgroup,
            directory,
            _certificate: certificate,
            addresses,
        })
    }

    /// The ingress's cgroup.
    pub(super) fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// The directory of manifests.
    pub(super) fn manifests(&self) -> std::path::PathBuf {
        self.directory.path().join("manifests")
    }

    /// Where the ingress listens for what travels so.
    pub(super) fn address(&self, over: Over) -> SocketAddr {
        let [plain, tls] = self.addresses;
        if over == Over::Plain { plain } else { tls }
    }
}

fn backends(network: &Network, directory: &Path) -> String {
    let root = directory.display();
    let server = |host: u8, locations: &str| {
        format!("  server {{\n    listen {};\n{locations}  }}\n", network.socket(host, PORT))
    };
    let users = "    location / { if ($request_method = POST) { return 201 \"created\\n\"; }\n      \
                 if ($request_method = DELETE) { return 204; }\n      return 200 \"users\\n\"; }\n    \
                 location /v1/fail { return 500; }\n";
    [
        server(11, "    location / { return 200 \"storefront\\n\"; }\n"),
        server(
            21,
            "    location / { return 200 \"cart\\n\"; }\n    location /cart/missing { return 404; }\n",
        ),
        server(31, users),
        server(32, users),
        server(
            41,
            &format!(
                "    location / {{ return 200 \"reports\\n\"; }}\n    \
                 location = /reports/slow {{ alias {root}/slow; limit_rate {SLOW_RATE}; }}\n    \
                 location = /reports/large {{ alias {root}/large; }}\n"
            ),
        ),
    ]
    .concat()
}

/// As an ingress controller would have it from the manifests, by hand.
fn ingress(network: &Network, [plain, tls]: [SocketAddr; 2], certificate: &Path) -> String {
    let at = certificate.display();
    let listen = format!("listen {plain}; listen {tls} ssl http2;");
    let upstreams = [
        ("storefront", &[11_u8] as &[u8]),
        ("cart", &[21]),
        ("users", &[31, 32]),
        ("reports", &[41]),
        ("retired", &[51]),
    ]
    .iter()
    .map(|(name, hosts)| {
        let servers: String =
            hosts.iter().map(|host| format!("server {}; ", network.socket(*host, PORT))).collect();
        format!("  upstream {name} {{ {servers}keepalive 8; }}\n")
    })
    .collect::<String>();
    format!(
        "{upstreams}  ssl_certificate {at}/certificate.pem;\n  ssl_certificate_key {at}/key.pem;\n  \
         ssl_protocols TLSv1.2 TLSv1.3;\n  proxy_set_header Host $host;\n  proxy_set_header Connection \"\";\n  \
         proxy_set_header X-Request-ID $http_x_request_id;\n  proxy_set_header X-Forwarded-For $remote_addr;\n  \
         server {{ listen {plain} default_server; listen {tls} ssl http2 default_server; server_name _; return 404; }}\n  \
         server {{\n    {listen}\n    server_name shop.demo.test;\n    \
         location / {{ proxy_pass http://storefront; }}\n    location = /cart {{ proxy_pass http://cart; }}\n    \
         location /cart/ {{ proxy_pass http://cart; }}\n    \
         location /old/ {{ return 301 http://shop.demo.test/; }}\n  }}\n  \
         server {{\n    {listen}\n    server_name api.demo.test;\n    location / {{ return 404; }}\n    \
         location /v1/ {{ proxy_pass http://users; }}\n    location /v1/internal {{ return 404; }}\n    \
         location /reports/ {{ proxy_pass http://reports; }}\n    \
         location /v0/ {{ proxy_pass http://retired; }}\n  }}\n"
    )
}
