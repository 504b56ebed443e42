//! Which files the processes of a cgroup run code from.
//!
//! Consumes the cgroup tree and `/proc/PID/maps`. Produces the files that are mapped executable, each once, with a way to open
//! the very file that runs: also after it was replaced on disk, and in another mount namespace. A process that ends meanwhile
//! is passed over; one that may not be looked at is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::capture::sockets::SocketsError;
use crate::capture::sockets::processes::{is_gone, pids, subtree};

/// Most of one process's list of mappings that is read.
const MAX_MAPS: u64 = 8 << 20;
/// Most files of one cgroup.
pub const MAX_FILES: usize = 4096;
/// Ways to one file that are remembered.
const MAX_WAYS: usize = 4;

/// A file, as `/proc/PID/maps` names it: the device and the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Major and minor number.
    pub device: (u32, u32),
    /// On that device.
    pub inode: u64,
}

/// A file that code is run from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its path, as the first process that has it sees it.
    pub path: PathBuf,
    /// Processes that run it.
    pub processes: u32,
    ways: Vec<Way>,
}

/// Where a process has it mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    pid: u32,
    range: Range,
}

/// What a cgroup runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// By file.
    pub files: BTreeMap<FileId, Mapped>,
    /// Processes that could not be looked at.
    pub unreadable: u64,
    /// Files beyond [`MAX_FILES`].
    pub beyond: u64,
    /// Processes of whose mappings only the first were read: there are too many.
    pub cut: u64,
}

/// Looks at the processes in `cgroup` and below.
///
/// # Errors
/// When the cgroup cannot be read. A process that cannot be is counted.
pub fn census(cgroup: &Path) -> Result<Census, SocketsError> {
    let mut census = Census::default();
    for cgroup in subtree(cgroup)? {
        for pid in pids(&cgroup.path)? {
            match maps(pid) {
                Ok(maps) => add(&mut census, pid, &maps),
                Err(error) if is_gone(&error) => {}
                Err(_) => census.unreadable += 1,
            }
        }
    }
    Ok(census)
}

/// A process, and the files it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// As this process's pid namespace numbers it; 0 if it is not visible from here.
    pub pid: u32,
    /// Its command, as the kernel shows it (at most 15 bytes, set by the process itself).
    pub command: String,
    /// The files; none if the process may not be looked at.
    pub files: Option<BTreeSet<FileId>>,
    /// Whether it runs more than those: it has too many mappings.
    pub cut: bool,
}

/// The processes in `cgroup` and below, one by one.
///
/// # Errors
/// When the cgroup cannot be read.
pub fn running(cgroup: &Path) -> Result<Vec<Running>, SocketsError> {
    let mut running = Vec::new();
    for cgroup in subtree(cgroup)? {
        for pid in pids(&cgroup.path)? {
            let (files, cut) = match maps(pid) {
                Ok(maps) => (Some(lines(&maps.text).map(|line| line.id).collect()), maps.cut),
                Err(error) if is_gone(&error) => continue,
                Err(_) => (None, false),
            };
            let command = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
            let command = String::from_utf8_lossy(command.trim_ascii_end()).into_owned();
            running.push(Running { pid, command, files, cut });
        }
    }
    running.sort_unstable_by_key(|process| process.pid);
    Ok(running)
}

impl Mapped {
    /// A process that runs it.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        self.ways.first().map(|way| way.pid)
    }
}

/// Opens files that run; for each, in their order, an error if no process that had it has it any more, or it may not be opened.
///
/// A process's mappings are read once for all of them, however many they are: with the most that a process can have, that takes
/// a tenth of a second. All of the files are open at once.
#[must_use]
pub fn open(wanted: &[(FileId, &Mapped)]) -> Vec<io::Result<File>> {
    let mut opened: Vec<_> = wanted.iter().map(|_| Err(io::ErrorKind::NotFound.into())).collect();
    for number in 0..MAX_WAYS {
        let mut by_process: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        for ((id, mapped), opened) in wanted.iter().zip(&mut opened) {
            if let (Some(way), Err(_)) = (mapped.ways.get(number), &*opened) {
                *opened = way.open(&mapped.path);
                by_process.entry(way.pid).or_default().push((*id, way.range, opened));
            }
        }
        for (pid, files) in by_process {
            // The process may have become another one meanwhile.
            let maps = maps(pid);
            let present: BTreeSet<_> = match &maps {
                Ok(maps) => lines(&maps.text).map(|line| (line.id, line.range)).collect(),
                Err(_) => BTreeSet::new(),
            };
            for (id, range, opened) in files {
                if opened.is_ok() && !present.contains(&(id, range)) {
                    *opened = Err(io::ErrorKind::NotFound.into());
                }
            }
        }
    }
    opened
}

/// The addresses of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    start: u64,
    end: u64,
}

impl Range {
    fn read(text: &[u8]) -> Option<Self> {
        let (start, end) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { start: u64::from_str_radix(start, 16).ok()?, end: u64::from_str_radix(end, 16).ok()? })
    }
}

impl fmt::Display for Range {
    /// As `/proc/PID/map_files` names it: without the zeros that `maps` puts before (fs/proc/base.c, `proc_map_files_readdir`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.start, self.end)
    }
}

impl Way {
    fn open(&self, path: &Path) -> io::Result<File> {
        let process = PathBuf::from(format!("/proc/{}", self.pid));
        let exe = process.join("exe");
        match File::open(process.join("map_files").join(self.range.to_string())) {
            // Needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN; the program itself is reached without.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                if fs::read_link(&exe)? != path {
                    return Err(error);
                }
                File::open(exe)
            }
            other => other,
        }
    }
}

/// What `/proc/PID/maps` says.
struct Maps {
    text: Vec<u8>,
    /// Whether there is more.
    cut: bool,
}

fn maps(pid: u32) -> io::Result<Maps> {
    if pid == 0 {
        // Of a pid namespace that is not visible from here (cgroups(7)).
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut text = Vec::new();
    File::open(format!("/proc/{pid}/maps"))?.take(MAX_MAPS + 1).read_to_end(&mut text)?;
    let cut = text.len() as u64 > MAX_MAPS;
    if cut {
        // The last line is not whole.
        text.truncate(memchr::memrchr(b'\n', &text).unwrap_or_default());
    }
    Ok(Maps { text, cut })
}

fn add(census: &mut Census, pid: u32, maps: &Maps) {
    census.cut += u64::from(maps.cut);
    for line in lines(&maps.text) {
        if census.files.len() == MAX_FILES && !census.files.contains_key(&line.id) {
            census.beyond += 1;
            continue;
        }
        let mapped = census.files.entry(line.id).or_insert_with(|| Mapped {
            path: Path::new(std::ffi::OsStr::from_bytes(line.path)).to_path_buf(),
            processes: 0,
            ways: Vec::new(),
        });
        // A process may have several mappings of a file.
        if mapped.ways.last().is_some_and(|way| way.pid == pid) && mapped.processes > 0 {
            continue;
        }
        mapped.processes += 1;
        if mapped.ways.len() == MAX_WAYS {
            mapped.ways.pop();
        }
        mapped.ways.push(Way { pid, range: line.range });
    }
}

/// A mapping from which code is run.
struct Line<'a> {
    id: FileId,
    range: Range,
    path: &'a [u8],
}

/// The executable mappings of files in a text of `/proc/PID/maps` (`proc_pid_maps(5)`):
/// `start-end perms offset major:minor inode path`.
fn lines(maps: &[u8]) -> impl Iterator<Item = Line<'_>> {
    maps.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let range = Range::read(fields.next()?)?;
        if fields.next()?.get(2) != Some(&b'x') {
            return None;
        }
        let device = std::str::from_utf8(fields.nth(1)?).ok()?;
        let (major, minor) = device.split_once(':')?;
        let device = (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
        let inode = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let path = fields.next()?.trim_ascii_start();
        (inode != 0).then_some(Line { id: FileId { device, inode }, range, path })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_mappings_of_files() {
        let text = b"\
00400000-00403000 r--p 00000000 fe:01 131 /usr/sbin/nginx
00403000-014f7000 r-xp 00020000 fe:01 131                        /usr/sbin/nginx
7f0000000000-7f0000010000 r-xp 00000000 fe:01 77                         /opt/a b/libssl.so.3 (deleted)
7f0000020000-7f0000030000 r-xp 00001000 fe:01 131                        /usr/sbin/nginx
7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0                          [vdso]
7f0000040000-7f0000050000 rwxp 00000000 00:00 0
garbage
";
        let mut census = Census::default();
        let maps = Maps { text: text.to_vec(), cut: false };
        add(&mut census, 7, &maps);
        add(&mut census, 8, &maps);
        let found: Vec<_> = census.files.iter().map(|(id, mapped)| (*id, mapped)).collect();
        let id = |inode| FileId { device: (0xfe, 1), inode };
        let [(library, a), (program, b)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((*library, *program), (id(77), id(131)));
        assert_eq!((a.processes, b.processes), (2, 2));
        assert_eq!(a.path, Path::new("/opt/a b/libssl.so.3 (deleted)"));
        let ways: Vec<_> = b.ways.iter().map(|way| (way.pid, way.range.to_string())).collect();
        assert_eq!(ways, [7, 8].map(|pid| (pid, "403000-14f7000".to_owned())));
    }

    /// A process that maps one file with a long path often enough: what stands behind is not read, which must be told.
    #[test]
    fn mappings_beyond_the_bound_are_told() {
        const MANY: &str = "
import mmap, os, sys
os.chdir(sys.argv[1])
for _ in range(14):
    os.mkdir('d' * 250)
    os.chdir('d' * 250)
with open('f', 'wb') as made:
    made.write(bytes(4096))
made = open('f', 'rb')
kept = [mmap.mmap(made.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC) for _ in range(2600)]
print('ready', flush=True)
sys.stdin.read()
";
        let folder = tempfile::TempDir::new().unwrap();
        let mut python = std::process::Command::new("python3");
        python.args(["-c", MANY]).arg(folder.path());
        python.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut python = python.spawn().unwrap();
        let mut said = [0; 6];
        python.stdout.take().unwrap().read_exact(&mut said).unwrap();
        let mut census = Census::default();
        add(&mut census, python.id(), &maps(python.id()).unwrap());
        let whole = fs::read_to_string(format!("/proc/{}/maps", python.id())).unwrap();
        drop(python.stdin.take());
        python.wait().unwrap();
        assert!(whole.contains("libc.so.6") && whole.len() as u64 > MAX_MAPS, "{} bytes", whole.len());
        let sees = census.files.values().any(|mapped| mapped.path.ends_with("libc.so.6"));
        assert!(sees || census.cut == 1, "libc is not seen, and that is not told");
    }

    #[test]
    fn what_this_process_runs() {
        let mut census = Census::default();
        add(&mut census, std::process::id(), &maps(std::process::id()).unwrap());
        let own = fs::canonicalize("/proc/self/exe").unwrap();
        let (id, mapped) = census.files.iter().find(|(_, mapped)| mapped.path == own).unwrap();
        let mut head = [0; 4];
        let other = FileId { inode: id.inode + 1, ..*id };
        let opened = open(&[(*id, mapped), (other, mapped)]);
        let [Ok(file), Err(error)] = opened.as_slice() else { panic!("{opened:?}") };
        (&*file).read_exact(&mut head).unwrap();
        assert_eq!(&head, b"\x7fELF");
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "mapped no more");
    }
}
