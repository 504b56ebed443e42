//! The locator on real machine code. What it should find comes from symbols, which it does not read: each program is compiled,
//! its symbols are listed by other tools, and a stripped copy is looked at.
//!
//! What is missing (a compiler, a library) is said on stderr.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]
#![expect(clippy::explicit_write, reason = "the test harness hides what a passing test prints with eprintln")]

use std::fs;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;

use auditor::capture::tap::locate::{
    ClientRandom, Convention, Library, Linkage, Located, Machine, TapPoint, locate,
};
use object::{Object as _, ObjectSegment as _, ObjectSymbol as _};
use tempfile::TempDir;

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tap")
}

fn skip(test: &str, why: &str) {
    writeln!(stderr(), "SKIPPED tap_locate::{test}: {why}").unwrap();
}

/// Runs a command; false, and said, if the program is not there.
#[track_caller]
fn ran(test: &str, command: &mut Command) -> bool {
    match command.output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => panic!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            skip(test, &format!("{}: {error}", command.get_program().to_string_lossy()));
            false
        }
    }
}

/// The place in the file of a symbol, by the symbol table.
fn offset_of(file: &[u8], name: &str) -> u64 {
    let file = object::File::parse(file).unwrap();
    let address = file.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap().address();
    let segments = file.segments();
    let mut offsets = segments.filter_map(|segment| {
        let at = address.checked_sub(segment.address())?;
        (at < segment.size()).then(|| segment.file_range().0 + at)
    });
    offsets.next().unwrap()
}

/// How far behind its beginning a Go function goes on once it has found enough stack, as Go's own disassembler shows it: behind
/// the jump to `runtime.morestack` ("below or equal", "lower or same").
fn stack_check(program: &Path, name: &str) -> u64 {
    let mut go = Command::new("go");
    let escaped = name.replace('*', "\\*").replace('(', "\\(").replace(')', "\\)");
    let listed = go.args(["tool", "objdump", "-s", &format!("^{escaped}$")]).arg(program).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let address = |line: &str| {
        let address = line.split_whitespace().nth(1).unwrap().trim_start_matches("0x");
        u64::from_str_radix(address, 16).unwrap()
    };
    let lines: Vec<&str> = text.lines().skip(1).collect();
    let jump = lines.iter().position(|line| line.contains("JBE") || line.contains("BLS")).unwrap();
    address(lines.get(jump + 1).unwrap()) - address(lines.first().unwrap())
}

/// The stripped copy of a file.
fn stripped(path: &Path) -> Vec<u8> {
    let copy = path.with_extension("stripped");
    let strip = Command::new("strip").arg("--strip-all").arg("-o").arg(&copy).arg(path).output().unwrap();
    assert!(strip.status.success(), "{strip:?}");
    fs::read(copy).unwrap()
}

#[test]
fn c_compiled_in_many_ways() {
    let folder = TempDir::new().unwrap();
    for optimised in ["-O0", "-O1", "-O2", "-O3", "-Os"] {
        for (kind, linkage) in [
            (&["-shared", "-fPIC", "-DSHARED", "-Wl,-soname,libtls.so.1"][..], Linkage::Shared),
            (&["-pie", "-fPIE"], Linkage::Static),
            (&["-static", "-no-pie", "-fno-pie"], Linkage::Static),
            (&["-no-pie", "-fno-pie", "-fcf-protection=none", "-fomit-frame-pointer"], Linkage::Static),
        ] {
            for (structure, client_random) in [
                ("-DEMBEDDED", ClientRandom::Embedded { offset: 0x158 }),
                ("-DBEHIND", ClientRandom::Behind { pointer: 8, offset: 0x90 }),
                ("-DEMBEDDED -DINLINE", ClientRandom::Embedded { offset: 0x158 }),
                ("-DBEHIND -DINLINE", ClientRandom::Behind { pointer: 8, offset: 0x90 }),
            ] {
                if optimised == "-O0" && structure.contains("INLINE") {
                    // Functions are put into others by compilers that optimise.
                    continue;
                }
                let path = folder.path().join("program");
                let mut compiler = Command::new("cc");
                compiler
                    .args([optimised, "-fvisibility=hidden"])
                    .args(structure.split(' '))
                    .arg("-o")
                    .arg(&path)
                    .args(kind)
                    .arg(sources().join("keylog.c"));
                if !ran("c_compiled_in_many_ways", &mut compiler) {
                    return;
                }
                let offset = offset_of(&fs::read(&path).unwrap(), "log_secret");
                let machine = if cfg!(target_arch = "x86_64") { Machine::X86_64 } else { Machine::Arm64 };
                let convention = Convention::C { client_random };
                let expected = TapPoint { offset, machine, library: Library::BoringSsl, linkage, convention };
                let found = locate(&stripped(&path));
                let how = format!("{optimised} {kind:?} {structure}");
                assert_eq!(found, Located { points: vec![expected], misses: vec![] }, "{how}");
            }
        }
    }
}

#[test]
fn go_built_in_many_ways() {
    let folder = TempDir::new().unwrap();
    // Each way compiles the standard library anew: but one of them only with all tests.
    let all = std::env::var_os("AUDITOR_TEST_ALL").is_some();
    let ways = [
        (&["-buildmode=exe"][..], ("amd64", "0")),
        (&["-buildmode=pie"], ("amd64", "0")),
        (&["-ldflags=-linkmode=external"], ("amd64", "1")),
        (&["-buildmode=pie", "-ldflags=-linkmode=external"], ("amd64", "1")),
        (&["-buildmode=exe"], ("arm64", "0")),
        (&["-buildmode=pie"], ("arm64", "0")),
    ];
    if !all {
        skip("go_built_in_many_ways", "PIE, external linking, arm64: only with AUDITOR_TEST_ALL=1");
    }
    for (mode, environment) in ways.into_iter().take(if all { 6 } else { 1 }) {
        let path = folder.path().join("program");
        let mut go = Command::new("go");
        go.env("GOARCH", environment.0).env("CGO_ENABLED", environment.1).env("GOTOOLCHAIN", "local");
        go.arg("build").args(mode).arg("-o").arg(&path).arg(sources().join("main.go"));
        if !ran("go_built_in_many_ways", &mut go) {
            return;
        }
        let whole = fs::read(&path).unwrap();
        let name = "crypto/tls.(*Config).writeKeyLog";
        let offset = offset_of(&whole, name) + stack_check(&path, name);
        let machine = if environment.0 == "amd64" { Machine::X86_64 } else { Machine::Arm64 };
        let expected = TapPoint {
            offset,
            machine,
            library: Library::Go,
            linkage: Linkage::Static,
            convention: Convention::Go,
        };
        // The linker's own stripping: `strip` of this machine does not know the other's files.
        let mut go_stripped = Command::new("go");
        go_stripped
            .env("GOARCH", environment.0)
            .env("CGO_ENABLED", environment.1)
            .env("GOTOOLCHAIN", "local");
        let mode = mode.iter().map(|flag| match flag.strip_prefix("-ldflags=") {
            Some(flags) => format!("-ldflags={flags} -s -w"),
            None => (*flag).to_owned(),
        });
        let mode: Vec<String> = mode.collect();
        go_stripped
            .arg("build")
            .args(["-ldflags=-s -w"])
            .args(&mode)
            .arg("-o")
            .arg(&path)
            .arg(sources().join("main.go"));
        assert!(ran("go_built_in_many_ways", &mut go_stripped));
        let mut bytes = fs::read(&path).unwrap();
        assert!(object::File::parse(&*bytes).unwrap().symbols().next().is_none(), "not stripped");
        let expected = Located { points: vec![expected], misses: vec![] };
        assert_eq!(locate(&bytes), expected, "{mode:?} {environment:?}");
        // Section headers may be gone as well: e_shoff, e_shnum and e_shstrndx (ELF-64, figure 3).
        bytes[0x28..0x30].fill(0);
        bytes[0x3c..0x40].fill(0);
        assert_eq!(locate(&bytes), expected, "{mode:?} {environment:?}, no sections");
    }
}

#[test]
fn the_library_that_is_installed() {
    let mut looked = 0;
    for folder in ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"] {
        for name in ["libssl.so.3", "libssl.so.1.1"] {
            let Ok(bytes) = fs::read(Path::new(folder).join(name)) else { continue };
            let found = locate(&bytes);
            let [point] = found.points.as_slice() else { panic!("{folder}/{name}: {found:?}") };
            assert_eq!((point.library, point.linkage), (Library::OpenSsl, Linkage::Shared));
            match point.convention {
                Convention::C { client_random: ClientRandom::Embedded { .. } } if name == "libssl.so.3" => {}
                Convention::C { client_random: ClientRandom::Behind { .. } } if name == "libssl.so.1.1" => {}
                other => panic!("{folder}/{name}: {other:?}"),
            }
            looked += 1;
        }
    }
    if looked == 0 {
        skip("the_library_that_is_installed", "no libssl");
    }
}

#[test]
fn the_libraries_of_debian() {
    let test = "the_libraries_of_debian";
    if std::env::var_os("AUDITOR_TEST_ALL").is_none() {
        return skip(test, "downloads: only with AUDITOR_TEST_ALL=1");
    }
    let behind = |pointer, offset| ClientRandom::Behind { pointer, offset };
    let embedded = |offset| ClientRandom::Embedded { offset };
    // Where the client random is, by the sources: `struct ssl_st` of 1.1.1, `struct ssl_connection_st` of 3.2 and later.
    for (suite, package, file, client_random) in [
        ("bullseye", "libssl1.1", "libssl.so.1.1", behind(0xa8, 0xb8)),
        ("bookworm", "libssl3", "libssl.so.3", embedded(0x160)),
        ("trixie", "libssl3t64", "libssl.so.3", embedded(0x188)),
        ("sid", "libssl3t64", "libssl.so.3", embedded(0x188)),
    ] {
        for (architecture, triplet, machine) in
            [("amd64", "x86_64-linux-gnu", Machine::X86_64), ("arm64", "aarch64-linux-gnu", Machine::Arm64)]
        {
            let folder = TempDir::new().unwrap();
            let fetch = Command::new("bash")
                .arg(sources().join("fetch.sh"))
                .arg(folder.path())
                .args([suite, architecture, package])
                .output()
                .unwrap();
            if !fetch.status.success() {
                skip(test, &format!("{suite} {architecture}: {}", String::from_utf8_lossy(&fetch.stderr)));
                continue;
            }
            let path = folder.path().join("root/usr/lib").join(triplet).join(file);
            let found = locate(&fs::read(&path).unwrap());
            let [point] = found.points.as_slice() else { panic!("{suite} {architecture}: {found:?}") };
            assert_eq!((point.machine, point.library), (machine, Library::OpenSsl), "{suite} {architecture}");
            assert_eq!(point.convention, Convention::C { client_random }, "{suite} {architecture}");
            assert_eq!(found.misses, vec![], "{suite} {architecture}");
        }
    }
}

#[test]
fn a_program_that_only_reads_key_logs() {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("reads.c");
    // Three that are compared with, and no TLS code: nothing to tap, and nothing that is not covered.
    fs::write(
        &source,
        r#"#include <string.h>
        int main(int count, char **words) {
            return strncmp(words[0], "CLIENT_HANDSHAKE_TRAFFIC_SECRET", 31) + strncmp(words[0], "SERVER_TRAFFIC_SECRET_0", count)
                + strncmp(words[0], "CLIENT_RANDOM", 13); }"#,
    )
    .unwrap();
    for kind in [&["-pie", "-fPIE", "-fno-builtin"][..], &["-static", "-no-pie", "-fno-builtin"]] {
        let path = folder.path().join("reads");
        let mut compiler = Command::new("cc");
        if !ran(
            "a_program_that_only_reads_key_logs",
            compiler.args(kind).arg("-O2").arg("-o").arg(&path).arg(&source),
        ) {
            return;
        }
        assert_eq!(locate(&stripped(&path)), Located::default(), "{kind:?}");
    }
}

#[test]
fn what_holds_no_tls_code() {
    let own = fs::read("/proc/self/exe").unwrap();
    // This very test holds the labels and more, as text of the locator, and nobody logs with them: told, not tapped.
    let found = locate(&own);
    assert!(found.points.is_empty() && found.misses.len() == 1, "{found:?}");
    assert!(locate(&fs::read("/bin/sh").unwrap()) == Located::default());
    assert!(!locate(b"").misses.is_empty());
}
