//! Go: `crypto/tls.(*Config).writeKeyLog`, by its name in the runtime's table of functions.
//!
//! The runtime needs that table (`.gopclntab`) to unwind stacks, so that stripping leaves it; it is found by its magic number
//! wherever it lies. Arguments are in registers since Go 1.17 on x86-64 and 1.18 on arm64 (Go's ABI specification,
//! `cmd/compile/abi-internal.md`).

mod table;

use super::code::{self, Op};
use super::image::Image;
use super::{Convention, Library, Linkage, Machine, Miss, TapPoint};
use table::{Layout, Table};

/// The end of the name, in `crypto/tls` and in its copies under other paths.
const NAME: &[u8] = b"tls.(*Config).writeKeyLog\0";
/// Functions that are tapped in one file.
const MAX_POINTS: usize = 4;

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
            offset: image.file_offset(address).ok_or(Miss::GoTable)?,
            machine: image.machine,
            library: Library::Go,
            linkage: Linkage::Static,
            convention: Convention::Go,
        });
    }
    if points.is_empty() { Err(Miss::GoTable) } else { Ok(points) }
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
