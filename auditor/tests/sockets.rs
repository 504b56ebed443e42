//! Which sockets the programs on a cgroup see: real cgroups, real processes, this kernel's answers.
//!
//! Needs root and a cgroup v2 tree; says so on stderr where it cannot run. Every process is told what to do next and
//! answers when it is done: nothing waits for time to pass.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]
#![expect(clippy::explicit_write, reason = "the test harness hides what a passing test prints with eprintln")]

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write, stderr};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use auditor::capture::sockets::{Foreign, Listener, Sockets, learn};
use auditor::target::Host;
use nix::sched::{CloneFlags, unshare};

/// Tells the child's lines apart from those of the test harness around it.
const ANSWER: &str = "ANSWER ";
const ROLE: &str = "AUDITOR_TEST_SOCKETS_CHILD";

/// Cgroups of one test, removed at its end however it ends.
struct Tree {
    root: PathBuf,
}

impl Tree {
    fn new(name: &str) -> Option<Self> {
        let skip = |why: &str| {
            writeln!(stderr(), "SKIPPED sockets::{name}: {why}").unwrap();
            None
        };
        if !nix::unistd::geteuid().is_root() {
            return skip("needs root");
        }
        let Ok(mount) = Host::default().cgroup_mount() else { return skip("no cgroup v2 tree is mounted") };
        let tree = Self { root: mount.path.join(format!("auditor-test-{}-{name}", std::process::id())) };
        if let Err(error) = fs::create_dir(&tree.root) {
            return skip(&format!("cannot create a cgroup: {error}"));
        }
        for cgroup in ["a", "b"] {
            fs::create_dir(tree.root.join(cgroup)).unwrap();
        }
        Some(tree)
    }

    fn path(&self, cgroup: &str) -> PathBuf {
        self.root.join(cgroup)
    }

    fn id(&self, cgroup: &str) -> u64 {
        fs::metadata(self.path(cgroup)).unwrap().ino()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for path in [self.path("a"), self.path("b"), self.root.clone()] {
            if let Err(error) = fs::remove_dir(&path) {
                writeln!(stderr(), "left behind: {}: {error}", path.display()).unwrap();
            }
        }
    }
}

/// A process that does as it is told; killed at the end of its test.
struct Puppet {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Puppet {
    fn new(cgroup: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "puppet", "--ignored", "--nocapture"])
            .env(ROLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let puppet = Self { child, orders, answers };
        puppet.move_to(cgroup);
        puppet
    }

    fn move_to(&self, cgroup: &Path) {
        fs::write(cgroup.join("cgroup.procs"), self.child.id().to_string()).unwrap();
    }

    fn tell(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        loop {
            let line = self.answers.next().expect("the child ended").unwrap();
            // The harness writes the test's name without ending the line.
            if let Some((_, answer)) = line.split_once(ANSWER) {
                return answer.to_owned();
            }
        }
    }

    fn listen(&mut self, address: &str) -> SocketAddr {
        self.tell(&format!("listen {address}")).parse().unwrap()
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        // Reaped before its cgroup is removed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the process that the other tests start, not a test"]
fn puppet() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let mut listeners = Vec::new();
    let mut accepted = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let answer = match line.split_once(' ') {
            Some(("listen", address)) => {
                listeners.push(TcpListener::bind(address).unwrap());
                listeners.last().unwrap().local_addr().unwrap().to_string()
            }
            None if line == "accept" => {
                accepted.push(listeners[0].accept().unwrap());
                String::new()
            }
            None if line == "leave" => {
                unshare(CloneFlags::CLONE_NEWNET).unwrap();
                String::new()
            }
            _ => panic!("no such order: {line}"),
        };
        println!("{ANSWER}{answer}");
    }
}

fn addresses(sockets: &Sockets) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    let listeners = sockets.listeners.iter().map(|Listener { address, .. }| *address).collect();
    let foreign = sockets.foreign.iter().map(|Foreign { address, .. }| *address).collect();
    (listeners, foreign)
}

#[test]
fn listeners_of_a_cgroup_and_of_those_below_it() {
    let Some(tree) = Tree::new("below") else { return };
    assert_eq!(learn(&tree.root).unwrap(), Sockets::default(), "nobody is in it");
    let mut puppet = Puppet::new(&tree.path("a"));
    let v4 = puppet.listen("127.0.0.1:0");
    let v6 = puppet.listen("[::1]:0");
    for path in [&tree.root, &tree.path("a")] {
        let sockets = learn(path).unwrap();
        assert_eq!(addresses(&sockets), (vec![v4, v6], vec![]));
        assert!(sockets.listeners.iter().all(|listener| listener.cgroup_id == Some(tree.id("a"))));
    }
    assert_eq!(learn(&tree.path("b")).unwrap(), Sockets::default());
}

#[test]
fn a_listener_that_was_created_elsewhere_is_foreign() {
    let Some(tree) = Tree::new("foreign") else { return };
    let mut puppet = Puppet::new(&tree.path("a"));
    let moved = puppet.listen("127.0.0.1:0");
    puppet.move_to(&tree.path("b"));
    let own = puppet.listen("127.0.0.1:0");
    let sockets = learn(&tree.path("b")).unwrap();
    assert_eq!(addresses(&sockets), (vec![own], vec![moved]));
    assert_eq!(sockets.foreign[0].cgroup_id, tree.id("a"));
    // Where it was created, the programs see it still; from above, both are seen.
    assert_eq!(addresses(&learn(&tree.path("a")).unwrap()), (vec![moved], vec![]));
    let mut both = vec![own, moved];
    both.sort();
    assert_eq!(addresses(&learn(&tree.root).unwrap()), (both, vec![]));
}

#[test]
fn connections_that_are_open_already() {
    let Some(tree) = Tree::new("open") else { return };
    let mut puppet = Puppet::new(&tree.path("a"));
    let address = puppet.listen("127.0.0.1:0");
    let _first = TcpStream::connect(address).unwrap();
    let counts = |path: &Path| {
        let sockets = learn(path).unwrap();
        (sockets.established, sockets.foreign_established)
    };
    assert_eq!(counts(&tree.path("a")), (1, 0), "it waits to be accepted");
    puppet.tell("accept");
    assert_eq!(counts(&tree.path("a")), (1, 0));
    puppet.move_to(&tree.path("b"));
    assert_eq!(counts(&tree.path("a")), (1, 0));
    assert_eq!(counts(&tree.path("b")), (0, 1));
    assert_eq!(counts(&tree.root), (1, 0));
}

#[test]
fn another_network_namespace() {
    let Some(tree) = Tree::new("netns") else { return };
    let mut puppet = Puppet::new(&tree.path("a"));
    let outside = puppet.listen("127.0.0.1:0");
    puppet.tell("leave");
    let own = fs::metadata("/proc/thread-self/ns/net").unwrap().ino();
    // Nothing else is there: any port is free. Only one of its threads has left.
    let inside = puppet.listen("0.0.0.0:80");
    let sockets = learn(&tree.path("a")).unwrap();
    let mut both = vec![outside, inside];
    both.sort();
    assert_eq!((addresses(&sockets), sockets.unreadable_namespaces), ((both, vec![]), 0));
    assert_eq!(
        fs::metadata("/proc/thread-self/ns/net").unwrap().ino(),
        own,
        "this thread stays where it was"
    );
}
