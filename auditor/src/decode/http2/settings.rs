//! What one side announced in `SETTINGS`, as far as it bounds what the other may send.
//!
//! The other side obeys from when it acknowledges (RFC 9113, 6.5.3), which it may do late: until then the larger of the
//! two values is taken, so that nothing valid is refused.

use std::collections::VecDeque;

use super::defect::Defect;
use super::frame::{DEFAULT_FRAME, MAX_FRAME};
use crate::decode::hpack::DEFAULT_TABLE_BYTES;

/// Announcements that may wait for their acknowledgement; of earlier ones the largest is remembered.
const MAX_PENDING: usize = 16;

#[derive(Debug)]
pub(super) struct Settings {
    /// A whole frame was seen.
    seen: bool,
    /// One was missed.
    missed: bool,
    /// The largest `SETTINGS_MAX_FRAME_SIZE` so far.
    max_frame: u32,
    /// `SETTINGS_HEADER_TABLE_SIZE` as acknowledged.
    table: u32,
    /// The same, of each frame that is not acknowledged.
    pending: VecDeque<Option<u32>>,
    /// The same, of the frame that is being read.
    reading: Option<u32>,
}

impl Settings {
    pub(super) fn new() -> Self {
        Self {
            seen: false,
            missed: false,
            max_frame: DEFAULT_FRAME,
            table: DEFAULT_TABLE_BYTES,
            pending: VecDeque::new(),
            reading: None,
        }
    }

    /// Of a connection that was open before.
    pub(super) fn missed() -> Self {
        Self { missed: true, ..Self::new() }
    }

    /// A frame was not seen, or not whole.
    pub(super) fn miss(&mut self) {
        self.missed = true;
        self.reading = None;
    }

    /// One setting (6.5.1).
    pub(super) fn entry(&mut self, entry: [u8; 6]) -> Result<(), Defect> {
        let [i0, i1, v0, v1, v2, v3] = entry;
        let value = u32::from_be_bytes([v0, v1, v2, v3]);
        match u16::from_be_bytes([i0, i1]) {
            0x1 => self.reading = Some(value),
            // SETTINGS_ENABLE_PUSH, and SETTINGS_ENABLE_CONNECT_PROTOCOL of RFC 8441, 3.
            0x2 | 0x8 if value > 1 => return Err(Defect::Settings),
            // SETTINGS_INITIAL_WINDOW_SIZE.
            0x4 if value > 0x7fff_ffff => return Err(Defect::Settings),
            0x5 if !(DEFAULT_FRAME..=MAX_FRAME).contains(&value) => return Err(Defect::Settings),
            0x5 => self.max_frame = self.max_frame.max(value),
            _ => {}
        }
        Ok(())
    }

    /// The frame is whole. `acknowledged`: nothing will say so.
    pub(super) fn announce(&mut self, acknowledged: bool) {
        self.seen = true;
        let table = self.reading.take();
        if acknowledged {
            self.table = table.unwrap_or(self.table);
            return;
        }
        if self.pending.len() >= MAX_PENDING {
            let oldest = self.pending.pop_front().flatten();
            self.table = self.table.max(oldest.unwrap_or(0));
        }
        self.pending.push_back(table);
    }

    /// The other side has acknowledged the oldest.
    pub(super) fn acknowledge(&mut self) {
        if let Some(Some(table)) = self.pending.pop_front() {
            self.table = table;
        }
    }

    /// The largest frame that the other side may send; any before it is known that there are settings.
    pub(super) fn max_frame(&self) -> u32 {
        if self.seen && !self.missed { self.max_frame } else { MAX_FRAME }
    }

    /// The largest table that the other side's encoder may choose, if that is known.
    pub(super) fn table(&self) -> Option<u32> {
        let known = self.seen && !self.missed;
        known.then(|| self.pending.iter().flatten().copied().fold(self.table, u32::max))
    }
}
