//! What one end of a connection sent, by what was captured of it: offsets, acknowledgments, the FIN.

use auditor_ebpf::window::offset_of;

/// The largest window a receiver can offer (RFC 7323, 2.2): no byte is further ahead of what it acknowledged.
const MAX_WINDOW: u64 = 1 << 30;

/// What one end sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Side {
    /// Sequence number of offset 0, once known.
    pub(super) first: Option<u32>,
    /// A packet of this end was captured.
    pub(super) seen: bool,
    /// Offset of the end of its payload.
    pub(super) highest: u64,
    /// Offset up to which the other end acknowledged.
    pub(super) acked: Option<u64>,
    /// Offset of its FIN.
    pub(super) fin: Option<u64>,
}

impl Side {
    /// The stream offset of `sequence`; negative before the first byte.
    pub(super) fn offset(&self, sequence: u32) -> Option<i64> {
        self.first.map(|first| offset_of(sequence, first, self.highest))
    }

    /// Offset after the last thing sent, a FIN being one.
    pub(super) fn end(&self) -> u64 {
        self.fin.map_or(self.highest, |fin| self.highest.max(fin + 1))
    }

    /// It has said its last, and that arrived.
    pub(super) fn fin_acked(&self) -> bool {
        self.fin.zip(self.acked).is_some_and(|(fin, acked)| acked > fin)
    }

    /// No byte lies further ahead: the receiver would not take it.
    pub(super) fn limit(&self) -> u64 {
        self.acked.unwrap_or(self.highest).saturating_add(MAX_WINDOW)
    }

    /// Notes what the other end acknowledged. False if this end never sent that, or sent it before its first byte, which only
    /// a connection that was `joined` in the middle has.
    pub(super) fn acknowledge(&mut self, ack: u32, joined: bool) -> bool {
        let Some(offset) = self.offset(ack) else { return true };
        let Ok(offset) = u64::try_from(offset) else { return joined };
        // Ahead of what was captured, by no more than the capture can have lost.
        if offset > self.end().saturating_add(MAX_WINDOW) {
            return false;
        }
        self.acked = Some(self.acked.map_or(offset, |acked| acked.max(offset)));
        true
    }
}
