//! JA4: a name for how a client says hello (`FoxIO`, "JA4: TLS Client Fingerprinting", technical details).
//!
//! Made of one `ClientHello`: transport and version, whether a host is named, counts, the first protocol; then hashes of the
//! sorted suites and of the sorted extensions with the signature algorithms.

use sha2::{Digest, Sha256};

use super::{ClientHello, extension, is_grease};

/// A fingerprint: 36 ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ja4([u8; 36]);

impl Ja4 {
    /// The fingerprint of a `ClientHello` over TCP.
    #[must_use]
    pub fn of(hello: &ClientHello<'_>) -> Self {
        let mut suites: Vec<u16> = hello.suites.u16s().filter(|code| !is_grease(*code)).collect();
        suites.sort_unstable();
        let known = || hello.extensions.filter(|(code, _)| !is_grease(*code));
        let mut hashed: Vec<u16> = known()
            .map(|(code, _)| code)
            .filter(|code| !matches!(*code, extension::SERVER_NAME | extension::ALPN))
            .collect();
        hashed.sort_unstable();
        let named = known().any(|(code, _)| code == extension::SERVER_NAME);
        let mut extensions = list(&hashed);
        let algorithms = signature_algorithms(hello);
        if !algorithms.is_empty() {
            extensions.push('_');
            extensions.push_str(&list(&algorithms));
        }
        let text = format!(
            "t{}{}{:02}{:02}{}_{}_{}",
            version(hello),
            if named { 'd' } else { 'i' },
            suites.len().min(99),
            known().count().min(99),
            protocol(hello),
            hash(suites.is_empty(), &list(&suites)),
            hash(hashed.is_empty(), &extensions),
        );
        Self(text.as_bytes().try_into().unwrap_or([b'0'; 36]))
    }

    /// The fingerprint.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for Ja4 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The highest version offered.
fn version(hello: &ClientHello<'_>) -> &'static str {
    let offered = hello.extensions.clone().find(|(code, _)| *code == extension::SUPPORTED_VERSIONS);
    let offered = offered.and_then(|(_, mut data)| data.vector8());
    let highest = offered.and_then(|list| list.u16s().filter(|code| !is_grease(*code)).max());
    match highest.unwrap_or(hello.legacy_version) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last character of the first protocol; of its hexadecimal form if one of them is no letter or digit.
fn protocol(hello: &ClientHello<'_>) -> String {
    let name = hello.protocols().next().unwrap_or_default();
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return "00".into() };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [*first, *last].iter().map(|byte| char::from(*byte)).collect();
    }
    format!("{:x}{:x}", first >> 4, last & 15)
}

fn signature_algorithms(hello: &ClientHello<'_>) -> Vec<u16> {
    let data = hello.extensions.clone().find(|(code, _)| *code == extension::SIGNATURE_ALGORITHMS);
    let list = data.and_then(|(_, mut data)| data.vector16());
    list.map(|list| list.u16s().filter(|code| !is_grease(*code)).collect()).unwrap_or_default()
}

fn list(codes: &[u16]) -> String {
    let texts: Vec<String> = codes.iter().map(|code| format!("{code:04x}")).collect();
    texts.join(",")
}

fn hash(none: bool, text: &str) -> String {
    if none {
        return "0".repeat(12);
    }
    Sha256::digest(text.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
