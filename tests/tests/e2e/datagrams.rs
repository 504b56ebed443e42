//! UDP where the controller listens: counted, and told of as not covered. Elsewhere it is the controller's own.

use std::net::{SocketAddr, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::curl::{self, Transfer};
use harness::grpc::PYTHON;
use harness::process::{Process, command};
use harness::wait;

use crate::bed::{HOST, judge};
use crate::nginx::{bed, start};

const LIMIT: Duration = Duration::from_secs(20);
/// Sends every datagram back. An address for each argument.
const ECHO: &str = "
import select, socket, sys
def bound(address):
    host, port = address.rsplit(':', 1)
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, int(port)))
    return made
sockets = [bound(address) for address in sys.argv[1:]]
while True:
    for ready in select.select(sockets, [], [])[0]:
        ready.sendto(*ready.recvfrom(65536))
";

/// Sends datagrams until each was answered; gives how many were sent and answered.
fn talk(to: SocketAddr, datagrams: usize, len: usize) -> Result<()> {
    let socket = UdpSocket::bind((to.ip(), 0))?;
    socket.set_read_timeout(Some(LIMIT))?;
    for _ in 0..datagrams {
        socket.send_to(&vec![b'q'; len], to)?;
        let (received, _) = socket.recv_from(&mut vec![0; len])?;
        ensure!(received == len, "{received} of {len} bytes came back");
    }
    Ok(())
}

/// Whether somebody has this address (`/proc/net/udp`, which names it by the bytes of its address and the port).
fn is_bound(address: SocketAddr) -> Result<bool> {
    let std::net::IpAddr::V4(ip) = address.ip() else { anyhow::bail!("not IPv4") };
    let name = format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), address.port());
    Ok(std::fs::read_to_string("/proc/net/udp")?.contains(&name))
}

#[test]
fn where_the_controller_listens() -> Result<()> {
    let bed = bed()?;
    let server = start(&bed, &[(bed.server(), "")])?;
    // As HTTP/3 would be: the same port, by UDP. And a port where nobody listens by TCP.
    let (same, other) = (bed.server(), SocketAddr::new(bed.address(1), 5300));
    let mut python = command(PYTHON, Some(&bed.cgroup));
    python.args(["-c", ECHO, &same.to_string(), &other.to_string()]).stdout(Stdio::null());
    let mut echo = Process::spawn_as_is("python3", &mut python)?;
    for address in [same, other] {
        wait::until("a socket of UDP", LIMIT, || {
            echo.check_running()?;
            Ok(is_bound(address)?.then_some(()))
        })?;
    }
    let auditor = bed.audit()?;
    talk(same, 10, 1200)?;
    talk(other, 3, 50)?;
    let responses = curl::run(bed.server(), &[Transfer::get(format!("http://{HOST}/hello"), "get")])?;
    ensure!(responses.iter().all(|response| response.status == 200), "{responses:?}");
    drop(echo);
    let log = server.stop()?;
    let output = auditor.stop()?;
    judge(&output, &log)?;
    let told: Vec<_> = output
        .of_kind("coverage")?
        .into_iter()
        .filter(|event| event.text("/what") == Some("not_covered"))
        .map(|event| {
            let number =
                |pointer: &str| event.value.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or(0);
            let reason = event.text("/reason").unwrap_or_default().to_owned();
            (reason, number("/subject/udp_port"), number("/count"), number("/bytes"))
        })
        .collect();
    // Reports are made at intervals: there may be several of one port. Both ways are counted.
    let sum = |reason: &str, port: u64| {
        let of = told.iter().filter(|told| told.0 == reason && told.1 == port);
        of.fold((0, 0), |sum, told| (sum.0 + told.2, sum.1 + told.3))
    };
    ensure!(sum("udp", same.port().into()) == (20, 24_000), "{told:?}");
    ensure!(sum("not_tcp", 0) == (6, 300), "{told:?}");
    Ok(())
}
