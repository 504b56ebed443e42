//! A distinguished name as text (RFC 4514): the most specific part first.

use std::fmt::Write;

use x509_parser::asn1_rs::ToDer;
use x509_parser::prelude::{AttributeTypeAndValue, X509Name};

pub(super) fn rfc4514(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> =
        name.iter().map(|relative| relative.iter().map(attribute).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(",")
}

/// RFC 4514, 2.3 and 2.4: a short name and a string where both are known, else the object identifier and the BER form.
fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    if let (Some(key), Ok(value)) = (short_name(&oid), attribute.as_str()) {
        return format!("{key}={}", escaped(value));
    }
    let value = attribute.attr_value().to_der_vec().unwrap_or_default();
    let mut text = format!("{oid}=#");
    for byte in value {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The table of RFC 4514, 3, and `emailAddress`, which is not in it and which everybody writes so.
fn short_name(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.6" => "C",
        "2.5.4.9" => "STREET",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

/// RFC 4514, 2.4.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', character]),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            '#' if at == 0 => text.push_str("\\#"),
            '\0' => text.push_str("\\00"),
            other => text.push(other),
        }
    }
    text
}
