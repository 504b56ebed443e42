//! What a capture file held, and what of it was not understood. Filled by every stage of the reader.
//!
//! Invariant: every packet and every byte of payload is in exactly one of the counts that [`Counters::accounted`] adds up.

use super::packet::Unparsed;

/// Counts of one capture file. Bytes are TCP payload as it was on the wire, captured or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets in the file.
    pub packets: u64,
    /// Blocks that hold neither packets nor interfaces, or of an unknown kind: skipped.
    pub skipped_blocks: u64,
    /// Blocks whose inside contradicts itself: skipped.
    pub malformed_blocks: u64,
    /// Blocks larger than [`super::MAX_BLOCK`]: skipped. Decryption secrets may be larger.
    pub oversized_blocks: u64,

    /// Decryption secrets blocks that hold a key log of TLS.
    pub key_log_blocks: u64,
    /// Those that hold something else (of SSH, `WireGuard`, ...): skipped.
    pub foreign_secrets_blocks: u64,
    /// Secrets given out.
    pub secrets: u64,
    /// Lines of their key logs that are no such lines.
    pub malformed_key_lines: u64,
    /// The first of those lines: where its block starts in the file, and its number within it, from 1.
    pub first_malformed_key_line: Option<(u64, u64)>,

    /// Packets with a readable TCP header.
    pub tcp: u64,
    /// Packets of another network protocol (ARP, LLDP, ...).
    pub not_ip: u64,
    /// IP packets of another transport.
    pub not_tcp: u64,
    /// IP fragments.
    pub fragments: u64,
    /// Packets whose headers contradict themselves.
    pub unreadable: u64,
    /// Packets whose headers were cut off by the capture's snapshot length.
    pub cut_headers: u64,
    /// Packets of a link type that is not supported, or of an interface that the file does not describe.
    pub unknown_link: u64,

    /// Connections reported.
    pub connections: u64,
    /// Those of them that were open before the capture began.
    pub joined: u64,
    /// Connections that are not the controller's, not reported.
    pub foreign_connections: u64,
    /// Handshakes that were not completed in this file.
    pub unfinished_handshakes: u64,
    /// Handshakes answered by a reset.
    pub refused: u64,
    /// Connections given up because more than [`super::MAX_CONNECTIONS`] were open: the longest idle ones.
    pub evicted: u64,
    /// Controller addresses that were not learned because there were too many.
    pub addresses_not_learned: u64,

    /// TCP packets that belong to no known connection and begin none.
    pub without_connection: u64,
    /// SYNs for a connection that is open, which its other end did not take up.
    pub stray_syns: u64,
    /// Resets at another place than where their receiver would accept one (RFC 5961, 3.2).
    pub doubtful_resets: u64,

    /// Payload.
    pub payload_bytes: u64,
    /// Payload that was not captured, because of the capture's snapshot length.
    pub cut_bytes: u64,
    /// Payload that records stand for.
    pub delivered_bytes: u64,
    /// Payload of connections that are not the controller's.
    pub foreign_bytes: u64,
    /// Payload after the end of its connection.
    pub after_end_bytes: u64,
    /// Payload of those beyond what the connection had sent: more than late retransmissions.
    pub after_end_new_bytes: u64,
    /// Payload further ahead than any receiver's window.
    pub implausible_bytes: u64,
    /// Payload before the first byte known of its direction.
    pub before_first_bytes: u64,
    /// Payload on a SYN that was not acknowledged with it (RFC 7413), or not kept.
    pub handshake_bytes: u64,
    /// Text in resets, which is not part of any stream (RFC 9293, 3.5.3).
    pub reset_bytes: u64,
}

impl Counters {
    /// Whether every packet and every byte of payload is accounted for. Holds whenever a file has been read, to its end or not.
    #[must_use]
    pub fn accounted(&self) -> bool {
        let packets = self.tcp
            + self.not_ip
            + self.not_tcp
            + self.fragments
            + self.unreadable
            + self.cut_headers
            + self.unknown_link;
        let bytes = self.delivered_bytes
            + self.foreign_bytes
            + self.after_end_bytes
            + self.implausible_bytes
            + self.before_first_bytes
            + self.handshake_bytes
            + self.reset_bytes;
        packets == self.packets && bytes == self.payload_bytes
    }

    pub(super) fn unparsed(&mut self, reason: Unparsed) {
        match reason {
            Unparsed::NotIp => self.not_ip += 1,
            Unparsed::NotTcp => self.not_tcp += 1,
            Unparsed::Fragment => self.fragments += 1,
            Unparsed::Unreadable => self.unreadable += 1,
            Unparsed::Cut => self.cut_headers += 1,
            Unparsed::UnknownLink => self.unknown_link += 1,
        }
    }
}
