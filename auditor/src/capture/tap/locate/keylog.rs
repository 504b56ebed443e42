//! OpenSSL, BoringSSL and their kin: the function that is called with the label strings of the NSS key-log form.
//!
//! `ssl_log_secret(ssl, label, secret, secret_len)` (OpenSSL `ssl/ssl_lib.c`, BoringSSL `ssl/ssl_lib.cc`; GnuTLS
//! `_gnutls_call_keylog_func`, `lib/kx.c`). Code makes the address of a label and then calls: whoever is called while that
//! address is the second argument is a candidate, and must be called so with two labels at least.

use std::collections::BTreeMap;

use super::code::{self, Abi, Op, Reference};
use super::flow::{State, Value};
use super::image::Image;
use super::{ClientRandom, Convention, Library, Miss, TapPoint, random};

/// What TLS 1.2 and TLS 1.3 offer (draft-ietf-tls-keylogfile). The exporter's label is, in OpenSSL, the end of the early
/// exporter's.
const LABELS: [&str; 7] = [
    "CLIENT_RANDOM",
    "EXPORTER_SECRET",
    "EARLY_EXPORTER_SECRET",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
];
const EARLY_EXPORTER: &str = "EARLY_EXPORTER_SECRET";
/// Places of one label that are looked at.
const MAX_PLACES: usize = 8;
/// References to labels that are followed.
const MAX_REFERENCES: usize = 256;
/// Instructions from a reference to its call.
const MAX_WAY: usize = 48;
/// Instructions of a stub.
const MAX_STUB: usize = 5;
/// Functions that are tapped in one file.
const MAX_POINTS: usize = 4;

/// How often a function is called with which labels: bit by bit, the place in [`LABELS`].
#[derive(Clone, Copy, Debug, Default)]
struct Witnesses {
    called: u32,
    /// Jumped to, or called after a jump: a tail call, or a way that several labels share.
    uncertain: u32,
}

/// Looks for the function.
pub(super) fn find(image: &Image<'_>) -> Result<Vec<TapPoint>, Miss> {
    let places = places(image);
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let targets: Vec<u64> = places.keys().copied().collect();
    let mut references = Vec::new();
    code::references(image, &targets, &mut |reference| {
        references.push(reference);
        references.len() < MAX_REFERENCES
    });
    let mut candidates: BTreeMap<u64, Witnesses> = BTreeMap::new();
    for reference in &references {
        let label = places.get(&reference.target).map_or(0, |label| 1 << label);
        follow(image, reference, &mut |target, certain| {
            let witnesses = candidates.entry(target).or_default();
            *(if certain { &mut witnesses.called } else { &mut witnesses.uncertain }) |= label;
        });
    }
    let agreed = |labels: fn(&Witnesses) -> u32| -> Vec<TapPoint> {
        let of = candidates.iter().filter(|(_, witnesses)| labels(witnesses).count_ones() >= 2);
        of.filter_map(|(target, _)| point(image, *target)).collect()
    };
    let mut found = agreed(|witnesses| witnesses.called);
    if found.is_empty() {
        // A jump may lead to the function or only towards it.
        found = agreed(|witnesses| witnesses.called | witnesses.uncertain);
        found = if found.len() == 1 { found } else { Vec::new() };
    }
    match found.len() {
        1..=MAX_POINTS => Ok(found),
        0 if !is_tls(image) => Ok(found),
        0 if candidates.is_empty() => Err(Miss::NoFunction),
        0 => Err(Miss::OneWitness),
        _ => Err(Miss::TooMuch),
    }
}

/// Where the labels are, and which.
fn places(image: &Image<'_>) -> BTreeMap<u64, usize> {
    let mut places = BTreeMap::new();
    for (number, label) in LABELS.iter().enumerate() {
        let text = [label.as_bytes(), &[0]].concat();
        let finder = memchr::memmem::Finder::new(&text);
        let of = image.segments.iter().flat_map(|segment| {
            finder.find_iter(segment.bytes).map(|at| segment.address.wrapping_add(at as u64))
        });
        places.extend(of.take(MAX_PLACES).map(|address| (address, number)));
    }
    places
}

/// Follows the code from where a label's address is made, to who is called while it is the second argument.
fn follow(image: &Image<'_>, reference: &Reference, found: &mut dyn FnMut(u64, bool)) {
    let abi = Abi::of(image.machine);
    let [_, second, ..] = abi.arguments;
    let label = Value::Constant(reference.target);
    let mut state = State::new(&abi);
    state.set(reference.register, label);
    let mut address = reference.next;
    let mut certain = true;
    for _ in 0..MAX_WAY {
        let Some(instruction) = code::decode(image, address) else { return };
        address = address.wrapping_add(instruction.len);
        for op in instruction.ops {
            match op {
                Op::Call { target: Some(target) } if state.get(second) == label => {
                    return found(target, certain);
                }
                Op::Jump { target } => {
                    let Some(target) = target else { return };
                    if state.get(second) == label {
                        certain = false;
                        found(target, certain);
                    }
                    address = target;
                }
                Op::End => return,
                _ => {}
            }
            state.apply(op);
        }
        if !state.holds(label) {
            return;
        }
    }
}

/// The candidate as a place to tap; none if it is something else that takes labels. Programs that *read* key logs compare
/// with them (nginx 1.26 calls `strncmp` with each): the function must also show that it takes the client random from
/// its first argument. That of GnuTLS leaves that to whom it calls.
fn point(image: &Image<'_>, address: u64) -> Option<TapPoint> {
    let offset = image.file_offset(address)?;
    let client_random = random::place(image, address);
    let library = if image.name.is_some_and(|name| name.starts_with(b"libgnutls.so")) {
        Library::GnuTls
    } else if has(image, EARLY_EXPORTER) {
        Library::OpenSsl
    } else {
        // It does not implement the early exporter.
        Library::BoringSsl
    };
    if is_stub(image, address) || (client_random == ClientRandom::Unknown && library != Library::GnuTls) {
        return None;
    }
    let convention = Convention::C { client_random };
    Some(TapPoint { offset, machine: image.machine, library, linkage: image.linkage, convention })
}

/// Whether there is only a jump to a function of another library (a procedure linkage table).
fn is_stub(image: &Image<'_>, address: u64) -> bool {
    let mut address = address;
    for _ in 0..MAX_STUB {
        let Some(instruction) = code::decode(image, address) else { return true };
        match instruction.ops {
            [Op::Jump { target: None }, ..] => return true,
            [Op::Call { .. } | Op::Jump { .. } | Op::Branch { .. } | Op::End, ..] => return false,
            _ => address = address.wrapping_add(instruction.len),
        }
    }
    false
}

/// Whether the file holds TLS code: what keys are derived with, in TLS 1.2 (RFC 5246, 6.3) and 1.3 (RFC 8446, 7.1).
pub(super) fn is_tls(image: &Image<'_>) -> bool {
    has(image, "key expansion") || has(image, "c hs traffic")
}

fn has(image: &Image<'_>, label: &str) -> bool {
    let finder = memchr::memmem::Finder::new(label);
    image.segments.iter().any(|segment| finder.find(segment.bytes).is_some())
}
