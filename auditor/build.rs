//! Puts the kernel programs into the binary.
//!
//! Consumes the object that `cargo xtask build-ebpf` wrote: `<target>/bpf/auditor-ebpf`, or what `AUDITOR_EBPF_OBJECT`
//! names. Produces a copy in `OUT_DIR`; an empty one where there is no object, so that everything but attaching can be
//! built and tested without a compiler for the kernel. The daemon says so when it is asked to attach.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

const VARIABLE: &str = "AUDITOR_EBPF_OBJECT";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let named = env::var_os(VARIABLE).map(PathBuf::from);
    let folder = target_directory(&out).ok_or(io::ErrorKind::NotFound)?.join("bpf");
    let object = named.clone().unwrap_or_else(|| folder.join("auditor-ebpf"));
    println!("cargo::rerun-if-changed={}", object.display());
    if named.is_none() && !object.exists() {
        // An empty file in its place: one that does not exist would make cargo build the auditor anew each time.
        fs::create_dir_all(folder)?;
        fs::write(&object, [])?;
    }
    let bytes = fs::read(&object)?;
    if bytes.is_empty() {
        println!("cargo::warning=built without the kernel programs: run `cargo xtask build-ebpf`");
    }
    fs::write(out.join("auditor-ebpf"), bytes)
}

/// Cargo's target directory, around `<target>/[<triple>/]<profile>/build/auditor-<hash>/out`.
fn target_directory(out: &Path) -> Option<&Path> {
    let folder = out.ancestors().nth(4)?;
    let triple = env::var_os("TARGET");
    if triple.as_deref() == folder.file_name() { folder.parent() } else { Some(folder) }
}
