//! What each record does to the pipeline.

use std::sync::Arc;

use auditor_ebpf::window::offset_of;

use super::connection::Connection;
use super::coverage::Loss;
use super::early::Piece;
use super::hellos::Hello;
use super::layers::Scope;
use super::{Feedback, Pipeline};
use crate::assemble::tls::secrets::store::Taken;
use crate::assemble::tls::secrets::{ClientRandom, Label, Secret};
use crate::capture::record::{ConnectionId, Direction, How, Nanos, Record, Segment, Totals, Tuple};
use crate::capture::secret;
use crate::decode::http1::connection::{End, Sink};
use crate::decode::http1::exchange::Decoded;
use crate::decode::http1::exchange::Reason;
use crate::decode::http1::malformed::Malformed;
use crate::decode::legs::{Leg, Party};
use crate::emit::build::ConnectionEnd;

/// Connections of one client random whose records wait, that one late secret is tried on. The random value is the client's
/// choice, and each trial runs records through a cipher. Those that wait longest come first.
pub(super) const MAX_SERVED: u64 = 64;

/// How far into a stream a piece may lie that came before its connection: no more than a first window of TCP.
const MAX_EARLY: i64 = 1 << 20;

/// What the layers of a connection work with, borrowed beside the connection.
macro_rules! scope {
    ($pipeline:ident) => {
        Scope {
            http: Sink { limits: &$pipeline.limits.http1, out: &mut $pipeline.decoded },
            tls: &mut $pipeline.tls,
        }
    };
}

/// Takes one record.
pub(super) fn take<F: Feedback>(pipeline: &mut Pipeline<F>, record: &Record<'_>) {
    match record {
        Record::Segment { id, time, segment } => {
            pipeline.now = pipeline.now.max(*time);
            take_segment(pipeline, *id, *time, segment);
        }
        Record::Opened { id, time, tuple, how, first, start } => {
            pipeline.now = pipeline.now.max(*time);
            let party = party(pipeline, *id, *time, *tuple, *how);
            open(pipeline, party, first[0], *start);
        }
        Record::Closed { id, time, totals } => close(pipeline, *id, *time, *totals),
        Record::Early { time, tuple, sequence, len, bytes } => {
            let piece = Piece { time: *time, sequence: *sequence, len: *len, bytes: (*bytes).into() };
            pipeline.early.push(*tuple, piece, &mut pipeline.coverage);
        }
        Record::Translated { id, tuple } => {
            if let Some(connection) = pipeline.connections.get_mut(id) {
                Arc::make_mut(&mut connection.party).translated = Some(*tuple);
            }
        }
        Record::Secret { time, secret } => take_secret(pipeline, *time, secret),
        Record::ConnectFailed { id, time, tuple } => {
            let party = party(pipeline, *id, *time, *tuple, How::Active);
            pipeline.events.push(pipeline.builder.connect_failed(&party, *time));
        }
    }
}

fn party<F>(pipeline: &Pipeline<F>, id: ConnectionId, opened: Nanos, tuple: Tuple, how: How) -> Party {
    let leg = match how {
        How::Passive => Leg::Client,
        How::Active => Leg::Backend,
        How::Joined if listens(pipeline, &tuple) => Leg::Client,
        How::Joined => Leg::Backend,
    };
    let internal = leg == Leg::Client && pipeline.opened.contains_key(&(tuple.remote, tuple.local));
    Party { id, tuple, translated: None, proxied: None, tls: None, passed: None, how, opened, leg, internal }
}

/// Whether the controller's end of a connection is one of its listeners.
fn listens<F>(pipeline: &Pipeline<F>, tuple: &Tuple) -> bool {
    pipeline.listeners.iter().any(|listener| {
        listener.port() == tuple.local.port()
            && (listener.ip().is_unspecified() || listener.ip() == tuple.local.ip())
    })
}

/// A connection exists. `first`: the sequence number of its first byte; `start`: where its streams begin to be told of.
fn open<F: Feedback>(pipeline: &mut Pipeline<F>, party: Party, first: u32, start: [u64; 2]) {
    let Party { id, opened: time, tuple, how, .. } = party;
    if let Some(known) = pipeline.connections.get_mut(&id) {
        if how != How::Joined {
            // Payload came before the handshake was over (TCP Fast Open): nothing of it is lost.
            known.becomes(how, party.leg);
            return;
        }
        // The kernel had to forget it, and tells of it from here on.
        lose(pipeline, id);
    }
    if pipeline.connections.len() >= pipeline.limits.connections && !make_room(pipeline) {
        pipeline.coverage.count(Loss::ConnectionLimit, 1, 0, time);
        return;
    }
    match how {
        How::Active => {
            pipeline.opened.insert((tuple.local, tuple.remote), id);
        }
        How::Joined => pipeline.coverage.count(Loss::Joined, 1, 0, time),
        How::Passive => drop(pipeline.ports.insert(tuple.local.port())),
    }
    pipeline.connections.insert(id, Connection::new(party, start));
    for piece in pipeline.early.take(&tuple) {
        let offset = offset_of(piece.sequence, first, 0);
        // Anyone can send a packet to a listener; what belongs to this connection lies at its beginning.
        if offset > MAX_EARLY {
            pipeline.coverage.count(Loss::Contradiction, 1, piece.len.into(), time);
            continue;
        }
        let Ok(skip) = usize::try_from(offset.saturating_neg().max(0)) else { continue };
        let segment = Segment {
            direction: Direction::Ingress,
            offset: u64::try_from(offset).unwrap_or(0),
            len: piece.len.saturating_sub(u32::try_from(skip).unwrap_or(u32::MAX)),
            bytes: piece.bytes.get(skip..).unwrap_or_default(),
            fin: false,
            rst: false,
            // The socket had received nothing yet.
            received: Some(0),
        };
        take_segment(pipeline, id, piece.time, &segment);
    }
}

/// Ends the connections that were silent longest, whose end may have been among lost records. False if all are lively.
fn make_room<F: Feedback>(pipeline: &mut Pipeline<F>) -> bool {
    /// As long as Linux keeps a connection of which nothing is heard before it asks (`tcp_keepalive_time`).
    const SILENT: Nanos = 7_200_000_000_000;
    // Whoever opens connections beyond the bound must not cost a look at all of them each time.
    if pipeline.now < pipeline.full_until {
        return false;
    }
    let deadline = pipeline.now.saturating_sub(SILENT);
    let mut silent: Vec<ConnectionId> = pipeline
        .connections
        .iter()
        .filter(|(_, connection)| connection.last < deadline)
        .map(|(id, _)| *id)
        .collect();
    if silent.is_empty() {
        let first = pipeline.connections.values().map(|connection| connection.last).min();
        pipeline.full_until = first.unwrap_or(0).saturating_add(SILENT);
    }
    silent.sort_unstable();
    silent.iter().for_each(|id| lose(pipeline, *id));
    !silent.is_empty()
}

fn take_segment<F: Feedback>(
    pipeline: &mut Pipeline<F>,
    id: ConnectionId,
    time: Nanos,
    segment: &Segment<'_>,
) {
    let Some(connection) = pipeline.connections.get_mut(&id) else {
        // The reset that follows the end of an aborted connection carries nothing.
        if segment.len > 0 {
            pipeline.coverage.count(Loss::ConnectionUnknown, 1, u64::from(segment.len), time);
        }
        return;
    };
    let held = connection.held();
    let mut scope = scope!(pipeline);
    connection.push(segment, time, &pipeline.limits, &mut scope);
    let now_held = connection.held();
    if connection.has_deadline(&pipeline.limits.stream, &pipeline.tls.limits) {
        pipeline.waiting.insert(id);
    }
    if now_held > 0 && !std::mem::replace(&mut connection.listed, true) {
        pipeline.holding.push(id);
    }
    for direction in [Direction::Ingress, Direction::Egress] {
        if let Some(want) = connection.news(direction) {
            pipeline.feedback.needed(id, direction, want);
        }
    }
    let said_hello = if connection.registered.is_some() { None } else { connection.hello() };
    pipeline.held = pipeline.held + now_held - held;
    if let Some(hello) = said_hello {
        register(pipeline, id, hello);
    }
    decode(pipeline, id);
    if pipeline.holding.len() > 2 * pipeline.connections.len() + 1024 {
        relist(pipeline);
    }
    if pipeline.held > pipeline.limits.held_bytes {
        release(pipeline);
    }
}

/// A `ClientHello` was read. One that went to a backend after a client had sent the very same was passed on, TLS unended:
/// nobody can know a random value of 32 bytes before it was sent (RFC 8446, C.1), and who ends TLS says a hello of its own.
fn register<F: Feedback>(pipeline: &mut Pipeline<F>, id: ConnectionId, hello: Hello) {
    let Some(connection) = pipeline.connections.get_mut(&id) else { return };
    let number = pipeline.hellos.register(id, &hello);
    connection.registered = Some((number, hello));
    let party = Arc::clone(&connection.party);
    if party.leg == Leg::Client {
        if party.internal {
            // Its first hop is no backend's. Where it goes from here is where the client's goes.
            if let Some((client, number)) = unpair(pipeline, &party, &hello) {
                return pipeline.hellos.waits(client, number, &hello);
            }
        }
        return pipeline.hellos.waits(id, number, &hello);
    }
    let Pipeline { connections, hellos, .. } = pipeline;
    let from = hellos.passed(&hello, |id| connections.get(&id).is_some_and(|from| !from.is_answered()));
    let Some(client) = from else { return };
    let to = party.translated.unwrap_or(party.tuple).remote;
    let Some(from) = connections.get_mut(&client) else { return };
    let before = from.partner.replace(id);
    Arc::make_mut(&mut from.party).passed = Some(to);
    let remote = from.party.tuple.remote;
    if let Some(before) = before.and_then(|before| connections.get_mut(&before)) {
        before.partner = None;
    }
    if let Some(backend) = connections.get_mut(&id) {
        backend.partner = Some(client);
        Arc::make_mut(&mut backend.party).passed = Some(remote);
    }
}

/// The controller has handed TLS to itself: neither end of that is a client's or a backend's. Gives the client that it came
/// from, with its number.
fn unpair<F>(pipeline: &mut Pipeline<F>, inner: &Party, hello: &Hello) -> Option<(ConnectionId, u64)> {
    let outer = *pipeline.opened.get(&(inner.tuple.remote, inner.tuple.local))?;
    let outer = pipeline.connections.get_mut(&outer)?;
    outer.registered.filter(|(_, said)| said == hello)?;
    let id = outer.partner.take()?;
    Arc::make_mut(&mut outer.party).passed = None;
    let client = pipeline.connections.get_mut(&id)?;
    client.partner = None;
    Arc::make_mut(&mut client.party).passed = None;
    Some((id, client.registered?.0))
}

/// A secret of TLS: kept, and used at once by the connections that wait for it.
fn take_secret<F: Feedback>(pipeline: &mut Pipeline<F>, time: Nanos, secret: &secret::Secret<'_>) {
    pipeline.now = pipeline.now.max(time);
    let named = secret.client_random.map(ClientRandom);
    let (Some(label), Some(kept)) = (Label::from_name(secret.label.as_bytes()), Secret::new(secret.bytes))
    else {
        return;
    };
    match pipeline.tls.secrets.insert(named, label, kept, time) {
        Taken::New => {}
        Taken::Known => return,
        Taken::Surplus => return pipeline.coverage.count(Loss::SecretLimit, 1, 0, time),
    }
    let Some(random) = named else { return };
    let (mut last, mut served) = (0, 0);
    while let Some((number, id)) = pipeline.hellos.behind(&random, last) {
        last = number;
        if served < MAX_SERVED {
            served += u64::from(serve(pipeline, id, time));
        } else if pipeline.connections.get(&id).is_some_and(Connection::awaits) {
            pipeline.coverage.count(Loss::SecretLimit, 1, 0, time);
        }
    }
}

/// A secret has come that may serve a connection. Tells whether it waited for one.
fn serve<F: Feedback>(pipeline: &mut Pipeline<F>, id: ConnectionId, time: Nanos) -> bool {
    let Some(connection) = pipeline.connections.get_mut(&id).filter(|connection| connection.awaits()) else {
        return false;
    };
    let held = connection.held();
    connection.secrets_arrived(time, &mut scope!(pipeline));
    let left = connection.held();
    if left > 0 && !std::mem::replace(&mut connection.listed, true) {
        pipeline.holding.push(id);
    }
    pipeline.held = pipeline.held + left - held;
    decode(pipeline, id);
    true
}

/// Keeps the list of those that hold bytes as short as it may be.
fn relist<F>(pipeline: &mut Pipeline<F>) {
    let Pipeline { connections, holding, .. } = pipeline;
    holding.retain(|id| {
        let Some(connection) = connections.get_mut(id) else { return false };
        connection.listed = connection.held() > 0;
        connection.listed
    });
}

/// All connections together hold too much: those that hold most give theirs up, until a quarter of the room is free.
fn release<F: Feedback>(pipeline: &mut Pipeline<F>) {
    relist(pipeline);
    let Pipeline { connections, holding, .. } = pipeline;
    let held = |id: &ConnectionId| connections.get(id).map_or(0, Connection::held);
    let mut holders: Vec<(usize, ConnectionId)> = holding.iter().map(|id| (held(id), *id)).collect();
    holders.sort_unstable_by(|a, b| b.cmp(a));
    for (held, id) in holders {
        if pipeline.held <= pipeline.limits.held_bytes / 4 * 3 {
            break;
        }
        let Some(connection) = pipeline.connections.get_mut(&id) else { continue };
        let mut scope = scope!(pipeline);
        connection.release(pipeline.now, &mut scope);
        let left = connection.held();
        pipeline.held = pipeline.held + left - held;
        decode(pipeline, id);
    }
}

/// Passes on what the decoder of a connection said.
fn decode<F: Feedback>(pipeline: &mut Pipeline<F>, id: ConnectionId) {
    if pipeline.decoded.is_empty() {
        return;
    }
    let Some(connection) = pipeline.connections.get_mut(&id) else { return };
    for decoded in pipeline.decoded.drain(..) {
        let party = &connection.party;
        match (decoded, party.leg) {
            (Decoded::Request { key, head, .. }, Leg::Client) => {
                connection.requests += 1;
                pipeline.legs.client_request(party, key, head);
            }
            (Decoded::Request { key, head, time }, Leg::Backend) => {
                connection.requests += 1;
                pipeline.legs.backend_request(party, key, head, time);
            }
            (Decoded::Response { .. }, _) => {}
            (Decoded::Finished(exchange), leg) => {
                connection.tunnel |= exchange.tunnel.is_some();
                // A malformed request was not announced, and is one all the same.
                connection.requests += u64::from(exchange.request.head.is_none());
                match leg {
                    Leg::Client => {
                        pipeline.legs.client_finished(party, exchange, pipeline.now, &mut pipeline.joined)
                    }
                    Leg::Backend => pipeline.legs.backend_finished(party, exchange, &mut pipeline.joined),
                }
            }
            (Decoded::Trouble(trouble), _) => {
                if let Reason::Malformed(what @ (Malformed::Tls | Malformed::Http2)) = trouble.reason {
                    connection.foreign = Some(what);
                }
                pipeline.coverage.trouble(party, &trouble);
            }
        }
    }
}

fn close<F: Feedback>(pipeline: &mut Pipeline<F>, id: ConnectionId, time: Nanos, totals: Option<Totals>) {
    pipeline.now = pipeline.now.max(time);
    end(pipeline, id, time, totals, End::Closed);
}

/// Ends a connection of which nothing more will be seen.
pub(super) fn lose<F: Feedback>(pipeline: &mut Pipeline<F>, id: ConnectionId) {
    end(pipeline, id, pipeline.now, None, End::Lost);
}

fn end<F: Feedback>(
    pipeline: &mut Pipeline<F>,
    id: ConnectionId,
    time: Nanos,
    totals: Option<Totals>,
    how: End,
) {
    let Some(connection) = pipeline.connections.get_mut(&id) else { return };
    if let Some((number, hello)) = connection.registered {
        pipeline.hellos.remove(id, number, &hello);
    }
    let held = connection.held();
    let mut scope = scope!(pipeline);
    let refused = connection.finish(how, totals, time, &mut scope);
    pipeline.held -= held;
    decode(pipeline, id);
    pipeline.waiting.remove(&id);
    let Some(connection) = pipeline.connections.remove(&id) else { return };
    let tuple = connection.party.tuple;
    if pipeline.opened.get(&(tuple.local, tuple.remote)) == Some(&id) {
        pipeline.opened.remove(&(tuple.local, tuple.remote));
    }
    let (contradictions, bytes) = connection.contradictions();
    if contradictions > 0 || bytes + refused > 0 {
        pipeline.coverage.count(Loss::Contradiction, contradictions, bytes + refused, time);
    }
    let [received, sent] = connection.bytes();
    let end = ConnectionEnd {
        time,
        received,
        sent,
        totals,
        requests: connection.requests,
        tunnel: connection.tunnel,
        foreign: connection.foreign,
        tls: connection.is_tls(),
        http2: connection.is_http2(),
        reset: connection.reset,
        timed_out: totals.is_some_and(|totals| totals.timed_out),
        lost: how == End::Lost,
    };
    pipeline.events.push(pipeline.builder.connection(&connection.party, &end));
}

/// Gives up what was waited for long enough.
pub(super) fn expire<F: Feedback>(pipeline: &mut Pipeline<F>) {
    pipeline.early.expire(pipeline.now, &mut pipeline.coverage);
    if pipeline.waiting.is_empty() {
        return;
    }
    let mut waiting: Vec<ConnectionId> = pipeline.waiting.drain().collect();
    waiting.sort_unstable();
    for id in waiting {
        let Some(connection) = pipeline.connections.get_mut(&id) else { continue };
        let held = connection.held();
        let mut scope = scope!(pipeline);
        connection.expire(&pipeline.limits, pipeline.now, &mut scope);
        let left = connection.held();
        if connection.has_deadline(&pipeline.limits.stream, &pipeline.tls.limits) {
            pipeline.waiting.insert(id);
        }
        pipeline.held = pipeline.held + left - held;
        decode(pipeline, id);
    }
}
