//! TLS that is passed on: known by the `ClientHello` that comes by twice, and by nothing else.

use super::secure::{Keys, ends};
use super::*;
use crate::assemble::tls::tests::rig::{CLIENT, Conversation};
use crate::attribute::manifests;
use crate::attribute::routes::Options;

mod hostile;

/// Ends of a connection, by its leg: the client at 10.0.0.2, the backend at 10.9.0.1.
fn tuple(how: How) -> Tuple {
    let [client, here, backend] = [([10, 0, 0, 2], 5000), ([10, 0, 0, 1], 443), ([10, 9, 0, 1], 8443)];
    match how {
        How::Passive => Tuple { local: here.into(), remote: client.into() },
        _ => Tuple { local: ([10, 0, 0, 1], 40_000).into(), remote: backend.into() },
    }
}

/// What a connection has carried, each way.
pub(super) struct Leg {
    id: ConnectionId,
    how: How,
    offsets: [u64; 2],
}

impl Rig {
    pub(super) fn leg(&mut self, id: u64, how: How) -> Leg {
        self.time += 1;
        let (id, time) = (ConnectionId(id), self.time);
        let (first, start) = ([0; 2], [0; 2]);
        self.record(&Record::Opened { id, time, tuple: tuple(how), how, first, start });
        Leg { id, how, offsets: [0; 2] }
    }

    /// Bytes of the client's, or for it.
    pub(super) fn carry(&mut self, leg: &mut Leg, from_client: bool, bytes: &[u8]) {
        let ingress = from_client == (leg.how == How::Passive);
        let direction = if ingress { Direction::Ingress } else { Direction::Egress };
        (self.id, self.offsets) = (leg.id, leg.offsets);
        self.segment(direction, leg.offsets[direction as usize], bytes.len(), bytes);
        leg.offsets[direction as usize] += bytes.len() as u64;
    }

    /// All of a conversation on both legs, first here, then there.
    fn pass(&mut self, conversation: &Conversation, legs: &mut [Leg; 2]) {
        for (direction, bytes) in &conversation.wire {
            for leg in legs.iter_mut() {
                self.carry(leg, *direction == CLIENT, bytes);
            }
        }
    }

    pub(super) fn close(&mut self, leg: &Leg) {
        (self.id, self.offsets) = (leg.id, leg.offsets);
        self.closed(false);
    }
}

fn spoken() -> (Arc<Keys>, Conversation) {
    let (ends, keys) = ends();
    let mut tls = ends.connect();
    tls.run().ask(get("/x").as_bytes()).answer(OK.as_bytes());
    (keys, tls)
}

/// The client's `connection` event.
fn client(rig: &Rig) -> &Value {
    rig.of_kind("connection").find(|event| event["leg"] == "client").unwrap()
}

fn attribution(annotation: &str) -> Arc<Attribution> {
    let yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: vault\n  namespace: shop\n  \
         annotations: {{nginx.ingress.kubernetes.io/ssl-passthrough: \"{annotation}\"}}\nspec:\n  rules:\n  \
         - host: shop.example.com\n    http:\n      paths:\n      - path: /\n        pathType: Prefix\n        \
         backend: {{service: {{name: vault, port: {{number: 443}}}}}}\n\
         ---\napiVersion: v1\nkind: Service\nmetadata: {{name: vault, namespace: shop}}\nspec:\n  \
         ports: [{{name: https, port: 443, targetPort: 8443}}]\n\
         ---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: vault-1\n  namespace: shop\n  \
         labels: {{kubernetes.io/service-name: vault}}\naddressType: IPv4\n\
         endpoints:\n- addresses: [10.9.0.1]\n  conditions: {{ready: true}}\n\
         ports: [{{name: https, port: 8443, protocol: TCP}}]\n"
    );
    let objects = manifests::parse(std::path::Path::new("test.yaml"), yaml.as_bytes()).unwrap();
    Arc::new(Attribution::new(&objects, &Options::default()))
}

#[test]
fn the_same_hello_on_both_legs() {
    for (annotation, matched, agrees) in [("true", "passthrough", "yes"), ("false", "none", "unknown")] {
        let (_, tls) = spoken();
        let mut rig = Rig::new();
        rig.pipeline.set_attribution(attribution(annotation));
        let mut legs = [rig.leg(11, How::Passive), rig.leg(12, How::Active)];
        rig.pass(&tls, &mut legs);
        rig.later();
        // The backend's end comes first.
        for leg in legs.iter().rev() {
            rig.close(leg);
        }
        let event = client(&rig);
        assert_eq!(event["protocol"], "tls");
        assert_eq!(event["tls"]["sni"], "shop.example.com");
        let passed = &event["passthrough"];
        assert_eq!(
            (&passed["backend"]["address"], &passed["backend"]["port"]),
            (&"10.9.0.1".into(), &8443.into())
        );
        assert_eq!(passed["backend"]["service"], "vault");
        assert_eq!((&passed["route"]["matched"], &passed["agrees"]), (&matched.into(), &agrees.into()));
        assert_eq!(passed["route"]["name"] == "vault", annotation == "true");
        assert_eq!(rig.told("no_key").0, 0);
        assert_eq!(rig.told("passed_through").0, 4, "each way of both connections");
        assert_eq!(rig.requests(), []);
    }
}

/// A controller that hands TLS to itself has the keys: what was decrypted was not only passed on.
#[test]
fn secrets_serve_all_that_bear_the_same_hello() {
    let (keys, tls) = spoken();
    let mut rig = Rig::new();
    let mut legs = [rig.leg(11, How::Passive), rig.leg(12, How::Active)];
    rig.pass(&tls, &mut legs);
    rig.learns(&keys);
    legs.iter().for_each(|leg| rig.close(leg));
    assert_eq!(rig.requests(), [("/x", 200, true)]);
    assert_eq!(client(&rig)["passthrough"], Value::Null);
    assert_eq!(rig.told("passed_through").0 + rig.told("no_key").0, 0);
}

/// Who has seen what the controller sent to a backend can send it to the controller. Nothing was passed on.
#[test]
fn a_hello_that_comes_back() {
    let (_, tls) = spoken();
    let mut rig = Rig::new();
    let mut legs = [rig.leg(12, How::Active), rig.leg(11, How::Passive)];
    rig.pass(&tls, &mut legs);
    rig.later();
    legs.iter().for_each(|leg| rig.close(leg));
    assert_eq!(client(&rig)["passthrough"], Value::Null);
    assert_eq!(rig.told("passed_through").0, 0);
    assert!(rig.told("no_key").0 > 0);
}

/// A client that says the same hello on many connections leaves nothing behind, and costs no more than others.
#[test]
fn many_connections_with_one_hello() {
    let (_, tls) = spoken();
    let mut rig = Rig::new();
    let legs: Vec<_> = (0..100)
        .map(|number| {
            let mut leg = rig.leg(100 + number, How::Passive);
            rig.carry(&mut leg, true, &tls.wire[0].1);
            leg
        })
        .collect();
    assert_eq!(rig.pipeline.hellos.names(), 100);
    legs.iter().for_each(|leg| rig.close(leg));
    assert!(rig.pipeline.hellos.is_empty());
}
