//! What attempts were for.

use super::rig::Rig;
use crate::decode::http1::exchange::Outcome;

const ASKED: &str = "GET /x; Host: h";
const FORWARDED: &str = "GET /x; Host: h; X-Forwarded-For: 203.0.113.1";

#[test]
fn retries() {
    for (first, said) in [(Some(503), "503"), (None, "-")] {
        let mut rig = Rig::default();
        let asked = rig.asks(1, ASKED);
        let one = rig.forwards(1, FORWARDED);
        rig.backend_ends(&one, first, Outcome::ClosedByServer);
        let two = rig.forwards(2, FORWARDED);
        rig.answers(&two, 200).gets(&asked, 200);
        rig.check(&[&format!("/x of 1, 1 Exact Retry {said}, 2 Exact Main 200")]);
    }
    // None answers: the last one tried is the main one.
    let mut rig = Rig::default();
    let asked = rig.asks(1, ASKED);
    for backend in [1, 2] {
        let tried = rig.forwards(backend, FORWARDED);
        rig.backend_ends(&tried, None, Outcome::ClosedByServer);
    }
    rig.gets(&asked, 502).check(&["/x of 1, 1 Exact Retry -, 2 Exact Main -"]);
}

#[test]
fn mirrors() {
    // The copy goes out first, and its answer comes last: it has another status.
    let mut rig = Rig::default();
    let asked = rig.asks(1, ASKED);
    let copy = rig.forwards(9, FORWARDED);
    let main = rig.forwards(1, FORWARDED);
    rig.answers(&main, 200).gets(&asked, 200);
    rig.check(&[]);
    rig.answers(&copy, 404);
    rig.check(&["/x of 1, 9 Exact Mirror 404, 1 Exact Main 200"]);
    // Answered well before the main one began: that is no reason to try again.
    let asked = rig.asks(1, ASKED);
    let copy = rig.forwards(9, FORWARDED);
    rig.answers(&copy, 200);
    let main = rig.forwards(1, FORWARDED);
    rig.answers(&main, 200).gets(&asked, 200);
    rig.check(&["/x of 1, 9 Exact Mirror 200, 1 Exact Main 200"]);
    // It begins last, and gets another answer than the client, or none.
    for (status, said) in [(Some(404), "404"), (None, "-")] {
        let mut rig = Rig::default();
        let asked = rig.asks(1, ASKED);
        let (main, copy) = (rig.forwards(1, FORWARDED), rig.forwards(9, FORWARDED));
        rig.answers(&main, 200).backend_ends(&copy, status, Outcome::ClosedByServer).gets(&asked, 200);
        rig.check(&[&format!("/x of 1, 1 Exact Main 200, 9 Exact Mirror {said}")]);
    }
    // A copy does not go to another request that waits for its turn.
    let mut rig = Rig::default();
    let (first, second) = (rig.asks(1, ASKED), rig.asks(2, ASKED));
    let copies = [rig.forwards(9, FORWARDED), rig.forwards(1, FORWARDED)];
    copies.iter().for_each(|copy| {
        rig.answers(copy, 200);
    });
    rig.gets(&first, 200).gets(&second, 200);
    rig.check(&["/x of 1, 9 Inferred Mirror 200, 1 Inferred Main 200", "/x of 2"]);
}

#[test]
fn authorization() {
    let auth = "GET /verify; Host: h; X-Forwarded-For: 203.0.113.1; X-Original-URL: http://h/x";
    let mut rig = Rig::default();
    let asked = rig.asks(1, ASKED);
    let check = rig.forwards(7, auth);
    rig.answers(&check, 200);
    let main = rig.forwards(1, FORWARDED);
    rig.answers(&main, 200).gets(&asked, 200);
    rig.check(&["/x of 1, 7 Inferred Auth 200, 1 Exact Main 200"]);
    // Refused: nobody served the request.
    let asked = rig.asks(1, ASKED);
    let check = rig.forwards(7, auth);
    rig.answers(&check, 401).gets(&asked, 401);
    rig.check(&["/x of 1, 7 Inferred Auth 401"]);
}

/// Some controllers add the header to all that they forward.
#[test]
fn what_is_forwarded_under_its_own_target_is_no_question() {
    let mut rig = Rig::default();
    let asked = rig.asks(1, ASKED);
    let main = rig.forwards(1, &format!("{FORWARDED}; X-Original-URI: /x"));
    rig.answers(&main, 200).gets(&asked, 200).check(&["/x of 1, 1 Exact Main 200"]);
}

/// A client sends the header itself: what serves it is no question whether it may.
#[test]
fn a_client_cannot_pass_its_request_off_as_a_question() {
    for name in ["X-Original-URL", "X-Original-URI", "X-Original-Method", "X-Forwarded-Uri"] {
        let mut rig = Rig::default();
        let asked = rig.asks(1, &format!("GET /api/x; Host: h; {name}: /api/x"));
        let main = rig.forwards(1, &format!("GET /x; Host: h; X-Forwarded-For: 203.0.113.1; {name}: /api/x"));
        rig.answers(&main, 200).gets(&asked, 200);
        rig.check(&["/api/x of 1, 1 Inferred Main 200"]);
    }
}
