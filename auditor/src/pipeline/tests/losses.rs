//! What the ring could not take, what there is no room for, and who comes again.

use std::time::{Duration, Instant};

use super::*;

/// Payload of many connections that TCP has not been seen to accept, and heads that are not whole, are held within one
/// bound; those that hold little are left alone.
#[test]
fn what_waits_for_tcp_is_within_the_bound() {
    let mut rig = Rig::within(1000, 4 << 20);
    rig.connect(1).asks("GET /honest HTTP/1.1\r\n");
    for id in 2..600 {
        rig.connect(id).asks(&format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(60_000)));
        assert!(rig.pipeline.held <= 4 << 20, "{} bytes", rig.pipeline.held);
    }
    (rig.id, rig.offsets) = (ConnectionId(1), [22, 0]);
    rig.asks("\r\n").answers(OK).closed(false);
    assert_eq!(rig.requests(), [("/honest", 200, true)]);
    let held: usize = rig.pipeline.connections.values().map(Connection::held).sum();
    assert_eq!(rig.pipeline.held, held);
}

#[test]
fn the_list_of_holders_does_not_grow_with_the_connections_that_pass() {
    let mut rig = Rig::within(10_000, 4 << 20);
    for id in 1..10_000 {
        rig.connect(id).get("/").closed(false);
    }
    assert!(rig.pipeline.holding.len() <= 2048, "{}", rig.pipeline.holding.len());
    assert_eq!(rig.pipeline.held, 0);
}

/// Whoever opens more connections than are followed must not cost a look at all that are, each time.
#[test]
fn connections_beyond_the_bound_cost_little() {
    let mut rig = Rig::within(20_000, 4 << 20);
    for id in 1..=20_000 {
        rig.connect(id);
    }
    let begun = Instant::now();
    for id in 20_001..60_000 {
        rig.connect(id);
    }
    let took = begun.elapsed();
    // With a look at each of 20,000 it takes a minute.
    assert!(took < Duration::from_secs(10), "{took:?}");
    rig.time += 7_200 * SECOND;
    rig.connect(60_001).get("/after").closed(false);
    assert_eq!(rig.requests(), [("/after", 200, true)]);
}

/// The end of an answer, and of the connection, found no room in the ring.
#[test]
fn an_answer_that_was_not_told_of_is_missing_and_not_cut() {
    let mut rig = Rig::new();
    rig.asks(&get("/first"));
    rig.offsets[1] = 10_000;
    rig.closed(false);
    let first = rig.of_kind("http.request").next().unwrap();
    assert_eq!(first["observation"]["complete"], false, "{first}");
    assert_ne!(first["outcome"], "completed");
}

#[test]
fn a_connection_that_is_told_of_again_has_another_id() {
    let mut rig = Rig::new();
    rig.opened(7, How::Joined, [100, 100]).closed(false);
    rig.opened(7, How::Joined, [100, 100]).closed(false);
    rig.opened(7, How::Joined, [200, 300]).closed(false);
    let mut ids: Vec<&str> = rig.of_kind("connection").map(|event| event["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

/// The wall clock was moved: events say what it shows, durations and ids are as before.
#[test]
fn events_follow_the_wall_clock() {
    let run = |shift: i64| {
        let mut rig = Rig::new();
        rig.time = 1_000 * SECOND;
        rig.pipeline.builder().set_shift(shift);
        rig.connect(3).get("/first").closed(false);
        rig.pipeline.lost(Loss::RingFull, 1, 2);
        rig.later();
        rig.events
    };
    let without = |events: &[Value]| {
        let mut events = events.to_vec();
        for event in &mut events {
            for time in ["time", "since", "until"] {
                event.as_object_mut().unwrap().remove(time);
            }
        }
        events
    };
    let (plain, ahead, behind) = (run(0), run(3_600_000_000_000), run(-900_000_000_000));
    let times = |events: &[Value], at: &str, kind: &str| -> Vec<String> {
        let of_kind = events.iter().filter(|event| event["kind"] == kind);
        of_kind.filter_map(|event| event[at].as_str().map(str::to_owned)).collect()
    };
    for (kind, at) in
        [("http.request", "time"), ("connection", "time"), ("coverage", "since"), ("coverage", "until")]
    {
        let first = |events: &[Value]| times(events, at, kind).first().cloned().unwrap();
        assert!(first(&plain).starts_with("1970-01-01T00:"), "{kind} {}", first(&plain));
        assert_eq!(first(&ahead), first(&plain).replace("T00:", "T01:"), "{kind} {at}");
        assert!(first(&behind) < first(&plain), "{kind} {at}");
    }
    assert_eq!(without(&plain), without(&ahead));
    assert_eq!(without(&plain), without(&behind));
}
