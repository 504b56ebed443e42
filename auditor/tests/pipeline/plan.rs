//! What will be asked and answered.

use proptest::prelude::*;

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body, and no word of one.
    None,
    Length,
    /// In chunks of this size.
    Chunked(usize),
    /// Ended by closing; backends only.
    Close,
}

/// A response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) interim: bool,
    pub(crate) framing: Framing,
    pub(crate) size: usize,
}

/// Who answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Serve {
    /// The controller itself, perhaps before it has read the body.
    Own { early: bool },
    /// A backend, after some others closed without an answer; perhaps before the whole request was there.
    Backend { backend: u8, failures: u8, streaming: bool },
}

/// A request with all that becomes of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) host: &'static str,
    /// An X-Forwarded-For of the client's own, naming the client with this number.
    pub(crate) forged: Option<u8>,
    pub(crate) request_id: Option<u8>,
    pub(crate) trace: Option<u8>,
    pub(crate) framing: Framing,
    pub(crate) size: usize,
    pub(crate) serve: Serve,
    pub(crate) reply: Reply,
}

/// The connection of a client: its requests in order.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The last number of its address; several connections may have the same.
    pub(crate) address: u8,
    /// Requests that it sends without waiting for answers.
    pub(crate) pipelines: usize,
    pub(crate) exchanges: Vec<Exchange>,
}

/// What the controller does to the requests that it forwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Adds the client's address to X-Forwarded-For.
    pub(crate) forwarded_for: bool,
    /// Hands on Host.
    pub(crate) host: bool,
    /// Removes `/api` from paths.
    pub(crate) rewrites: bool,
    /// Puts an id of its own in the place of X-Request-ID.
    pub(crate) own_ids: bool,
    /// Closes a backend's connection after each answer.
    pub(crate) no_keep_alive: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) rules: Rules,
    pub(crate) clients: Vec<Client>,
}

impl Plan {
    /// All exchanges, with the place of their client: an exchange's number is its place here.
    pub(crate) fn exchanges(&self) -> Vec<(usize, Exchange)> {
        let numbered = self.clients.iter().enumerate();
        numbered.flat_map(|(n, client)| client.exchanges.iter().map(move |exchange| (n, *exchange))).collect()
    }
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 1..60_usize, 1 => 60..9000_usize]
}

fn framing() -> impl Strategy<Value = Framing> {
    prop_oneof![Just(Framing::Length), (1..2000_usize).prop_map(Framing::Chunked)]
}

fn reply() -> impl Strategy<Value = Reply> {
    let framing = prop_oneof![4 => framing(), 1 => Just(Framing::Close)];
    let status =
        prop_oneof![4 => Just(200_u16), 1 => Just(204), 1 => Just(304), 1 => Just(404), 1 => Just(503)];
    (status, any::<bool>(), framing, size()).prop_map(|(status, interim, framing, size)| {
        let framing = if matches!(status, 204 | 304) { Framing::None } else { framing };
        Reply { status, interim: interim && status == 200, framing, size }
    })
}

fn serve() -> impl Strategy<Value = Serve> {
    let failures = prop_oneof![6 => Just(0_u8), 1 => 1..3_u8];
    prop_oneof![
        1 => any::<bool>().prop_map(|early| Serve::Own { early }),
        5 => (0..2_u8, failures, any::<bool>())
            .prop_map(|(backend, failures, streaming)| Serve::Backend { backend, failures, streaming }),
    ]
}

fn few(n: u8) -> impl Strategy<Value = Option<u8>> {
    prop_oneof![3 => Just(None), 1 => (0..n).prop_map(Some)]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let method = prop::sample::select(vec!["GET", "GET", "HEAD", "POST", "PUT"]);
    let path = prop::sample::select(vec!["/x", "/api/x", "/y", "/api/y?a=/x", "/"]);
    let host = prop::sample::select(vec!["one.test", "two.test"]);
    let names = (method, path, host, few(4), few(2), few(2));
    (names, framing(), size(), serve(), reply()).prop_map(|(names, framing, size, serve, reply)| {
        let (method, path, host, forged, request_id, trace) = names;
        let (framing, size) =
            if matches!(method, "POST" | "PUT") { (framing, size) } else { (Framing::None, 0) };
        Exchange { method, path, host, forged, request_id, trace, framing, size, serve, reply }
    })
}

fn client() -> impl Strategy<Value = Client> {
    let pipelines = prop_oneof![2 => Just(1_usize), 1 => 2..5_usize];
    (0..4_u8, pipelines, prop::collection::vec(exchange(), 1..6))
        .prop_map(|(address, pipelines, exchanges)| Client { address, pipelines, exchanges })
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let rules = any::<[bool; 5]>().prop_map(|[forwarded_for, host, rewrites, own_ids, no_keep_alive]| {
        Rules { forwarded_for, host, rewrites, own_ids, no_keep_alive }
    });
    (rules, prop::collection::vec(client(), 1..6)).prop_map(|(rules, clients)| Plan { rules, clients })
}
