//! Cgroups and servers for the test of the key tap, ended with it however it ends.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _, stderr};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::cgroup;
use auditor::capture::kernel::attach::PROGRAMS;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Longer than any of these takes; nothing waits for it unless it fails.
const LONG: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Says what cannot run, and why.
pub(crate) fn skip<T>(test: &str, why: &str) -> Option<T> {
    writeln!(stderr(), "SKIPPED tap::{test}: {why}").unwrap();
    None
}

#[track_caller]
fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let started = Instant::now();
    while !until() {
        assert!(started.elapsed() < LONG, "{what}");
        std::thread::sleep(PAUSE);
    }
}

/// A cgroup, removed at the end.
pub(crate) struct Cgroup(cgroup::Directory);

impl Cgroup {
    pub(crate) fn new(name: &str) -> Option<Self> {
        if PROGRAMS.is_empty() {
            return skip(name, "built without the kernel programs");
        }
        match cgroup::Directory::new(name) {
            Ok(directory) => Some(Self(directory)),
            Err(why) => skip(name, &why),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Starts a program in the cgroup.
    fn start(&self, script: &str, arguments: &[&str]) -> Child {
        let enter = format!("echo $$ > {}/cgroup.procs; {script}", self.path().display());
        let mut command = Command::new("bash");
        command.arg("-c").arg(enter).arg("bash").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }
}

/// A server with a certificate of its own.
pub(crate) struct Server {
    pub(crate) port: u16,
    process: Child,
    cgroup: PathBuf,
    folder: TempDir,
}

impl Server {
    pub(crate) fn nginx(cgroup: &Cgroup) -> Option<Self> {
        let configuration = "daemon off; worker_processes 2; pid @/pid; error_log stderr; events {} http { access_log off;
            client_body_temp_path @/a; proxy_temp_path @/b; fastcgi_temp_path @/c; uwsgi_temp_path @/d; scgi_temp_path @/e;
            server { listen 127.0.0.1:PORT ssl http2; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate @/cert.pem;
            ssl_certificate_key @/key.pem; location / { return 200 hello; } } }";
        let program = std::env::var("AUDITOR_TEST_NGINX").unwrap_or_else(|_| "nginx".to_owned());
        Self::start(cgroup, &program, configuration, "exec \"$1\" -c \"$2\"")
    }

    pub(crate) fn caddy(cgroup: &Cgroup) -> Option<Self> {
        let configuration = "{\n admin off\n auto_https off\n}\nhttps://127.0.0.1:PORT {\n
            tls @/cert.pem @/key.pem\n respond hello\n}\n";
        let program = std::env::var("AUDITOR_TEST_CADDY").unwrap_or_else(|_| "caddy".to_owned());
        Self::start(
            cgroup,
            &program,
            configuration,
            "HOME=\"${2%/*}\" exec \"$1\" run --adapter caddyfile --config \"$2\"",
        )
    }

    pub(crate) fn envoy(cgroup: &Cgroup) -> Option<Self> {
        let program = std::env::var("AUDITOR_TEST_ENVOY").ok().or_else(fetch_envoy)?;
        let configuration = r#"{"static_resources":{"listeners":[{"address":{"socket_address":{"address":"127.0.0.1",
            "port_value":PORT}},"filter_chains":[{"transport_socket":{"name":"tls","typed_config":{"@type":
            "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext","common_tls_context":
            {"tls_certificates":[{"certificate_chain":{"filename":"@/cert.pem"},"private_key":{"filename":"@/key.pem"}}]}}},
            "filters":[{"name":"hcm","typed_config":{"@type":
            "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix":"x","http_filters":[{"name":"router","typed_config":{"@type":
            "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],"route_config":{"virtual_hosts":[{"name":
            "x","domains":["*"],"routes":[{"match":{"prefix":"/"},"direct_response":{"status":200}}]}]}}}]}]}]}}"#;
        let script = "exec \"$1\" -c \"$2\" --config-yaml '{}' --concurrency 2 --disable-hot-restart -l off";
        Self::start(cgroup, &program, configuration, script)
    }

    fn start(cgroup: &Cgroup, program: &str, configuration: &str, script: &str) -> Option<Self> {
        if Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            return skip(program, "not installed");
        }
        let folder = TempDir::new().unwrap();
        make_certificate(folder.path())?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = folder.path().to_str().unwrap();
        let configuration =
            configuration.replace("@/", &format!("{place}/")).replace("PORT", &port.to_string());
        let file = folder.path().join("config.json");
        fs::write(&file, configuration).unwrap();
        let mut process = cgroup.start(script, &[program, file.to_str().unwrap()]);
        wait("the server does not listen", || {
            assert!(process.try_wait().unwrap().is_none(), "the server ended at once");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(Self { port, process, cgroup: cgroup.path().to_owned(), folder })
    }

    /// Where a client writes its key log.
    pub(crate) fn key_log(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().cast_signed()), signal).unwrap();
    }

    /// Until none of these processes is left.
    pub(crate) fn wait_for_new_workers(&self, before: &BTreeSet<u32>) {
        wait("the old workers do not end", || Cgroup::pids_of(&self.cgroup).is_disjoint(before));
    }
}

impl Cgroup {
    fn pids_of(path: &Path) -> BTreeSet<u32> {
        let text = fs::read_to_string(path.join("cgroup.procs")).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx ends its workers when asked; what is left is killed.
        let _ = kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGTERM);
        let started = Instant::now();
        while !Cgroup::pids_of(&self.cgroup).is_empty() && started.elapsed() < LONG {
            let _ = self.process.try_wait();
            std::thread::sleep(PAUSE);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The release binary, which is downloaded once.
fn fetch_envoy() -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/peers/fetch.sh");
    let fetched = Command::new("bash").arg(script).arg("envoy").output().unwrap();
    if !fetched.status.success() {
        return skip("envoy", &String::from_utf8_lossy(&fetched.stderr));
    }
    Some(String::from_utf8(fetched.stdout).unwrap().trim_end().to_owned())
}

fn make_certificate(folder: &Path) -> Option<()> {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match made {
        Ok(status) if status.success() => Some(()),
        other => skip("certificate", &format!("openssl: {other:?}")),
    }
}

/// A program that calls the function with nonsense, when told to.
pub(crate) struct Liar {
    process: Child,
    file: LiarFile,
}

/// The program when it does not run.
pub(crate) struct LiarFile(std::rc::Rc<TempDir>);

impl LiarFile {
    pub(crate) fn program(&self) -> PathBuf {
        self.0.path().join("liar")
    }

    pub(crate) fn start(self, cgroup: &Cgroup) -> Liar {
        let mut process = cgroup.start("exec \"$1\"", &[self.program().to_str().unwrap()]);
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Liar { process, file: self }
    }
}

impl Liar {
    pub(crate) fn start(cgroup: &Cgroup) -> Option<Self> {
        let file = LiarFile(std::rc::Rc::new(TempDir::new().unwrap()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tap/liar.c");
        match Command::new("cc").args(["-O2", "-o"]).arg(file.program()).arg(source).status() {
            Ok(status) => assert!(status.success()),
            Err(error) => return skip("liar", &format!("cc: {error}")),
        }
        Some(file.start(cgroup))
    }

    /// Ends it without letting it work.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn end(self) -> LiarFile {
        LiarFile(std::rc::Rc::clone(&self.file.0))
    }

    /// Lets it do its work, to the end.
    pub(crate) fn run(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
