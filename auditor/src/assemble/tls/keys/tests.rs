//! Key schedules against published vectors.

use super::super::suite::Version;
use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// RFC 8448, 3: "{server} derive write traffic keys for handshake data".
#[test]
fn traffic_keys_of_tls13() {
    let secret = "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38";
    let protection = Protection::of(Version::Tls13, 0x1301).unwrap();
    let keys = Keys::tls13(protection, &Secret::new(&bytes(secret)).unwrap()).unwrap();
    assert_eq!(keys.key(), bytes("3fce516009c21727d0f2e4e86ee403bc"));
    assert_eq!(keys.nonce(0, [9; 8]), *bytes("5d313eb2671276ee13000b30"));
    // RFC 8446, 5.3: the sequence number, padded on the left, XORed.
    assert_eq!(keys.nonce(0x0102, [9; 8]), *bytes("5d313eb2671276ee13000a32"));
    assert!(Keys::tls13(protection, &Secret::new(&[1; 48]).unwrap()).is_none());
}

/// The vectors for the PRF of TLS 1.2 that went round on the TLS working group's list; `openssl kdf TLS1-PRF` gives the same.
#[test]
fn prf_of_tls12() {
    let mut out = [0; 100];
    let seed = bytes("a0ba9f936cda311827a6f796ffd5198c");
    prf::<Hmac<Sha256>>(&bytes("9bbe436ba940f017b17652849a71db35"), &[b"test label", &seed], &mut out)
        .unwrap();
    let expected = "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af\
                    0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701\
                    87347b66";
    assert_eq!(out[..], bytes(expected));
    let mut out = [0; 48];
    let seed = bytes("cd665cf6a8447dd6ff8b27555edb7465");
    prf::<Hmac<Sha384>>(&bytes("b80b733d6ceefcdc71566ea48e5567df"), &[b"test label", &seed], &mut out)
        .unwrap();
    let expected =
        "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0";
    assert_eq!(out[..], bytes(expected));
}

#[test]
fn the_explicit_nonce_of_gcm_is_taken_as_it_comes() {
    let protection = Protection::of(Version::Tls12, 0xc02f).unwrap();
    let master = Secret::new(&[7; 48]).unwrap();
    let keys = |role| Keys::tls12(protection, &master, &[1; 32], &[2; 32], role).unwrap();
    let (client, server) = (keys(Role::Client), keys(Role::Server));
    assert_eq!(client.nonce(5, [1, 2, 3, 4, 5, 6, 7, 8])[4..], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_ne!(client.key(), server.key());
    assert!(
        Keys::tls12(protection, &Secret::new(&[7; 32]).unwrap(), &[1; 32], &[2; 32], Role::Client).is_none()
    );
    assert_eq!(format!("{client:?}"), "Keys");
}
