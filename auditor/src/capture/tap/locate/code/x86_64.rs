//! x86-64: by iced-x86, and a search for references that needs no instruction's beginning.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction as Iced, InstructionInfoFactory,
    InstructionInfoOptions, Mnemonic, OpAccess, OpKind, Register as Name,
};

use super::{Instruction, Op, Reference, Register};
use crate::capture::tap::locate::image::Segment;

/// Longest instruction (Intel SDM volume 2, 2.3.11).
const MAX_LEN: usize = 15;
const RSP: Register = 4;
const ALL: u32 = 0xffff;

pub(super) fn decode(bytes: &[u8], address: u64) -> Option<Instruction> {
    let bytes = bytes.get(..bytes.len().min(MAX_LEN))?;
    let iced = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
    if iced.is_invalid() {
        return None;
    }
    let op = flow(&iced).unwrap_or_else(|| effect(&iced));
    Some(match op {
        // The register goes to the stack and the stack pointer moves.
        Op::Store { from, base: RSP, offset } if matches!(iced.mnemonic(), Mnemonic::Push) => {
            Instruction::new(
                iced.len(),
                &[Op::Move { to: RSP, from: RSP, add: -8 }, Op::Store { from, base: RSP, offset }],
            )
        }
        Op::Load { to, base: RSP, .. } if matches!(iced.mnemonic(), Mnemonic::Pop) => Instruction::new(
            iced.len(),
            &[Op::Load { to, base: RSP, offset: 0, word: true }, Op::Move { to: RSP, from: RSP, add: 8 }],
        ),
        op => Instruction::new(iced.len(), &[op]),
    })
}

/// Where it goes, if it does not simply go on.
fn flow(iced: &Iced) -> Option<Op> {
    let target = matches!(iced.op0_kind(), OpKind::NearBranch64).then(|| iced.near_branch_target());
    match iced.flow_control() {
        FlowControl::Next => None,
        FlowControl::UnconditionalBranch => Some(Op::Jump { target }),
        FlowControl::ConditionalBranch => target.map(|target| Op::Branch { target }),
        FlowControl::Call => Some(Op::Call { target }),
        FlowControl::IndirectCall => Some(Op::Call { target: None }),
        FlowControl::IndirectBranch => Some(Op::Jump { target: None }),
        FlowControl::Return | FlowControl::Interrupt | FlowControl::Exception => Some(Op::End),
        FlowControl::XbeginXabortXend => Some(Op::Spoil { registers: ALL }),
    }
}

fn effect(iced: &Iced) -> Op {
    let to = register(iced.op0_register());
    let whole = iced.op0_register().size() >= 4;
    match iced.mnemonic() {
        Mnemonic::Mov | Mnemonic::Movzx
            if to.is_some() && (whole || is_byte_load(iced)) && is_register(iced, 0) =>
        {
            moved(iced, to.unwrap_or_default())
        }
        Mnemonic::Mov if matches!(iced.op0_kind(), OpKind::Memory) => stored(iced),
        Mnemonic::Lea if to.is_some() => loaded_address(iced, to.unwrap_or_default()),
        Mnemonic::Xor | Mnemonic::Sub
            if is_register(iced, 0) && is_register(iced, 1) && iced.op0_register() == iced.op1_register() =>
        {
            to.map_or(Op::Nothing, |to| Op::Set { to, value: 0 })
        }
        Mnemonic::Add | Mnemonic::Sub if to.is_some() && is_register(iced, 0) && is_immediate(iced) => {
            let to = to.unwrap_or_default();
            let value = iced.immediate(1).cast_signed();
            let add = if iced.mnemonic() == Mnemonic::Add { value } else { value.wrapping_neg() };
            Op::Move { to, from: to, add }
        }
        Mnemonic::Inc | Mnemonic::Dec if to.is_some() && iced.op0_register().size() == 8 => {
            let to = to.unwrap_or_default();
            Op::Move { to, from: to, add: if iced.mnemonic() == Mnemonic::Inc { 1 } else { -1 } }
        }
        Mnemonic::Cmp => match (register(iced.op0_register()), is_immediate(iced)) {
            (Some(register), true) if is_register(iced, 0) => {
                Op::Compare { register, value: iced.immediate(1) }
            }
            _ => Op::Nothing,
        },
        Mnemonic::Test | Mnemonic::Nop | Mnemonic::Endbr64 => Op::Nothing,
        Mnemonic::Push => Op::Store {
            from: is_register(iced, 0).then(|| register(iced.op0_register())).flatten(),
            base: RSP,
            offset: 0,
        },
        Mnemonic::Pop => match to {
            Some(to) => Op::Load { to, base: RSP, offset: 0, word: true },
            None => Op::Move { to: RSP, from: RSP, add: 8 },
        },
        _ => spoiled(iced),
    }
}

fn moved(iced: &Iced, to: Register) -> Op {
    match iced.op1_kind() {
        OpKind::Register if iced.mnemonic() == Mnemonic::Mov => match register(iced.op1_register()) {
            Some(from) if iced.op1_register().size() == 8 => Op::Move { to, from, add: 0 },
            _ => Op::Spoil { registers: 1 << to },
        },
        OpKind::Memory if iced.segment_prefix() == Name::None => {
            let offset = iced.memory_displacement64().cast_signed();
            match (register(iced.memory_base()), register(iced.memory_index())) {
                (Some(base), None) if is_byte_load(iced) => Op::LoadByte { to, base, index: None, offset },
                (Some(base), None) => Op::Load { to, base, offset, word: iced.op0_register().size() == 8 },

                (Some(base), Some(index)) if is_byte_load(iced) && iced.memory_index_scale() == 1 => {
                    Op::LoadByte { to, base, index: Some(index), offset }
                }
                _ => Op::Spoil { registers: 1 << to },
            }
        }
        _ if is_immediate(iced) => Op::Set { to, value: iced.immediate(1) },
        _ => Op::Spoil { registers: 1 << to },
    }
}

fn is_byte_load(iced: &Iced) -> bool {
    matches!(iced.code(), Code::Movzx_r32_rm8 | Code::Movzx_r64_rm8 | Code::Mov_r8_rm8)
        && iced.op1_kind() == OpKind::Memory
}

fn stored(iced: &Iced) -> Op {
    match (register(iced.memory_base()), register(iced.memory_index())) {
        (Some(base), None) => {
            let word = is_register(iced, 1) && iced.op1_register().size() == 8;
            let from = if word { register(iced.op1_register()) } else { None };
            Op::Store { from, base, offset: iced.memory_displacement64().cast_signed() }
        }
        _ => Op::Nothing,
    }
}

fn loaded_address(iced: &Iced, to: Register) -> Op {
    if iced.is_ip_rel_memory_operand() {
        return Op::Set { to, value: iced.ip_rel_memory_address() };
    }
    match (register(iced.memory_base()), register(iced.memory_index())) {
        (Some(from), None) => Op::Move { to, from, add: iced.memory_displacement64().cast_signed() },
        _ => Op::Spoil { registers: 1 << to },
    }
}

/// What else an instruction may change.
fn spoiled(iced: &Iced) -> Op {
    let mut factory = InstructionInfoFactory::new();
    let used = factory.info_options(iced, InstructionInfoOptions::NO_MEMORY_USAGE).used_registers();
    let written = used.iter().filter(|used| {
        !matches!(used.access(), OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
    });
    let registers =
        written.filter_map(|used| register(used.register())).fold(0, |mask, register| mask | 1 << register);
    if registers == 0 { Op::Nothing } else { Op::Spoil { registers } }
}

fn is_register(iced: &Iced, at: u32) -> bool {
    iced.op_count() > at && iced.op_kind(at) == OpKind::Register
}

fn is_immediate(iced: &Iced) -> bool {
    iced.op_count() > 1
        && matches!(
            iced.op1_kind(),
            OpKind::Immediate8
                | OpKind::Immediate32
                | OpKind::Immediate64
                | OpKind::Immediate8to32
                | OpKind::Immediate8to64
                | OpKind::Immediate32to64
        )
}

/// The number of a general-purpose register or of a part of it.
fn register(name: Name) -> Option<Register> {
    if !name.is_gpr() {
        return None;
    }
    u8::try_from(name.full_register().number()).ok().filter(|number| *number < 16)
}

/// References, found by their four bytes: `lea r64, [rip + disp]` anywhere, `mov r32, imm` in a file linked for a fixed
/// address. Bytes that only look like one lead nowhere later.
pub(super) fn references(
    segment: &Segment<'_>,
    fixed: bool,
    targets: &[u64],
    found: &mut dyn FnMut(Reference) -> bool,
) -> bool {
    let bytes = segment.bytes;
    for at in memchr::memchr_iter(0x8d, bytes) {
        let Some([prefix, _, form, displacement @ ..]) =
            at.checked_sub(1).and_then(|start| bytes.get(start..)?.first_chunk::<7>())
        else {
            continue;
        };
        // REX.W (and R, for r8 to r15); mod 00, rm 101: relative to the next instruction.
        if prefix & 0xfb != 0x48 || form & 0xc7 != 0x05 {
            continue;
        }
        let next = segment.address.wrapping_add(at as u64 + 6);
        let target = next.wrapping_add_signed(i64::from(i32::from_le_bytes(*displacement)));
        if targets.binary_search(&target).is_ok() {
            let register = (form >> 3) & 7 | (prefix & 4) << 1;
            if !found(Reference { next, register, target }) {
                return false;
            }
        }
    }
    if !fixed {
        return true;
    }
    for &target in targets {
        let Ok(word) = u32::try_from(target) else { continue };
        for at in memchr::memmem::find_iter(bytes, &word.to_le_bytes()) {
            let Some(&code) = at.checked_sub(1).and_then(|before| bytes.get(before)) else { continue };
            if code & 0xf8 == 0xb8 {
                let extended = at.checked_sub(2).and_then(|before| bytes.get(before)) == Some(&0x41);
                let register = code & 7 | if extended { 8 } else { 0 };
                let next = segment.address.wrapping_add(at as u64 + 4);
                if !found(Reference { next, register, target }) {
                    return false;
                }
            }
        }
    }
    true
}
