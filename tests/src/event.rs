//! The auditor's events, as a reader of its output sees them.
//!
//! Consumes lines of the native form, produces the parts that tests compare. Independent of the auditor's own types on
//! purpose: a field that is renamed there must break a test here.

use serde::Deserialize;
use serde_json::Value;

/// Any event: its kind and all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `http.request`, `connection`, `coverage`, ...
    pub kind: String,
    /// The whole line.
    pub value: Value,
}

impl Event {
    /// The text at a JSON pointer (RFC 6901), if there is one.
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer)?.as_str()
    }

    /// What a `coverage` event is about: `attach`, `stop`, `gap`, ...; none for other kinds.
    #[must_use]
    pub fn coverage(&self) -> Option<&str> {
        (self.kind == "coverage").then(|| self.text("/what"))?
    }
}

/// An `http.request` event; also an `http.upstream` event, which lacks some parts.
#[derive(Clone, Debug, Deserialize)]
pub struct Request {
    /// `http.request` or `http.upstream`.
    pub kind: String,
    /// The event's id.
    pub id: String,
    /// When it began: RFC 3339, which sorts as text.
    pub time: String,
    /// Which controller it was.
    pub controller: Option<Controller>,
    /// What is known of TLS, if the connection speaks it.
    pub tls: Option<Tls>,
    /// The two messages.
    pub http: Http,
    /// Which object should have served it.
    pub route: Option<Route>,
    /// Who did.
    pub backend: Option<Backend>,
    /// `backend`, `controller`, `nobody`.
    pub answered_by: Option<String>,
    /// `completed`, `reset_by_client`, ...
    pub outcome: Option<String>,
    /// `yes`, `no`, `unknown`.
    pub agrees: Option<String>,
    /// `ingress`, `management`, `internal`.
    pub role: Option<String>,
    /// How complete the observation was.
    pub observation: Observation,
}

/// `controller`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Controller {
    /// The product.
    pub kind: Option<String>,
    /// The pod's namespace.
    pub namespace: Option<String>,
    /// The pod.
    pub pod: Option<String>,
    /// The container.
    pub container: Option<String>,
}

/// `tls`.
#[derive(Clone, Debug, Deserialize)]
pub struct Tls {
    /// `1.2`, `1.3`.
    pub version: Option<String>,
    /// The host that the client named.
    pub sni: Option<String>,
    /// The protocol that was agreed on: `h2`, `http/1.1`.
    pub alpn: Option<String>,
}

/// `http`.
#[derive(Clone, Debug, Deserialize)]
pub struct Http {
    /// The version of HTTP.
    pub version: Option<String>,
    /// The stream of HTTP/2.
    pub stream: Option<u64>,
    /// The request.
    pub request: RequestHead,
    /// The response, if there was one.
    pub response: Option<ResponseHead>,
}

/// `http.request`.
#[derive(Clone, Debug, Deserialize)]
pub struct RequestHead {
    /// The method.
    pub method: Option<String>,
    /// `http`, `https`.
    pub scheme: Option<String>,
    /// The Host.
    pub host: Option<String>,
    /// The path, without the query.
    pub path: Option<String>,
    /// X-Request-ID.
    pub id: Option<String>,
    /// Bytes of the body.
    pub body_bytes: Option<u64>,
}

/// `http.response`.
#[derive(Clone, Debug, Deserialize)]
pub struct ResponseHead {
    /// The status.
    pub status: Option<u16>,
    /// Bytes of the body.
    pub body_bytes: Option<u64>,
}

/// `route`.
#[derive(Clone, Debug, Deserialize)]
pub struct Route {
    /// `rule`, `default_backend`, `passthrough`, `none`.
    pub matched: Option<String>,
    /// The object's namespace.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: Option<String>,
    /// The Service.
    pub service: Option<String>,
}

/// `backend`.
#[derive(Clone, Debug, Deserialize)]
pub struct Backend {
    /// Its address.
    pub address: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// The pod at that address.
    pub pod: Option<String>,
    /// The status that it answered.
    pub status: Option<u16>,
    /// How sure the join of the two legs is.
    pub join: Option<String>,
}

/// `observation`.
#[derive(Clone, Debug, Deserialize)]
pub struct Observation {
    /// Whether every byte was seen.
    pub complete: bool,
}

impl Request {
    /// The status of the response, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.http.response.as_ref()?.status
    }

    /// The bytes of the response's body.
    #[must_use]
    pub fn body_bytes(&self) -> Option<u64> {
        self.http.response.as_ref()?.body_bytes
    }

    /// The Service that the route names.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.route.as_ref()?.service.as_deref()
    }

    /// The backend that served it, as address and port.
    #[must_use]
    pub fn backend_socket(&self) -> Option<String> {
        let backend = self.backend.as_ref()?;
        Some(format!("{}:{}", backend.address.as_deref()?, backend.port?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published examples are what we read.
    #[test]
    fn reads_the_golden_events() {
        let golden = |kind: &str| {
            let path = format!("{}/../auditor/tests/golden/{kind}.json", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(path).unwrap()
        };
        let request: Request = serde_json::from_str(&golden("http.request")).unwrap();
        assert_eq!((request.status(), request.body_bytes()), (Some(200), Some(5120)));
        assert_eq!(request.backend_socket().as_deref(), Some("10.244.0.5:8080"));
        assert_eq!(request.service(), Some("cart"));
        assert_eq!(request.http.request.scheme.as_deref(), Some("https"));
        let tls = request.tls.as_ref().map(|tls| (tls.version.as_deref(), tls.alpn.as_deref()));
        assert_eq!(tls, Some((Some("1.3"), Some("h2"))));
        assert_eq!(request.http.request.id.as_deref(), Some("5f0c1d2e"));
        let upstream: Request = serde_json::from_str(&golden("http.upstream")).unwrap();
        assert_eq!(upstream.kind, "http.upstream");
        let coverage =
            Event { kind: "coverage".into(), value: serde_json::from_str(&golden("coverage")).unwrap() };
        assert_eq!(coverage.coverage(), Some("gap"));
    }
}
