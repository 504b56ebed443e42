//! TLS in the pipeline: secrets that come in time, late or never, and what of it TCP refused.

use std::sync::Mutex;

use rustls::KeyLog;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

use super::*;
use crate::assemble::tls::tests::rig::{Conversation, Ends};
use crate::capture::secret::Secret;

/// What both ends log, once each.
#[derive(Debug, Default)]
pub(super) struct Keys(pub(super) Mutex<Vec<Offered>>);

/// A line for the key log: the label, the client random and the secret.
type Offered = (String, [u8; 32], Vec<u8>);

impl KeyLog for Keys {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        self.0.lock().unwrap().push((label.to_owned(), client_random.try_into().unwrap(), secret.to_vec()));
    }
}

pub(super) fn ends() -> (Ends, Arc<Keys>) {
    let mut ends = Ends::new(TLS13_AES_128_GCM_SHA256, &rustls::version::TLS13);
    let keys = Arc::new(Keys::default());
    ends.server.key_log = Arc::clone(&keys) as Arc<dyn KeyLog>;
    (ends, keys)
}

impl Rig {
    /// Everything that was on the wire since the last call.
    pub(super) fn carries(&mut self, conversation: &mut Conversation) -> &mut Self {
        for (direction, bytes) in std::mem::take(&mut conversation.wire) {
            let at = self.offsets[direction as usize];
            self.segment(direction, at, bytes.len(), &bytes);
            self.offsets[direction as usize] += bytes.len() as u64;
        }
        self
    }

    pub(super) fn learns(&mut self, keys: &Keys) -> &mut Self {
        for (label, random, bytes) in keys.0.lock().unwrap().drain(..) {
            let label = crate::assemble::tls::secrets::Label::from_name(label.as_bytes());
            let Some(label) = label.map(|label| label.name()) else { continue };
            self.time += 1;
            let secret = Secret { label, client_random: Some(random), bytes: &bytes, pid: 1 };
            let time = self.time;
            self.record(&Record::Secret { time, secret });
        }
        self
    }
}

#[test]
fn secrets_may_come_before_or_after_what_needs_them() {
    for late in [false, true] {
        let (ends, keys) = ends();
        let (mut rig, mut tls) = (Rig::new(), ends.connect());
        tls.run().ask(get("/x").as_bytes()).answer(OK.as_bytes());
        if late {
            rig.carries(&mut tls).learns(&keys);
        } else {
            rig.learns(&keys).carries(&mut tls);
        }
        rig.closed(false);
        assert_eq!(rig.requests(), [("/x", 200, true)], "late: {late}");
        let event = rig.of_kind("http.request").next().unwrap();
        assert_eq!(event["tls"]["version"], "1.3");
        assert_eq!(event["http"]["request"]["scheme"], "https");
        assert!(rig.pipeline.is_empty());
    }
}

#[test]
fn connections_without_secrets_leave_nothing_behind() {
    let (ends, _) = ends();
    let mut rig = Rig::new();
    for id in 1..50 {
        let mut tls = ends.connect();
        tls.run().ask(get("/x").as_bytes()).answer(OK.as_bytes());
        if id > 1 {
            rig.connect(id);
        }
        rig.carries(&mut tls).later().closed(false);
    }
    assert_eq!(rig.requests(), []);
    assert!(rig.told("no_key").0 >= 49, "{:?}", rig.told("no_key"));
    assert!(rig.pipeline.is_empty(), "{} names of secrets", rig.pipeline.hellos.names());
}

/// What was given up is told; what comes after the secret is read.
#[test]
fn secrets_that_come_too_late_still_serve_what_follows() {
    let (ends, keys) = ends();
    let (mut rig, mut tls) = (Rig::new(), ends.connect());
    tls.run().ask(get("/lost").as_bytes()).answer(OK.as_bytes());
    rig.carries(&mut tls).later().learns(&keys);
    for path in ["/a", "/b", "/c"] {
        tls.ask(get(path).as_bytes()).answer(OK.as_bytes());
        rig.carries(&mut tls);
    }
    rig.closed(false);
    assert!(rig.told("no_key").0 > 0);
    let requests = rig.requests();
    assert!(requests.ends_with(&[("/c", 200, true)]), "{requests:?} {:?}", rig.events);
    assert!(requests.iter().all(|(path, ..)| *path != "/lost"));
    assert!(rig.pipeline.is_empty());
}

/// A request that the controller's TCP never took is no request that it left unanswered.
#[test]
fn what_tcp_refused_is_told_of_tls_as_well() {
    let (ends, keys) = ends();
    let (mut rig, mut tls) = (Rig::new(), ends.connect());
    tls.run().ask(get("/taken").as_bytes()).answer(OK.as_bytes());
    rig.learns(&keys).carries(&mut tls);
    tls.ask(get("/forged").as_bytes());
    for (_, bytes) in std::mem::take(&mut tls.wire) {
        rig.forged(&bytes);
    }
    rig.closed(false);
    assert_eq!(rig.requests(), [("/taken", 200, true), ("/forged", 0, false)]);
    let forged = rig.of_kind("http.request").nth(1).unwrap();
    let notes = forged["observation"]["notes"].as_array().unwrap();
    assert!(notes.iter().any(|note| note == "refused_by_tcp"), "{notes:?}");
}

/// The connection is older than the tap of the code that made its secrets, or there is no such reason.
#[test]
fn why_secrets_are_missing_is_told() {
    for older in [true, false] {
        let (ends, _) = ends();
        let (mut rig, mut tls) = (Rig::new(), ends.connect());
        rig.pipeline.set_tapped(0);
        tls.run().ask(get("/x").as_bytes()).answer(OK.as_bytes());
        rig.carries(&mut tls);
        let (id, time) = (rig.id, rig.time);
        rig.record(&Record::Closed { id, time, totals: None });
        rig.pipeline.tick(time + SECOND);
        assert_eq!(rig.collect().told("no_key"), (0, 0), "it is too early to say why");
        if older {
            rig.pipeline.set_tapped(time + SECOND);
        }
        rig.later();
        assert!(rig.told("no_key").0 > 0);
        for event in rig.of_kind("coverage").filter(|event| event["reason"] == "no_key") {
            assert_eq!(event["message"].as_str().is_some_and(|text| text.contains("began before")), older);
        }
        assert!(rig.pipeline.is_empty());
    }
}

/// A program that begins to run later, and whose TLS code is tapped then, is not why secrets of others came late.
#[test]
fn a_tap_of_something_else_is_no_reason() {
    let (ends, keys) = ends();
    let (mut rig, mut tls) = (Rig::new(), ends.connect());
    rig.pipeline.set_tapped(0);
    tls.run().ask(get("/lost").as_bytes()).answer(OK.as_bytes());
    rig.carries(&mut tls).later();
    let time = rig.time;
    rig.pipeline.set_tapped(time);
    rig.learns(&keys);
    // Held back by the search for a place, and never proved.
    tls.ask(get("/a").as_bytes());
    for (direction, bytes) in std::mem::take(&mut tls.wire) {
        let at = rig.offsets[direction as usize];
        rig.segment(direction, at, bytes.len() - 1, &bytes[..bytes.len() - 1]);
        rig.offsets[direction as usize] += bytes.len() as u64 - 1;
    }
    rig.closed(false);
    let claims = |event: &&Value| event["message"].as_str().is_some_and(|text| text.contains("began before"));
    assert_eq!(rig.of_kind("coverage").filter(claims).count(), 0);
}
