//! One connection that has asked once, held open: in the clear or over TLS, with HTTP/1.1 or HTTP/2.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned};

use super::client::Target;
use super::setting::Protocol;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How the backend's answer ends.
const END: &[u8] = b"x\n";
/// What a client of HTTP/2 says first, with settings that change nothing (RFC 9113, 3.4 and 6.5).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Opens connections to one server.
pub(super) struct Opener {
    tls: Arc<ClientConfig>,
}

/// Closed with its guard.
pub(super) enum Held {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Opener {
    pub(super) fn new(protocol: Protocol) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let verifier = Arc::new(Unverified(provider));
        let mut tls = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        tls.alpn_protocols =
            vec![if protocol == Protocol::Https2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Ok(Self { tls: Arc::new(tls) })
    }

    /// Opens one, asks, and reads the answer.
    pub(super) fn open(&self, target: Target<'_>) -> Result<Held> {
        let stream = TcpStream::connect_timeout(&target.address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        let mut held = if target.protocol.tls() {
            let name = ServerName::try_from(target.host.to_owned())?;
            let client = ClientConnection::new(Arc::clone(&self.tls), name)?;
            Held::Tls(Box::new(StreamOwned::new(client, stream)))
        } else {
            Held::Clear(stream)
        };
        held.ask(&request(target))?;
        Ok(held)
    }
}

impl Held {
    fn ask(&mut self, request: &[u8]) -> Result<()> {
        let mut answer = Vec::new();
        let mut some = [0; 1024];
        match self {
            Self::Clear(stream) => stream.write_all(request)?,
            Self::Tls(stream) => stream.write_all(request)?,
        }
        while !answer.ends_with(END) {
            let len = match self {
                Self::Clear(stream) => stream.read(&mut some)?,
                Self::Tls(stream) => stream.read(&mut some)?,
            };
            answer.extend_from_slice(some.get(..len).filter(|some| !some.is_empty()).context("closed")?);
        }
        Ok(())
    }
}

fn request(target: Target<'_>) -> Vec<u8> {
    if target.protocol != Protocol::Https2 {
        return format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", target.host).into_bytes();
    }
    // GET, https and /, by their place in the static table, and the authority as it is (RFC 7541, 6.1, 6.2.1, A).
    let host = target.host.as_bytes();
    let len = u8::try_from(host.len()).unwrap_or(0x7e).min(0x7e);
    let block = [&[0x82, 0x87, 0x84, 0x41, len][..], host].concat();
    let size = u8::try_from(block.len()).unwrap_or(u8::MAX);
    // HEADERS that end both the head and the stream (RFC 9113, 6.2).
    [PREFACE, &[0, 0, size, 1, 5, 0, 0, 0, 1], &block].concat()
}

/// The servers here sign for themselves.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
