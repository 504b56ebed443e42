//! Certificates: names as RFC 4514 writes them, alternative names, and what is malformed.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

use super::*;

fn made(names: &[(DnType, &str)], alternative: Vec<SanType>) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in names {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params.subject_alt_names = alternative;
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

/// RFC 4514, 4 has the first three.
#[test]
fn distinguished_names() {
    let country = (DnType::CountryName, "US");
    for (names, expected) in [
        (
            &[
                (DnType::CountryName, "GB"),
                (DnType::OrganizationName, "Isode"),
                (DnType::CommonName, "Steve Kille"),
            ][..],
            "CN=Steve Kille,O=Isode,C=GB",
        ),
        (&[(DnType::CommonName, "James \"Jim\" Smith, III")], "CN=James \\\"Jim\\\" Smith\\, III"),
        (&[country, (DnType::OrganizationName, "#1 ")], "O=\\#1\\ ,C=US"),
        (&[(DnType::CommonName, " ")], "CN=\\ "),
        (&[(DnType::CustomDnType(vec![1, 3, 6, 1]), "x")], "1.3.6.1=#0c0178"),
        (&[], ""),
    ] {
        let certificate = Certificate::read(&made(names, vec![]));
        assert_eq!(certificate.subject.as_deref(), Some(expected));
    }
}

#[test]
fn alternative_names() {
    let address = |text: &str| SanType::IpAddress(text.parse().unwrap());
    let certificate = Certificate::read(&made(
        &[],
        vec![
            SanType::DnsName("*.example.com".try_into().unwrap()),
            address("10.0.0.1"),
            address("::1"),
            SanType::Rfc822Name("a@example.com".try_into().unwrap()),
            SanType::URI("spiffe://cluster/ns/a/sa/b".try_into().unwrap()),
        ],
    ));
    assert_eq!(
        certificate.names,
        [
            AlternativeName::Dns("*.example.com".into()),
            AlternativeName::Ip("10.0.0.1".parse().unwrap()),
            AlternativeName::Ip("::1".parse().unwrap()),
            AlternativeName::Email("a@example.com".into()),
            AlternativeName::Uri("spiffe://cluster/ns/a/sa/b".into()),
        ]
    );
    assert_eq!(certificate.names_total, 5);
}

#[test]
fn names_are_bounded() {
    let many = (0..100).map(|n| SanType::DnsName(format!("{n}.example.com").try_into().unwrap()));
    let certificate = Certificate::read(&made(&[(DnType::CommonName, &"é".repeat(900))], many.collect()));
    assert_eq!((certificate.names.len(), certificate.names_total), (MAX_NAMES, 100));
    let subject = certificate.subject.unwrap();
    assert!(subject.len() <= MAX_NAME && subject.ends_with('é'));
}

#[test]
fn what_is_malformed_has_a_hash_only() {
    let der = made(&[(DnType::CommonName, "a")], vec![]);
    for len in 0..der.len() {
        let certificate = Certificate::read(&der[..len]);
        assert_eq!(certificate.subject, None);
        assert_ne!(certificate.sha256, [0; 32]);
    }
}

#[test]
fn leaves_of_messages() {
    assert_eq!(leaf_tls12(&[0, 0, 5, 0, 0, 2, 7, 8]), Some(&[7, 8][..]));
    assert_eq!(leaf_tls12(&[0, 0, 0]), None);
    assert_eq!(leaf_tls12(&[0, 0, 5, 0, 0, 3, 7, 8]), None);
    assert_eq!(leaf_tls13(&[0, 0, 0, 7, 0, 0, 2, 7, 8, 0, 0]), Some(&[7, 8][..]));
    assert_eq!(leaf_tls13(&[0, 0, 0, 0]), None);
}
