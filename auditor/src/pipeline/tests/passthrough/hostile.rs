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
