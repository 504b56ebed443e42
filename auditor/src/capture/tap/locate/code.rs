//! Machine code, reduced to what matters for following a few values through a function.
//!
//! Consumes instruction bytes at an address; produces [`Op`]s. What an instruction does beyond them is told as [`Op::Spoil`]:
//! a register whose value is no longer known is never taken for a known one.

mod arm64;
mod x86_64;

use super::{Machine, image::Image};

/// A general-purpose register. x86-64: 0 to 15 in the encoding's order (rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8..);
/// arm64: 0 to 30, 31 is the stack pointer.
pub(super) type Register = u8;

/// A part of what an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Nothing of interest.
    Nothing,
    /// `to = from + add`.
    Move { to: Register, from: Register, add: i64 },
    /// `to = value`.
    Set { to: Register, value: u64 },
    /// `to = [base + offset]`, a whole word if `word`.
    Load { to: Register, base: Register, offset: i64, word: bool },
    /// `to = [base + index + offset]`, one byte.
    LoadByte { to: Register, base: Register, index: Option<Register>, offset: i64 },
    /// `[base + offset] = from`; none: another value.
    Store { from: Option<Register>, base: Register, offset: i64 },
    /// A comparison with a constant.
    Compare { register: Register, value: u64 },
    /// A call; none: to where is not known here.
    Call { target: Option<u64> },
    /// A jump.
    Jump { target: Option<u64> },
    /// A conditional jump.
    Branch { target: u64 },
    /// The way ends: a return, a trap.
    End,
    /// These registers change, bit by bit of the mask.
    Spoil { registers: u32 },
}

/// One instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instruction {
    pub(super) len: u64,
    /// In order; the last ones may be [`Op::Nothing`].
    pub(super) ops: [Op; 3],
}

impl Instruction {
    fn new(len: usize, ops: &[Op]) -> Self {
        let op = |at| ops.get(at).copied().unwrap_or(Op::Nothing);
        Self { len: len as u64, ops: [op(0), op(1), op(2)] }
    }
}

/// How a machine's C code passes things.
#[derive(Clone, Copy, Debug)]
pub(super) struct Abi {
    /// Registers of the first six arguments.
    pub(super) arguments: [Register; 6],
    /// Those that a call may change.
    pub(super) scratch: u32,
    pub(super) stack_pointer: Register,
}

impl Abi {
    pub(super) fn of(machine: Machine) -> Self {
        match machine {
            // System V ABI, AMD64 supplement, 3.2.3: rdi, rsi, rdx, rcx, r8, r9; rbx, rbp, r12 to r15 are kept.
            Machine::X86_64 => {
                Self { arguments: [7, 6, 2, 1, 8, 9], scratch: 0b0000_1111_1100_0111, stack_pointer: 4 }
            }
            // AAPCS64, 6.1.1: x0 to x7; x19 to x29 are kept.
            Machine::Arm64 => Self { arguments: [0, 1, 2, 3, 4, 5], scratch: 0x4007_ffff, stack_pointer: 31 },
        }
    }
}

/// Decodes the instruction at an address; none if there is none.
pub(super) fn decode(image: &Image<'_>, address: u64) -> Option<Instruction> {
    let bytes = image.code_from(address)?;
    match image.machine {
        Machine::X86_64 => x86_64::decode(bytes, address),
        Machine::Arm64 => arm64::decode(bytes, address),
    }
}

/// A place where code makes an address, the address, and the register it is then in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// Of the first instruction after.
    pub(super) next: u64,
    pub(super) register: Register,
    pub(super) target: u64,
}

/// Where code makes one of `targets` (sorted), one after the other; stops when `found` says false.
pub(super) fn references(image: &Image<'_>, targets: &[u64], found: &mut dyn FnMut(Reference) -> bool) {
    for segment in image.segments.iter().filter(|segment| segment.executable) {
        let finished = match image.machine {
            Machine::X86_64 => x86_64::references(segment, image.fixed, targets, found),
            Machine::Arm64 => arm64::references(segment, targets, found),
        };
        if !finished {
            return;
        }
    }
}
