//! Names of the numbers that a handshake agrees on, as the IANA registries "TLS Parameters" have them.

mod suites;

/// Name of a cipher suite. None: not in the registry.
#[must_use]
pub fn suite(code: u16) -> Option<&'static str> {
    find(&suites::SUITES, code)
}

/// Name of a key exchange group ("TLS Supported Groups"). None: not in the registry.
#[must_use]
pub fn group(code: u16) -> Option<&'static str> {
    find(&GROUPS, code)
}

/// Name of an alert's description (RFC 8446, 6 and the registry "TLS Alerts"). None: not in the registry.
#[must_use]
pub fn alert(code: u8) -> Option<&'static str> {
    find(&ALERTS, u16::from(code))
}

fn find(table: &[(u16, &'static str)], code: u16) -> Option<&'static str> {
    let at = table.binary_search_by_key(&code, |row| row.0).ok()?;
    table.get(at).map(|row| row.1)
}

static GROUPS: [(u16, &str); 57] = [
    (1, "sect163k1"),
    (2, "sect163r1"),
    (3, "sect163r2"),
    (4, "sect193r1"),
    (5, "sect193r2"),
    (6, "sect233k1"),
    (7, "sect233r1"),
    (8, "sect239k1"),
    (9, "sect283k1"),
    (10, "sect283r1"),
    (11, "sect409k1"),
    (12, "sect409r1"),
    (13, "sect571k1"),
    (14, "sect571r1"),
    (15, "secp160k1"),
    (16, "secp160r1"),
    (17, "secp160r2"),
    (18, "secp192k1"),
    (19, "secp192r1"),
    (20, "secp224k1"),
    (21, "secp224r1"),
    (22, "secp256k1"),
    (23, "secp256r1"),
    (24, "secp384r1"),
    (25, "secp521r1"),
    (26, "brainpoolP256r1"),
    (27, "brainpoolP384r1"),
    (28, "brainpoolP512r1"),
    (29, "x25519"),
    (30, "x448"),
    (31, "brainpoolP256r1tls13"),
    (32, "brainpoolP384r1tls13"),
    (33, "brainpoolP512r1tls13"),
    (34, "GC256A"),
    (35, "GC256B"),
    (36, "GC256C"),
    (37, "GC256D"),
    (38, "GC512A"),
    (39, "GC512B"),
    (40, "GC512C"),
    (41, "curveSM2"),
    (256, "ffdhe2048"),
    (257, "ffdhe3072"),
    (258, "ffdhe4096"),
    (259, "ffdhe6144"),
    (260, "ffdhe8192"),
    (512, "MLKEM512"),
    (513, "MLKEM768"),
    (514, "MLKEM1024"),
    (4587, "SecP256r1MLKEM768"),
    (4588, "X25519MLKEM768"),
    (4589, "SecP384r1MLKEM1024"),
    (4590, "curveSM2MLKEM768"),
    (25497, "X25519Kyber768Draft00"),
    (25498, "SecP256r1Kyber768Draft00"),
    (65281, "arbitrary_explicit_prime_curves"),
    (65282, "arbitrary_explicit_char2_curves"),
];

static ALERTS: [(u16, &str); 38] = [
    (0, "close_notify"),
    (1, "end_of_early_data"),
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (21, "decryption_failed"),
    (22, "record_overflow"),
    (30, "decompression_failure"),
    (40, "handshake_failure"),
    (41, "no_certificate"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (52, "too_many_cids_requested"),
    (60, "export_restriction"),
    (70, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (86, "inappropriate_fallback"),
    (90, "user_canceled"),
    (100, "no_renegotiation"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (111, "certificate_unobtainable"),
    (112, "unrecognized_name"),
    (113, "bad_certificate_status_response"),
    (114, "bad_certificate_hash_value"),
    (115, "unknown_psk_identity"),
    (116, "certificate_required"),
    (117, "general_error"),
    (120, "no_application_protocol"),
    (121, "ech_required"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted() {
        for table in [&suites::SUITES[..], &GROUPS, &ALERTS] {
            assert!(table.is_sorted_by(|one, next| one.0 < next.0));
        }
    }

    #[test]
    fn names_are_those_of_the_registry() {
        assert_eq!(suite(0x1301), Some("TLS_AES_128_GCM_SHA256"));
        assert_eq!(suite(0xc02f), Some("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
        assert_eq!(suite(0x0a0a), None);
        assert_eq!(group(0x11ec), Some("X25519MLKEM768"));
        assert_eq!(group(29), Some("x25519"));
        assert_eq!(alert(42), Some("bad_certificate"));
        assert_eq!(alert(200), None);
    }
}
