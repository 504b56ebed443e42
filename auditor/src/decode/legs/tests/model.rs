//! Any interleaving of the two legs: each exchange comes out once, each attempt in one request, and nothing stays.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::rig::{Begun, Rig};
use crate::decode::http1::exchange::Outcome;
use crate::decode::legs::{GRACE, Joined, Key, Leg};

/// One thing that happens. Numbers choose among what is there, by remainder.
#[derive(Clone, Debug)]
enum Step {
    Ask { client: u8, text: usize },
    Forward { backend: u8, text: usize },
    Answer { which: usize, status: Option<u16> },
    End { which: usize, status: Option<u16> },
    Unannounced { leg: bool },
    Pass { part: u64 },
}

/// Few, so that they collide.
const TEXTS: [&str; 8] = [
    "GET /x; Host: h",
    "GET /x; Host: h; X-Request-ID: 1",
    "GET /x; Host: h; X-Request-ID: 2; X-Forwarded-For: 203.0.113.1",
    "GET /api/x; Host: h; X-Forwarded-For: 203.0.113.2",
    "GET /api/x; Host: g; traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "GET /y; Host: h; traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "HEAD /x; Host: h; X-Request-ID: 1",
    "GET /verify; Host: h; X-Forwarded-For: 203.0.113.1; X-Original-URL: http://h/x",
];

fn step() -> impl Strategy<Value = Step> {
    let status = || prop_oneof![Just(None), Just(Some(200)), Just(Some(503))];
    prop_oneof![
        4 => (1..4_u8, 0..TEXTS.len()).prop_map(|(client, text)| Step::Ask { client, text }),
        4 => (1..4_u8, 0..TEXTS.len()).prop_map(|(backend, text)| Step::Forward { backend, text }),
        4 => (any::<usize>(), status()).prop_map(|(which, status)| Step::Answer { which, status }),
        4 => (any::<usize>(), status()).prop_map(|(which, status)| Step::End { which, status }),
        1 => any::<bool>().prop_map(|leg| Step::Unannounced { leg }),
        2 => (1..5_u64).prop_map(|part| Step::Pass { part }),
    ]
}

/// What has happened, and how often each thing must have come out at the end.
#[derive(Default)]
struct Model {
    rig: Rig,
    asking: Vec<Begun>,
    forwarding: Vec<Begun>,
    /// Client exchanges that ended.
    asked: BTreeMap<Key, usize>,
    /// Backend exchanges that ended.
    answered: BTreeMap<Key, usize>,
    requests: BTreeMap<Key, usize>,
    attempts: BTreeMap<Key, usize>,
    upstream: BTreeMap<Key, usize>,
}

impl Model {
    fn step(&mut self, step: &Step) {
        let Self { rig, asking, forwarding, .. } = self;
        match *step {
            Step::Ask { client, text } => asking.push(rig.asks(client, TEXTS[text])),
            Step::Forward { backend, text } => forwarding.push(rig.forwards(backend, TEXTS[text])),
            Step::Answer { which, status } if !forwarding.is_empty() => {
                let begun = forwarding.swap_remove(which % forwarding.len());
                self.answer(&begun, status);
            }
            Step::End { which, status } if !asking.is_empty() => {
                let begun = asking.swap_remove(which % asking.len());
                self.end(&begun, status);
            }
            Step::Unannounced { leg } => {
                let leg = if leg { Leg::Client } else { Leg::Backend };
                let party = rig.party(leg, 1);
                let begun = Begun { party, offset: 0, head: super::rig::request(TEXTS[0]) };
                match leg {
                    Leg::Client => self.end(&begun, Some(400)),
                    Leg::Backend => self.answer(&begun, None),
                }
            }
            Step::Pass { part } => drop(rig.passes(GRACE * part / 4)),
            _ => {}
        }
        self.collect();
    }

    fn end(&mut self, begun: &Begun, status: Option<u16>) {
        *self.asked.entry((begun.party.id, begun.offset)).or_default() += 1;
        let outcome = if status.is_some() { Outcome::Completed } else { Outcome::ResetByClient };
        self.rig.client_ends(begun, status, outcome);
    }

    fn answer(&mut self, begun: &Begun, status: Option<u16>) {
        *self.answered.entry((begun.party.id, begun.offset)).or_default() += 1;
        let outcome = if status.is_some() { Outcome::Completed } else { Outcome::ClosedByServer };
        self.rig.backend_ends(begun, status, outcome);
    }

    fn collect(&mut self) {
        for joined in self.rig.out.drain(..) {
            match joined {
                Joined::Request { party, exchange, attempts } => {
                    *self.requests.entry((party.id, exchange.key)).or_default() += 1;
                    for attempt in attempts.iter().filter(|attempt| attempt.exchange.is_some()) {
                        *self.attempts.entry(attempt.key()).or_default() += 1;
                    }
                }
                Joined::Upstream { party, exchange } => {
                    *self.upstream.entry((party.id, exchange.key)).or_default() += 1;
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn an_exchange_comes_out_exactly_once(steps in proptest::collection::vec(step(), 0..120)) {
        let mut model = Model::default();
        steps.iter().for_each(|step| model.step(step));
        let waiting = model.rig.legs.len();
        prop_assert!(waiting <= model.asking.len() + model.asked.values().sum::<usize>());
        for begun in std::mem::take(&mut model.forwarding) {
            model.answer(&begun, Some(200));
        }
        for begun in std::mem::take(&mut model.asking) {
            model.end(&begun, Some(200));
        }
        model.rig.legs.finish(&mut model.rig.out);
        model.collect();
        prop_assert_eq!(&model.requests, &model.asked);
        let mut backend = model.upstream.clone();
        for (key, count) in &model.attempts {
            *backend.entry(*key).or_default() += count;
        }
        prop_assert_eq!(&backend, &model.answered);
        prop_assert!(model.rig.legs.is_empty(), "{:?}", model.rig.legs);
    }

    /// One at a time, whatever they look like: sure of nothing wrong.
    #[test]
    fn one_after_the_other(texts in proptest::collection::vec((1..4_u8, 0..3_usize), 1..40)) {
        let mut rig = Rig::default();
        for (client, text) in texts {
            let asked = rig.asks(client, TEXTS[text]);
            let forwarded = rig.forwards(1, TEXTS[text]);
            rig.answers(&forwarded, 200).gets(&asked, 200);
            let lines = rig.lines();
            prop_assert_eq!(lines.len(), 1);
            prop_assert!(lines[0].starts_with(&format!("/x of {client}, 1 ")), "{lines:?}");
            prop_assert!(rig.legs.is_empty());
        }
    }
}
