//! `auditor check` on live processes: nginx with TLS, a program without any, one whose TLS library is damaged.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::auditor;
use harness::cgroup::Cgroup;
use harness::identity::Identity;
use harness::net::Network;
use harness::process::{Process, command};
use harness::server::nginx::{Config, Nginx};
use harness::wait;
use serde_json::{Value, json};

use crate::bed::HOST;

/// Of no other test: the port alone must name the controller.
const LISTEN: u16 = 8843;
const LIMIT: Duration = Duration::from_secs(30);

/// What `auditor check` says, and whether it ended well.
fn check(arguments: &[&str]) -> Result<(String, bool)> {
    let mut program = Command::new(auditor::binary()?);
    let output = program.arg("check").args(arguments).output()?;
    let said = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
    Ok((said, output.status.success()))
}

/// The same in JSON.
fn report(arguments: &[&str]) -> Result<Value> {
    let (text, _) = check(&[arguments, &["--output", "json"]].concat())?;
    serde_json::from_str(&text).context(text)
}

/// How the item about TLS stands.
fn status(report: &Value) -> Option<&str> {
    let items = report.pointer("/items")?.as_array()?;
    items.iter().find(|item| item["name"] == "tls")?["status"].as_str()
}

/// The TLS code of each process of the only controller, by its number.
fn codes(report: &Value, pid: u32) -> Result<&Vec<Value>> {
    let processes = report.pointer("/controllers/0/processes").and_then(Value::as_array);
    let process = processes.context("no controller")?.iter().find(|process| process["pid"] == pid);
    process.and_then(|process| process["tls"].as_array()).with_context(|| format!("no {pid}: {report:#}"))
}

fn nginx(cgroup: &Cgroup, network: &Network, certificate: &Identity) -> Result<Nginx> {
    let (listen, at) = (network.socket(1, LISTEN), certificate.directory().display());
    let http = format!(
        "  server {{\n    listen {listen} ssl;\n    ssl_certificate {at}/certificate.pem;\n    \
         ssl_certificate_key {at}/key.pem;\n  }}\n"
    );
    Nginx::start(cgroup, &Config { http: &http, listens: &[listen], access_log: false, workers: 2 })
}

/// A program that does nothing, with a library loaded if one is named.
fn sleeper(cgroup: &Cgroup, library: Option<&Path>) -> Result<Process> {
    let mut sleep = command("env", Some(cgroup));
    sleep.args(library.map(|path| format!("LD_PRELOAD={}", path.display()))).args(["sleep", "1000"]);
    let mut process = Process::spawn_as_is("sleep", &mut sleep)?;
    wait::until("sleep to run", LIMIT, || {
        process.check_running()?;
        let maps = fs::read_to_string(format!("/proc/{}/maps", process.pid()))?;
        let name = library.map_or("bin/sleep", |path| path.to_str().unwrap_or_default());
        Ok((maps.contains("bin/sleep") && maps.contains(name)).then_some(()))
    })?;
    Ok(process)
}

#[test]
fn which_tls_code_processes_run() -> Result<()> {
    let (cgroup, network) = (Cgroup::create("check")?, Network::claim()?);
    let certificate = Identity::new(&[HOST])?;
    let nginx = nginx(&cgroup, &network, &certificate)?;
    let named = report(&["--port", &LISTEN.to_string()])?;
    ensure!(status(&named) == Some("ok"), "{named:#}");
    let processes = named.pointer("/controllers/0/processes").and_then(Value::as_array);
    ensure!(processes.map(Vec::len) == Some(3), "a master and two workers: {named:#}");
    let [code] = codes(&named, nginx.pid())?.as_slice() else { anyhow::bail!("{named:#}") };
    let file = code["file"].as_str().context("no file")?;
    ensure!(file.contains("/libssl.so"), "{code}");
    let told = ["library", "linkage", "machine", "covered", "reason"].map(|name| &code[name]);
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    ensure!(json!(told) == json!(["open_ssl", "shared", machine, true, null]), "{code}");
    let sum = String::from_utf8(Command::new("sha256sum").arg(file).output()?.stdout)?;
    ensure!(sum.split(' ').next() == code["sha256"].as_str(), "{code}, {sum}");
    ensure!(
        code["offset"].as_u64().is_some_and(|at| at > 0 && at < fs::metadata(file).map_or(0, |m| m.len()))
    );

    let broken = certificate.directory().join("libssl.so.3");
    fs::copy(file, &broken)?;
    let bare = sleeper(&cgroup, None)?;
    let damaged = sleeper(&cgroup, Some(&broken))?;
    // Of code that it never runs.
    File::options().write(true).open(&broken)?.write_all_at(b"broken", 0)?;
    let directory = cgroup.path().to_str().context("not UTF-8")?;
    let all = report(&["--cgroup", directory])?;
    ensure!(status(&all) == Some("degraded") && all["status"] == "degraded", "{all:#}");
    ensure!(codes(&all, nginx.pid())? == codes(&named, nginx.pid())?, "{all:#}");
    ensure!(codes(&all, bare.pid())?.is_empty(), "{all:#}");
    let [code] = codes(&all, damaged.pid())?.as_slice() else { anyhow::bail!("{all:#}") };
    ensure!(code["file"] == broken.to_str().unwrap_or_default() && code["covered"] == false, "{code}");
    ensure!(code["reason"].as_str().is_some_and(|reason| reason.contains("not a valid")), "{code}");

    let (text, is_good) = check(&["--cgroup", directory])?;
    ensure!(is_good && text.matches("\n    covered      ").count() == 3, "{text}");
    ensure!(
        text.matches("\n    NOT COVERED  ").count() == 1 && text.matches("\n    no TLS ").count() == 1,
        "{text}"
    );
    Ok(())
}

#[test]
fn a_controller_that_is_not_there() -> Result<()> {
    // Above what a process can have (proc_sys_kernel(5), pid_max).
    let (text, is_good) = check(&["--pid", "4194305"])?;
    ensure!(!is_good && text.contains("FAILED    tls") && text.contains("no process 4194305"), "{text}");
    let report = report(&["--pid", "4194305"])?;
    ensure!(report["status"] == "failed" && report["controllers"] == json!([]), "{report:#}");
    Ok(())
}
