//! Directories of manifests: what is found in them, and when they count as changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use auditor::attribute::manifests::{ManifestError, fingerprint, load};
use tempfile::TempDir;

use super::support::ingress;

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn one(name: &str) -> String {
    ingress(name, &[("a.b", "Prefix", "/", "s")])
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = load(dir)
        .unwrap()
        .objects
        .ingresses
        .into_iter()
        .map(|ingress| ingress.metadata.name.unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn manifests_are_found_wherever_they_are() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a.yaml", &(one("a") + &one("b")));
    write(dir.path(), "below/c.yml", &one("c"));
    write(
        dir.path(),
        "below/deep/d.json",
        r#"{"apiVersion":"networking.k8s.io/v1","kind":"IngressList","items":[{"metadata":{"name":"d"}}]}"#,
    );
    write(dir.path(), "below/e.txt", "no manifest");
    write(dir.path(), ".hidden/f.yaml", &one("f"));
    write(
        dir.path(),
        "g.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\napiVersion: serving.knative.dev/v1\nkind: Service\nspec: {template: 3}\n",
    );
    assert_eq!(names(dir.path()), ["a", "b", "c", "d"]);
    let loaded = load(dir.path()).unwrap();
    assert_eq!(
        loaded
            .objects
            .ignored
            .by_kind
            .iter()
            .map(|(kind, count)| (kind.as_str(), *count))
            .collect::<Vec<_>>(),
        [("ConfigMap", 1), ("Service", 1)]
    );
    assert_eq!(
        loaded
            .objects
            .ingresses
            .iter()
            .find(|i| i.metadata.name.as_deref() == Some("d"))
            .unwrap()
            .metadata
            .namespace
            .as_deref(),
        Some("default")
    );
}

/// As the kubelet lays it out: a dated directory, `..data` pointing to it, and a link for each file.
#[test]
fn a_mounted_config_map_is_read_once_and_its_change_is_seen() {
    let dir = TempDir::new().unwrap();
    let root = dir.path();
    write(root, "..2026_01/web.yaml", &one("old"));
    symlink("..2026_01", root.join("..data")).unwrap();
    symlink("..data/web.yaml", root.join("web.yaml")).unwrap();
    assert_eq!(names(root), ["old"]);
    let before = fingerprint(root).unwrap();
    assert_eq!(before, fingerprint(root).unwrap());

    write(root, "..2026_02/web.yaml", &one("new"));
    symlink("..2026_02", root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    fs::remove_dir_all(root.join("..2026_01")).unwrap();
    assert_ne!(before, fingerprint(root).unwrap());
    assert_eq!(names(root), ["new"]);
    assert_eq!(load(root).unwrap().fingerprint, fingerprint(root).unwrap());
}

#[test]
fn links_neither_double_nor_loop() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a/web.yaml", &one("web"));
    symlink("web.yaml", dir.path().join("a/again.yaml")).unwrap();
    symlink("..", dir.path().join("a/up")).unwrap();
    symlink("a", dir.path().join("b")).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    assert_eq!(names(dir.path()), ["web"]);
    let link = dir.path().join("link");
    symlink(dir.path().join("a"), &link).unwrap();
    assert_eq!(names(&link), ["web"]);
}

#[test]
fn every_change_shows_in_the_fingerprint() {
    let dir = TempDir::new().unwrap();
    write(dir.path(), "a.yaml", &one("a"));
    let mut seen = vec![fingerprint(dir.path()).unwrap()];
    let mut changed = |what: &str| {
        let now = fingerprint(dir.path()).unwrap();
        assert!(!seen.contains(&now), "{what}");
        seen.push(now);
    };
    write(dir.path(), "b.yaml", "");
    changed("a new file");
    // Same size and same modification time.
    let time = fs::metadata(dir.path().join("a.yaml")).unwrap().modified().unwrap();
    write(dir.path(), "new", &one("z"));
    fs::File::options().write(true).open(dir.path().join("new")).unwrap().set_modified(time).unwrap();
    fs::rename(dir.path().join("new"), dir.path().join("a.yaml")).unwrap();
    changed("a file replaced");
    fs::remove_file(dir.path().join("b.yaml")).unwrap();
    changed("a file gone");
}

#[test]
fn what_cannot_be_read_is_named() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("missing");
    assert!(matches!(load(&missing), Err(ManifestError::Io { path, .. }) if path == missing));
    symlink("nowhere", dir.path().join("x.yaml")).unwrap();
    assert!(matches!(load(dir.path()), Err(ManifestError::Io { path, .. }) if path.ends_with("x.yaml")));
}
