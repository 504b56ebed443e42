//! Arbitrary bytes as a `ClientHello` and as first bytes of a connection. What is read has a fingerprint of the right form.

#![no_main]

use auditor::assemble::tls::hello::ClientHello;
use auditor::assemble::tls::hello::ja4::Ja4;
use auditor::assemble::tls::plausible::{Plausible, plausible};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // More bytes never take back what fewer have told.
    let whole = plausible(bytes);
    for len in 0..bytes.len().min(8) {
        let told = plausible(&bytes[..len]);
        assert!(told == Plausible::Unknown || told == whole);
    }
    let Some(hello) = ClientHello::parse(bytes) else { return };
    let ja4 = Ja4::of(&hello);
    assert_eq!(ja4.as_str().len(), 36);
    assert!(ja4.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    assert!(hello.protocols().map(|name| name.len() + 1).sum::<usize>() <= bytes.len());
    assert!(hello.server_name.is_none_or(|name| name.len() < bytes.len()));
});
