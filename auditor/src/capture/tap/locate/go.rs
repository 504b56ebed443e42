//! Go: `crypto/tls.(*Config).writeKeyLog`, by its name in the runtime's table of functions.
//!
//! The runtime needs that table (`.gopclntab`) to unwind stacks, so that stripping leaves it; it is found by its magic number
//! wherever it lies. Arguments are in registers since Go 1.17 on x86-64 and 1.18 on arm64 (Go's ABI specification,
//! `cmd/compile/abi-internal.md`).

mod table;

use super::code::{self, Op, Register};
use super::image::Image;
use super::{Convention, Library, Linkage, Machine, Miss, TapPoint};
use table::{Layout, Table};

/// The end of the name, in `crypto/tls` and in its copies under other paths.
const NAME: &[u8] = b"tls.(*Config).writeKeyLog\0";
/// Functions that are tapped in one file.
const MAX_POINTS: usize = 4;
/// Instructions with which a function looks for room on its stack; three or four, six where its frame is huge.
const MAX_CHECK: usize = 8;
/// Instructions that ask for more stack: each argument is saved, and loaded again.
const MAX_MORE: usize = 40;

/// Looks for the function.
pub(super) fn find(image: &Image<'_>) -> Result<Vec<TapPoint>, Miss> {
    let Some((table, names)) = table::all(image).find_map(|table| {
        let names = table.names_ending(NAME);
        (!names.is_empty()).then_some((table, names))
    }) else {
        return Ok(Vec::new());
    };
    let functions = table.functions_named(&names);
    let text = text_start(image, &table).ok_or(Miss::GoTable)?;
    let mut points = Vec::new();
    for entry in functions.into_iter().take(MAX_POINTS) {
        let address = text.wrapping_add(entry);
        if !in_registers(image, &table, address) {
            return Err(Miss::GoStackArguments);
        }
        points.push(TapPoint {
            offset: image.file_offset(behind_stack_check(image, address)).ok_or(Miss::GoTable)?,
            machine: image.machine,
            library: Library::Go,
            linkage: Linkage::Static,
            convention: Convention::Go,
        });
    }
    if points.is_empty() { Err(Miss::GoTable) } else { Ok(points) }
}

/// Behind the look for room on the stack, with which all but the smallest functions begin. Where there is not enough, or the
/// scheduler wants the goroutine to pause, `runtime.morestack` is called and the function entered anew: a probe on its first
/// instruction is hit twice by one call. Arguments are still where they were on entry (cmd/compile/abi-internal.md: the
/// prologue has registers of its own).
fn behind_stack_check(image: &Image<'_>, entry: u64) -> u64 {
    let (mut address, mut behind) = (entry, entry);
    for _ in 0..MAX_CHECK {
        let Some(instruction) = code::decode(image, address) else { break };
        address = address.wrapping_add(instruction.len);
        let [op, Op::Nothing, Op::Nothing] = instruction.ops else { break };
        match op {
            Op::Nothing => {}
            Op::Move { to, .. } | Op::Load { to, .. } if is_free(image.machine, to) => {}
            Op::Branch { target } if leads_back(image, target, entry) => behind = address,
            _ => break,
        }
    }
    behind
}

/// Whether a way goes straight through one call and then to the function's entry.
fn leads_back(image: &Image<'_>, mut address: u64, entry: u64) -> bool {
    let mut calls = 0;
    for _ in 0..MAX_MORE {
        let Some(instruction) = code::decode(image, address) else { return false };
        address = address.wrapping_add(instruction.len);
        match instruction.ops.first() {
            Some(Op::Call { .. }) => calls += 1,
            Some(Op::Jump { target }) => return calls == 1 && *target == Some(entry),
            Some(Op::Branch { .. } | Op::End) => return false,
            _ => {}
        }
    }
    false
}

/// Whether a prologue may use a register: no argument is in it (r12 and r13; x16 and x17).
fn is_free(machine: Machine, register: Register) -> bool {
    match machine {
        Machine::X86_64 => matches!(register, 12 | 13),
        Machine::Arm64 => matches!(register, 16 | 17),
    }
}

/// Where the code begins that the table's offsets count from. The runtime's own description of the program (`moduledata`,
/// which points to the table) says it, and must agree with the table on the first function; it also holds when another linker
/// has put code before, and in a program that is loaded anywhere.
fn text_start(image: &Image<'_>, table: &Table<'_>) -> Option<u64> {
    // moduledata: pcHeader, then six slices, findfunctab, minpc, maxpc, text (runtime/symtab.go, Go 1.16 to 1.27).
    const MIN_PC: u64 = 8 * 20;
    const TEXT: u64 = 8 * 22;
    let first = table.first()?;
    let mut candidates = image.pointers_to(table.address).take(16);
    candidates.find_map(|data| {
        let (min, text) =
            (image.pointer(data.checked_add(MIN_PC)?)?, image.pointer(data.checked_add(TEXT)?)?);
        let base = if table.layout == Layout::Addresses { 0 } else { text };
        (min == base.wrapping_add(first) && image.code_from(text).is_some()).then_some(base)
    })
}

/// Whether a function takes its arguments in registers: told by how it looks at its stack's limit, which with them is in the
/// goroutine that r14 points to, without in thread-local storage; on arm64 by the table's layout.
fn in_registers(image: &Image<'_>, table: &Table<'_>, address: u64) -> bool {
    match image.machine {
        Machine::Arm64 => table.layout == Layout::Offsets,
        Machine::X86_64 => {
            table.layout == Layout::Offsets || {
                // mov rcx, fs:[-8]: how Go before 1.17 finds the goroutine.
                let code = image.code_from(address).unwrap_or_default();
                !code.starts_with(&[0x64, 0x48, 0x8b, 0x0c, 0x25])
            }
        }
    }
    .then(|| code::decode(image, address))
    .flatten()
    .is_some_and(|instruction| instruction.ops.first() != Some(&Op::End))
}
