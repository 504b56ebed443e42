//! Where the function that logs a secret finds the client random, from its first argument.
//!
//! It shows it in one of two ways. It hands the place on, with the length 32 as the next argument (OpenSSL, to
//! `nss_keylog_int`). Or it walks over the bytes itself, writing hexadecimal digits: by a counter up to 32 (BoringSSL), or by a
//! pointer (OpenSSL in Node.js, where GCC has put the one function into the other). All that is seen must agree.

use std::collections::BTreeSet;

use super::ClientRandom;
use super::code::{self, Abi, Op, Register};
use super::flow::{State, Value};
use super::image::Image;

/// `SSL3_RANDOM_SIZE` (RFC 8446, 4.1.2: 32 bytes).
const LEN: u64 = 32;
/// Instructions decoded of one function.
const MAX_INSTRUCTIONS: usize = 2048;
/// Ways that are still to be looked at.
const MAX_WAYS: usize = 64;
/// A jump further than this leads to another function.
const MAX_JUMP: u64 = 16 << 10;
/// Offsets in structures of TLS libraries stay far below.
const MAX_OFFSET: i64 = 1 << 16;

/// Looks for it in the function at `address`.
pub(super) fn place(image: &Image<'_>, address: u64) -> ClientRandom {
    let mut shown = Shown::default();
    walk(image, address, &mut shown);
    let walked = shown.walked.iter().filter(|(_, index)| shown.bounded.contains(index));
    let mut places: Vec<Value> = shown.handed;
    places.extend(walked.map(|(place, _)| *place));
    places.extend(shown.stepped);
    match places.split_first() {
        Some((place, others)) if others.iter().all(|other| other == place) => named(*place),
        _ => ClientRandom::Unknown,
    }
}

/// What a function shows.
#[derive(Default)]
struct Shown {
    /// Places that are an argument, followed by the length.
    handed: Vec<Value>,
    /// Places that are read byte by byte, and the register that counts.
    walked: Vec<(Value, Register)>,
    /// Places that are read byte by byte, by the register that points to them.
    pointed: Vec<(Value, Register)>,
    /// Of those: the register then moves to the next byte.
    stepped: Vec<Value>,
    /// Registers compared with the length.
    bounded: BTreeSet<Register>,
}

fn walk(image: &Image<'_>, start: u64, shown: &mut Shown) {
    let abi = Abi::of(image.machine);
    let [first, ..] = abi.arguments;
    let mut state = State::new(&abi);
    state.set(first, Value::Argument(0));
    let mut ways = vec![(start, state)];
    let mut seen = BTreeSet::new();
    while let Some((mut address, mut state)) = ways.pop() {
        while seen.len() < MAX_INSTRUCTIONS && seen.insert(address) {
            let Some(instruction) = code::decode(image, address) else { break };
            address = address.wrapping_add(instruction.len);
            let mut ended = false;
            for op in instruction.ops {
                match op {
                    Op::Call { .. } => handed(&abi, &state, shown),
                    Op::Jump { target } => {
                        handed(&abi, &state, shown);
                        match target.filter(|target| target.abs_diff(start) < MAX_JUMP) {
                            Some(target) => address = target,
                            None => ended = true,
                        }
                    }
                    Op::Branch { target } if target.abs_diff(start) < MAX_JUMP && ways.len() < MAX_WAYS => {
                        ways.push((target, state.clone()));
                    }
                    Op::LoadByte { base, index, offset, .. } => {
                        walked(&state, base, index, offset, shown);
                    }
                    Op::Move { to, from, add: 1 } if to == from => {
                        let stepped = shown.pointed.iter().filter(|(_, pointer)| *pointer == to);
                        shown.stepped.extend(stepped.map(|(place, _)| *place));
                        shown.pointed.retain(|(_, pointer)| *pointer != to);
                    }
                    Op::Compare { register, value: LEN } => {
                        shown.bounded.insert(register);
                    }
                    Op::End => ended = true,
                    _ => {}
                }
                state.apply(op);
            }
            if ended {
                break;
            }
        }
    }
}

/// An argument that is a place in the structure, and the next one 32.
fn handed(abi: &Abi, state: &State, shown: &mut Shown) {
    for pair in abi.arguments.windows(2) {
        if let [place, len] = pair
            && state.get(*len) == Value::Constant(LEN)
            && named(state.get(*place)) != ClientRandom::Unknown
            && !shown.handed.contains(&state.get(*place))
        {
            shown.handed.push(state.get(*place));
        }
    }
}

/// A byte read at a place in the structure plus a counter. Either register may be the place.
fn walked(state: &State, base: Register, index: Option<Register>, offset: i64, shown: &mut Shown) {
    let Some(index) = index else {
        let place = state.get(base);
        if offset == 0 && named(place) != ClientRandom::Unknown {
            shown.pointed.retain(|(_, pointer)| *pointer != base);
            shown.pointed.push((place, base));
        }
        return;
    };
    for (place, counter) in [(base, index), (index, base)] {
        let place = match state.get(place) {
            Value::Argument(at) => Value::Argument(at.wrapping_add(offset)),
            Value::Behind { pointer, offset: at } => {
                Value::Behind { pointer, offset: at.wrapping_add(offset) }
            }
            _ => continue,
        };
        if named(place) != ClientRandom::Unknown && !shown.walked.contains(&(place, counter)) {
            shown.walked.push((place, counter));
        }
    }
}

/// A place that is possible: somewhere inside, not the beginning of the structure.
fn named(place: Value) -> ClientRandom {
    let valid = |offset: i64| u32::try_from(offset).ok().filter(|_| offset < MAX_OFFSET);
    match place {
        Value::Argument(at) if at > 0 => {
            valid(at).map_or(ClientRandom::Unknown, |offset| ClientRandom::Embedded { offset })
        }
        Value::Behind { pointer, offset } => match (valid(pointer), valid(offset)) {
            (Some(pointer), Some(offset)) => ClientRandom::Behind { pointer, offset },
            _ => ClientRandom::Unknown,
        },
        _ => ClientRandom::Unknown,
    }
}
