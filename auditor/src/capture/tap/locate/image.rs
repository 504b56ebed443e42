//! An ELF file as its loader sees it: segments, not sections, which stripping may remove.
//!
//! Consumes a file's bytes; answers what lies at an address. A uprobe is placed by *file* offset, code refers to things by
//! address: `p_vaddr` and `p_offset` of a segment differ in Envoy and Caddy.

use object::elf;
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _, Rela as _};
use object::{Endianness, elf::FileHeader64, elf::ProgramHeader64};

use super::{Linkage, Machine, Miss};

/// Most segments looked at; real files have about ten.
const MAX_SEGMENTS: usize = 256;
/// Most relocations looked at; Envoy has some 200,000.
const MAX_RELOCATIONS: usize = 1 << 22;
/// Most entries of a dynamic section.
const MAX_DYNAMIC: usize = 4096;

/// A loadable segment's part that is in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) address: u64,
    /// In the file.
    pub(super) offset: u64,
    pub(super) bytes: &'a [u8],
    pub(super) executable: bool,
}

impl Segment<'_> {
    fn contains(&self, address: u64) -> bool {
        address.checked_sub(self.address).is_some_and(|at| at < self.bytes.len() as u64)
    }
}

/// A file to be looked at.
#[derive(Debug)]
pub(super) struct Image<'a> {
    pub(super) machine: Machine,
    pub(super) segments: Vec<Segment<'a>>,
    /// Linked for one fixed address: code may hold absolute addresses.
    pub(super) fixed: bool,
    pub(super) linkage: Linkage,
    /// `DT_SONAME`.
    pub(super) name: Option<&'a [u8]>,
    relocations: &'a [elf::Rela64<Endianness>],
}

impl<'a> Image<'a> {
    pub(super) fn parse(file: &'a [u8]) -> Result<Self, Miss> {
        let not_elf = |_| Miss::NotElf;
        let header = FileHeader64::<Endianness>::parse(file).map_err(not_elf)?;
        let endian = header.endian().map_err(not_elf)?;
        if endian != Endianness::Little {
            return Err(Miss::NotElf);
        }
        let machine = match header.e_machine(endian) {
            elf::EM_X86_64 => Machine::X86_64,
            elf::EM_AARCH64 => Machine::Arm64,
            other => return Err(Miss::Machine { machine: other }),
        };
        let headers = header.program_headers(endian, file).map_err(not_elf)?;
        let headers = headers.get(..headers.len().min(MAX_SEGMENTS)).unwrap_or_default();
        let segments = headers.iter().filter(|header| header.p_type(endian) == elf::PT_LOAD);
        let mut segments: Vec<_> = segments.filter_map(|header| segment(header, endian, file)).collect();
        // Segments that lie over each other would multiply the work.
        let mut room = file.len();
        segments.retain(|segment| {
            let left = room.checked_sub(segment.bytes.len());
            room = left.unwrap_or(room);
            left.is_some()
        });
        let mut image = Self {
            machine,
            segments,
            fixed: header.e_type(endian) == elf::ET_EXEC,
            linkage: Linkage::Static,
            name: None,
            relocations: &[],
        };
        image.read_dynamic(headers, endian, file);
        Ok(image)
    }

    /// What the dynamic section says; nothing if it makes no sense.
    fn read_dynamic(&mut self, headers: &[ProgramHeader64<Endianness>], endian: Endianness, file: &'a [u8]) {
        let entries = headers.iter().find_map(|header| header.dynamic(endian, file).ok().flatten());
        let entries = entries.unwrap_or_default();
        let entries = entries.get(..entries.len().min(MAX_DYNAMIC)).unwrap_or_default();
        let value = |tag: i64| {
            entries.iter().find(|entry| entry.d_tag(endian) == tag).map(|entry| entry.d_val(endian))
        };
        if let (Some(at), Some(len)) = (value(elf::DT_RELA), value(elf::DT_RELASZ))
            && let Some(bytes) = self.bytes_from(at)
        {
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len());
            let count = (len / size_of::<elf::Rela64<Endianness>>()).min(MAX_RELOCATIONS);
            if let Ok((relocations, _)) = object::pod::slice_from_bytes(bytes, count) {
                self.relocations = relocations;
            }
        }
        if let (Some(name), Some(strings)) = (value(elf::DT_SONAME), value(elf::DT_STRTAB)) {
            self.linkage = Linkage::Shared;
            self.name = strings.checked_add(name).and_then(|at| self.bytes_from(at)).and_then(until_zero);
        }
    }

    /// The segment that holds an address.
    pub(super) fn segment(&self, address: u64) -> Option<&Segment<'a>> {
        self.segments.iter().find(|segment| segment.contains(address))
    }

    /// What is in the file from an address to its segment's end.
    pub(super) fn bytes_from(&self, address: u64) -> Option<&'a [u8]> {
        let segment = self.segment(address)?;
        segment.bytes.get(usize::try_from(address - segment.address).ok()?..)
    }

    /// Code from an address on.
    pub(super) fn code_from(&self, address: u64) -> Option<&'a [u8]> {
        self.segment(address).filter(|segment| segment.executable)?;
        self.bytes_from(address)
    }

    /// The place in the file of code at an address.
    pub(super) fn file_offset(&self, address: u64) -> Option<u64> {
        let segment = self.segment(address).filter(|segment| segment.executable)?;
        segment.offset.checked_add(address - segment.address)
    }

    /// The word at an address once the file is loaded at address 0: what a relocation puts there, or what the file holds.
    pub(super) fn pointer(&self, address: u64) -> Option<u64> {
        let relocated = self.relative().find(|(at, _)| *at == address).map(|(_, value)| value);
        relocated.or_else(|| self.bytes_from(address)?.first_chunk().copied().map(u64::from_le_bytes))
    }

    /// Addresses of words that point to `target` once loaded.
    pub(super) fn pointers_to(&self, target: u64) -> impl Iterator<Item = u64> {
        let relocated = self.relative().filter(move |(_, value)| *value == target).map(|(at, _)| at);
        let held = self.segments.iter().filter(|segment| !segment.executable).flat_map(move |segment| {
            // Pointers are aligned, segments need not begin so.
            let before = segment.address.wrapping_neg() % 8;
            let bytes = usize::try_from(before).ok().and_then(|before| segment.bytes.get(before..));
            let words = bytes.unwrap_or_default().chunks_exact(8).enumerate();
            words
                .filter(move |(_, word)| *word == target.to_le_bytes())
                .map(move |(number, _)| segment.address.wrapping_add(before).wrapping_add(8 * number as u64))
        });
        relocated.chain(held)
    }

    /// Relocations relative to where the file is loaded: where, and what is put there.
    fn relative(&self) -> impl Iterator<Item = (u64, u64)> {
        let kind = match self.machine {
            Machine::X86_64 => elf::R_X86_64_RELATIVE,
            Machine::Arm64 => elf::R_AARCH64_RELATIVE,
        };
        let endian = Endianness::Little;
        self.relocations
            .iter()
            .filter(move |relocation| relocation.r_type(endian, false) == kind)
            .map(move |relocation| (relocation.r_offset(endian), relocation.r_addend(endian).cast_unsigned()))
    }
}

fn segment<'a>(
    header: &ProgramHeader64<Endianness>,
    endian: Endianness,
    file: &'a [u8],
) -> Option<Segment<'a>> {
    let offset = header.p_offset(endian);
    let executable = header.p_flags(endian) & elf::PF_X != 0;
    Some(Segment {
        address: header.p_vaddr(endian),
        offset,
        bytes: header.data(endian, file).ok()?,
        executable,
    })
}

fn until_zero(bytes: &[u8]) -> Option<&[u8]> {
    bytes.get(..memchr::memchr(0, bytes)?)
}
