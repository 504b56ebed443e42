//! Whether a file is another.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

/// A file that is tapped, and of whose changes the kernel does not tell.
fn known(path: &Path) -> Known {
    let file = File::open(path).unwrap();
    let hash = Sha256::digest(contents(&file).unwrap().unwrap()).into();
    let stamp = stamp(&file).unwrap();
    Known {
        path: path.display().to_string(),
        processes: 1,
        owner: None,
        unused: None,
        hash: Some(hash),
        file: Some((file, stamp)),
        watched: None,
        taps: Vec::new(),
        problems: Vec::new(),
        failing: None,
        settled: true,
        changes: 0,
    }
}

/// What an upgrade by renaming does to the old file, and a change that hides behind the old times.
#[test]
fn only_the_content_counts() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("library");
    fs::write(&path, b"\x7fELF and code").unwrap();
    let mut known = known(&path);
    let look = |known: &mut Known| known.is_changed(&BTreeSet::new(), &mut 0);
    assert!(!look(&mut known), "nothing has happened");

    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    let before = known.file.as_ref().unwrap().1;
    assert!(!look(&mut known), "its rights");
    assert_ne!(known.file.as_ref().unwrap().1, before, "it is not read again for that");
    fs::write(folder.path().join("new"), b"\x7fELF and more").unwrap();
    fs::rename(folder.path().join("new"), folder.path().join("other")).unwrap();
    fs::hard_link(&path, folder.path().join("second name")).unwrap();
    fs::rename(folder.path().join("other"), &path).unwrap();
    assert!(!look(&mut known), "its name");

    let old = folder.path().join("second name");
    let modified = fs::metadata(&old).unwrap().modified().unwrap();
    let mut file = OpenOptions::new().write(true).open(&old).unwrap();
    file.write_all(b"\x7fELF and CODE").unwrap();
    file.set_times(FileTimes::new().set_modified(modified)).unwrap();
    assert!(!known.is_changed(&BTreeSet::new(), &mut { MAX_READ }), "too much for this look");
    assert!(look(&mut known), "its content, with the time set back");
}
