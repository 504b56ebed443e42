//! What who chooses the random value of a `ClientHello` can do with it.

use rustls::client::Resumption;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, GetRandomFailed, SecureRandom};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;
use crate::assemble::tls::tests::rig::Ends;

/// A client that says the same random value each time.
#[derive(Debug)]
struct Same;

impl SecureRandom for Same {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        bytes.fill(7);
        Ok(())
    }
}

fn same() -> (Ends, Arc<Keys>) {
    let (mut ends, keys) = ends();
    let provider = CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
        secure_random: &Same,
        ..default_provider()
    };
    let mut roots = RootCertStore::empty();
    roots.add(ends.server_der.clone().into()).unwrap();
    ends.client = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    ends.client.resumption = Resumption::disabled();
    (ends, keys)
}

fn hello(ends: &Ends, name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(ends.client.clone()), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

impl Rig {
    fn carry_all(&mut self, conversation: &Conversation, leg: &mut Leg) {
        for (direction, bytes) in &conversation.wire {
            self.carry(leg, *direction == CLIENT, bytes);
        }
    }
}

/// A connection is open and idle, and its random value is everyone's.
fn occupied(ends: &Ends, keys: &Keys) -> Rig {
    let mut rig = Rig::new();
    let mut first = ends.connect();
    first.run();
    rig.learns(keys);
    let mut idle = rig.leg(21, How::Passive);
    rig.carry_all(&first, &mut idle);
    rig
}

/// A client hides its requests behind an idle connection with the same random value.
#[test]
fn a_second_connection_with_the_same_random() {
    let (ends, keys) = same();
    let mut rig = occupied(&ends, &keys);
    let mut second = ends.connect();
    second.run().ask(get("/hidden").as_bytes()).answer(OK.as_bytes());
    rig.learns(&keys);
    let mut leg = rig.leg(22, How::Passive);
    rig.carry_all(&second, &mut leg);
    rig.close(&leg);
    assert_eq!(rig.requests(), [("/hidden", 200, true)], "{:?}", rig.events);
}

/// A client has its secrets wiped by a second connection that ends in the middle of the first one's handshake.
#[test]
fn another_connection_with_the_same_hello_ends() {
    let (keys, tls) = spoken();
    let mut rig = Rig::new();
    let mut leg = rig.leg(21, How::Passive);
    rig.learns(&keys);
    for (direction, bytes) in &tls.wire[..2] {
        rig.carry(&mut leg, *direction == CLIENT, bytes);
    }
    let mut other = rig.leg(22, How::Passive);
    rig.carry(&mut other, true, &tls.wire[0].1);
    rig.close(&other);
    for (direction, bytes) in &tls.wire[2..] {
        rig.carry(&mut leg, *direction == CLIENT, bytes);
    }
    rig.close(&leg);
    assert_eq!(rig.requests(), [("/x", 200, true)], "{:?}", rig.events);
}

/// A backend hides itself: it says the controller's random value to the controller before it answers.
#[test]
fn a_backend_that_connects_with_the_controllers_random() {
    let (ends, keys) = same();
    let mut rig = Rig::new();
    rig.asks(&get("/x"));
    let (id, offsets) = (rig.id, rig.offsets);
    let mut back = ends.connect();
    let mut front = ends.connect();
    front.run();
    let mut forged = rig.leg(30, How::Passive);
    rig.learns(&keys);
    rig.carry_all(&front, &mut forged);
    back.run().ask(get("/x").as_bytes()).answer(OK.as_bytes());
    rig.learns(&keys);
    let mut leg = rig.leg(12, How::Active);
    rig.carry_all(&back, &mut leg);
    (rig.id, rig.offsets) = (id, offsets);
    rig.answers(OK);
    rig.closed(false);
    let event = rig.of_kind("http.request").next().unwrap();
    assert_eq!(event["backend"]["address"], "10.9.0.1", "{event}");
}

/// A client makes another connection of its own look passed on, and the one that is does not.
#[test]
fn the_same_random_for_another_name() {
    let (ends, _) = same();
    let mut rig = Rig::new();
    let [here, there] = ["shop.example.com", "vault.example.com"].map(|name| hello(&ends, name));
    let mut ended = rig.leg(21, How::Passive);
    rig.carry(&mut ended, true, &here);
    let mut legs = [rig.leg(22, How::Passive), rig.leg(12, How::Active)];
    legs.iter_mut().for_each(|leg| rig.carry(leg, true, &there));
    for leg in legs.iter().chain([&ended]) {
        rig.close(leg);
    }
    let told: Vec<_> = rig
        .of_kind("connection")
        .filter(|event| event["leg"] == "client")
        .map(|event| (event["tls"]["sni"].as_str().unwrap(), !event["passthrough"].is_null()))
        .collect();
    assert_eq!(told, [("vault.example.com", true), ("shop.example.com", false)]);
}

/// Eight connections with one hello are held open; the next one is passed on all the same.
#[test]
fn more_than_are_remembered() {
    let (_, tls) = spoken();
    let mut rig = Rig::new();
    let mut last = None;
    for number in 0..5 {
        let mut legs = [rig.leg(100 + number, How::Passive), rig.leg(200 + number, How::Active)];
        legs.iter_mut().for_each(|leg| rig.carry(leg, true, &tls.wire[0].1));
        last = Some(legs);
    }
    for leg in last.iter().flatten() {
        rig.close(leg);
    }
    assert_ne!(client(&rig)["passthrough"], Value::Null);
}

/// ingress-nginx with `--enable-ssl-passthrough` hands all TLS to itself: what its own listener ends is not passed on.
#[test]
fn a_hop_inside_the_controller() {
    for known in [true, false] {
        let (ends, keys) = ends();
        let mut tls = ends.connect();
        tls.run().close();
        let mut rig = Rig::new();
        let mut front = rig.leg(11, How::Passive);
        let [near, far] = [([127, 0, 0, 1], 40_000).into(), ([127, 0, 0, 1], 442).into()];
        let (first, start) = ([0; 2], [0; 2]);
        let mut hop = |id, how, tuple| {
            rig.time += 1;
            let (id, time) = (ConnectionId(id), rig.time);
            rig.record(&Record::Opened { id, time, tuple, how, first, start });
            Leg { id, how, offsets: [0; 2] }
        };
        let mut out = hop(12, How::Active, Tuple { local: near, remote: far });
        let mut back = hop(13, How::Passive, Tuple { local: far, remote: near });
        if known {
            rig.learns(&keys);
        }
        for (direction, bytes) in &tls.wire {
            for leg in [&mut front, &mut out, &mut back] {
                rig.carry(leg, *direction == CLIENT, bytes);
            }
        }
        rig.later();
        for leg in [&back, &out, &front] {
            rig.close(leg);
        }
        let passed: Vec<_> = rig.of_kind("connection").map(|event| event["passthrough"].clone()).collect();
        assert_eq!(passed.iter().filter(|passed| !passed.is_null()).count(), 0, "known: {known} {passed:?}");
        assert_eq!(rig.told("passed_through").0, 0, "known: {known}");
    }
}

/// Eight idle connections with the same hello must not keep late secrets from the one that speaks.
#[test]
fn late_secrets_behind_idle_connections() {
    let (keys, tls) = spoken();
    let mut rig = Rig::new();
    for number in 0..8 {
        let mut idle = rig.leg(100 + number, How::Passive);
        rig.carry(&mut idle, true, &tls.wire[0].1);
    }
    let mut leg = rig.leg(200, How::Passive);
    rig.carry_all(&tls, &mut leg);
    rig.learns(&keys).later();
    rig.close(&leg);
    assert_eq!(rig.requests(), [("/x", 200, true)]);
}

/// A late secret is not tried on all that wait for one of its name, and that is told.
#[test]
fn late_secrets_of_more_connections_than_are_served() {
    let (keys, tls) = spoken();
    let mut rig = Rig::new();
    let legs: Vec<_> = (0..66)
        .map(|number| {
            let mut leg = rig.leg(100 + number, How::Passive);
            rig.carry_all(&tls, &mut leg);
            leg
        })
        .collect();
    rig.learns(&keys).later();
    legs.iter().for_each(|leg| rig.close(leg));
    assert_eq!(rig.requests(), [("/x", 200, true); 64]);
    let told: Vec<_> = rig.of_kind("coverage").filter(|event| event["reason"] == "secret_limit").collect();
    // Two connections, four secrets.
    assert_eq!(told.iter().map(|event| event["count"].as_u64().unwrap()).sum::<u64>(), 8, "{told:?}");
    let missing: Vec<_> =
        rig.of_kind("coverage").filter(|event| event["subject"]["connection"] != Value::Null).collect();
    assert_eq!(missing.len(), 4, "each way of the two: {missing:#?}");
}

/// A controller that tries another backend where the first one has gone: the second one is whom it was passed on to.
#[test]
fn a_second_try() {
    let (_, tls) = spoken();
    let mut rig = Rig::new();
    let mut front = rig.leg(21, How::Passive);
    rig.carry(&mut front, true, &tls.wire[0].1);
    let mut gone = rig.leg(31, How::Active);
    rig.carry(&mut gone, true, &tls.wire[0].1);
    rig.close(&gone);
    let (id, how) = (ConnectionId(32), How::Active);
    let tuple = Tuple { local: ([10, 0, 0, 1], 40_001).into(), remote: ([10, 9, 0, 2], 8443).into() };
    rig.time += 1;
    let (time, first, start) = (rig.time, [0; 2], [0; 2]);
    rig.record(&Record::Opened { id, time, tuple, how, first, start });
    let mut second = Leg { id, how, offsets: [0; 2] };
    for (direction, bytes) in &tls.wire {
        let bytes = if direction == &CLIENT && second.offsets == [0; 2] { &tls.wire[0].1 } else { bytes };
        rig.carry(&mut second, *direction == CLIENT, bytes);
    }
    for (direction, bytes) in &tls.wire[1..] {
        rig.carry(&mut front, *direction == CLIENT, bytes);
    }
    rig.later();
    rig.close(&second);
    rig.close(&front);
    assert_eq!(client(&rig)["passthrough"]["backend"]["address"], "10.9.0.2");
    assert_eq!(rig.told("no_key").0, 0);
}

/// More secrets of one name than are kept: what is left out is told, and those before it serve all the same.
#[test]
fn more_secrets_of_one_random_than_are_kept() {
    let (ends, keys) = same();
    let mut rig = Rig::new();
    let mut legs = Vec::new();
    for number in 0..9 {
        let mut tls = ends.connect();
        tls.run().ask(get(&format!("/{number}")).as_bytes()).answer(OK.as_bytes());
        rig.learns(&keys);
        let mut leg = rig.leg(21 + number, How::Passive);
        rig.carry_all(&tls, &mut leg);
        legs.push(leg);
    }
    rig.later();
    legs.iter().for_each(|leg| rig.close(leg));
    let requests = rig.requests();
    assert_eq!(requests.len(), 8);
    assert!(requests.iter().all(|(path, ..)| *path != "/8"));
    let told: Vec<_> = rig.of_kind("coverage").filter(|event| event["reason"] == "secret_limit").collect();
    // Four secrets: of the handshake and of application data, each way.
    assert_eq!(told.iter().map(|event| event["count"].as_u64().unwrap()).sum::<u64>(), 4, "{told:?}");
    assert_eq!(rig.told("malformed").0, 2, "each way of the connection that is left out");
    assert!(rig.pipeline.hellos.is_empty() && rig.pipeline.tls.secrets.connections() == 0);
}

/// The secret of the second connection comes after its records were given up, and after those of the first were tried.
#[test]
fn late_secrets_of_a_second_connection_with_the_same_random() {
    let (ends, keys) = same();
    let mut rig = occupied(&ends, &keys);
    let mut second = ends.connect();
    second.run().ask(get("/lost").as_bytes()).answer(OK.as_bytes());
    let mut leg = rig.leg(22, How::Passive);
    rig.carry_all(&second, &mut leg);
    rig.later();
    rig.learns(&keys);
    second.wire.clear();
    for path in ["/a", "/b", "/c"] {
        second.ask(get(path).as_bytes()).answer(OK.as_bytes());
    }
    rig.carry_all(&second, &mut leg);
    rig.close(&leg);
    let requests = rig.requests();
    assert!(requests.ends_with(&[("/c", 200, true)]), "{requests:?}");
}

/// Who has seen a connection's records, without any secret, sends them again behind the same hello: the controller refuses them.
#[test]
fn records_of_another_connection_sent_again() {
    let (ends, keys) = ends();
    let mut rig = Rig::new();
    let mut first = ends.connect();
    first.run().ask(get("/x").as_bytes()).answer(OK.as_bytes());
    rig.learns(&keys);
    let mut leg = rig.leg(21, How::Passive);
    rig.carry_all(&first, &mut leg);
    let said = first.bytes(CLIENT);
    let (hello, rest) = said.split_at(first.wire[0].1.len());
    let mut server = rustls::ServerConnection::new(Arc::new(ends.server.clone())).unwrap();
    let (mut flight, mut alert) = (Vec::new(), Vec::new());
    server.read_tls(&mut &hello[..]).unwrap();
    server.process_new_packets().unwrap();
    while server.wants_write() {
        server.write_tls(&mut flight).unwrap();
    }
    rig.learns(&keys);
    server.read_tls(&mut &rest[..]).unwrap();
    server.process_new_packets().unwrap_err();
    while server.wants_write() {
        server.write_tls(&mut alert).unwrap();
    }
    let mut again = rig.leg(22, How::Passive);
    rig.carry(&mut again, true, hello);
    rig.carry(&mut again, false, &flight);
    rig.carry(&mut again, true, rest);
    rig.carry(&mut again, false, &alert);
    rig.close(&again);
    rig.later();
    rig.close(&leg);
    let all: Vec<_> = rig.of_kind("http.request").cloned().collect();
    assert_eq!(all.len(), 1, "{all:#?}");
}
