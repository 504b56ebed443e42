//! One fully populated event of each kind, for tests: no field is null, no list is empty.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::model::auth::*;
use super::model::checkpoint::*;
use super::model::cluster::*;
use super::model::connection::*;
use super::model::coverage::*;
use super::model::detection::*;
use super::model::http::*;
use super::model::proxy_protocol::*;
use super::model::tls::*;
use super::model::upstream::*;
use super::model::*;

const TIME: u64 = 1_795_466_595_123_456_789;

fn text(text: &str) -> Text {
    Text::new(text)
}

fn some(value: &str) -> Option<Text> {
    Some(text(value))
}

fn address(address: &str) -> Address {
    Address::from(address.parse::<std::net::IpAddr>().unwrap())
}

fn endpoint(address: &str, port: u16) -> Endpoint {
    Endpoint { address: self::address(address), port }
}

fn id(n: u8) -> EventId {
    EventId(Uuid::from_bytes([1, 0x98, 0xf2, 0xc4, 0, 0, 0x80, 0, 0x80, 0, 0, 0, 0, 0, 0, n]))
}

/// A fully populated event of this kind.
pub(crate) fn event(kind: Kind) -> Event {
    let controller = Controller {
        kind: some("ingress-nginx"),
        namespace: some("ingress-nginx"),
        pod: some("ingress-nginx-controller-5d4f"),
        container: some("controller"),
    };
    Event {
        id: id(kind as u8),
        time: Timestamp(TIME),
        sequence: Count::new(42),
        source: Arc::new(Source { cluster: some("prod"), node: text("n1"), controller: Some(controller) }),
        body: body(kind),
        observation: Observation {
            complete: false,
            missing_bytes: Count::new(17),
            notes: vec!["response_body_gap".into()],
        },
        chain: Some(Chain { prev: Digest([0xa1; 32]), hash: Digest([0xb2; 32]) }),
    }
}

fn body(kind: Kind) -> Body {
    match kind {
        Kind::HttpRequest => http_request().into(),
        Kind::HttpUpstream => http_upstream().into(),
        Kind::Connection => connection().into(),
        Kind::Auth => auth_event().into(),
        Kind::ConfigChange => config_change().into(),
        Kind::Certificate => certificate().into(),
        Kind::DnsChange => dns_change().into(),
        Kind::AccessReview => access_review().into(),
        Kind::Detection => detection().into(),
        Kind::Coverage => coverage().into(),
        Kind::Checkpoint => checkpoint().into(),
    }
}

fn client() -> Client {
    Client {
        address: Some(address("203.0.113.7")),
        port: Some(51334),
        determined_by: DeterminedBy::ProxyProtocol,
        peer: Some(endpoint("10.0.0.5", 40112)),
        proxy_protocol: Some(Box::new(ProxyProtocol {
            version: 2,
            command: ProxyCommand::Proxy,
            source: Some(endpoint("203.0.113.7", 51334)),
            destination: Some(endpoint("198.51.100.1", 443)),
            alpn: some("h2"),
            authority: some("shop.example.com"),
            unique_id: some("7F000001:BB4A"),
            netns: some("edge"),
            tls: Some(ProxyTls {
                version: some("TLSv1.3"),
                cipher: some("TLS_AES_128_GCM_SHA256"),
                client_certificate: true,
                verified: true,
                common_name: some("alice"),
            }),
        })),
        forwarded_in: Some(ForwardedIn::XForwardedFor),
        forwarded: vec![text("203.0.113.7")],
    }
}

fn tls() -> Box<Tls> {
    let certificate = |byte, subject, name| {
        Arc::new(TlsCertificate {
            sha256: Digest([byte; 32]),
            subject: some(subject),
            alternative_names: vec![text(name)],
            alternative_names_left_out: Count::new(2),
            issuer: some("CN=Example CA"),
            serial_number: some("04a1"),
            not_before: Some(Timestamp(TIME - 86_400_000_000_000)),
            not_after: Some(Timestamp(TIME + 86_400_000_000_000)),
        })
    };
    Box::new(Tls {
        version: Some(TlsVersion::Tls13),
        cipher: some("TLS_AES_128_GCM_SHA256"),
        group: some("X25519MLKEM768"),
        sni: some("shop.example.com"),
        alpn: some("h2"),
        ja4: some("t13d1516h2_8daaf6152771_02713d6af862"),
        resumed: Some(false),
        ech_offered: Some(false),
        handshake: TlsHandshake::Completed,
        alerts: vec![TlsAlert {
            from: TlsSide::Client,
            fatal: true,
            in_handshake: false,
            description: text("internal_error"),
        }],
        certificate: Some(certificate(0xc3, "CN=shop.example.com", "DNS:shop.example.com")),
        client_certificate_requested: Some(true),
        client_certificate: Some(certificate(0xd4, "CN=alice", "URI:spiffe://example.com/alice")),
    })
}

fn http() -> Http {
    Http {
        version: HttpVersion::Http2,
        stream: Some(Count::new(1)),
        request: Request {
            method: some("GET"),
            scheme: Some(Scheme::Https),
            host: some("shop.example.com"),
            path: Some(Text::wire(b"/cart/\xff\"\\x", text::MAX_PATH)),
            query: some("page=2"),
            query_masked: true,
            user_agent: some("curl/8.5.0"),
            referer: some("https://example.com/"),
            id: some("5f0c1d2e"),
            trace_id: some("4bf92f3577b34da6a3ce929d0e0e4736"),
            head_bytes: Count::new(80),
            body_bytes: Count::new(0),
        },
        response: Some(Response {
            status: Some(200),
            content_type: some("text/html"),
            location: some("/cart/1"),
            head_bytes: Count::new(150),
            body_bytes: Count::new(5120),
        }),
        tunnel: Some(Tunnel {
            protocol: some("websocket"),
            request_bytes: Count::new(1200),
            response_bytes: Count::new(56_000),
            duration_us: Some(Count::new(90_000_000)),
        }),
        grpc: Some(Grpc { service: text("shop.v1.Cart"), method: text("Add"), status: Some(5) }),
    }
}

fn auth() -> Auth {
    Auth {
        kind: AuthKind::BearerJwt,
        subject: some("alice"),
        issuer: some("https://issuer.example.com"),
        verified: false,
        outcome: AuthOutcome::Accepted,
        credential_hash: Some(Digest([0xe5; 32])),
    }
}

fn route() -> Arc<Route> {
    Arc::new(Route {
        matched: Matched::Rule,
        kind: some("Ingress"),
        namespace: some("shop"),
        name: some("web"),
        host: some("shop.example.com"),
        path: some("/"),
        path_type: Some(PathType::Prefix),
        service: some("cart"),
        port: some("http"),
    })
}

fn timing() -> Timing {
    Timing { first_byte_us: Some(Count::new(2100)), duration_us: Some(Count::new(2400)) }
}

fn http_request() -> HttpRequest {
    let attempt = |ip: &str, status, purpose, outcome| Attempt {
        address: Some(address(ip)),
        port: Some(8080),
        method: some("GET"),
        path: some("/cart"),
        status: Some(status),
        purpose,
        outcome,
        started: Timestamp(TIME + 300_000),
        duration_us: Some(Count::new(900)),
        bytes: Count::new(5120),
    };
    HttpRequest {
        client: client(),
        tls: Some(tls()),
        http: http(),
        auth: Some(auth()),
        route: Some(route()),
        backend: Some(Backend {
            address: Some(address("10.244.0.5")),
            port: Some(8080),
            service: some("cart"),
            namespace: some("shop"),
            pod: some("cart-7d9"),
            status: Some(200),
            duration_us: Some(Count::new(1800)),
            join: Join::Exact,
            attempts: vec![
                attempt("10.244.0.4", 502, Purpose::Main, Outcome::ResetByBackend),
                attempt("10.244.0.5", 200, Purpose::Retry, Outcome::Completed),
            ],
        }),
        role: Role::Ingress,
        answered_by: AnsweredBy::Backend,
        agrees: Agrees::Yes,
        outcome: Outcome::Completed,
        timing: timing(),
    }
}

fn http_upstream() -> HttpUpstream {
    HttpUpstream {
        backend: UpstreamPeer {
            address: Some(address("2001:db8::5")),
            port: Some(8080),
            service: some("cart"),
            namespace: some("shop"),
            pod: some("cart-7d9"),
        },
        tls: Some(tls()),
        http: http(),
        reason: UpstreamReason::HealthCheck,
        outcome: Outcome::Completed,
        timing: timing(),
    }
}

fn connection() -> Connection {
    Connection {
        leg: Leg::Client,
        role: Some(Role::Ingress),
        opened_how: OpenedHow::Accepted,
        local: endpoint("10.0.0.9", 443),
        remote: endpoint("::ffff:10.0.0.5", 40112),
        translated: Some(endpoint("10.99.0.1", 443)),
        client: Some(client()),
        protocol: Protocol::Http1,
        tls: Some(tls()),
        passthrough: Some(Passthrough {
            route: Some(route()),
            backend: UpstreamPeer {
                address: Some(address("10.244.0.7")),
                port: Some(8443),
                service: some("vault"),
                namespace: some("shop"),
                pod: some("vault-0"),
            },
            agrees: Agrees::Yes,
        }),
        requests: Count::new(3),
        bytes_received: Count::new(240),
        bytes_sent: Count::new(u64::MAX),
        duration_us: Count::new(1_000_000),
        srtt_us: Some(Count::new(410)),
        retransmits: Some(Count::new(1)),
        outcome: ConnectionOutcome::Closed,
    }
}

fn auth_event() -> AuthEvent {
    AuthEvent {
        request: Some(id(0)),
        client: client(),
        auth: auth(),
        method: some("GET"),
        host: some("shop.example.com"),
        path: some("/cart"),
        status: Some(200),
        route: Some(route()),
    }
}

fn object(kind: &str, name: &str) -> Object {
    Object {
        api_version: text("networking.k8s.io/v1"),
        kind: text(kind),
        namespace: some("shop"),
        name: text(name),
        uid: some("6f1e4c1a-0000-4000-8000-000000000001"),
    }
}

fn actor() -> Actor {
    Actor {
        user: some("alice"),
        groups: vec![text("developers")],
        impersonated: some("system:serviceaccount:ci:deploy"),
        manager: some("kubectl-client-side-apply"),
        source_addresses: vec![address("192.0.2.10")],
        determined_by: ActorDeterminedBy::AuditLog,
    }
}

fn config_change() -> ConfigChange {
    ConfigChange {
        action: ChangeAction::Updated,
        object: object("Ingress", "web"),
        version_before: some("1001"),
        version_after: some("1002"),
        actor: Some(actor()),
        changes: vec![FieldChange {
            path: text("/spec/rules/0/http/paths/0/backend/service/name"),
            before: some("\"cart\""),
            after: some("\"basket\""),
            masked: false,
        }],
        truncated: false,
        found_by_comparing: false,
    }
}

fn certificate() -> CertificateEvent {
    CertificateEvent {
        reason: CertificateReason::Changed,
        certificate: Certificate {
            sha256: Digest([0xc3; 32]),
            subject: some("CN=shop.example.com"),
            issuer: some("CN=Example CA"),
            serial_number: some("04a1"),
            not_before: Some(Timestamp(TIME - 86_400_000_000_000)),
            not_after: Some(Timestamp(TIME + 86_400_000_000_000)),
            names: vec![text("shop.example.com")],
            key: some("P-256"),
            self_signed: Some(false),
        },
        previous: Some(Digest([0xc2; 32])),
        host: some("shop.example.com"),
        object: Some(object("Secret", "shop-tls")),
        used_by: vec![object("Ingress", "web")],
    }
}

fn dns_change() -> DnsChange {
    DnsChange {
        action: ChangeAction::Updated,
        host: text("shop.example.com"),
        record_type: some("A"),
        before: vec![text("198.51.100.1")],
        after: vec![text("198.51.100.2")],
        determined_by: DnsDeterminedBy::Resolver,
        object: Some(object("Ingress", "web")),
        actor: Some(actor()),
    }
}

fn access_review() -> AccessReview {
    AccessReview {
        subject: ReviewSubject::RouteAuthentication,
        result: ReviewResult::Fail,
        object: Some(object("Ingress", "web")),
        principals: vec![text("system:authenticated")],
        expected: some("oidc"),
        found: some("none"),
        evidence: vec![id(0)],
        message: text("Requests to /admin were served without a credential."),
    }
}

fn detection() -> Detection {
    Detection {
        rule: Rule {
            id: text("7f2c"),
            title: text("Path traversal attempt"),
            version: some("2024-01-01"),
            tags: vec![text("attack.t1190")],
        },
        severity: Severity::High,
        message: text("A request tried to leave the served directory."),
        client: Some(client()),
        route: Some(route()),
        matched: vec![MatchedField { field: text("http.request.path"), value: text("/../../etc/passwd") }],
        events: vec![id(0)],
        count: Count::new(1),
        first: Timestamp(TIME),
        last: Timestamp(TIME + 1),
    }
}

fn coverage() -> Coverage {
    let connection = SubjectConnection {
        leg: Some(Leg::Client),
        local: endpoint("10.0.0.9", 80),
        remote: endpoint("10.0.0.5", 40112),
        direction: Some(Direction::Ingress),
        offset: Some(Count::new(4096)),
    };
    Coverage {
        what: What::Gap,
        reason: Some(Reason::SegmentMissing),
        subject: Some(Subject {
            cgroup: some("/kubepods.slice/pod1"),
            file: some("capture.pcapng"),
            connection: Some(connection),
            udp_port: Some(443),
            resource: some("ingresses.networking.k8s.io"),
        }),
        count: Some(Count::new(1)),
        bytes: Some(Count::new(1448)),
        since: Some(Timestamp(TIME)),
        until: Some(Timestamp(TIME + 200_000_000)),
        counters: BTreeMap::from([(text("records"), Count::new(12)), (text("ring_full"), Count::new(0))]),
        program: Some(Program {
            version: text("0.1.0"),
            schema_version: SCHEMA_VERSION,
            kernel: some("6.18.0"),
            boot_id: some("0b5f3c9e-0000-4000-8000-000000000002"),
            mode: Mode::Live,
        }),
        message: some("A piece of the client's bytes did not come within 200 ms."),
    }
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        schema_version: SCHEMA_VERSION,
        stream: text("n1/0b5f3c9e"),
        first_sequence: Count::new(0),
        last_sequence: Count::new(41),
        head: Digest([0xb1; 32]),
        previous: Some(id(9)),
        previous_stream_head: Some(Digest([0xb0; 32])),
        missing: vec![MissingRange {
            first: Count::new(7),
            last: Count::new(9),
            reason: MissingReason::Dropped,
        }],
        key: Digest([0xf6; 32]),
        key_epoch: Count::new(1),
        algorithm: SignatureAlgorithm::Ed25519,
        signature: text("c2lnbmF0dXJl"),
    }
}
