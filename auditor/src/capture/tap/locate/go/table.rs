//! The Go runtime's table of functions (`runtime.pclntab`), in the layouts since Go 1.16.
//!
//! Consumes an image; produces names and entry points. Layouts: debug/gosym/pclntab.go and runtime/symtab.go. Numbers in the
//! table are not believed: each read is checked, and a table that does not fit is none.

use super::super::image::Image;

/// Magic numbers: Go 1.16 and 1.17; 1.18 and 1.19; 1.20 and later.
const MAGICS: [(u32, Layout); 3] =
    [(0xffff_fffa, Layout::Addresses), (0xffff_fff0, Layout::Offsets), (0xffff_fff1, Layout::Offsets)];
/// Tables looked at in one file: a magic number may occur by chance.
const MAX_TABLES: usize = 16;
/// Most functions of a program; Kubernetes' largest have some 100,000.
const MAX_FUNCTIONS: u64 = 1 << 22;
/// Names that end alike.
const MAX_NAMES: usize = 16;

/// How functions are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// By address: two words each (Go 1.16, 1.17).
    Addresses,
    /// By offset from the start of the code: two half words each (Go 1.18 and later).
    Offsets,
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    pub(super) address: u64,
    pub(super) layout: Layout,
    functions: u64,
    names: &'a [u8],
    /// The list of functions, and from its start what it refers to.
    list: &'a [u8],
}

/// Tables of the file, by what looks like one.
pub(super) fn all<'a>(image: &Image<'a>) -> impl Iterator<Item = Table<'a>> {
    let mut tables = Vec::new();
    for segment in &image.segments {
        for (magic, layout) in MAGICS {
            let magic = magic.to_le_bytes();
            for at in memchr::memmem::find_iter(segment.bytes, &magic) {
                if tables.len() == MAX_TABLES {
                    break;
                }
                let bytes = segment.bytes.get(at..).unwrap_or_default();
                let address = segment.address.wrapping_add(at as u64);
                tables.extend(Table::read(bytes, address, layout));
            }
        }
    }
    tables.into_iter()
}

impl<'a> Table<'a> {
    fn read(bytes: &'a [u8], address: u64, layout: Layout) -> Option<Self> {
        // Magic, two zeros, the smallest instruction, the size of a pointer.
        let [_, _, _, _, 0, 0, 1 | 4, 8] = bytes.first_chunk::<8>()? else { return None };
        let word = |number: usize| -> Option<u64> {
            Some(u64::from_le_bytes(*bytes.get(8 + number * 8..)?.first_chunk()?))
        };
        let functions = word(0).filter(|count| (1..MAX_FUNCTIONS).contains(count))?;
        // Functions, files, (start of the code, since 1.18), then names, units, files, tables, the list of functions.
        let (names, list) = match layout {
            Layout::Addresses => (word(2)?, word(6)?),
            Layout::Offsets => (word(3)?, word(7)?),
        };
        let from = |at: u64| bytes.get(usize::try_from(at).ok()?..);
        let table = Self { address, layout, functions, names: from(names)?, list: from(list)? };
        table.row(functions.checked_sub(1)?)?;
        Some(table)
    }

    /// Places of names with this end (and its final zero).
    pub(super) fn names_ending(&self, end: &[u8]) -> Vec<u32> {
        let of_names = self.names.get(..self.names.len().saturating_sub(self.list.len())).unwrap_or_default();
        let ends = memchr::memmem::find_iter(of_names, end).take(MAX_NAMES);
        ends.filter_map(|at| {
            let before = memchr::memrchr(0, of_names.get(..at)?).map_or(0, |zero| zero + 1);
            u32::try_from(before).ok()
        })
        .collect()
    }

    /// Entry points of the functions with these names: addresses or offsets, by the layout.
    pub(super) fn functions_named(&self, names: &[u32]) -> Vec<u64> {
        let rows = (0..self.functions).filter_map(|number| self.row(number));
        let named = rows.filter(|(_, info)| self.name(*info).is_some_and(|name| names.contains(&name)));
        named.map(|(entry, _)| entry).take(MAX_NAMES).collect()
    }

    /// The first function's entry point.
    pub(super) fn first(&self) -> Option<u64> {
        self.row(0).map(|(entry, _)| entry)
    }

    /// One function: its entry point, and where in the list its description is.
    fn row(&self, number: u64) -> Option<(u64, u64)> {
        let number = usize::try_from(number).ok()?;
        match self.layout {
            Layout::Addresses => {
                let row = self.list.get(number.checked_mul(16)?..)?;
                let (entry, rest) = row.split_first_chunk::<8>()?;
                Some((u64::from_le_bytes(*entry), u64::from_le_bytes(*rest.first_chunk()?)))
            }
            Layout::Offsets => {
                let row = self.list.get(number.checked_mul(8)?..)?;
                let (entry, rest) = row.split_first_chunk::<4>()?;
                Some((u32::from_le_bytes(*entry).into(), u32::from_le_bytes(*rest.first_chunk()?).into()))
            }
        }
    }

    /// The place of a function's name, from its description: after its entry point.
    fn name(&self, info: u64) -> Option<u32> {
        let entry = match self.layout {
            Layout::Addresses => 8,
            Layout::Offsets => 4,
        };
        let at = usize::try_from(info).ok()?.checked_add(entry)?;
        Some(u32::from_le_bytes(*self.list.get(at..)?.first_chunk()?))
    }
}
