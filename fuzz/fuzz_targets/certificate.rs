//! Arbitrary bytes as a certificate. What is read of it keeps its bounds, whatever it claims.

#![no_main]

use auditor::assemble::tls::certificate::{AlternativeName, Certificate};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| {
    let certificate = Certificate::read(der);
    assert!(certificate.names.len() <= 32);
    let bytes: usize = certificate
        .names
        .iter()
        .map(|name| match name {
            AlternativeName::Dns(name) | AlternativeName::Email(name) | AlternativeName::Uri(name) => {
                name.text.len()
            }
            AlternativeName::Ip(_) => 0,
        })
        .sum();
    assert!(bytes <= 4096);
    for name in [&certificate.subject, &certificate.issuer].into_iter().flatten() {
        assert!(name.text.len() <= 1024);
    }
    assert!(certificate.serial.is_none_or(|serial| serial.len() <= 32));
});
