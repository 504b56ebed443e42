//! nginx, with the `server` blocks of the caller.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::Running;
use crate::cgroup::Cgroup;
use crate::entry::{LogEntry, read_lines};
use crate::process::command;

/// One line for each request, written as soon as it ends (no `buffer=`). Keys as in [`crate::entry`].
const LOG_FORMAT: &str = r#"log_format audit escape=json
      '{"method":"$request_method","uri":"$request_uri","status":$status,"body_bytes":"$body_bytes_sent","sent":"$bytes_sent",'
      '"request_id":"$http_x_request_id","ended":"$request_completion",'
      '"encoding":"$sent_http_transfer_encoding","expect":"$http_expect","host":"$host","upstream":"$upstream_addr",'
      '"upstream_status":"$upstream_status","time":"$time_iso8601","client":"$remote_addr:$remote_port",'
      '"user_agent":"$http_user_agent","seconds":"$request_time"}';"#;

/// Of Debian's `libnginx-mod-stream`.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
const LOG: &str = "access.log";

/// What to run.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// The `http` block's own part: `upstream` and `server` blocks.
    pub http: &'a str,
    /// Addresses that it must listen at before it is ready.
    pub listens: &'a [SocketAddr],
    /// Whether it writes an access log.
    pub access_log: bool,
    /// Worker processes.
    pub workers: u32,
}

/// A running nginx.
#[derive(Debug)]
pub struct Nginx(Running);

impl Nginx {
    /// Starts nginx and waits until it listens.
    ///
    /// # Errors
    /// It is not installed, refuses the configuration (the error holds what it said), or does not listen in time.
    pub fn start(cgroup: &Cgroup, config: &Config<'_>) -> Result<Self> {
        Self::start_by(&[], cgroup, config)
    }

    /// The same of the nginx in another root, to which the configuration's paths are relative.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_in(root: &Path, cgroup: &Cgroup, config: &Config<'_>) -> Result<Self> {
        let directory = TempDir::new_in(root)?;
        let inside = Path::new("/").join(directory.path().strip_prefix(root)?);
        let mut nginx = command("chroot", Some(cgroup));
        nginx.arg(root).arg("/usr/sbin/nginx");
        Self::launch(nginx, directory, &inside, &render(config, &inside), config.listens)
    }

    /// The same, by a program that becomes nginx: `entry` is put before the program's name.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_by(entry: &[String], cgroup: &Cgroup, config: &Config<'_>) -> Result<Self> {
        let directory = TempDir::new()?;
        let inside = directory.path().to_owned();
        let mut words = entry.iter().map(String::as_str).chain(["nginx"]);
        let mut nginx = command(words.next().unwrap_or("nginx"), Some(cgroup));
        // Else it says that it cannot open the log that it was built with. An option since 1.19.5.
        nginx.args(words).args(["-e", "error.log"]);
        Self::launch(nginx, directory, &inside, &render(config, &inside), config.listens)
    }

    /// nginx that passes connections on as they are. `stream`: the parts of that block. It writes no log.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_stream(cgroup: &Cgroup, stream: &str, listens: &[SocketAddr]) -> Result<Self> {
        let directory = TempDir::new()?;
        let inside = directory.path().to_owned();
        let text = format!(
            "load_module {STREAM_MODULE};\nuser root;\nworker_processes 1;\npid {}/nginx.pid;\nerror_log error.log \
             warn;\nevents {{ worker_connections 1024; }}\nstream {{\n{stream}\n}}\n",
            inside.display(),
        );
        fs::write(directory.path().join(LOG), [])?;
        let mut nginx = command("nginx", Some(cgroup));
        nginx.args(["-e", "error.log"]);
        Self::launch(nginx, directory, &inside, &text, listens)
    }

    /// `inside`: what the directory is called by nginx.
    fn launch(
        mut nginx: Command,
        directory: TempDir,
        inside: &Path,
        text: &str,
        listens: &[SocketAddr],
    ) -> Result<Self> {
        fs::write(directory.path().join("nginx.conf"), text)?;
        nginx.arg("-p").arg(inside).arg("-c").arg(inside.join("nginx.conf")).args(["-g", "daemon off;"]);
        Running::start("nginx", directory, &mut nginx, listens).map(Self)
    }

    /// The master's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.process.pid()
    }

    /// Ends it in order and reads its access log.
    ///
    /// # Errors
    /// It does not end in time, or the log cannot be read.
    pub fn stop(mut self) -> Result<Vec<LogEntry>> {
        self.0.end(Signal::SIGQUIT)?;
        read_lines(&self.0.path(LOG))
    }
}

fn render(config: &Config<'_>, directory: &Path) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {name};\n"))
        .concat();
    let log = if config.access_log { "access.log audit" } else { "off" };
    // Paths are relative to the prefix. Workers run as root, since the directory is open to its owner only.
    format!(
        "user root;\nworker_processes {workers};\nworker_rlimit_nofile 65536;\npid {directory}/nginx.pid;\n\
         error_log error.log warn;\nevents {{ worker_connections 32768; }}\nhttp {{\n{temporary}  \
         {LOG_FORMAT}\n  access_log {log};\n  default_type text/plain;\n  client_max_body_size 0;\n  \
         server_names_hash_bucket_size 128;\n  proxy_http_version 1.1;\n  proxy_max_temp_file_size 0;\n\
         {http}\n}}\n",
        workers = config.workers,
        directory = directory.display(),
        http = config.http,
    )
}
