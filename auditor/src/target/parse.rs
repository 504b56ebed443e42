//! Parsers of what the kernel writes in `/proc`: pure, tolerant, without allocation that the text does not pay for.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// A mounted cgroup v2 tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupMount {
    /// Where it is mounted.
    pub path: PathBuf,
    /// The directory of the tree that is mounted there: `/` unless a part was bound.
    pub root: PathBuf,
}

impl CgroupMount {
    /// Where a cgroup is that the kernel calls `path`; none if it is outside of this mount.
    #[must_use]
    pub fn locate(&self, path: &Path) -> Option<PathBuf> {
        // A process outside of our cgroup namespace is shown as `/../..`.
        let is_outside = path.components().any(|part| part == Component::ParentDir);
        let inside = if is_outside { None } else { path.strip_prefix(&self.root).ok() };
        inside.map(|inside| self.path.join(inside))
    }
}

/// The cgroup v2 mounts of `/proc/PID/mountinfo` (proc(5)), the whole tree before parts of it.
pub(super) fn cgroup2_mounts(mountinfo: &[u8]) -> Vec<CgroupMount> {
    let mut mounts: Vec<CgroupMount> = mountinfo.split(|b| *b == b'\n').filter_map(cgroup2_mount).collect();
    mounts.sort_by_key(|mount| mount.root != Path::new("/"));
    mounts
}

/// Whether a tree of the older kind is mounted.
pub(super) fn has_cgroup1(mountinfo: &[u8]) -> bool {
    mountinfo.split(|b| *b == b'\n').any(|line| mount_of(line, b"cgroup").is_some())
}

fn cgroup2_mount(line: &[u8]) -> Option<CgroupMount> {
    let (root, path) = mount_of(line, b"cgroup2")?;
    Some(CgroupMount { path: unescape(path), root: unescape(root) })
}

/// Root and mount point, if the line tells of a mount of this type.
fn mount_of<'l>(line: &'l [u8], kind: &[u8]) -> Option<(&'l [u8], &'l [u8])> {
    let mut fields = line.split(|b| *b == b' ');
    let found = (fields.nth(3)?, fields.next()?);
    // A variable number of optional fields ends with a lone hyphen; the type follows.
    fields.find(|field| *field == b"-")?;
    (fields.next()? == kind).then_some(found)
}

/// Space, tab, newline and backslash are written as three octal digits (`fs/seq_file.c`, `mangle_path`).
fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(octal);
        out.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    PathBuf::from(OsString::from_vec(out))
}

fn octal(digits: &[u8]) -> Option<u8> {
    digits.iter().all(|b| matches!(b, b'0'..=b'7')).then_some(())?;
    u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()
}

/// The cgroup v2 path of `/proc/PID/cgroup` (cgroups(7)).
pub(super) fn cgroup2_path(cgroup: &[u8]) -> Option<PathBuf> {
    let path = cgroup.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    path.starts_with(b"/").then(|| PathBuf::from(OsString::from_vec(path.to_vec())))
}

/// Inodes of the sockets that listen on `port`, from `/proc/net/tcp` or `tcp6` (proc(5)).
pub(super) fn listening_inodes(table: &[u8], port: u16) -> impl Iterator<Item = u64> {
    // Column 1 is the local address as HEX:PORT, 3 the state (0A: TCP_LISTEN), 9 the inode.
    table.split(|b| *b == b'\n').skip(1).filter_map(move |line| {
        let mut fields = str::from_utf8(line).ok()?.split_ascii_whitespace();
        let local = fields.nth(1)?.rsplit_once(':')?.1;
        let state = fields.nth(1)?;
        let is_ours = u16::from_str_radix(local, 16) == Ok(port) && state == "0A";
        let inode = fields.nth(5)?.parse().ok()?;
        is_ours.then_some(inode)
    })
}

/// The inode in a descriptor's link, `socket:[12345]`.
pub(crate) fn socket_inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HYBRID: &[u8] = b"\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
90 1 0:38 /a\\040b /part\\134\\011 rw shared:1 master:2 - cgroup2 cgroup2 rw
38 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
39 31 0:39 / /odd\\9 rw,relatime - cgroup2
40 31 0:40 / /fake rw,cgroup2 - tmpfs cgroup2 rw
garbage";

    fn mount(path: &str, root: &str) -> CgroupMount {
        CgroupMount { path: path.into(), root: root.into() }
    }

    #[test]
    fn finds_the_tree_of_a_hybrid_host_and_prefers_the_whole() {
        let expected =
            [mount("/sys/fs/cgroup/unified", "/"), mount("/odd\\9", "/"), mount("/part\\\t", "/a b")];
        assert_eq!(cgroup2_mounts(HYBRID), expected);
        assert!(has_cgroup1(HYBRID) && !has_cgroup1(b"38 31 0:38 / /c rw - cgroup2 cgroup rw"));
    }

    #[test]
    fn locates_cgroups() {
        let check =
            |mount: &CgroupMount, path: &str| mount.locate(Path::new(path)).map(|p| p.display().to_string());
        assert_eq!(check(&mount("/m", "/"), "/a/b").as_deref(), Some("/m/a/b"));
        assert_eq!(check(&mount("/m", "/a"), "/a/b").as_deref(), Some("/m/b"));
        assert_eq!(check(&mount("/m", "/a"), "/ab"), None);
        assert_eq!(check(&mount("/m", "/"), "/../../x"), None);
    }

    #[test]
    fn reads_the_v2_line() {
        let check = |text: &[u8]| cgroup2_path(text).map(|path| path.display().to_string());
        assert_eq!(
            check(b"2:cpu:/x\n0::/system.slice/a.service\n").as_deref(),
            Some("/system.slice/a.service")
        );
        assert_eq!(check(b"0::/\n").as_deref(), Some("/"));
        assert_eq!(check(b"2:cpu:/x\n10::/y\n"), None);
        assert_eq!(check(b"0::\n"), None);
        assert_eq!(check(b""), None);
    }

    #[test]
    fn finds_listeners_only() {
        let table = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0000 20 4 30 10 -1
   2: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 333 1
   3: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1
   4: 0100007F:1F90 00000000:0000 0A cut
\xff\xfe";
        assert_eq!(listening_inodes(table, 8080).collect::<Vec<_>>(), [111, 333]);
        assert_eq!(listening_inodes(table, 80).collect::<Vec<_>>(), [444]);
        assert_eq!(listening_inodes(b"", 80).count(), 0);
    }

    #[test]
    fn reads_socket_links() {
        assert_eq!(socket_inode(Path::new("socket:[17]")), Some(17));
        for other in
            ["socket:[]", "socket:17", "/tmp/socket:[17]", "pipe:[17]", "socket:[99999999999999999999]"]
        {
            assert_eq!(socket_inode(Path::new(other)), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_them(text in proptest::collection::vec(any::<u8>(), 0..300), port: u16) {
            cgroup2_mounts(&text);
            cgroup2_path(&text);
            listening_inodes(&text, port).count();
        }
    }
}
