//! What follows the addresses of version 2: type, length, value, over and over (section 2.2.1 to 2.2.7).
//!
//! Consumes the bytes in any split; keeps the few values that say something of the client, each within a bound, and skips
//! all others (padding, and what AWS, Azure and GCP say of their private links). The checksum is computed as they pass.
//! Of two values of one type the first counts.

use std::fmt;

use crc::{CRC_32_ISCSI, Crc, Digest};

use super::Defect;

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_CN: u8 = 0x22;
const SSL_CIPHER: u8 = 0x23;
const NETNS: u8 = 0x30;

/// Bits of the SSL TLV's first byte: TLS was spoken, and a certificate was presented on this connection or in its session.
const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERT: u8 = 0x02 | 0x04;

/// Longest unique id (section 2.2.5).
const MAX_UNIQUE_ID: usize = 128;
/// Longest name: an ALPN protocol (RFC 7301, 3.1), a host (RFC 6066, 3), a namespace (a file name of Linux).
const MAX_NAME: usize = 255;
/// How much of an SSL TLV is looked at: it may end with a whole certificate.
const MAX_SSL: usize = 2048;

/// CRC-32C (RFC 4960, appendix B).
static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// The values that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs {
    /// The protocol that the client and the proxy agreed on.
    pub alpn: Option<Box<[u8]>>,
    /// The host that the client asked the proxy for: SNI, usually.
    pub authority: Option<Box<[u8]>>,
    /// The proxy's name for the connection.
    pub unique_id: Option<Box<[u8]>>,
    /// The network namespace that the proxy accepted the connection in.
    pub netns: Option<Box<[u8]>>,
    /// What the proxy says of TLS between the client and itself.
    pub ssl: Option<Box<Ssl>>,
}

/// TLS between the client and the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ssl {
    /// TLS was spoken.
    pub spoken: bool,
    /// The client presented a certificate, on this connection or in the session that it resumed.
    pub certificate: bool,
    /// The certificate was presented and verified.
    pub verified: bool,
    /// The version, as OpenSSL names it.
    pub version: Option<Box<[u8]>>,
    /// The common name of the client's certificate.
    pub common_name: Option<Box<[u8]>>,
    /// The cipher suite.
    pub cipher: Option<Box<[u8]>>,
}

/// Reads TLVs as they come.
#[derive(Clone)]
pub(super) struct Reader {
    digest: Digest<'static, u32>,
    checksum: Option<u32>,
    stage: Stage,
    tlvs: Tlvs,
    defect: Option<Defect>,
}

#[derive(Clone)]
enum Stage {
    /// Type and length, as much as is there.
    Head([u8; 3], usize),
    /// A value, `left` bytes of which are to come, `keep` of them to be kept.
    Value { kind: u8, left: usize, keep: usize, value: Vec<u8> },
    /// Where the next one begins is not certain.
    Lost,
}

impl Reader {
    /// A reader of what follows `before`, the header up to and including the addresses.
    pub(super) fn new(before: &[u8]) -> Self {
        let mut digest = CRC.digest();
        digest.update(before);
        let stage = Stage::Head([0; 3], 0);
        Self { digest, checksum: None, stage, tlvs: Tlvs::default(), defect: None }
    }

    /// Takes bytes, behind which `left` more will come.
    pub(super) fn push(&mut self, bytes: &[u8], left: usize) {
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            match &mut self.stage {
                Stage::Head(head, got) => {
                    self.digest.update(&[byte]);
                    if let Some(place) = head.get_mut(*got) {
                        *place = byte;
                    }
                    *got += 1;
                    rest = behind;
                    if *got == head.len() {
                        let [kind, high, low] = *head;
                        self.begin(kind, usize::from(u16::from_be_bytes([high, low])), behind.len() + left);
                    }
                }
                Stage::Value { kind, left, keep, value } => {
                    let (now, later) = rest.split_at_checked(*left).unwrap_or((rest, &[]));
                    value.extend_from_slice(now.get(..*keep).unwrap_or(now));
                    *keep = keep.saturating_sub(now.len());
                    *left -= now.len();
                    match kind {
                        // The checksum is that of the header with zeros in its place.
                        &mut CRC32C => now.iter().for_each(|_| self.digest.update(&[0])),
                        _ => self.digest.update(now),
                    }
                    rest = later;
                    if *left == 0 {
                        self.end();
                    }
                }
                Stage::Lost => {
                    self.digest.update(rest);
                    rest = &[];
                }
            }
        }
    }

    /// All has come.
    pub(super) fn finish(self) -> (Tlvs, Option<Defect>) {
        let whole = matches!(self.stage, Stage::Head(_, 0) | Stage::Lost);
        let defect = if whole { self.defect } else { self.defect.or(Some(Defect::Tlv)) };
        let wrong = self.checksum.is_some_and(|checksum| checksum != self.digest.finalize());
        (self.tlvs, if wrong { Some(Defect::Checksum) } else { defect })
    }

    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        if let Stage::Value { value, .. } = &self.stage { value.len() } else { 0 }
    }

    fn begin(&mut self, kind: u8, length: usize, left: usize) {
        let most = match kind {
            ALPN | AUTHORITY | NETNS => MAX_NAME,
            UNIQUE_ID => MAX_UNIQUE_ID,
            CRC32C => 4,
            _ => usize::MAX,
        };
        if length > left || length > most || (kind == CRC32C && length != most) {
            self.defect.get_or_insert(Defect::Tlv);
        }
        if length > left {
            self.stage = Stage::Lost;
            return;
        }
        let keep = match kind {
            SSL => MAX_SSL,
            _ if most < usize::MAX && length <= most => most,
            _ => 0,
        };
        // A second checksum is a value like any other.
        let kind = if kind == CRC32C && (self.checksum.is_some() || length != most) { 0 } else { kind };
        self.stage = Stage::Value { kind, left: length, keep, value: Vec::new() };
        if length == 0 {
            self.end();
        }
    }

    fn end(&mut self) {
        let Stage::Value { kind, value, .. } = std::mem::replace(&mut self.stage, Stage::Head([0; 3], 0))
        else {
            return;
        };
        let tlvs = &mut self.tlvs;
        let slot = match kind {
            ALPN => &mut tlvs.alpn,
            AUTHORITY => &mut tlvs.authority,
            UNIQUE_ID => &mut tlvs.unique_id,
            NETNS => &mut tlvs.netns,
            CRC32C => {
                self.checksum = value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
                return;
            }
            SSL if tlvs.ssl.is_none() => {
                match ssl(&value) {
                    Some(ssl) => tlvs.ssl = Some(Box::new(ssl)),
                    None => self.defect = self.defect.or(Some(Defect::Tlv)),
                }
                return;
            }
            _ => return,
        };
        slot.get_or_insert_with(|| value.into());
    }
}

/// Flags, the result of verification (0: verified), and TLVs within.
fn ssl(value: &[u8]) -> Option<Ssl> {
    let (&[client, verify @ ..], mut rest) = value.split_first_chunk::<5>()?;
    let certificate = client & CLIENT_CERT != 0;
    let mut ssl = Ssl {
        spoken: client & CLIENT_SSL != 0,
        certificate,
        verified: certificate && verify == [0; 4],
        ..Ssl::default()
    };
    while !rest.is_empty() {
        let found = rest.split_first_chunk::<3>().and_then(|(&[kind, high, low], behind)| {
            let (value, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
            Some((kind, value, behind))
        });
        let Some((kind, value, behind)) = found else {
            // Behind what is looked at, nothing can be said.
            return (value.len() == MAX_SSL).then_some(ssl);
        };
        let slot = match kind {
            SSL_VERSION => Some(&mut ssl.version),
            SSL_CN => Some(&mut ssl.common_name),
            SSL_CIPHER => Some(&mut ssl.cipher),
            _ => None,
        };
        if let Some(slot) = slot.filter(|_| value.len() <= MAX_NAME) {
            slot.get_or_insert_with(|| value.into());
        }
        rest = behind;
    }
    Some(ssl)
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The digest has no form of its own.
        f.debug_struct("Reader")
            .field("tlvs", &self.tlvs)
            .field("defect", &self.defect)
            .finish_non_exhaustive()
    }
}
