//! The requests of the demo, and what must be said of each.

use harness::curl::Transfer;

/// Size of the large response, bytes.
pub(super) const LARGE: u64 = 64 << 20;
/// Size of the slow response, bytes.
pub(super) const SLOW: u64 = 96 << 10;
/// How fast the slow one comes, bytes a second.
pub(super) const SLOW_RATE: u64 = 48 << 10;

/// How a session's requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// HTTP/1.1 in the clear.
    Plain,
    /// HTTP/1.1 over TLS 1.2.
    Tls12,
    /// HTTP/2 over TLS 1.3.
    Tls13,
}

impl Over {
    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "HTTP/1.1 in the clear",
            Self::Tls12 => "HTTP/1.1 over TLS 1.2",
            Self::Tls13 => "HTTP/2 over TLS 1.3",
        }
    }

    pub(super) fn scheme(self) -> &'static str {
        if self == Self::Plain { "http" } else { "https" }
    }

    /// The version of HTTP, and of TLS.
    pub(super) fn versions(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Plain => ("1.1", None),
            Self::Tls12 => ("1.1", Some("1.2")),
            Self::Tls13 => ("2", Some("1.3")),
        }
    }

    /// What was agreed on for it.
    pub(super) fn alpn(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Tls12 => Some("http/1.1"),
            Self::Tls13 => Some("h2"),
        }
    }

    /// For curl, which is not told whom to trust.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &[],
            Self::Tls12 => &["--insecure", "--tls-max", "1.2", "--http1.1"],
            Self::Tls13 => &["--insecure", "--tlsv1.3", "--http2"],
        }
    }
}

/// A request, and what its event must say.
pub(super) struct Planned {
    /// Sent as X-Request-ID: names the event.
    pub(super) id: String,
    pub(super) over: Over,
    pub(super) method: &'static str,
    pub(super) host: &'static str,
    /// With the query, if there is one.
    pub(super) target: &'static str,
    arguments: &'static [&'static str],
    pub(super) status: u16,
    /// The Service of the route; none where no rule matches.
    pub(super) service: Option<&'static str>,
    /// The last number of the addresses of the backends that may answer; none where nginx answers itself.
    pub(super) backends: &'static [u8],
}

impl Planned {
    /// The path, without the query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// For curl.
    pub(super) fn transfer(&self) -> Transfer {
        let url = format!("{}://{}{}", self.over.scheme(), self.host, self.target);
        let transfer = Transfer::get(url, &self.id).with(self.over.arguments());
        let method: &[&str] = match self.method {
            "GET" => &[],
            "HEAD" => &["--head"],
            method => &["--request", method],
        };
        transfer.with(method).with(self.arguments)
    }

    /// Whether the line is an event that bears its id.
    pub(super) fn is_named_in(&self, line: &str) -> bool {
        line.contains(&format!("\"{}\"", self.id))
    }
}

const SHOP: &str = "shop.demo.test";
const API: &str = "api.demo.test";
const STOREFRONT: (Option<&str>, &[u8]) = (Some("storefront"), &[11]);
const CART: (Option<&str>, &[u8]) = (Some("cart"), &[21]);
const USERS: (Option<&str>, &[u8]) = (Some("users"), &[31, 32]);
const REPORTS: (Option<&str>, &[u8]) = (Some("reports"), &[41]);

type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    u16,
    (Option<&'static str>, &'static [u8]),
);

/// The requests, by connection: those of one list are sent by one curl, which keeps its connection.
pub(super) fn sessions() -> Vec<Vec<Planned>> {
    let chunked: &[&str] = &["--data-binary", "a chunked body", "--header", "Transfer-Encoding: chunked"];
    let rows: [(Over, &[Row]); 11] = [
        (Over::Plain, &[("GET", SHOP, "/", &[], 200, STOREFRONT)]),
        (
            Over::Plain,
            &[
                ("GET", SHOP, "/products?page=2", &[], 200, STOREFRONT),
                ("HEAD", SHOP, "/products", &[], 200, STOREFRONT),
                ("GET", SHOP, "/cart", &[], 200, CART),
                ("POST", SHOP, "/cart/items", &["--data", "item=7&count=2"], 200, CART),
                ("GET", SHOP, "/cart/missing", &[], 404, CART),
                ("GET", SHOP, "/old/page", &[], 301, (Some("storefront"), &[])),
                ("GET", SHOP, "/", &[], 200, STOREFRONT),
            ],
        ),
        (
            Over::Plain,
            &[
                ("GET", API, "/v1/users", &[], 200, USERS),
                ("POST", API, "/v1/users", &["--json", r#"{"name":"ann"}"#], 201, USERS),
                ("PUT", API, "/v1/users/7", chunked, 200, USERS),
                ("DELETE", API, "/v1/users/7", &[], 204, USERS),
                ("GET", API, "/v1/fail", &[], 500, USERS),
                ("GET", API, "/v1/internal", &[], 404, (Some("users"), &[])),
                ("GET", API, "/nowhere", &[], 404, (None, &[])),
            ],
        ),
        (Over::Plain, &[("GET", API, "/v0/users", &[], 502, (Some("retired"), &[]))]),
        (Over::Plain, &[("GET", "unknown.demo.test", "/", &[], 404, (None, &[]))]),
        (Over::Plain, &[("GET", API, "/reports/slow", &[], 200, REPORTS)]),
        (
            Over::Plain,
            &[
                ("GET", API, "/reports/large", &[], 200, REPORTS),
                ("GET", API, "/reports/", &[], 200, REPORTS),
            ],
        ),
        (
            Over::Tls13,
            &[
                ("GET", SHOP, "/", &[], 200, STOREFRONT),
                ("GET", SHOP, "/products?page=3", &[], 200, STOREFRONT),
                ("HEAD", SHOP, "/products", &[], 200, STOREFRONT),
                ("POST", SHOP, "/cart/items", &["--data", "item=8&count=1"], 200, CART),
                ("GET", SHOP, "/cart/missing", &[], 404, CART),
            ],
        ),
        (
            Over::Tls12,
            &[
                ("GET", API, "/v1/users", &[], 200, USERS),
                ("POST", API, "/v1/users", &["--json", r#"{"name":"bob"}"#], 201, USERS),
                ("DELETE", API, "/v1/users/8", &[], 204, USERS),
            ],
        ),
        (Over::Tls12, &[("GET", SHOP, "/old/page", &[], 301, (Some("storefront"), &[]))]),
        (Over::Tls13, &[("GET", API, "/reports/", &[], 200, REPORTS)]),
    ];
    let mut number = 0;
    let mut planned = |over: Over, row: &Row| {
        number += 1;
        let (method, host, target, arguments, status, (service, backends)) = *row;
        Planned {
            id: format!("demo-{number:02}"),
            over,
            method,
            host,
            target,
            arguments,
            status,
            service,
            backends,
        }
    };
    rows.map(|(over, session)| session.iter().map(|row| planned(over, row)).collect()).into()
}
