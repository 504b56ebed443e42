//! Whose connections they are: client's legs, backend's legs, neither.

use super::build::{RST, Talk, Tcp, ethernet_file};
use super::{How, Options, Outcome, Owned};

const CLIENT: &str = "198.51.100.1:50000";
const INGRESS: &str = "192.0.2.2:80";
const BACKEND_LEG: &str = "192.0.2.2:33000";
const BACKEND: &str = "10.0.0.9:8080";
const OTHER: &str = "10.0.0.77:5000";

fn talk(client: &str, server: &str) -> Talk {
    let mut talk = Talk::open(client, server, [10, 20]);
    talk.say(0, "ping");
    talk.say(1, "pong");
    talk
}

fn listen(ports: &[u16], addresses: &[&str]) -> Options {
    Options {
        listen: ports.to_vec(),
        controller_addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
    }
}

/// What of `talks`, one after the other, is whose: how, local port, remote port, and both texts.
#[track_caller]
fn check(options: &Options, talks: &[&Talk], expected: &[(How, u16, u16, &str, &str)]) -> Outcome {
    let packets: Vec<Tcp> = talks.iter().flat_map(|talk| talk.packets.clone()).collect();
    let outcome = Outcome::of(&ethernet_file(&packets), options);
    let seen: Vec<_> = outcome
        .opened()
        .into_iter()
        .map(|(id, how, tuple)| (how, tuple.local.port(), tuple.remote.port(), outcome.texts(id)))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(how, local, remote, ingress, egress)| {
            (*how, *local, *remote, ((*ingress).to_owned(), (*egress).to_owned()))
        })
        .collect();
    assert_eq!(seen, expected);
    outcome
}

#[test]
fn without_ports_every_server_is_the_controller() {
    let (a, b) = (talk(CLIENT, INGRESS), talk(BACKEND_LEG, BACKEND));
    let expected = [(How::Passive, 80, 50_000, "ping", "pong"), (How::Passive, 8080, 33_000, "ping", "pong")];
    check(&Options::default(), &[&a, &b], &expected);
}

#[test]
fn both_legs_and_neither() {
    let legs = [talk(CLIENT, INGRESS), talk(BACKEND_LEG, BACKEND), talk(OTHER, BACKEND)];
    let expected = [(How::Passive, 80, 50_000, "ping", "pong"), (How::Active, 33_000, 8080, "pong", "ping")];
    let legs: Vec<_> = legs.iter().collect();
    let outcome = check(&listen(&[80, 443], &[]), &legs, &expected);
    assert_eq!((outcome.counters.foreign_connections, outcome.counters.foreign_bytes), (1, 8));
}

#[test]
fn on_loopback_all_have_one_address() {
    let legs = [talk("127.0.0.1:50000", "127.0.0.1:80"), talk("127.0.0.1:33000", "127.0.0.1:8080")];
    let expected = [(How::Passive, 80, 50_000, "ping", "pong"), (How::Active, 33_000, 8080, "pong", "ping")];
    check(&listen(&[80], &[]), &[&legs[0], &legs[1]], &expected);
}

#[test]
fn a_backends_leg_that_was_open_before_any_clients_is_joined_when_it_is_known() {
    let mut backend = talk(BACKEND_LEG, BACKEND);
    let client = talk(CLIENT, INGRESS);
    let pool = Talk { packets: std::mem::take(&mut backend.packets), ..backend.clone() };
    backend.say(0, "GET");
    backend.say(1, "200");
    let expected = [(How::Passive, 80, 50_000, "ping", "pong"), (How::Joined, 33_000, 8080, "200", "GET")];
    let outcome = check(&listen(&[80], &[]), &[&pool, &client, &backend], &expected);
    let opened = outcome.records.iter().find(|r| matches!(r, Owned::Opened { how: How::Joined, .. }));
    let Some(Owned::Opened { first, .. }) = opened else { panic!("{outcome:?}") };
    assert_eq!((*first, outcome.counters.foreign_bytes), ([25, 15], 8));

    // With nothing said before, nothing is missed.
    let idle = Talk::open(BACKEND_LEG, BACKEND, [10, 20]);
    let mut rest = Talk { packets: vec![], ..idle.clone() };
    rest.say(0, "GET");
    let expected = [(How::Passive, 80, 50_000, "ping", "pong"), (How::Active, 33_000, 8080, "", "GET")];
    check(&listen(&[80], &[]), &[&idle, &client, &rest], &expected);
}

#[test]
fn given_addresses_are_believed() {
    // Both on port 80: the controller, and its backend.
    let legs = [
        talk("192.0.2.2:33000", "10.0.0.9:80"),
        talk(CLIENT, INGRESS),
        talk("192.0.2.2:33001", "192.0.2.2:80"),
        talk(OTHER, "10.0.0.9:80"),
    ];
    let legs: Vec<_> = legs.iter().collect();
    let expected = [
        (How::Active, 33_000, 80, "pong", "ping"),
        (How::Passive, 80, 50_000, "ping", "pong"),
        (How::Passive, 80, 33_001, "ping", "pong"),
    ];
    check(&listen(&[80], &["192.0.2.2"]), &legs, &expected);
}

#[test]
fn which_end_is_the_server_of_a_joined_connection() {
    // Spoken to by name, by the lower port, by who spoke first.
    for (client, server, ports) in [
        ("192.0.2.1:70", "192.0.2.2:9000", &[9000][..]),
        ("192.0.2.9:9000", "192.0.2.2:80", &[]),
        ("192.0.2.1:5000", "192.0.2.2:5000", &[]),
        ("192.0.2.3:5000", "192.0.2.2:5000", &[]),
    ] {
        let mut middle = talk(client, server);
        middle.packets.drain(..3);
        let (local, remote) = (middle.server.port(), middle.client.port());
        check(&listen(ports, &[]), &[&middle], &[(How::Joined, local, remote, "ping", "pong")]);
    }
}

#[test]
fn a_backend_that_refuses() {
    let client = talk(CLIENT, INGRESS);
    for (from, expected) in [(BACKEND_LEG, 1), (OTHER, 0)] {
        let mut refused = Talk::new(from, BACKEND, [10, 0]);
        refused.syn();
        let refusal = refused.draft(1, RST);
        refused.push(refusal);
        let passive = [(How::Passive, 80, 50_000, "ping", "pong")];
        let outcome = check(&listen(&[80], &[]), &[&client, &refused], &passive);
        let failed: Vec<_> = outcome
            .records
            .iter()
            .filter_map(|record| match record {
                Owned::ConnectFailed { tuple, time, .. } => Some((tuple.local, tuple.remote, *time)),
                _ => None,
            })
            .collect();
        assert_eq!(failed, [(refused.client, refused.server, 7000)][..expected]);
        assert_eq!(outcome.counters.refused, 1);
    }
}
