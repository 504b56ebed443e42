//! The kernel's list of TCP sockets: `sock_diag(7)` over netlink.
//!
//! Consumes the answer's datagrams, produces [`Socket`]s. The kernel is trusted to tell the truth, not to be of any given
//! version: unknown attributes are passed over, and a missing cgroup number is none.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, Nla as _,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_LISTEN};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_packet_sock_diag::message::SockDiagMessage;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use super::SocketsError;

/// Number of the attribute that names the cgroup (`include/uapi/linux/inet_diag.h`, since Linux 5.8).
const INET_DIAG_CGROUP_ID: u16 = 21;
/// The kernel fills at most 32 KiB at once (`netlink_dump`, `net/netlink/af_netlink.c`).
const DATAGRAM: usize = 64 * 1024;

/// What a socket is doing, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Listening,
    /// Established, or closed by one end only.
    Open,
}

/// A TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) state: State,
    /// Its own address.
    pub(super) address: SocketAddr,
    /// 0 while no process has a descriptor of it.
    pub(super) inode: u64,
    pub(super) cgroup_id: Option<u64>,
}

/// All sockets of the network namespace that this thread is in.
pub(super) fn list() -> Result<Vec<Socket>, SocketsError> {
    let netlink =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)
            .map_err(ask)?;
    let mut sockets = Vec::new();
    for family in [AF_INET, AF_INET6] {
        send(netlink.as_raw_fd(), &request(family), MsgFlags::empty()).map_err(ask)?;
        receive(&netlink, &mut sockets)?;
    }
    Ok(sockets)
}

/// All sockets of another network namespace, listed by a thread that enters it and ends.
pub(super) fn list_in(namespace: &File) -> Result<Vec<Socket>, SocketsError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".into()).spawn_scoped(scope, || {
            setns(namespace, CloneFlags::CLONE_NEWNET).map_err(ask)?;
            list()
        });
        let thread = thread.map_err(SocketsError::Ask)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn ask(errno: Errno) -> SocketsError {
    SocketsError::Ask(errno.into())
}

fn request(family: u8) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let open =
        StateFlags::ESTABLISHED | StateFlags::FIN_WAIT1 | StateFlags::FIN_WAIT2 | StateFlags::CLOSE_WAIT;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::LISTEN | open,
        socket_id: if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() },
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn receive(netlink: &OwnedFd, sockets: &mut Vec<Socket>) -> Result<(), SocketsError> {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        // With MSG_TRUNC the length is the datagram's, also where the buffer is shorter.
        let len = match recv(netlink.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
            Ok(len) => len,
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(ask(errno)),
        };
        let datagram = buffer.get(..len).ok_or(SocketsError::CutOff)?;
        if parse(datagram, sockets)? {
            return Ok(());
        }
    }
}

/// Adds the sockets of one datagram. True if it is the last one.
fn parse(mut datagram: &[u8], sockets: &mut Vec<Socket>) -> Result<bool, SocketsError> {
    // An empty one says that nothing more comes.
    let mut last = datagram.is_empty();
    while !datagram.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(datagram)?;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                sockets.extend(read(&response));
            }
            NetlinkPayload::Error(error) if error.raw_code() != 0 => {
                return Err(SocketsError::Ask(error.to_io()));
            }
            NetlinkPayload::Done(done) if done.code < 0 => {
                return Err(SocketsError::Ask(io::Error::from_raw_os_error(-done.code)));
            }
            NetlinkPayload::Done(_) => last = true,
            NetlinkPayload::Overrun(_) => return Err(SocketsError::CutOff),
            _ => {}
        }
        // Messages are aligned to four bytes; the last one's padding may be missing.
        let len = (message.header.length as usize).next_multiple_of(4);
        datagram = datagram.get(len..).unwrap_or_default();
    }
    Ok(last)
}

fn read(response: &InetResponse) -> Option<Socket> {
    let InetResponse { header, nlas } = response;
    let state = if header.state == TCP_LISTEN { State::Listening } else { State::Open };
    let cgroup_id = nlas.iter().find_map(|nla| match nla {
        Nla::Other(other) if other.kind() == INET_DIAG_CGROUP_ID && other.value_len() == 8 => {
            let mut value = [0; 8];
            other.emit_value(&mut value);
            Some(u64::from_ne_bytes(value))
        }
        _ => None,
    });
    // What remains of a closed connection (TIME_WAIT, which may pass as FIN_WAIT2) has neither.
    if header.inode == 0 && cgroup_id.is_none() {
        return None;
    }
    // IPv4 through an IPv6 socket is IPv4.
    let address =
        SocketAddr::new(header.socket_id.source_address.to_canonical(), header.socket_id.source_port);
    Some(Socket { state, address, inode: u64::from(header.inode), cgroup_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer as the kernel writes it: `inet_diag_msg`, then attributes.
    fn answer(
        family: u8,
        state: u8,
        address: &[u8],
        port: u16,
        inode: u32,
        attributes: &[(u16, &[u8])],
    ) -> Vec<u8> {
        let mut body = vec![family, state, 0, 0];
        body.extend(port.to_be_bytes());
        body.extend([0, 0]);
        let mut source = address.to_vec();
        source.resize(16, 0);
        body.extend(source);
        body.extend([0; 16]);
        body.extend([0; 4 + 8 + 4 + 4 + 4 + 4]);
        body.extend(inode.to_ne_bytes());
        assert_eq!(body.len(), 72);
        for (kind, value) in attributes {
            body.extend(u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        message(20, &body)
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(16 + body.len()).unwrap().to_ne_bytes().to_vec();
        out.extend(kind.to_ne_bytes());
        out.extend([2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend(body);
        out
    }

    const LISTEN: u8 = 10;
    const ESTABLISHED: u8 = 1;
    const DONE: u16 = 3;
    const ERROR: u16 = 2;

    #[test]
    fn an_answer_is_read() {
        let cgroup = 0x1_0000_0007u64.to_ne_bytes();
        let mut v6 = [0; 16];
        v6[15] = 1;
        let datagram = [
            answer(AF_INET, LISTEN, &[192, 0, 2, 1], 80, 4711, &[(8, &[0]), (21, &cgroup), (99, b"new")]),
            answer(AF_INET6, ESTABLISHED, &v6, 443, 0, &[(11, &[1]), (21, &cgroup)]),
            answer(AF_INET, ESTABLISHED, &[192, 0, 2, 1], 81, 4712, &[]),
            answer(AF_INET, 5, &[192, 0, 2, 1], 82, 0, &[]),
        ]
        .concat();
        let mut sockets = Vec::new();
        assert!(!parse(&datagram, &mut sockets).unwrap());
        let socket = |state, address: &str, inode, cgroup_id| Socket {
            state,
            address: address.parse().unwrap(),
            inode,
            cgroup_id,
        };
        let expected = [
            socket(State::Listening, "192.0.2.1:80", 4711, Some(0x1_0000_0007)),
            socket(State::Open, "[::1]:443", 0, Some(0x1_0000_0007)),
            socket(State::Open, "192.0.2.1:81", 4712, None),
        ];
        assert_eq!(sockets, expected);
    }

    #[test]
    fn the_end_of_an_answer() {
        let mut sockets = Vec::new();
        let last = answer(AF_INET, LISTEN, &[0; 4], 80, 1, &[]);
        assert!(parse(&[last, message(DONE, &0i32.to_ne_bytes())].concat(), &mut sockets).unwrap());
        assert_eq!(sockets.len(), 1);
        let denied = (-libc::EACCES).to_ne_bytes();
        for datagram in [message(DONE, &denied), message(ERROR, &[&denied[..], &[0; 16]].concat())] {
            let error = parse(&datagram, &mut sockets).unwrap_err();
            let SocketsError::Ask(source) = error else { panic!("{error}") };
            assert_eq!(source.raw_os_error(), Some(libc::EACCES));
        }
    }

    #[test]
    fn an_answer_that_is_cut_off_is_an_error() {
        let whole = answer(AF_INET, LISTEN, &[0; 4], 80, 1, &[(21, &[7; 8])]);
        for len in 1..whole.len() {
            parse(&whole[..len], &mut Vec::new()).expect_err("cut off");
        }
        // A length that says less than a header needs would never end.
        let mut endless = whole;
        endless[..4].copy_from_slice(&[0; 4]);
        parse(&endless, &mut Vec::new()).expect_err("no length");
    }

    #[test]
    fn this_kernel_is_asked() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let here = list().unwrap();
        let found = here.iter().find(|socket| socket.address == address && socket.state == State::Listening);
        assert!(found.is_some_and(|socket| socket.inode != 0), "{here:?}");
    }
}
