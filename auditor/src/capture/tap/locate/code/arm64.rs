//! arm64: by yaxpeax-arm; references are `adrp` and then `add`, the way both GCC and Clang make an address.

use yaxpeax_arch::{Decoder as _, U8Reader};
use yaxpeax_arm::armv8::a64::{InstDecoder, Instruction as Yaxpeax, Opcode, Operand, ShiftStyle, SizeCode};

use super::{Instruction, Op, Reference, Register};
use crate::capture::tap::locate::image::Segment;

/// Instructions between `adrp` and its `add`, at most.
const MAX_APART: usize = 24;
const LEN: usize = 4;
/// The zero register, in most places.
const ZERO: u16 = 31;

pub(super) fn decode(bytes: &[u8], address: u64) -> Option<Instruction> {
    let mut reader = U8Reader::new(bytes.get(..LEN)?);
    let decoded = InstDecoder::default().decode(&mut reader).ok()?;
    let ops = flow(&decoded, address)
        .or_else(|| value(&decoded, address))
        .map(|op| [op, Op::Nothing, Op::Nothing])
        .or_else(|| memory(&decoded))
        .unwrap_or_else(|| [spoiled(&decoded), Op::Nothing, Op::Nothing]);
    Some(Instruction { len: LEN as u64, ops })
}

/// Where it goes, if it does not simply go on.
fn flow(decoded: &Yaxpeax, address: u64) -> Option<Op> {
    let offset = decoded.operands.iter().find_map(|operand| match operand {
        Operand::PCOffset(offset) => Some(*offset),
        _ => None,
    });
    let target = offset.map(|offset| address.wrapping_add_signed(offset));
    match decoded.opcode {
        Opcode::B | Opcode::BR => Some(Op::Jump { target }),
        Opcode::BL | Opcode::BLR => Some(Op::Call { target }),
        Opcode::Bcc(_) | Opcode::CBZ | Opcode::CBNZ | Opcode::TBZ | Opcode::TBNZ => {
            target.map(|target| Op::Branch { target })
        }
        Opcode::RET | Opcode::RETAA | Opcode::RETAB | Opcode::UDF | Opcode::BRK | Opcode::HLT => {
            Some(Op::End)
        }
        _ => None,
    }
}

/// Values made of addresses, constants and other registers.
fn value(decoded: &Yaxpeax, address: u64) -> Option<Op> {
    let [to, first, second, _] = decoded.operands;
    // `cmp` is a subtraction whose result is dropped.
    if let (Opcode::SUBS, Operand::Register(_, ZERO)) = (decoded.opcode, to) {
        return match (named(first), second) {
            (Some((register, _)), Operand::Immediate(value)) => {
                Some(Op::Compare { register, value: value.into() })
            }
            (Some((register, _)), Operand::ImmShift(value, 0)) => {
                Some(Op::Compare { register, value: value.into() })
            }
            _ => Some(Op::Nothing),
        };
    }
    if matches!(to, Operand::Register(_, ZERO)) {
        return Some(Op::Nothing);
    }
    let (to, whole) = named(to)?;
    let set = |value| Some(Op::Set { to, value });
    match (decoded.opcode, first, second) {
        (Opcode::ADRP, Operand::PCOffset(offset), _) => set((address & !0xfff).wrapping_add_signed(offset)),
        (Opcode::ADR, Operand::PCOffset(offset), _) => set(address.wrapping_add_signed(offset)),
        (Opcode::MOVZ, Operand::ImmShift(value, shift), _) => {
            set(u64::from(value).checked_shl(shift.into()).unwrap_or_default())
        }
        // `mov` between registers, and of some constants, is `orr` with the zero register.
        (Opcode::ORR, Operand::Register(_, ZERO), source) => match source {
            Operand::Register(_, ZERO) | Operand::RegShift(_, _, _, ZERO) => set(0),
            Operand::Register(_, from) | Operand::RegShift(ShiftStyle::LSL, 0, _, from) if whole => {
                Some(Op::Move { to, from: register(from), add: 0 })
            }
            Operand::Immediate(value) => set(value.into()),
            Operand::Imm64(value) => set(value),
            _ => None,
        },
        (Opcode::ADD | Opcode::SUB, Operand::RegisterOrSP(_, from), value) if whole => {
            let value = match value {
                Operand::Immediate(value) => i64::from(value),
                Operand::ImmShift(value, shift) => i64::from(value).checked_shl(shift.into())?,
                _ => return None,
            };
            let add = if decoded.opcode == Opcode::ADD { value } else { -value };
            Some(Op::Move { to, from: register(from), add })
        }
        _ => None,
    }
}

/// Loads and stores; each word of a pair for itself, and the base register where it moves.
fn memory(decoded: &Yaxpeax) -> Option<[Op; 3]> {
    let [first, second, third, _] = decoded.operands;
    let [a, b] = [named(first)?, named(second).unwrap_or_default()];
    let pair = matches!(decoded.opcode, Opcode::STP | Opcode::LDP);
    let at = if pair { third } else { second };
    if let (Opcode::LDRB, Operand::RegRegOffset(base, index, ..)) = (decoded.opcode, at) {
        let op = Op::LoadByte { to: a.0, base: register(base), index: Some(register(index)), offset: 0 };
        return Some([op, Op::Nothing, Op::Nothing]);
    }
    let (base, offset, moves) = match at {
        Operand::RegPreIndex(base, offset, false) => (register(base), offset, 0),
        Operand::RegPreIndex(base, offset, true) => (register(base), offset, offset),
        Operand::RegPostIndex(base, offset) => (register(base), 0, offset),
        _ => return None,
    };
    let offset = i64::from(offset);
    let moved = if moves == 0 { Op::Nothing } else { Op::Move { to: base, from: base, add: moves.into() } };
    let store = |(from, whole): (Register, bool), offset| Op::Store {
        from: (whole && from != 31).then_some(from),
        base,
        offset,
    };
    let load = |(to, word): (Register, bool), offset| match to {
        31 => Op::Nothing,
        to => Op::Load { to, base, offset, word },
    };
    Some(match decoded.opcode {
        Opcode::STP if a.1 => [store(a, offset), store(b, offset + 8), moved],
        Opcode::STR | Opcode::STUR => [store(a, offset), moved, Op::Nothing],
        // The second load must not read through a base that the first has replaced.
        Opcode::LDP if a.1 && a.0 != base => [load(a, offset), load(b, offset + 8), moved],
        Opcode::LDR | Opcode::LDUR => [load(a, offset), moved, Op::Nothing],
        Opcode::LDRB | Opcode::LDURB if a.0 != 31 => {
            [Op::LoadByte { to: a.0, base, index: None, offset }, moved, Op::Nothing]
        }
        _ => return None,
    })
}

/// Everything else changes what it names: which of them is a source is not asked.
fn spoiled(decoded: &Yaxpeax) -> Op {
    let mut registers = 0;
    for operand in decoded.operands {
        let changed = match operand {
            Operand::Register(_, number) if number != ZERO => number,
            Operand::RegisterOrSP(_, number) => number,
            Operand::RegPreIndex(base, _, true)
            | Operand::RegPostIndex(base, _)
            | Operand::RegPostIndexReg(base, _) => base,
            _ => continue,
        };
        registers |= 1 << register(changed);
        // A source that is taken for changed is lost only for the search; the first operand is nearly always the one.
        if !writes_two(decoded.opcode) {
            break;
        }
    }
    if registers == 0 || only_reads(decoded.opcode) { Op::Nothing } else { Op::Spoil { registers } }
}

fn writes_two(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::LDP
            | Opcode::LDPSW
            | Opcode::LDNP
            | Opcode::LDXP
            | Opcode::LDAXP
            | Opcode::STP
            | Opcode::LDR
            | Opcode::LDRB
            | Opcode::LDRH
            | Opcode::LDRSB
            | Opcode::LDRSH
            | Opcode::LDRSW
            | Opcode::STR
            | Opcode::STRB
            | Opcode::STRH
    )
}

fn only_reads(opcode: Opcode) -> bool {
    matches!(
        opcode,
        Opcode::CCMP | Opcode::CCMN | Opcode::STRB | Opcode::STURB | Opcode::STRH | Opcode::STURH
    )
}

/// A register operand and whether all of its 64 bits are meant.
fn named(operand: Operand) -> Option<(Register, bool)> {
    match operand {
        Operand::Register(size, number) | Operand::RegisterOrSP(size, number) => {
            Some((register(number), size == SizeCode::X))
        }
        _ => None,
    }
}

fn register(number: u16) -> Register {
    u8::try_from(number & 31).unwrap_or_default()
}

pub(super) fn references(
    segment: &Segment<'_>,
    targets: &[u64],
    found: &mut dyn FnMut(Reference) -> bool,
) -> bool {
    let (words, _) = segment.bytes.as_chunks::<LEN>();
    for (at, word) in words.iter().enumerate() {
        let word = u32::from_le_bytes(*word);
        // ADRP (Arm ARM, C6.2.13): 21 bits of pages, the lowest two in bits 29 and 30.
        if word & 0x9f00_0000 != 0x9000_0000 {
            continue;
        }
        let pages = ((word >> 3) & 0x1f_fffc) | ((word >> 29) & 3);
        let pages = i64::from((pages << 11).cast_signed() >> 11);
        let here = segment.address.wrapping_add(at as u64 * LEN as u64);
        let page = (here & !0xfff).wrapping_add_signed(pages << 12);
        let first = targets.partition_point(|target| *target < page);
        if targets.get(first).is_none_or(|target| target - page > 0xfff) {
            continue;
        }
        let made = word & 0x1f;
        for (after, word) in words.iter().enumerate().skip(at + 1).take(MAX_APART) {
            let word = u32::from_le_bytes(*word);
            // ADD (immediate), 64-bit, not shifted (C6.2.5), of the register that `adrp` made.
            if word & 0xffc0_0000 != 0x9100_0000 || (word >> 5) & 0x1f != made {
                continue;
            }
            let target = page.wrapping_add(u64::from((word >> 10) & 0xfff));
            if targets.binary_search(&target).is_err() {
                continue;
            }
            let next = segment.address.wrapping_add((after as u64 + 1) * LEN as u64);
            let register = u8::try_from(word & 0x1f).unwrap_or_default();
            if !found(Reference { next, register, target }) {
                return false;
            }
        }
    }
    true
}
