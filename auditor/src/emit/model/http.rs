//! `http.request`: one event for each request on the client's leg.
//!
//! Field order is the order of the published form. The parts that other kinds use as well ([`Client`], [`Http`], [`Route`])
//! are here, where they are most at home.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::Auth;
use super::proxy_protocol::ProxyProtocol;
use super::tls::Tls;
use super::upstream::Attempt;
use super::{Address, Count, Endpoint, Text};

/// The part of an `http.request` event that is its own.
///
/// What few requests have and takes much room is kept apart: one is made for each request, and allocators have a quick way
/// for no more than about 1 KiB (glibc's cache of each thread: 1,032 bytes, `malloc/malloc.c`, `MAX_TCACHE_SIZE`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpRequest {
    /// Who asked.
    pub client: Client,
    /// TLS of the client's connection; null without TLS.
    pub tls: Option<Box<Tls>>,
    /// The request and its response.
    pub http: Http,
    /// The credential that the request showed; null where it showed none that is known.
    pub auth: Option<Auth>,
    /// The route that applies by the objects known; null where no objects are known.
    pub route: Option<Arc<Route>>,
    /// What was seen on the backend's leg; null where nothing was seen there.
    pub backend: Option<Backend>,
    /// What the listener is for.
    pub role: Role,
    /// Where the response came from.
    pub answered_by: AnsweredBy,
    /// Whether the observed backend is one that the route declares.
    pub agrees: Agrees,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub timing: Timing,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// The client's address, as well as it is known; null where it is unknown.
    pub address: Option<Address>,
    /// The client's port; null where only its address is known.
    pub port: Option<u16>,
    /// How address and port were learned.
    pub determined_by: DeterminedBy,
    /// The peer of the TCP connection; null where its start was not seen.
    pub peer: Option<Endpoint>,
    /// The header of the PROXY protocol that the connection began with, believed or not; null without one.
    pub proxy_protocol: Option<Box<ProxyProtocol>>,
    /// The field that `forwarded` is from; null where the request claims nothing.
    pub forwarded_in: Option<ForwardedIn>,
    /// The addresses that the request claims to be forwarded for, in the order given, verbatim.
    pub forwarded: Vec<Text>,
}

/// A field that says for whom a request is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedIn {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Real-IP`.
    XRealIp,
}

/// How a client's address was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeterminedBy {
    /// It is the peer of the TCP connection.
    Peer,
    /// A header of the PROXY protocol at the start of the connection, from a peer trusted to send it.
    ProxyProtocol,
    /// `X-Forwarded-For`, from a peer trusted to set it.
    XForwardedFor,
    /// `Forwarded` (RFC 7239), from a peer trusted to set it.
    Forwarded,
    /// `X-Real-IP`, from a peer trusted to set it.
    XRealIp,
    /// It could not be learned.
    Unknown,
}

/// A request and its response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Version of HTTP on this leg.
    pub version: HttpVersion,
    /// Stream of an HTTP/2 or HTTP/3 connection; null in HTTP/1.
    pub stream: Option<Count>,
    /// The request.
    pub request: Request,
    /// The final response; null where none was seen.
    pub response: Option<Response>,
    /// What came after the connection, or the stream, was given to another protocol (101, CONNECT); null otherwise.
    pub tunnel: Option<Tunnel>,
    /// What gRPC says of it; null where it is no call of gRPC.
    pub grpc: Option<Grpc>,
}

/// A call of gRPC: a request with the content type `application/grpc` and the path `/service/method`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grpc {
    /// The service, with its package.
    pub service: Text,
    /// The method.
    pub method: Text,
    /// `grpc-status`, from the trailers, or from the head of a response that has nothing else; null where the call ended
    /// without one.
    pub status: Option<u32>,
}

/// Another protocol, after an upgrade. A WebSocket is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tunnel {
    /// The protocol, as the response names it in `Upgrade`; null for CONNECT.
    pub protocol: Option<Text>,
    /// Bytes from the side that asked for it.
    pub request_bytes: Count,
    /// Bytes from the side that agreed to it.
    pub response_bytes: Count,
    /// From the response to the end; null where the end was not seen.
    pub duration_us: Option<Count>,
}

/// Version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HttpVersion {
    /// HTTP/0.9.
    #[serde(rename = "0.9")]
    Http09,
    /// HTTP/1.0.
    #[serde(rename = "1.0")]
    Http10,
    /// HTTP/1.1.
    #[serde(rename = "1.1")]
    Http11,
    /// HTTP/2.
    #[serde(rename = "2")]
    Http2,
    /// HTTP/3.
    #[serde(rename = "3")]
    Http3,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The method, verbatim; null where the request could not be read.
    pub method: Option<Text>,
    /// The scheme; null where the request does not show it.
    pub scheme: Option<Scheme>,
    /// The host asked for (Host, `:authority` or the request target), without the port; null where none was given.
    pub host: Option<Text>,
    /// The path, verbatim; null for a target that has none (CONNECT, `*`).
    pub path: Option<Text>,
    /// The query, without `?`; null where there is none, or where it is masked.
    pub query: Option<Text>,
    /// There is a query, and the configuration does not allow to show all of it.
    pub query_masked: bool,
    /// `User-Agent`.
    pub user_agent: Option<Text>,
    /// `Referer`, its query left out.
    pub referer: Option<Text>,
    /// `X-Request-ID` as the client sent it, or as the controller gave it. Neither unique nor to be trusted.
    pub id: Option<Text>,
    /// The trace id of `traceparent`.
    pub trace_id: Option<Text>,
    /// Size of the head on the wire.
    pub head_bytes: Count,
    /// Size of the body as framed: without the chunks' own headers.
    pub body_bytes: Count,
}

/// Scheme of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// Status code; null where it refers to what was lost of HTTP/2's table of fields.
    #[schemars(range(min = 0, max = 999))]
    pub status: Option<u16>,
    /// `Content-Type`.
    pub content_type: Option<Text>,
    /// `Location`, its query left out.
    pub location: Option<Text>,
    /// Size of the head on the wire.
    pub head_bytes: Count,
    /// Size of the body as framed: without the chunks' own headers.
    pub body_bytes: Count,
}

/// The route that applies to a request by the objects known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// How it was found.
    pub matched: Matched,
    /// Kind of the object: `Ingress`, `HTTPRoute`, ...
    pub kind: Option<Text>,
    /// Namespace of the object.
    pub namespace: Option<Text>,
    /// Name of the object.
    pub name: Option<Text>,
    /// Host of the rule; null where the rule is for every host, or asks for hosts otherwise.
    pub host: Option<Text>,
    /// Path of the rule; null where it asks for none, or for several.
    pub path: Option<Text>,
    /// How the rule's path is compared.
    pub path_type: Option<PathType>,
    /// The Service that the rule names; null where it names several, or where the controller answers itself.
    pub service: Option<Text>,
    /// The Service's port as the rule names it: a name, or a number in decimal.
    pub port: Option<Text>,
}

/// How a route was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Matched {
    /// A rule's host and path match.
    Rule,
    /// No rule matches; a default backend is declared.
    DefaultBackend,
    /// The connection is passed on without being decrypted.
    Passthrough,
    /// Nothing matches.
    None,
}

/// How a rule's path is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PathType {
    /// The whole path.
    Exact,
    /// From the start: element by element (Ingress; `PathPrefix` of Gateway API), or as the controller's own kinds say.
    Prefix,
    /// As the controller pleases.
    ImplementationSpecific,
    /// A regular expression.
    RegularExpression,
}

/// What was seen on the backend's leg.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// Address of the backend that answered.
    pub address: Option<Address>,
    /// Its port.
    pub port: Option<u16>,
    /// The Service that has this address among its endpoints.
    pub service: Option<Text>,
    /// Namespace of that Service.
    pub namespace: Option<Text>,
    /// The pod that has this address.
    pub pod: Option<Text>,
    /// Status code that the backend answered with.
    #[schemars(range(min = 0, max = 999))]
    pub status: Option<u16>,
    /// From the first byte of the request to the backend to the last byte of its response.
    pub duration_us: Option<Count>,
    /// How sure it is that this exchange belongs to the client's request.
    pub join: Join,
    /// Every request to a backend that belongs to the client's request, in the order of time, with the one that answered.
    pub attempts: Vec<Attempt>,
}

/// How sure the join of the two legs is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// Something that only this request has was seen on both legs.
    Exact,
    /// Only this request fits by what was forwarded and by time.
    Inferred,
    /// Several requests fit.
    Ambiguous,
    /// None fits.
    None,
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Clients of the exposed services.
    Ingress,
    /// Health checks, metrics, the admin API, admission webhooks.
    Management,
    /// Hops inside the controller.
    Internal,
}

/// Where a response came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// A backend.
    Backend,
    /// The controller itself.
    Controller,
    /// There was no response.
    Nobody,
}

/// Whether what was seen is what the route declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Agrees {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It cannot be said.
    Unknown,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With a complete response.
    Completed,
    /// The client reset or left before the end.
    ResetByClient,
    /// The controller reset or closed before the end.
    ResetByController,
    /// The backend reset or closed before the end.
    ResetByBackend,
    /// Somebody waited too long.
    TimedOut,
    /// The end was not seen.
    Incomplete,
}

/// How long a request took, from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// To the first byte of the response; null where there was none.
    pub first_byte_us: Option<Count>,
    /// To the last byte of the response, or to the end otherwise; null where it was not seen.
    pub duration_us: Option<Count>,
}
