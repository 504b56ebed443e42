//! `setup`: what building and testing need, through apt-get and cargo.
//!
//! Idempotent: what is there is left alone, whatever installed it. Says of every item what it is for, and asks before it
//! changes the system.

use std::fs;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::commands::{self, find, output, say};
use crate::toolchain::{Choice, Toolchain};

/// Install what building and testing need, asking first.
///
/// Debian 12 is the distribution this is tested on; on others the list of what is missing is printed, and nothing changed.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Do not ask. So it is also where the variable CI is set.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Also what only `cargo xtask test --all` and some of `bench` need: rustup's nightly toolchain, cargo-fuzz, Chromium,
    /// bpftrace.
    #[arg(long)]
    pub(crate) all: bool,
}

/// The linker of the kernel programs.
const LINKER_VERSION: (u32, u32) = (0, 13);
const LINKER_LLVM: &str = "/usr/lib/llvm-22";
/// Read by `invoke-rc.d` and `deb-systemd-invoke`: 101 forbids every start (Debian Policy 9.3.3.1, invoke-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// The version of cargo-fuzz that is installed where there is none.
const CARGO_FUZZ: &str = "0.13.2";

/// A Debian package, how to see that what it brings is there, and what it is for.
struct Package {
    name: &'static str,
    brings: &'static str,
    why: &'static str,
}

const fn package(name: &'static str, brings: &'static str, why: &'static str) -> Package {
    Package { name, brings, why }
}

/// For the tests, the demo and the benchmark.
const SERVERS: [Package; 14] = [
    package("nginx-core", "nginx", "a real ingress to audit, and its backends"),
    package(
        "libnginx-mod-stream",
        "/usr/lib/nginx/modules/ngx_stream_module.so",
        "its module that passes TLS on without ending it",
    ),
    package("haproxy", "haproxy", "a real ingress to audit"),
    package("caddy", "caddy", "a real ingress to audit"),
    package("curl", "curl", "the client that sends the traffic"),
    package("openssl", "openssl", "makes the certificates of the tests, and speaks TLS in them"),
    package("python3-pip", "pip3", "downloads Envoy, a real ingress to audit"),
    package("nghttp2-client", "h2load", "the client that makes load over HTTP/2"),
    package(
        "python3-grpcio",
        "/usr/lib/python3/dist-packages/grpc/__init__.py",
        "a client and a server of gRPC",
    ),
    package("wrk", "wrk", "the client that makes load"),
    package("tshark", "tshark", "an independent decoder to compare with"),
    package("bpftool", "bpftool", "shows the attached programs and what they cost"),
    package("iproute2", "ip", "network namespaces of the tests"),
    package("util-linux", "setpriv", "ends a test's server when the test dies"),
];

/// For what `cargo xtask test --all` tests, and `bench` compares with, beyond the rest.
const LARGE: [Package; 2] = [
    package("chromium-headless-shell", "chromium-headless-shell", "a browser, as a client"),
    package("bpftrace", "bpftrace", "traps calls of a TLS library, for the benchmark to compare with"),
];

/// To build bpf-linker.
const FOR_THE_LINKER: [Package; 5] = [
    package("llvm-22-dev", "/usr/lib/llvm-22/bin/llvm-config", "LLVM, for bpf-linker"),
    package("libpolly-22-dev", "/usr/lib/llvm-22/lib/libPolly.a", "a part of LLVM that is linked with it"),
    package("zlib1g-dev", "/usr/include/zlib.h", "LLVM is linked with it"),
    package("libzstd-dev", "/usr/include/zstd.h", "LLVM is linked with it"),
    package("g++", "c++", "LLVM is linked with the C++ library"),
];

/// To compile the kernel programs where rustup has no nightly with rust-src.
const COMPILER: [Package; 2] = [
    package("rustc-web", "/usr/bin/rustc", "a compiler for the kernel programs"),
    package(
        "libstd-rust-web-dev-bpf",
        "/usr/lib/rustlib/bpfel-unknown-none",
        "its core library for the kernel",
    ),
];

impl Package {
    fn is_there(&self) -> bool {
        if self.brings.starts_with('/') {
            Path::new(self.brings).exists()
        } else {
            find(self.brings).is_some()
        }
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let linker = !linker_is_there();
    let mut missing: Vec<&Package> = SERVERS.iter().filter(|package| !package.is_there()).collect();
    if arguments.all {
        missing.extend(LARGE.iter().filter(|package| !package.is_there()));
    }
    if linker {
        missing.extend(FOR_THE_LINKER.iter().filter(|package| !package.is_there()));
    }
    let (compilers, refused) = Toolchain::find(Choice::Auto);
    if compilers.is_empty() {
        refused.iter().for_each(|reason| say(&format!("no compiler for the kernel programs: {reason}")));
        missing.extend(COMPILER.iter().filter(|package| !package.is_there()));
    }
    let fuzzing = Fuzzing::missing(arguments.all);
    if fuzzing.is_any() {
        // libFuzzer is compiled on the way.
        let compiler = FOR_THE_LINKER.iter().filter(|package| package.brings == "c++" && !package.is_there());
        missing.extend(compiler.filter(|_| !linker));
    }
    if missing.is_empty() && !linker && !fuzzing.is_any() {
        say("everything that building and testing need is there");
        return Ok(());
    }
    say("missing:");
    for package in &missing {
        say(&format!("  Debian package {:24} {}", package.name, package.why));
    }
    if linker {
        say("  cargo install bpf-linker              the linker of the kernel programs");
    }
    if fuzzing.nightly {
        say("  rustup toolchain install nightly      the compiler that fuzzing needs");
    }
    if fuzzing.cargo_fuzz {
        say("  cargo install cargo-fuzz              runs the fuzz targets");
    }
    if !missing.is_empty() && find("apt-get").is_none() {
        bail!("no apt-get here: install what is listed above in this system's own way, then run this again");
    }
    confirm(arguments.yes)?;
    if !missing.is_empty() {
        install_packages(&missing)?;
    }
    if linker {
        install_linker()?;
    }
    fuzzing.install();
    let unresolved: Vec<&str> =
        missing.iter().filter(|package| !package.is_there()).map(|package| package.name).collect();
    if !unresolved.is_empty() {
        bail!("installed, but not where expected: {}", unresolved.join(", "));
    }
    Ok(())
}

/// What fuzzing needs and is not there.
#[derive(Clone, Copy)]
struct Fuzzing {
    nightly: bool,
    cargo_fuzz: bool,
}

impl Fuzzing {
    /// Nothing, unless it is asked for.
    fn missing(asked: bool) -> Self {
        let toolchains = || output(Command::new("rustup").args(["toolchain", "list"]));
        let has_nightly = || {
            // Without rustup there is no way to have two toolchains: fuzzing is skipped then, and says so.
            toolchains().is_none_or(|list| list.lines().any(|line| line.starts_with("nightly")))
        };
        Self { nightly: asked && !has_nightly(), cargo_fuzz: asked && find("cargo-fuzz").is_none() }
    }

    fn is_any(self) -> bool {
        self.nightly || self.cargo_fuzz
    }

    /// Installs it. What cannot be had is said and no failure: the tests that need it are skipped, and say so too.
    fn install(self) {
        let mut nightly = Command::new("rustup");
        nightly.args(["toolchain", "install", "nightly", "--profile", "minimal", "--no-self-update"]);
        let mut cargo_fuzz = Command::new(crate::workspace::cargo());
        cargo_fuzz.args(["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked"]);
        cargo_fuzz.env_remove("CARGO_TARGET_DIR");
        for (is_missing, command) in [(self.nightly, &mut nightly), (self.cargo_fuzz, &mut cargo_fuzz)] {
            if is_missing && let Err(error) = commands::run(command) {
                say(&format!("fuzzing will be skipped: {error:#}"));
            }
        }
    }
}

fn linker_is_there() -> bool {
    let version = output(Command::new("bpf-linker").arg("--version")).unwrap_or_default();
    let mut numbers =
        version.split_whitespace().nth(1).unwrap_or_default().split('.').map(|word| word.parse().ok());
    let version = (numbers.next().flatten(), numbers.next().flatten());
    matches!(version, (Some(major), Some(minor)) if (major, minor) >= LINKER_VERSION)
}

fn confirm(yes: bool) -> Result<()> {
    if yes || std::env::var_os("CI").is_some() {
        return Ok(());
    }
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("not asked to change the system: run `cargo xtask setup --yes`");
    }
    eprint!("xtask: install them? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("nothing was changed");
    }
    Ok(())
}

fn install_packages(packages: &[&Package]) -> Result<()> {
    let _no_services = NoServices::forbid()?;
    commands::run(&mut as_root(&["apt-get", "update"]))?;
    let mut command = as_root(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes"]);
    command.arg("--no-install-recommends").args(packages.iter().map(|package| package.name));
    commands::run(&mut command)
}

fn install_linker() -> Result<()> {
    let mut command = Command::new(crate::workspace::cargo());
    command.args(["install", "bpf-linker", "--version", "0.13.0", "--locked"]);
    command.args(["--no-default-features", "--features", "llvm-22"]);
    command
        .env("LLVM_SYS_221_PREFIX", LINKER_LLVM)
        .env("LLVM_PREFIX", LINKER_LLVM)
        .env_remove("CARGO_TARGET_DIR");
    commands::run(&mut command)
}

fn as_root(words: &[&str]) -> Command {
    let sudo = (!nix::unistd::geteuid().is_root()).then_some("sudo");
    let mut words = sudo.into_iter().chain(words.iter().copied());
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

/// While it exists, installing a package starts no service. An administrator's own policy is left as it is.
struct NoServices(Option<PathBuf>);

impl NoServices {
    fn forbid() -> Result<Self> {
        let path = Path::new(POLICY);
        if path.exists() {
            return Ok(Self(None));
        }
        let script = tempfile::NamedTempFile::new()?;
        fs::write(
            script.path(),
            "#!/bin/sh\n# Made by `cargo xtask setup`, for as long as it installs.\nexit 101\n",
        )?;
        fs::set_permissions(script.path(), fs::Permissions::from_mode(0o755))?;
        let mut command = as_root(&["install", "--mode=755"]);
        commands::run(command.arg(script.path()).arg(path))
            .context("keep packages from starting services")?;
        Ok(Self(Some(path.to_path_buf())))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = commands::run(as_root(&["rm", "--force"]).arg(path))
        {
            say(&format!("remove {} yourself: {error}", path.display()));
        }
    }
}
