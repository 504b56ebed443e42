//! The clients, the controller and the backends: what they do next, in any order that causality allows.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use auditor::assemble::stream;
use auditor::attribute::Attribution;
use auditor::capture::record::{ConnectionId, Direction, How, Record, Segment, Tuple};
use auditor::decode::http1;
use auditor::emit::build::Settings;
use auditor::emit::id::Domain;
use auditor::emit::model::{Source, Text};
use auditor::emit::native;
use auditor::pipeline::{Limits, Pipeline};
use serde_json::Value;

use super::messages;
use super::network::{Capture, Choices, Cut, Flow, Needs};
use super::plan::{Exchange, Framing, Plan, Serve};

const BEGIN: u64 = 1_795_466_595_000_000_000;
/// Of the first client; the others count on from here.
pub(crate) const FIRST_PORT: usize = 40_000;
const SECOND: u64 = 1_000_000_000;
/// Segments that may overtake each other.
const REORDERED: usize = 4;

/// A connection of the controller: to it, from it.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) tuple: Tuple,
    pub(crate) ingress: Flow,
    pub(crate) egress: Flow,
    pub(crate) requests: u64,
    closed: bool,
}

/// Where an exchange's messages are in its client's connection; none if they were not sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Placed {
    pub(crate) connection: usize,
    pub(crate) request: Option<(usize, usize)>,
    head_end: usize,
    pub(crate) response: Option<(usize, usize)>,
}

/// A request to a backend.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// The exchange it is made for.
    pub(crate) of: usize,
    pub(crate) connection: usize,
    /// Its end in the connection's egress.
    head_end: usize,
    body_sent: bool,
    /// When parts of its head were captured.
    pub(crate) seen_at: Vec<u64>,
    pub(crate) request: (usize, usize),
    /// Where its answer is in the connection's ingress.
    pub(crate) response: Option<(usize, usize)>,
    answered: bool,
    over: bool,
}

/// What a world has brought forth.
pub(crate) struct Seen {
    pub(crate) events: Vec<Value>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) placed: Vec<Placed>,
    pub(crate) attempts: Vec<Attempt>,
}

struct ClientState {
    connection: usize,
    exchanges: VecDeque<usize>,
    /// Sent and not answered, oldest first.
    pending: VecDeque<usize>,
    /// The attempt that the oldest one waits for.
    attempt: Option<usize>,
    failures: u8,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Ask(usize),
    Close(usize),
    Process(usize),
    ForwardBody(usize),
    Answer(usize),
    Relay(usize),
    Send(usize, Direction),
    Repeat(usize, Direction),
    Arrive(usize),
    End(usize),
    Tick,
}

pub(crate) struct World<'a> {
    plan: &'a Plan,
    exchanges: Vec<(usize, Exchange)>,
    capture: Capture,
    choices: Choices,
    needs: Needs,
    pipeline: Pipeline<Needs>,
    now: u64,
    clients: Vec<ClientState>,
    idle: [Vec<usize>; 2],
    seen: Seen,
}

impl<'a> World<'a> {
    pub(crate) fn new(plan: &'a Plan, seed: u64, capture: Capture) -> Self {
        let limits = Limits {
            connections: 1000,
            stream: stream::Limits::default(),
            held_bytes: 1 << 20,
            http1: http1::Limits::default(),
        };
        let settings = Settings {
            source: Arc::new(Source { cluster: None, node: Text::from_static("n"), controller: None }),
            domain: Domain::File,
            management_ports: Vec::new(),
            management_paths: Vec::new(),
            query_allow: Vec::new(),
            forwarding_headers: Vec::new(),
            trusted: Vec::new(),
        };
        let needs = Needs::default();
        let exchanges = plan.exchanges();
        let mut world = Self {
            plan,
            capture,
            choices: Choices(seed),
            needs: needs.clone(),
            pipeline: Pipeline::new(limits, settings, Arc::new(Attribution::none()), 0, needs),
            now: BEGIN,
            clients: Vec::new(),
            idle: [Vec::new(), Vec::new()],
            seen: Seen {
                events: Vec::new(),
                connections: Vec::new(),
                placed: vec![Placed::default(); exchanges.len()],
                attempts: Vec::new(),
            },
            exchanges,
        };
        for (n, client) in plan.clients.iter().enumerate() {
            let port = u16::try_from(FIRST_PORT + n).unwrap();
            let connection = world.open(How::Passive, 80, messages::address(client.address), port);
            let exchanges = world.exchanges.iter().enumerate().filter(|(_, (owner, _))| *owner == n);
            let exchanges = exchanges.map(|(number, _)| number).collect();
            world.clients.push(ClientState {
                connection,
                exchanges,
                pending: VecDeque::new(),
                attempt: None,
                failures: 0,
            });
        }
        world
    }

    /// Lets everything happen, and everything be closed.
    pub(crate) fn run(mut self) -> Seen {
        loop {
            let actions = self.actions();
            let Some(last) = actions.len().checked_sub(1) else { break };
            // A few kinds come often; what is enabled longest is not preferred, so that everything can be late.
            let chosen = self.choices.below(last + 4);
            let action = actions.get(chosen).copied().unwrap_or(Action::Tick);
            self.act(action);
        }
        self.now += 2 * SECOND;
        self.tick();
        self.now += 20 * SECOND;
        self.tick();
        assert!(self.pipeline.is_empty(), "something stays: {:?}", self.pipeline);
        self.pipeline.finish();
        self.take_events();
        self.seen
    }

    /// What can happen next; empty at the end of the world.
    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        let connections = &self.seen.connections;
        for (n, client) in self.clients.iter().enumerate() {
            let connection = &connections[client.connection];
            let answered = connection.egress.sent == connection.egress.bytes.len();
            let limit = self.plan.clients[n].pipelines;
            if !client.exchanges.is_empty()
                && client.pending.len() < limit
                && (limit > 1 || (client.pending.is_empty() && answered))
            {
                actions.push(Action::Ask(n));
            }
            if client.exchanges.is_empty()
                && client.pending.is_empty()
                && answered
                && !connection.ingress.closed
            {
                actions.push(Action::Close(n));
            }
            match (client.attempt, client.pending.front()) {
                (None, Some(&number)) => {
                    let placed = &self.seen.placed[number];
                    let early = match self.exchanges[number].1.serve {
                        Serve::Own { early } => early,
                        Serve::Backend { streaming, .. } => streaming,
                    };
                    let end = if early { placed.head_end } else { placed.request.unwrap().1 };
                    if connection.ingress.received() >= end {
                        actions.push(Action::Process(n));
                    }
                }
                (Some(attempt), Some(&number)) => {
                    let attempt = &self.seen.attempts[attempt];
                    let backend = &connections[attempt.connection];
                    if !attempt.body_sent {
                        if connection.ingress.received() >= self.seen.placed[number].request.unwrap().1 {
                            actions.push(Action::ForwardBody(n));
                        }
                    } else if !attempt.answered {
                        if backend.egress.sent == backend.egress.bytes.len() {
                            actions.push(Action::Answer(n));
                        }
                    } else if backend.ingress.received() == backend.ingress.bytes.len()
                        && (!backend.ingress.closed || backend.ingress.is_over())
                    {
                        actions.push(Action::Relay(n));
                    }
                }
                _ => {}
            }
        }
        let over = self.clients.iter().all(|client| client.exchanges.is_empty() && client.pending.is_empty());
        for (n, connection) in connections.iter().enumerate().filter(|(_, connection)| !connection.closed) {
            for (direction, flow) in
                [(Direction::Ingress, &connection.ingress), (Direction::Egress, &connection.egress)]
            {
                let full = direction == Direction::Ingress && flow.in_flight.len() >= REORDERED;
                if flow.has_more() && !full {
                    actions.push(Action::Send(n, direction));
                }
            }
            if !connection.ingress.in_flight.is_empty() {
                actions.push(Action::Arrive(n));
            }
            let done = connection.ingress.is_over() && connection.egress.fin_sent;
            if done || (over && !connection.egress.closed && self.is_backend(n)) || self.must_follow(n) {
                actions.push(Action::End(n));
            }
        }
        if !actions.is_empty() && self.choices.0.is_multiple_of(16) {
            let n = usize::try_from(self.choices.0 >> 8).unwrap_or(0) % connections.len();
            if !connections[n].closed {
                let direction = if self.choices.0 & 16 == 0 { Direction::Ingress } else { Direction::Egress };
                actions.push(Action::Repeat(n, direction));
            }
        }
        actions
    }

    fn is_backend(&self, n: usize) -> bool {
        self.clients.iter().all(|client| client.connection != n)
    }

    /// One side has closed, and the other has not said so yet.
    fn must_follow(&self, n: usize) -> bool {
        let connection = &self.seen.connections[n];
        let in_use = self.seen.attempts.iter().any(|attempt| attempt.connection == n && !attempt.over);
        !in_use
            && ((connection.ingress.is_over() && !connection.egress.closed)
                || (connection.egress.fin_sent && !connection.ingress.closed))
    }

    fn act(&mut self, action: Action) {
        self.now += 1 + self.choices.next() % 50_000;
        match action {
            Action::Ask(n) => self.ask(n),
            Action::Close(n) => {
                let connection = self.clients[n].connection;
                self.seen.connections[connection].ingress.closed = true;
            }
            Action::Process(n) => self.process(n),
            Action::ForwardBody(n) => {
                let number = self.clients[n].pending[0];
                let exchange = &self.exchanges[number].1;
                let attempt = &mut self.seen.attempts[self.clients[n].attempt.unwrap()];
                let egress = &mut self.seen.connections[attempt.connection].egress;
                egress.bytes.extend(messages::body(exchange.framing, exchange.size));
                (attempt.body_sent, attempt.request.1) = (true, egress.bytes.len());
            }
            Action::Answer(n) => self.answer(n),
            Action::Relay(n) => self.relay(n),
            Action::Send(n, direction) => {
                let connection = &mut self.seen.connections[n];
                match direction {
                    Direction::Ingress => {
                        let cut = connection.ingress.cut(&mut self.choices);
                        connection.ingress.in_flight.push(cut);
                    }
                    Direction::Egress => {
                        let cut = connection.egress.cut(&mut self.choices);
                        self.segment(n, Direction::Egress, cut);
                    }
                }
            }
            Action::Repeat(n, Direction::Egress) => {
                if let Some(cut) = self.seen.connections[n].egress.cut_again(&mut self.choices) {
                    self.segment(n, Direction::Egress, cut);
                }
            }
            Action::Repeat(n, Direction::Ingress) => {
                let ingress = &mut self.seen.connections[n].ingress;
                ingress.in_flight.extend(ingress.cut_again(&mut self.choices));
            }
            Action::Arrive(n) => {
                let in_flight = &mut self.seen.connections[n].ingress.in_flight;
                let place = self.choices.below(in_flight.len().min(REORDERED));
                let cut = in_flight.remove(place);
                self.segment(n, Direction::Ingress, cut);
            }
            Action::End(n) => self.end(n),
            Action::Tick => {
                // Now and then so late that what is missing is given up, also where it is still on its way.
                if self.capture != Capture::Whole && self.choices.one_in(20) {
                    self.now += 4 * SECOND;
                    let ingress = self.seen.connections.iter_mut().map(|connection| &mut connection.ingress);
                    ingress.for_each(|flow| flow.has_losses |= !flow.in_flight.is_empty());
                }
                self.tick();
            }
        }
    }

    fn ask(&mut self, n: usize) {
        let client = &mut self.clients[n];
        let number = client.exchanges.pop_front().unwrap();
        client.pending.push_back(number);
        let exchange = &self.exchanges[number].1;
        let connection = &mut self.seen.connections[client.connection];
        let bytes = &mut connection.ingress.bytes;
        let start = bytes.len();
        bytes.extend(messages::asked(number, exchange));
        let head_end = bytes.len();
        bytes.extend(messages::body(exchange.framing, exchange.size));
        connection.requests += 1;
        let request = Some((start, bytes.len()));
        self.seen.placed[number] =
            Placed { connection: client.connection, request, head_end, response: None };
    }

    /// The controller takes up a request.
    fn process(&mut self, n: usize) {
        let number = self.clients[n].pending[0];
        match self.exchanges[number].1.serve {
            Serve::Own { .. } => self.give(n),
            Serve::Backend { failures, .. } => {
                self.clients[n].failures = failures;
                self.attempt(n);
            }
        }
    }

    /// The controller asks a backend.
    fn attempt(&mut self, n: usize) {
        let number = self.clients[n].pending[0];
        let exchange = self.exchanges[number].1;
        let Serve::Backend { backend, .. } = exchange.serve else { return };
        let idle = &mut self.idle[usize::from(backend)];
        let connection = if idle.is_empty() || self.choices.one_in(3) {
            let port = 50_000 + u16::try_from(self.seen.connections.len()).unwrap();
            self.open(How::Active, port, [10, 1, 0, backend], 8080)
        } else {
            idle.remove(self.choices.below(idle.len()))
        };
        let owner = &self.seen.connections[self.clients[n].connection];
        let body_sent = owner.ingress.received() >= self.seen.placed[number].request.unwrap().1;
        let to = &mut self.seen.connections[connection];
        to.requests += 1;
        let start = to.egress.bytes.len();
        let address = self.plan.clients[n].address;
        to.egress.bytes.extend(messages::forwarded(number, address, &exchange, &self.plan.rules));
        let head_end = to.egress.bytes.len();
        if body_sent {
            to.egress.bytes.extend(messages::body(exchange.framing, exchange.size));
        }
        self.clients[n].attempt = Some(self.seen.attempts.len());
        self.seen.attempts.push(Attempt {
            of: number,
            connection,
            head_end,
            body_sent,
            seen_at: Vec::new(),
            request: (start, to.egress.bytes.len()),
            response: None,
            answered: false,
            over: false,
        });
    }

    /// The backend answers, or closes without an answer.
    fn answer(&mut self, n: usize) {
        let exchange = &self.exchanges[self.clients[n].pending[0]].1;
        let attempt = &mut self.seen.attempts[self.clients[n].attempt.unwrap()];
        attempt.answered = true;
        let ingress = &mut self.seen.connections[attempt.connection].ingress;
        if self.clients[n].failures > 0 {
            ingress.closed = true;
            return;
        }
        let start = ingress.bytes.len();
        let framing = exchange.reply.framing;
        ingress.bytes.extend(messages::reply(exchange.method, &exchange.reply, framing));
        attempt.response = Some((start, ingress.bytes.len()));
        ingress.closed = framing == Framing::Close;
    }

    /// The controller hands the answer on, or tries again.
    fn relay(&mut self, n: usize) {
        let place = self.clients[n].attempt.take().unwrap();
        let attempt = &mut self.seen.attempts[place];
        attempt.over = true;
        let (connection, failed) = (attempt.connection, attempt.response.is_none());
        let Serve::Backend { backend, .. } = self.exchanges[attempt.of].1.serve else { return };
        let to = &mut self.seen.connections[connection];
        if to.ingress.closed || self.plan.rules.no_keep_alive {
            to.egress.closed = true;
        } else {
            self.idle[usize::from(backend)].push(connection);
        }
        if failed {
            self.clients[n].failures -= 1;
            self.attempt(n);
        } else {
            self.give(n);
        }
    }

    /// The controller answers the client.
    fn give(&mut self, n: usize) {
        let number = self.clients[n].pending.pop_front().unwrap();
        let exchange = &self.exchanges[number].1;
        let framing = match exchange.reply.framing {
            Framing::Close if exchange.method == "HEAD" => Framing::Length,
            Framing::Close => Framing::Chunked(700),
            framing => framing,
        };
        let bytes = &mut self.seen.connections[self.clients[n].connection].egress.bytes;
        let start = bytes.len();
        bytes.extend(messages::reply(exchange.method, &exchange.reply, framing));
        self.seen.placed[number].response = Some((start, bytes.len()));
    }

    /// One side of a connection closes, or both have.
    fn end(&mut self, n: usize) {
        let connection = &mut self.seen.connections[n];
        if connection.ingress.is_over() && connection.egress.fin_sent {
            connection.closed = true;
            let (id, time) = (connection.id, self.now);
            return self.pipeline.record(&Record::Closed { id, time, totals: None });
        }
        if connection.egress.fin_sent && !connection.ingress.closed {
            connection.ingress.closed = true;
        } else {
            connection.egress.closed = true;
            self.idle.iter_mut().for_each(|idle| idle.retain(|other| *other != n));
        }
    }

    fn open(&mut self, how: How, port: u16, remote: [u8; 4], remote_port: u16) -> usize {
        let id = ConnectionId(100 + u64::try_from(self.seen.connections.len()).unwrap());
        let end = |address: [u8; 4], port| SocketAddr::from((Ipv4Addr::from(address), port));
        let tuple = Tuple { local: end([10, 0, 0, 5], port), remote: end(remote, remote_port) };
        self.now += 1;
        self.pipeline.record(&Record::Opened {
            id,
            time: self.now,
            tuple,
            how,
            first: [1, 1],
            start: [0; 2],
        });
        let (ingress, egress) = Default::default();
        self.seen.connections.push(Connection { id, tuple, ingress, egress, requests: 0, closed: false });
        self.seen.connections.len() - 1
    }

    /// A segment passes the controller's socket.
    fn segment(&mut self, n: usize, direction: Direction, cut: Cut) {
        let connection = &mut self.seen.connections[n];
        let flow = match direction {
            Direction::Ingress => &mut connection.ingress,
            Direction::Egress => &mut connection.egress,
        };
        flow.arrive(cut);
        if let Capture::Losing { percent } = self.capture
            && !cut.fin
            && self.choices.next() % 100 < percent
        {
            flow.has_losses = true;
            return;
        }
        flow.capture(cut);
        let (start, end) = (cut.start as u64, cut.end as u64);
        let unneeded = end <= self.needs.of(connection.id, direction) && self.choices.one_in(2);
        let bytes = if unneeded { &[] } else { &flow.bytes[cut.start..cut.end] };
        let len = u32::try_from(end - start).unwrap();
        let segment =
            Segment { direction, offset: start, len, bytes, fin: cut.fin, rst: false, received: None };
        self.pipeline.record(&Record::Segment { id: connection.id, time: self.now, segment });
        if direction == Direction::Egress {
            for attempt in self.seen.attempts.iter_mut().filter(|attempt| attempt.connection == n) {
                if cut.start < attempt.head_end && cut.end > attempt.request.0 {
                    attempt.seen_at.push(self.now);
                }
            }
        }
        self.take_events();
    }

    fn tick(&mut self) {
        self.pipeline.tick(self.now);
        self.take_events();
    }

    fn take_events(&mut self) {
        for event in self.pipeline.take_events() {
            let mut line = Vec::new();
            native::render(&event, &mut line).unwrap();
            self.seen.events.push(serde_json::from_slice(&line).unwrap());
        }
    }
}
