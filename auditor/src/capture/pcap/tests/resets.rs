//! Resets: those that end a connection, and those that only look as if.

use super::build::{RST, Talk, Tcp, ethernet_file};
use super::{Direction, Options, Outcome, Owned};

fn talk() -> Talk {
    let mut talk = Talk::open("192.0.2.1:40000", "192.0.2.2:80", [100, 900]);
    talk.say(0, "ping");
    talk.say(1, "pong");
    talk
}

fn outcome(talk: &Talk) -> Outcome {
    Outcome::of(&ethernet_file(&talk.packets), &Options::default())
}

/// A reset of the client's, `ahead` of what it would send next.
fn reset(talk: &mut Talk, ahead: i32) {
    let mut reset = talk.draft(0, RST);
    reset.seq = reset.seq.wrapping_add_signed(ahead);
    talk.push(reset);
}

#[test]
fn a_reset_ends_the_connection() {
    for who in [0, 1] {
        let mut talk = talk();
        let reset = talk.draft(who, RST);
        talk.push(reset);
        talk.say(1 - who, "too late");
        let outcome = outcome(&talk);
        let id = outcome.only();
        let direction = if who == 0 { Direction::Ingress } else { Direction::Egress };
        assert!(outcome.stream(id, direction).reset && !outcome.stream(id, direction.opposite()).reset);
        assert_eq!(outcome.records.last(), Some(&Owned::Closed { id, time: 6000 }));
        assert_eq!((outcome.counters.after_end_bytes, outcome.counters.after_end_new_bytes), (8, 8));
    }
}

#[test]
fn a_reset_that_its_receiver_refuses_hides_nothing() {
    for ahead in [-5, -4, -1, 1, 1000, 0x3fff_ffff, i32::MIN] {
        let mut talk = talk();
        reset(&mut talk, ahead);
        talk.say(0, "GET /admin");
        talk.say(1, "secret");
        let outcome = outcome(&talk);
        let id = outcome.only();
        assert_eq!(outcome.texts(id), ("pingGET /admin".to_owned(), "pongsecret".to_owned()), "{ahead}");
        assert!(!outcome.stream(id, Direction::Ingress).reset);
        assert_eq!(outcome.counters.doubtful_resets, 1, "{ahead}");
    }
}

#[test]
fn a_doubtful_reset_with_nothing_behind_it_was_one() {
    // Packets before it were not captured.
    let mut talk = talk();
    reset(&mut talk, 1000);
    talk.say(1, "");
    let outcome = outcome(&talk);
    let id = outcome.only();
    assert!(outcome.stream(id, Direction::Ingress).reset);
    assert!(matches!(
        outcome.records[outcome.records.len() - 2],
        Owned::Segment { rst: true, time: 6000, .. }
    ));
}

#[test]
fn a_reset_after_a_fin() {
    // A closed socket answers with the acknowledgment it got, which may not have covered its FIN yet.
    for behind in [0, 1] {
        let mut talk = talk();
        talk.fin(0);
        reset(&mut talk, -behind);
        let outcome = outcome(&talk);
        assert!(outcome.stream(outcome.only(), Direction::Ingress).reset);
        assert_eq!((outcome.counters.doubtful_resets, outcome.records.len()), (0, 6), "{behind}");
    }
}

#[test]
fn text_in_a_reset_is_not_the_streams() {
    let mut talk = talk();
    let reset = talk.draft(0, RST).with("why");
    talk.push(reset);
    let outcome = outcome(&talk);
    assert_eq!(outcome.texts(outcome.only()).0, "ping");
    assert_eq!(outcome.counters.reset_bytes, 3);
}

#[test]
fn a_refused_connection() {
    let mut talk = Talk::new("192.0.2.1:40000", "192.0.2.2:80", [100, 0]);
    talk.syn();
    let refusal = talk.draft(1, RST);
    talk.push(refusal);
    let outcome = outcome(&talk);
    assert_eq!((outcome.records.len(), outcome.counters.refused), (0, 1));
    // The client tries again, some with the number they had.
    let mut again = Talk::open("192.0.2.1:40000", "192.0.2.2:80", [100, 900]);
    again.say(0, "ping");
    talk.packets.extend(again.packets);
    // Without the answer too: the capture lost it.
    for lost in [None, Some(3)] {
        if let Some(lost) = lost {
            talk.packets.remove(lost);
        }
        let outcome = self::outcome(&talk);
        assert_eq!(outcome.texts(outcome.only()).0, "ping");
    }
}

#[test]
fn a_reset_that_does_not_answer_the_syn_refuses_nothing() {
    let mut talk = Talk::new("192.0.2.1:40000", "192.0.2.2:80", [100, 900]);
    talk.syn();
    talk.push(Tcp::new(talk.server, talk.client, 0, Some(7), RST));
    talk.push(Tcp::new(talk.client, talk.server, 7, None, RST));
    talk.syn_ack();
    talk.say(0, "ping");
    let outcome = outcome(&talk);
    assert_eq!(outcome.texts(outcome.only()).0, "ping");
    assert_eq!((outcome.counters.refused, outcome.counters.doubtful_resets), (0, 2));
}

#[test]
fn a_half_open_scan_is_no_connection() {
    let mut talk = Talk::new("192.0.2.1:40000", "192.0.2.2:80", [100, 900]);
    talk.syn();
    talk.syn_ack();
    talk.push(Tcp::new(talk.client, talk.server, 101, None, RST));
    let outcome = outcome(&talk);
    assert_eq!((outcome.records.len(), outcome.counters.unfinished_handshakes), (0, 1));
}
