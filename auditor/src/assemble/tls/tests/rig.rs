//! A client and a server of rustls over memory buffers, and what was on the wire between them.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use rustls::crypto::SupportedKxGroup;
use rustls::crypto::ring::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, KeyLog, RootCertStore, ServerConfig, ServerConnection};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::super::context::Context;
use super::super::secrets::{ClientRandom, Label, Secret};
use super::super::{Sink, Tls};
use crate::assemble::{Absence, Piece};
use crate::capture::record::{Direction, Nanos};

/// The client's bytes go this way in all tests.
pub(crate) const CLIENT: Direction = Direction::Ingress;
pub(crate) const SERVER: Direction = Direction::Egress;

/// Every suite that is read, with a version.
pub(crate) fn suites() -> Vec<(SupportedCipherSuite, &'static SupportedProtocolVersion)> {
    use cipher_suite::*;
    vec![
        (TLS13_AES_128_GCM_SHA256, &rustls::version::TLS13),
        (TLS13_AES_256_GCM_SHA384, &rustls::version::TLS13),
        (TLS13_CHACHA20_POLY1305_SHA256, &rustls::version::TLS13),
        (TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, &rustls::version::TLS12),
        (TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, &rustls::version::TLS12),
        (TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, &rustls::version::TLS12),
    ]
}

#[derive(Debug, Default)]
pub(crate) struct Secrets(Mutex<Vec<(ClientRandom, Label, Secret)>>);

impl Secrets {
    pub(crate) fn all(&self) -> Vec<(ClientRandom, Label, Secret)> {
        self.0.lock().unwrap().clone()
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if let Some(label) = Label::from_name(label.as_bytes()) {
            let random = ClientRandom(client_random.try_into().unwrap());
            self.0.lock().unwrap().push((random, label, Secret::new(secret).unwrap()));
        }
    }
}

/// Both ends' configurations, to be used for several connections.
pub(crate) struct Ends {
    pub(crate) client: ClientConfig,
    pub(crate) server: ServerConfig,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) server_der: Vec<u8>,
    server_key: PrivateKeyDer<'static>,
    pub(crate) client_der: Vec<u8>,
}

fn self_signed(name: &str, common: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "Acme, Inc.");
    params.distinguished_name.push(rcgen::DnType::CommonName, common);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

impl Ends {
    pub(crate) fn new(suite: SupportedCipherSuite, version: &'static SupportedProtocolVersion) -> Self {
        Self::with(suite, version, false)
    }

    pub(crate) fn with(
        suite: SupportedCipherSuite,
        version: &'static SupportedProtocolVersion,
        mutual: bool,
    ) -> Self {
        let server_groups = default_provider().kx_groups;
        Self::build(suite, version, mutual, server_groups)
    }

    /// The server has only a group for which the client sends no share at first.
    pub(crate) fn retrying(suite: SupportedCipherSuite, version: &'static SupportedProtocolVersion) -> Self {
        Self::build(suite, version, false, vec![kx_group::SECP384R1])
    }

    /// The server is replaced by one like that.
    pub(crate) fn retry(&mut self, suite: SupportedCipherSuite) {
        let mut provider = default_provider();
        (provider.cipher_suites, provider.kx_groups) = (vec![suite], vec![kx_group::SECP384R1]);
        let mut server = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.server_der.clone().into()], self.server_key.clone_key())
            .unwrap();
        server.key_log = Arc::clone(&self.secrets) as Arc<dyn KeyLog>;
        server.max_early_data_size = 16 * 1024;
        self.server = server;
    }

    fn build(
        suite: SupportedCipherSuite,
        version: &'static SupportedProtocolVersion,
        mutual: bool,
        server_groups: Vec<&'static dyn SupportedKxGroup>,
    ) -> Self {
        let mut provider = default_provider();
        provider.cipher_suites = vec![suite];
        let mut server_provider = provider.clone();
        server_provider.kx_groups = server_groups;
        let provider = Arc::new(provider);
        let (certificate, key) = self_signed("shop.example.com", "shop.example.com");
        let (client_certificate, client_key) = self_signed("alice.example.com", "alice");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        let mut client = if mutual {
            client.with_client_auth_cert(vec![client_certificate.clone()], client_key).unwrap()
        } else {
            client.with_no_client_auth()
        };
        let server = ServerConfig::builder_with_provider(Arc::new(server_provider))
            .with_protocol_versions(&[version])
            .unwrap();
        let server = if mutual {
            let mut roots = RootCertStore::empty();
            roots.add(client_certificate.clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            server.with_client_cert_verifier(verifier)
        } else {
            server.with_no_client_auth()
        };
        let mut server = server.with_single_cert(vec![certificate.clone()], key.clone_key()).unwrap();
        let secrets = Arc::new(Secrets::default());
        server.key_log = Arc::clone(&secrets) as Arc<dyn KeyLog>;
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        server.max_early_data_size = 16 * 1024;
        client.enable_early_data = true;
        Self {
            client,
            server,
            secrets,
            server_der: certificate.to_vec(),
            server_key: key,
            client_der: client_certificate.to_vec(),
        }
    }

    pub(crate) fn connect(&self) -> Conversation {
        let name = ServerName::try_from("shop.example.com").unwrap();
        Conversation {
            client: ClientConnection::new(Arc::new(self.client.clone()), name).unwrap(),
            server: ServerConnection::new(Arc::new(self.server.clone())).unwrap(),
            wire: vec![],
            sent: [vec![], vec![]],
        }
    }
}

/// A connection that is under way.
pub(crate) struct Conversation {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
    /// What was on the wire, in order.
    pub(crate) wire: Vec<(Direction, Vec<u8>)>,
    /// What the programs sent: client, server.
    pub(crate) sent: [Vec<u8>; 2],
}

impl Conversation {
    /// Moves bytes until neither side has more to send.
    pub(crate) fn run(&mut self) -> &mut Self {
        loop {
            let (mut up, mut down) = (vec![], vec![]);
            while self.client.wants_write() {
                self.client.write_tls(&mut up).unwrap();
            }
            if !up.is_empty() {
                let mut rest = &up[..];
                while !rest.is_empty() {
                    self.server.read_tls(&mut rest).unwrap();
                    self.server.process_new_packets().unwrap();
                    drain(&mut self.server.reader());
                }
                self.wire.push((CLIENT, up.clone()));
            }
            while self.server.wants_write() {
                self.server.write_tls(&mut down).unwrap();
            }
            if !down.is_empty() {
                let mut rest = &down[..];
                while !rest.is_empty() {
                    self.client.read_tls(&mut rest).unwrap();
                    self.client.process_new_packets().unwrap();
                    drain(&mut self.client.reader());
                }
                self.wire.push((SERVER, down.clone()));
            }
            if up.is_empty() && down.is_empty() {
                return self;
            }
        }
    }

    pub(crate) fn ask(&mut self, bytes: &[u8]) -> &mut Self {
        for chunk in bytes.chunks(32 * 1024) {
            self.client.writer().write_all(chunk).unwrap();
            self.run();
        }
        self.sent[0].extend(bytes);
        self
    }

    pub(crate) fn answer(&mut self, bytes: &[u8]) -> &mut Self {
        for chunk in bytes.chunks(32 * 1024) {
            self.server.writer().write_all(chunk).unwrap();
            self.run();
        }
        self.sent[1].extend(bytes);
        self
    }

    /// A key update of each side (RFC 8446, 4.6.3).
    pub(crate) fn update_keys(&mut self) -> &mut Self {
        self.client.refresh_traffic_keys().unwrap();
        self.run();
        self.server.refresh_traffic_keys().unwrap();
        self.run()
    }

    pub(crate) fn close(&mut self) -> &mut Self {
        self.client.send_close_notify();
        self.run();
        self.server.send_close_notify();
        self.run()
    }

    /// All bytes of a direction.
    pub(crate) fn bytes(&self, direction: Direction) -> Vec<u8> {
        self.wire.iter().filter(|(way, _)| *way == direction).flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

fn drain(reader: &mut impl Read) {
    let mut sink = vec![];
    let _ = reader.read_to_end(&mut sink);
}

/// What came out of a direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Out {
    /// Bytes; absent ones are zeros.
    pub(crate) bytes: Vec<u8>,
    /// Which of them were absent, and why.
    pub(crate) holes: Vec<(usize, usize, Absence)>,
    /// Where plaintext was lost.
    pub(crate) lost: Vec<usize>,
    pub(crate) fins: usize,
    pub(crate) resets: usize,
}

/// Takes all that comes out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) out: [Out; 2],
    pub(crate) needed: [u64; 2],
}

impl Sink for Taken {
    fn piece(&mut self, direction: Direction, piece: Piece<'_>, _: Nanos) {
        let out = &mut self.out[usize::from(direction == SERVER)];
        assert!(out.fins + out.resets == 0 || piece == Piece::Reset, "{piece:?} after the end");
        match piece {
            Piece::Data(bytes) => {
                assert!(!bytes.is_empty());
                out.bytes.extend(bytes);
            }
            Piece::Hole { len, reason } => {
                let (at, len) = (out.bytes.len(), usize::try_from(len).unwrap());
                assert!(len > 0);
                match out.holes.last_mut() {
                    Some(last) if last.0 + last.1 == at && last.2 == reason => last.1 += len,
                    _ => out.holes.push((at, len, reason)),
                }
                out.bytes.resize(at + len, 0);
            }
            Piece::Fin => out.fins += 1,
            Piece::Reset => out.resets += 1,
        }
    }

    fn lost(&mut self, direction: Direction, offset: u64, _: Nanos) {
        let out = &mut self.out[usize::from(direction == SERVER)];
        assert_eq!(out.bytes.len() as u64, offset);
        out.lost.push(out.bytes.len());
    }

    fn needed(&self, direction: Direction) -> u64 {
        self.needed[usize::from(direction == SERVER)]
    }
}

/// A record of TLS 1.3 with AES-128-GCM as whoever has the secret can make it: application data, and `zeros` behind its type
/// (RFC 8446, 5.2 and 5.4).
pub(crate) fn seal(secret: &[u8], sequence: u64, text: &[u8], zeros: usize) -> Vec<u8> {
    use aes_gcm::aead::AeadInOut;
    use aes_gcm::{Aes128Gcm, KeyInit};
    let protection = super::super::suite::Protection::of(super::super::Version::Tls13, 0x1301).unwrap();
    let keys = super::super::keys::Keys::tls13(protection, &Secret::new(secret).unwrap()).unwrap();
    let mut inner = [text, &[23], &vec![0; zeros]].concat();
    let [high, low] = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
    let header = [23, 3, 3, high, low];
    let nonce = keys.nonce(sequence, [0; 8]);
    let aead = Aes128Gcm::new_from_slice(keys.key()).unwrap();
    let nonce = nonce.as_slice().try_into().unwrap();
    let tag = aead.encrypt_inout_detached(nonce, &header, inner.as_mut_slice().into()).unwrap();
    [&header[..], &inner, &tag].concat()
}

/// The layer under test and what it is fed with.
pub(crate) struct Rig {
    pub(crate) cx: Context,
    pub(crate) tls: Tls,
    pub(crate) taken: Taken,
    pub(crate) fed: [u64; 2],
    pub(crate) time: Nanos,
}

impl Rig {
    pub(crate) fn new(secrets: &[(ClientRandom, Label, Secret)]) -> Self {
        let mut rig = Self {
            cx: Context::default(),
            tls: Tls::new(CLIENT),
            taken: Taken::default(),
            fed: [0, 0],
            time: 0,
        };
        rig.insert(secrets);
        rig
    }

    pub(crate) fn insert(&mut self, secrets: &[(ClientRandom, Label, Secret)]) {
        for (random, label, secret) in secrets {
            self.cx.secrets.insert(Some(*random), *label, secret.clone(), self.time);
        }
        self.tls.secrets_arrived(&mut self.cx, self.time, &mut self.taken);
        self.balance();
    }

    pub(crate) fn feed(&mut self, direction: Direction, piece: Piece<'_>) {
        self.time += 1;
        self.fed[usize::from(direction == SERVER)] += match piece {
            Piece::Data(bytes) => bytes.len() as u64,
            Piece::Hole { len, .. } => len,
            Piece::Fin | Piece::Reset => 0,
        };
        self.tls.feed(&mut self.cx, direction, piece, self.time, &mut self.taken);
        self.balance();
    }

    /// Every byte is counted once.
    #[track_caller]
    pub(crate) fn balance(&self) {
        for (direction, fed) in [CLIENT, SERVER].into_iter().zip(self.fed) {
            assert_eq!(self.tls.counts(direction).total() + self.tls.pending(direction), fed);
            let out = &self.taken.out[usize::from(direction == SERVER)];
            assert_eq!(self.tls.plaintext_offset(direction), out.bytes.len() as u64);
        }
    }

    pub(crate) fn feed_all(&mut self, conversation: &Conversation) -> &mut Self {
        for (direction, bytes) in &conversation.wire {
            self.feed(*direction, Piece::Data(bytes));
        }
        self
    }

    pub(crate) fn finish(&mut self) -> &mut Self {
        self.tls.finish(&mut self.cx, self.time, &mut self.taken);
        self.balance();
        self
    }

    /// What the programs sent came out, all of it, and nothing was amiss.
    #[track_caller]
    pub(crate) fn check_exact(&mut self, conversation: &Conversation) {
        assert_eq!(self.tls.take_trouble(), []);
        for (out, sent) in self.taken.out.iter().zip(&conversation.sent) {
            assert!(out.bytes == *sent, "{} bytes instead of {}", out.bytes.len(), sent.len());
            assert_eq!((&out.holes[..], &out.lost[..]), (&[][..], &[][..]));
        }
    }
}
