//! Writers of packets and capture files, for tests.

use std::net::{IpAddr, SocketAddr};

/// A TCP segment to be written.
#[derive(Clone, Debug)]
pub(super) struct Tcp {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) flags: u8,
    pub(super) options: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;

impl Tcp {
    pub(super) fn new(from: SocketAddr, to: SocketAddr, seq: u32, ack: Option<u32>, flags: u8) -> Self {
        Self { from, to, seq, ack, flags, options: vec![], payload: vec![] }
    }

    pub(super) fn with(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = payload.as_ref().to_vec();
        self
    }

    pub(super) fn segment(&self) -> Vec<u8> {
        assert!(self.options.len().is_multiple_of(4) && self.options.len() <= 40);
        let mut out = Vec::new();
        out.extend(self.from.port().to_be_bytes());
        out.extend(self.to.port().to_be_bytes());
        out.extend(self.seq.to_be_bytes());
        out.extend(self.ack.unwrap_or(0).to_be_bytes());
        out.push(u8::try_from(5 + self.options.len() / 4).unwrap() << 4);
        out.push(self.flags | if self.ack.is_some() { 0x10 } else { 0 });
        out.extend([0xff, 0xff, 0, 0, 0, 0]);
        out.extend(&self.options);
        out.extend(&self.payload);
        out
    }

    /// An IP packet without options or extension headers.
    pub(super) fn ip(&self) -> Vec<u8> {
        match self.from.ip() {
            IpAddr::V4(_) => ipv4(self.from, self.to, &[], 6, 0, &self.segment()),
            IpAddr::V6(_) => ipv6(self.from, self.to, 6, &self.segment()),
        }
    }

    pub(super) fn ethernet(&self) -> Vec<u8> {
        ethernet(&[], &self.ip())
    }
}

/// `fragment`: flags and offset, as the header has them.
pub(super) fn ipv4(
    from: SocketAddr,
    to: SocketAddr,
    options: &[u8],
    protocol: u8,
    fragment: u16,
    payload: &[u8],
) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from.ip(), to.ip()) else { panic!("not IPv4") };
    let header_len = 20 + options.len();
    let mut out = vec![0x40 | u8::try_from(header_len / 4).unwrap(), 0];
    // More than the field holds is written as zero, as segmentation offload does.
    out.extend(u16::try_from(header_len + payload.len()).unwrap_or(0).to_be_bytes());
    out.extend([0, 0]);
    out.extend(fragment.to_be_bytes());
    out.extend([64, protocol, 0, 0]);
    out.extend(from.octets());
    out.extend(to.octets());
    out.extend(options);
    out.extend(payload);
    out
}

pub(super) fn ipv6(from: SocketAddr, to: SocketAddr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (from.ip(), to.ip()) else { panic!("not IPv6") };
    let mut out = vec![0x60, 0, 0, 0];
    out.extend(u16::try_from(payload.len()).unwrap_or(0).to_be_bytes());
    out.extend([next_header, 64]);
    out.extend(from.octets());
    out.extend(to.octets());
    out.extend(payload);
    out
}

pub(super) fn ethertype(ip: &[u8]) -> u16 {
    if ip[0] >> 4 == 6 { 0x86dd } else { 0x0800 }
}

/// `tags`: the ethertypes of VLAN tags, from the outermost.
pub(super) fn ethernet(tags: &[u16], ip: &[u8]) -> Vec<u8> {
    let mut out = vec![2; 12];
    for tag in tags {
        out.extend(tag.to_be_bytes());
        out.extend([0, 7]);
    }
    out.extend(ethertype(ip).to_be_bytes());
    out.extend(ip);
    // Ethernet pads to 60 bytes.
    out.resize(out.len().max(60), 0xee);
    out
}

/// Which file format, how exactly.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    Pcap {
        big_endian: bool,
        nanos: bool,
    },
    /// `simple`: packets without a time.
    Ng {
        big_endian: bool,
        simple: bool,
    },
}

/// Writes numbers in the byte order of a file.
#[derive(Default)]
pub(super) struct Out {
    pub(super) bytes: Vec<u8>,
    pub(super) big_endian: bool,
}

impl Out {
    pub(super) fn u16(&mut self, value: u16) {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    pub(super) fn block(&mut self, kind: u32, body: &[u8]) {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let len = u32::try_from(body.len() + 12).unwrap();
        self.u32(kind);
        self.u32(len);
        self.bytes.extend(body);
        self.u32(len);
    }

    fn body(&self) -> Self {
        Self { bytes: vec![], big_endian: self.big_endian }
    }

    pub(super) fn section(&mut self) {
        let mut body = self.body();
        body.u32(0x1a2b_3c4d);
        body.u16(1);
        body.u16(0);
        body.bytes.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body.bytes);
    }

    pub(super) fn interface(&mut self, link: u16, snaplen: u32, options: &[(u16, &[u8])]) {
        let mut body = self.body();
        body.u16(link);
        body.u16(0);
        body.u32(snaplen);
        for (code, value) in options {
            body.u16(*code);
            body.u16(u16::try_from(value.len()).unwrap());
            body.bytes.extend(*value);
            body.bytes.resize(body.bytes.len().next_multiple_of(4), 0);
        }
        self.block(1, &body.bytes);
    }

    pub(super) fn enhanced(&mut self, interface: u32, units: u64, wire_len: usize, data: &[u8]) {
        let mut body = self.body();
        body.u32(interface);
        body.u32(u32::try_from(units >> 32).unwrap());
        body.u32(u32::try_from(units & 0xffff_ffff).unwrap());
        body.u32(u32::try_from(data.len()).unwrap());
        body.u32(u32::try_from(wire_len).unwrap());
        body.bytes.extend(data);
        self.block(6, &body.bytes);
    }

    pub(super) fn simple(&mut self, wire_len: usize, data: &[u8]) {
        let mut body = self.body();
        body.u32(u32::try_from(wire_len).unwrap());
        body.bytes.extend(data);
        self.block(3, &body.bytes);
    }

    pub(super) fn pcap_header(&mut self, magic: u32, link: u32) {
        self.u32(magic);
        self.u16(2);
        self.u16(4);
        for value in [0, 0, 262_144, link] {
            self.u32(value);
        }
    }

    pub(super) fn pcap_record(&mut self, seconds: u32, fraction: u32, wire_len: usize, data: &[u8]) {
        self.u32(seconds);
        self.u32(fraction);
        self.u32(u32::try_from(data.len()).unwrap());
        self.u32(u32::try_from(wire_len).unwrap());
        self.bytes.extend(data);
    }
}

/// The file that holds `packets` of link type `link`, each at its time in nanoseconds, captured up to `snaplen` bytes.
pub(super) fn file(format: Format, link: u16, snaplen: usize, packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut out = Out::default();
    match format {
        Format::Pcap { big_endian, nanos } => {
            out.big_endian = big_endian;
            out.pcap_header(if nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }, u32::from(link));
            for (time, packet) in packets {
                let fraction = u32::try_from(time % 1_000_000_000).unwrap();
                let fraction = if nanos { fraction } else { fraction / 1000 };
                let seconds = u32::try_from(time / 1_000_000_000).unwrap();
                out.pcap_record(seconds, fraction, packet.len(), &packet[..packet.len().min(snaplen)]);
            }
        }
        Format::Ng { big_endian, simple } => {
            out.big_endian = big_endian;
            out.section();
            out.interface(link, u32::try_from(snaplen).unwrap(), &[(9, &[9])]);
            for (time, packet) in packets {
                let captured = &packet[..packet.len().min(snaplen)];
                if simple {
                    out.simple(packet.len(), captured);
                } else {
                    out.enhanced(0, *time, packet.len(), captured);
                }
            }
        }
    }
    out.bytes
}

/// An Ethernet capture of `segments`, a microsecond apart.
pub(super) fn ethernet_file(segments: &[Tcp]) -> Vec<u8> {
    let packets: Vec<_> = (1..).zip(segments).map(|(n, tcp)| (n * 1000, tcp.ethernet())).collect();
    file(Format::Pcap { big_endian: false, nanos: true }, 1, 262_144, &packets)
}

/// Both ends of a connection, which say things in turn.
#[derive(Clone)]
pub(super) struct Talk {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    /// Next sequence numbers, of the client and the server.
    pub(super) next: [u32; 2],
    pub(super) packets: Vec<Tcp>,
}

impl Talk {
    /// Nothing said yet; the initial sequence numbers are `isn`.
    pub(super) fn new(client: &str, server: &str, isn: [u32; 2]) -> Self {
        Self { client: client.parse().unwrap(), server: server.parse().unwrap(), next: isn, packets: vec![] }
    }

    /// A handshake with `isn`.
    pub(super) fn open(client: &str, server: &str, isn: [u32; 2]) -> Self {
        let mut talk = Self::new(client, server, isn);
        talk.syn();
        talk.syn_ack();
        talk.say(0, "");
        talk
    }

    pub(super) fn syn(&mut self) {
        self.push(Tcp::new(self.client, self.server, self.next[0], None, SYN));
        self.next[0] = self.next[0].wrapping_add(1);
    }

    pub(super) fn syn_ack(&mut self) {
        self.push(Tcp::new(self.server, self.client, self.next[1], Some(self.next[0]), SYN));
        self.next[1] = self.next[1].wrapping_add(1);
    }

    /// A segment of `who` (0: client, 1: server) as it would come next, not sent.
    pub(super) fn draft(&self, who: usize, flags: u8) -> Tcp {
        let (from, to) = if who == 0 { (self.client, self.server) } else { (self.server, self.client) };
        Tcp::new(from, to, self.next[who], Some(self.next[1 - who]), flags)
    }

    pub(super) fn push(&mut self, tcp: Tcp) {
        self.packets.push(tcp);
    }

    pub(super) fn say(&mut self, who: usize, payload: impl AsRef<[u8]>) {
        let tcp = self.draft(who, 0).with(payload);
        self.next[who] = self.next[who].wrapping_add(u32::try_from(tcp.payload.len()).unwrap());
        self.push(tcp);
    }

    pub(super) fn fin(&mut self, who: usize) {
        let tcp = self.draft(who, FIN);
        self.next[who] = self.next[who].wrapping_add(1);
        self.push(tcp);
    }

    /// Both ends close, the server first.
    pub(super) fn close(&mut self) {
        self.fin(1);
        self.fin(0);
        self.say(1, "");
    }
}
