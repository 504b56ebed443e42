//! Files on their way to a process that may not open any: as one memory file.
//!
//! For each file: the length of its path (8 bytes, the machine's order), the path, the length of its content, the content.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::attribute::manifests::MAX_TOTAL_BYTES;

/// Paths and contents.
pub(super) type Files = Vec<(PathBuf, Vec<u8>)>;

/// A memory file that holds `bytes`, to be read from its start.
pub(super) fn file(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut memory = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?);
    memory.write_all(bytes)?;
    memory.seek(SeekFrom::Start(0))?;
    Ok(memory.into())
}

/// What a memory file holds, cut at `limit` bytes.
pub(super) fn content(memory: OwnedFd, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::from(memory).take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Puts files into a memory file.
pub(super) fn pack(files: &Files) -> io::Result<OwnedFd> {
    let mut memory = File::from(memfd_create("auditor-manifests", MFdFlags::MFD_CLOEXEC)?);
    for (path, content) in files {
        for part in [path.as_os_str().as_bytes(), content] {
            memory.write_all(&(part.len() as u64).to_ne_bytes())?;
            memory.write_all(part)?;
        }
    }
    memory.seek(SeekFrom::Start(0))?;
    Ok(memory.into())
}

/// Takes them out again.
pub(super) fn unpack(memory: OwnedFd) -> io::Result<Files> {
    let bytes = content(memory, 2 * MAX_TOTAL_BYTES)?;
    let mut rest = bytes.as_slice();
    let mut files = Vec::new();
    while !rest.is_empty() {
        let path = part(&mut rest)?.to_vec();
        let content = part(&mut rest)?.to_vec();
        files.push((PathBuf::from(std::ffi::OsString::from_vec(path)), content));
    }
    Ok(files)
}

fn part<'a>(rest: &mut &'a [u8]) -> io::Result<&'a [u8]> {
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let (len, after) = rest.split_first_chunk().ok_or_else(cut)?;
    let len = usize::try_from(u64::from_ne_bytes(*len)).map_err(|_| cut())?;
    let (part, after) = after.split_at_checked(len).ok_or_else(cut)?;
    *rest = after;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let files: Files = vec![("a/b.yaml".into(), b"x: 1\n".to_vec()), ("c.json".into(), Vec::new())];
        assert_eq!(unpack(pack(&files).unwrap()).unwrap(), files);
        assert_eq!(unpack(pack(&Vec::new()).unwrap()).unwrap(), Vec::new());
    }

    #[test]
    fn a_cut_file_is_an_error() {
        let mut memory = File::from(memfd_create("test", MFdFlags::MFD_CLOEXEC).unwrap());
        memory.write_all(&9_u64.to_ne_bytes()).unwrap();
        memory.write_all(b"short").unwrap();
        memory.seek(SeekFrom::Start(0)).unwrap();
        assert_eq!(unpack(memory.into()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
