//! Any part of a keystream is the same as that part of the whole.

use super::super::secrets::Secret;
use super::super::suite::{Protection, Version};
use super::*;

#[test]
fn any_place_of_the_keystream() {
    for suite in [0x1301, 0x1302, 0x1303] {
        let protection = Protection::of(Version::Tls13, suite).unwrap();
        let secret = Secret::new(&vec![3; protection.hash.len()]).unwrap();
        let keys = Keys::tls13(protection, &secret).unwrap();
        let mut whole = vec![0; 700];
        assert!(decrypt_at(&keys, 5, [0; 8], 0, &mut whole));
        for at in 0..300 {
            let mut part = vec![0; at];
            assert!(decrypt_at(&keys, 5, [0; 8], at, &mut part));
            assert_eq!(part, whole[at..at + at]);
        }
        // Another record has another keystream.
        let mut other = vec![0; 700];
        assert!(decrypt_at(&keys, 6, [0; 8], 0, &mut other));
        assert_ne!(other, whole);
    }
}

#[test]
fn what_is_too_short_for_a_tag_is_not_opened() {
    for (version, suite) in [(Version::Tls13, 0x1301), (Version::Tls13, 0x1303)] {
        let keys =
            Keys::tls13(Protection::of(version, suite).unwrap(), &Secret::new(&[3; 32]).unwrap()).unwrap();
        let header = Header {
            content: super::super::record::ContentType::ApplicationData,
            bytes: [23, 3, 3, 0, 15],
            len: 15,
        };
        let mut out = vec![1, 2, 3];
        assert!(!open(&keys, &header, 0, &[0; 15], &mut out));
        assert!(!open(&keys, &header, 0, &[0; 40], &mut out));
        assert!(out.is_empty());
    }
}
