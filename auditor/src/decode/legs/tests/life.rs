//! When requests are given out, and that nothing stays.

use super::rig::{Begun, Rig};
use crate::decode::http1::exchange::Outcome;
use crate::decode::legs::{GRACE, MAX_ABANDONED};

const ASKED: &str = "GET /x; Host: h";

#[test]
fn a_finished_request_waits_for_its_attempts() {
    let mut rig = Rig::default();
    let asked = rig.asks(1, ASKED);
    let forwarded = rig.forwards(1, ASKED);
    rig.gets(&asked, 200).check(&[]);
    rig.passes(GRACE - 1).check(&[]);
    rig.answers(&forwarded, 200).check(&["/x of 1, 1 Exact Main 200"]);
    // And not longer than it should; what ends later is told by itself.
    let asked = rig.asks(1, ASKED);
    let forwarded = rig.forwards(1, ASKED);
    rig.gets(&asked, 200).passes(GRACE).check(&["/x of 1, 1 Exact Main -"]);
    rig.answers(&forwarded, 200).check(&["upstream /x by 1"]);
    rig.passes(GRACE).check(&[]);
    assert!(rig.legs.is_empty());
}

#[test]
fn a_request_that_is_over_takes_no_more_attempts() {
    let mut rig = Rig::default();
    let asked = rig.asks(1, ASKED);
    let first = rig.forwards(1, ASKED);
    rig.gets(&asked, 200);
    let late = rig.forwards(2, ASKED);
    rig.answers(&late, 200).check(&["upstream /x by 2"]);
    rig.answers(&first, 200).check(&["/x of 1, 1 Exact Main 200"]);
}

/// A client that leaves at once: the controller may not have noticed, and forward its request.
#[test]
fn a_client_that_left() {
    let mut rig = Rig::default();
    let asked = rig.asks(1, ASKED);
    rig.leaves(&asked).check(&[]);
    let forwarded = rig.forwards(1, ASKED);
    rig.backend_ends(&forwarded, None, Outcome::ResetByClient).check(&["/x of 1, 1 Inferred Main -"]);
    // Nothing is forwarded for it.
    let asked = rig.asks(1, ASKED);
    rig.leaves(&asked).passes(GRACE).check(&["/x of 1"]);
    // Another asks for the same: that it is the one who is meant is likely, and not sure.
    let (left, stays) = (rig.asks(1, ASKED), rig.asks(2, ASKED));
    rig.leaves(&left);
    let forwarded = rig.forwards(1, ASKED);
    rig.answers(&forwarded, 200).gets(&stays, 200).check(&["/x of 2, 1 Inferred Main 200"]);
    rig.passes(GRACE).check(&["/x of 1"]);
    assert!(rig.legs.is_empty());
    // One that the controller itself answered waits for nothing.
    let asked = rig.asks(1, ASKED);
    rig.client_ends(&asked, Some(408), Outcome::ClosedByClient).check(&["/x of 1"]);
}

#[test]
fn only_so_many_that_left_are_kept() {
    let mut rig = Rig::default();
    let asked: Vec<Begun> = (0..MAX_ABANDONED + 9).map(|_| rig.asks(1, ASKED)).collect();
    asked.iter().for_each(|begun| {
        rig.leaves(begun);
    });
    assert_eq!((rig.legs.len(), rig.lines().len()), (MAX_ABANDONED, 9));
    rig.passes(GRACE);
    assert_eq!(rig.lines().len(), MAX_ABANDONED);
    assert!(rig.legs.is_empty());
}
