//! Certificates: names as RFC 4514 writes them, alternative names, and what is malformed.

use proptest::prelude::*;
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

fn whole(text: &str) -> Name {
    Name { text: text.into(), left_out: 0 }
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
        assert_eq!(certificate.subject, Some(whole(expected)));
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
            AlternativeName::Dns(whole("*.example.com")),
            AlternativeName::Ip("10.0.0.1".parse().unwrap()),
            AlternativeName::Ip("::1".parse().unwrap()),
            AlternativeName::Email(whole("a@example.com")),
            AlternativeName::Uri(whole("spiffe://cluster/ns/a/sa/b")),
        ]
    );
    assert_eq!(certificate.names_left_out, 0);
}

#[test]
fn names_are_bounded() {
    let many = (0..100).map(|n| SanType::DnsName(format!("{n}.example.com").try_into().unwrap()));
    let certificate = Certificate::read(&made(&[(DnType::CommonName, &"é".repeat(900))], many.collect()));
    assert_eq!((certificate.names.len(), certificate.names_left_out), (MAX_NAMES, 100 - MAX_NAMES));
    let subject = certificate.subject.unwrap();
    assert!(subject.text.len() <= MAX_NAME && subject.text.ends_with('é'));
    assert_eq!(subject.text.len() + subject.left_out, "CN=".len() + 1800);

    // One that is too long is cut, and those that find no room any more are left out.
    let long = |n: usize| SanType::URI(format!("https://{n}.test/{}", "a".repeat(1500)).try_into().unwrap());
    let mut names: Vec<_> = (0..10).map(long).collect();
    names.push(SanType::IpAddress("10.0.0.1".parse().unwrap()));
    let certificate = Certificate::read(&made(&[], names));
    assert_eq!((certificate.names.len(), certificate.names_left_out), (4, 7));
    let kept: usize = certificate.names.iter().map(AlternativeName::len).sum();
    assert_eq!(kept, MAX_NAMES_BYTES);
}

#[test]
fn serial_and_validity() {
    let mut params = CertificateParams::default();
    params.serial_number = Some(vec![0x7f, 1, 2].into());
    params.not_before = rcgen::date_time_ymd(2020, 1, 2);
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    let certificate = Certificate::read(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der());
    assert_eq!(certificate.serial.as_deref(), Some(&[0x7f, 1, 2][..]));
    // date -u -d 2020-01-02 +%s, date -u -d 2049-12-31 +%s
    assert_eq!((certificate.not_before, certificate.not_after), (Some(1_577_923_200), Some(2_524_521_600)));

    params.serial_number = Some(vec![1; MAX_SERIAL + 1].into());
    let certificate = Certificate::read(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der());
    assert_eq!(certificate.serial, None);
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

proptest! {
    /// Bytes of a certificate changed at will: no panic, no bound exceeded, and the hash is that of what was shown.
    #[test]
    fn hostile_certificates(changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..20), cut in any::<usize>()) {
        let names = (0..40).map(|n| SanType::DnsName(format!("{n}.example.com").try_into().unwrap()));
        let mut der = made(&[(DnType::CommonName, "a"), (DnType::OrganizationName, "b")], names.collect());
        for (at, byte) in changes {
            let at = at % der.len();
            der[at] = byte;
        }
        if cut % 4 == 0 {
            der.truncate(cut % der.len());
        }
        let read = Certificate::read(&der);
        prop_assert_eq!(read.sha256, <[u8; 32]>::from(Sha256::digest(&der)));
        prop_assert!(read.names.len() <= MAX_NAMES);
        prop_assert!(read.names.iter().map(AlternativeName::len).sum::<usize>() <= MAX_NAMES_BYTES);
        for name in [&read.subject, &read.issuer].into_iter().flatten() {
            prop_assert!(name.text.len() <= MAX_NAME);
        }
    }
}

/// Names that cannot be read are not the same as none.
#[test]
fn alternative_names_that_are_malformed() {
    let mut der =
        made(&[(DnType::CommonName, "a")], vec![SanType::DnsName("a.example.com".try_into().unwrap())]);
    // 2.5.29.17, then an octet string with a sequence (RFC 5280, 4.2.1.6), which becomes a set.
    let at = der.windows(5).position(|it| it == [6, 3, 0x55, 0x1d, 0x11]).unwrap() + 5;
    assert_eq!((der[at], der[at + 2]), (4, 0x30));
    der[at + 2] = 0x31;
    let certificate = Certificate::read(&der);
    assert_eq!((certificate.names.len(), certificate.names_left_out), (0, 1));
    assert!(certificate.serial.is_some());
}
