//! TLS: what a record costs. One iteration reads one connection's records of one kind; divan divides by their number.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use auditor::assemble::Piece;
use auditor::assemble::tls::context::Context;
use auditor::assemble::tls::secrets::{ClientRandom, Label, Secret};
use auditor::assemble::tls::{Sink, Tls};
use auditor::capture::record::{Direction, Nanos};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, KeyLog, RootCertStore, ServerConfig, ServerConnection};

fn main() {
    divan::main();
}

/// Records of a connection's answers.
const RECORDS: usize = 200;

#[derive(Debug, Default)]
struct Secrets(Mutex<Vec<(ClientRandom, Label, Secret)>>);

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if let Some(label) = Label::from_name(label.as_bytes()) {
            let random = ClientRandom(client_random.try_into().unwrap());
            self.0.lock().unwrap().push((random, label, Secret::new(secret).unwrap()));
        }
    }
}

/// What was on the wire of a connection: the handshake, then `RECORDS` records of the server with `len` bytes each.
struct Recorded {
    secrets: Vec<(ClientRandom, Label, Secret)>,
    handshake: Vec<(Direction, Vec<u8>)>,
    records: Vec<Vec<u8>>,
}

fn recorded(suite: rustls::SupportedCipherSuite, len: usize) -> Recorded {
    let mut provider = default_provider();
    provider.cipher_suites = vec![suite];
    let provider = Arc::new(provider);
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let secrets = Arc::new(Secrets::default());
    server.key_log = Arc::clone(&secrets) as Arc<dyn KeyLog>;
    let name = ServerName::try_from("a.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut handshake = vec![];
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
        let (mut up, mut down) = (vec![], vec![]);
        client.write_tls(&mut up).unwrap();
        server.read_tls(&mut &up[..]).unwrap();
        server.process_new_packets().unwrap();
        while server.wants_write() {
            server.write_tls(&mut down).unwrap();
        }
        client.read_tls(&mut &down[..]).unwrap();
        client.process_new_packets().unwrap();
        handshake.extend([(Direction::Ingress, up), (Direction::Egress, down)]);
    }
    handshake.retain(|(_, bytes)| !bytes.is_empty());
    let records = (0..RECORDS).map(|_| {
        server.writer().write_all(&vec![b'a'; len]).unwrap();
        let mut record = vec![];
        server.write_tls(&mut record).unwrap();
        record
    });
    let records = records.collect();
    Recorded { secrets: secrets.0.lock().unwrap().clone(), handshake, records }
}

struct Count {
    bytes: u64,
    needed: u64,
}

impl Sink for Count {
    fn piece(&mut self, _: Direction, piece: Piece<'_>, _: Nanos) {
        if let Piece::Data(bytes) = piece {
            self.bytes += black_box(bytes).len() as u64;
        }
    }
    fn lost(&mut self, _: Direction, _: u64, _: Nanos) {}
    fn needed(&self, _: Direction) -> u64 {
        self.needed
    }
}

fn run(bencher: Bencher<'_, '_>, suite: rustls::SupportedCipherSuite, len: usize, needed: u64) {
    let recorded = recorded(suite, len);
    bencher
        .counter(ItemsCount::new(RECORDS))
        .counter(BytesCount::new(RECORDS * len))
        .with_inputs(|| {
            let (mut cx, mut tls) = (Context::default(), Tls::new(Direction::Ingress));
            for (random, label, secret) in &recorded.secrets {
                cx.secrets.insert(Some(*random), *label, secret.clone(), 0);
            }
            let mut count = Count { bytes: 0, needed };
            for (direction, bytes) in &recorded.handshake {
                tls.feed(&mut cx, *direction, Piece::Data(bytes), 0, &mut count);
            }
            (cx, tls, count)
        })
        .bench_local_values(|(mut cx, mut tls, mut count)| {
            for record in &recorded.records {
                tls.feed(&mut cx, Direction::Egress, Piece::Data(record), 0, &mut count);
            }
            assert_eq!(count.bytes, if needed == 0 { (RECORDS * len) as u64 } else { 0 });
            count.bytes
        });
}

const LENS: [usize; 3] = [100, 1024, 16_384];

#[divan::bench(args = LENS)]
fn aes_128_gcm(bencher: Bencher<'_, '_>, len: usize) {
    run(bencher, cipher_suite::TLS13_AES_128_GCM_SHA256, len, 0);
}

#[divan::bench(args = LENS)]
fn aes_256_gcm(bencher: Bencher<'_, '_>, len: usize) {
    run(bencher, cipher_suite::TLS13_AES_256_GCM_SHA384, len, 0);
}

#[divan::bench(args = LENS)]
fn chacha20_poly1305(bencher: Bencher<'_, '_>, len: usize) {
    run(bencher, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256, len, 0);
}

/// Records whose plaintext nobody needs.
#[divan::bench(args = LENS)]
fn passed_over(bencher: Bencher<'_, '_>, len: usize) {
    run(bencher, cipher_suite::TLS13_AES_128_GCM_SHA256, len, u64::MAX);
}

/// A whole handshake of TLS 1.3, read once.
#[divan::bench]
fn handshake(bencher: Bencher<'_, '_>) {
    let recorded = recorded(cipher_suite::TLS13_AES_128_GCM_SHA256, 1);
    let mut cx = Context::default();
    bencher.bench_local(|| {
        for (random, label, secret) in &recorded.secrets {
            cx.secrets.insert(Some(*random), *label, secret.clone(), 0);
        }
        let (mut tls, mut count) = (Tls::new(Direction::Ingress), Count { bytes: 0, needed: 0 });
        for (direction, bytes) in &recorded.handshake {
            tls.feed(&mut cx, *direction, Piece::Data(bytes), 0, &mut count);
        }
        assert!(tls.facts().completed);
        tls.finish(&mut cx, 0, &mut count);
    });
}
