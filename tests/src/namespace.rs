//! Two network namespaces with a link between them, removed with their guard.
//!
//! Consumes `ip` (iproute2); produces a [`Pair`]. Invariant: the names carry the process id; dropping the guard removes
//! both, and with them the link.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow, ensure};
use nix::sched::{CloneFlags, setns};

use crate::process::command;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The server's namespace and the client's.
#[derive(Debug)]
pub struct Pair {
    server: String,
    client: String,
}

impl Pair {
    /// Makes both, and the link.
    ///
    /// # Errors
    /// No right to (root is needed), or no iproute2.
    pub fn create() -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("auditor-harness-{}-{number}-{side}", std::process::id());
        let pair = Self { server: name("s"), client: name("c") };
        for (name, address) in [(&pair.server, None), (&pair.client, Some(()))] {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            if address.is_some() {
                ip(&[
                    "-n",
                    name,
                    "link",
                    "add",
                    "end",
                    "type",
                    "veth",
                    "peer",
                    "name",
                    "end",
                    "netns",
                    &pair.server,
                ])?;
            }
        }
        for (name, address) in [(&pair.server, "192.0.2.1/24"), (&pair.client, "192.0.2.2/24")] {
            ip(&["-n", name, "address", "add", address, "dev", "end"])?;
            ip(&["-n", name, "link", "set", "end", "up"])?;
        }
        Ok(pair)
    }

    /// The server's address (RFC 5737).
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, 1)
    }

    /// What is to be put before a program and its arguments, so that it runs where the server belongs.
    #[must_use]
    pub fn entry(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.server].map(str::to_owned).to_vec()
    }

    /// Sets a variable of the server's namespace.
    ///
    /// # Errors
    /// There is no such variable.
    pub fn set(&self, variable: &str, value: &str) -> Result<()> {
        ip(&["netns", "exec", &self.server, "sysctl", "-qw", &format!("{variable}={value}")])
    }

    /// Connects from where the client belongs.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(&self, to: SocketAddr) -> Result<TcpStream> {
        let place = File::open(format!("/run/netns/{}", self.client))?;
        // A namespace is entered by a thread; a socket stays in that of the thread that made it.
        let thread = std::thread::spawn(move || -> Result<TcpStream> {
            setns(place.as_fd(), CloneFlags::CLONE_NEWNET)?;
            TcpStream::connect(to).with_context(|| format!("connect to {to}"))
        });
        thread.join().map_err(|_| anyhow!("the thread that connects panicked"))?
    }

    /// The client is gone: nothing of it arrives, and nothing arrives there.
    ///
    /// # Errors
    /// The link cannot be taken down.
    pub fn cut(&self) -> Result<()> {
        ip(&["-n", &self.client, "link", "set", "end", "down"])
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for name in [&self.server, &self.client] {
            if let Err(error) = ip(&["netns", "delete", name]) {
                eprintln!("cannot remove the network namespace {name}: {error}");
            }
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = command("ip", None).args(arguments).output().context("start ip (iproute2)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {said}", arguments.join(" "));
    Ok(())
}
