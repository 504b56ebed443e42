//! The network and what capture sees of it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use auditor::capture::record::{ConnectionId, Direction};
use auditor::pipeline::Feedback;
use auditor_ebpf::window::Want;

/// What capture loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capture {
    Whole,
    /// Of a hundred segments without the end of a direction.
    Losing {
        percent: u64,
    },
}

/// A generator of choices (`SplitMix64`, as published by Vigna).
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// What the pipeline said that it needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs(Rc<RefCell<HashMap<(ConnectionId, Direction), u64>>>);

impl Feedback for Needs {
    fn needed(&mut self, id: ConnectionId, direction: Direction, want: Want) {
        // Nothing here speaks TLS.
        assert!(!want.tls);
        self.0.borrow_mut().insert((id, direction), want.offset);
    }
}

impl Needs {
    pub(crate) fn of(&self, id: ConnectionId, direction: Direction) -> u64 {
        self.0.borrow().get(&(id, direction)).copied().unwrap_or(0)
    }
}

/// A segment on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) fin: bool,
}

/// One direction of a connection.
#[derive(Default)]
pub(crate) struct Flow {
    pub(crate) bytes: Vec<u8>,
    /// Nothing will follow.
    pub(crate) closed: bool,
    /// Sent for the first time up to here; and the end.
    pub(crate) sent: usize,
    pub(crate) fin_sent: bool,
    /// Sent and not arrived at the controller.
    pub(crate) in_flight: Vec<Cut>,
    arrived: Vec<bool>,
    fin_arrived: bool,
    /// What capture saw.
    captured: Vec<bool>,
    /// Whether capture missed a segment, which may have come again, or did not wait for one.
    pub(crate) has_losses: bool,
}

impl Flow {
    /// Whether there is something to send.
    pub(crate) fn has_more(&self) -> bool {
        self.sent < self.bytes.len() || (self.closed && !self.fin_sent)
    }

    /// Cuts the next segment off what is to be sent.
    pub(crate) fn cut(&mut self, choices: &mut Choices) -> Cut {
        let left = self.bytes.len() - self.sent;
        let most = if choices.one_in(4) { 8 } else { 1460 };
        let len = if left == 0 { 0 } else { 1 + choices.below(left.min(most)) };
        let (start, end) = (self.sent, self.sent + len);
        let fin = self.closed && end == self.bytes.len() && (len == 0 || choices.one_in(2));
        self.sent = end;
        self.fin_sent |= fin;
        Cut { start, end, fin }
    }

    /// Any part of what was sent before.
    pub(crate) fn cut_again(&self, choices: &mut Choices) -> Option<Cut> {
        if self.sent == 0 {
            return None;
        }
        let start = choices.below(self.sent);
        let end = start + 1 + choices.below((self.sent - start).min(1460));
        Some(Cut { start, end, fin: false })
    }

    pub(crate) fn arrive(&mut self, cut: Cut) {
        mark(&mut self.arrived, cut);
        self.fin_arrived |= cut.fin;
    }

    pub(crate) fn capture(&mut self, cut: Cut) {
        mark(&mut self.captured, cut);
    }

    /// Bytes that have arrived, up to the first one that has not.
    pub(crate) fn received(&self) -> usize {
        self.arrived.iter().position(|arrived| !arrived).unwrap_or(self.arrived.len())
    }

    /// Whether everything and the end has arrived.
    pub(crate) fn is_over(&self) -> bool {
        self.fin_arrived && self.received() == self.bytes.len()
    }

    /// Bytes that capture never saw, in a range.
    pub(crate) fn lost(&self, from: usize, to: usize) -> usize {
        (from..to).filter(|at| !self.captured.get(*at).copied().unwrap_or(false)).count()
    }
}

fn mark(marks: &mut Vec<bool>, cut: Cut) {
    if marks.len() < cut.end {
        marks.resize(cut.end, false);
    }
    marks[cut.start..cut.end].fill(true);
}
