//! The thread that drains one ring: records in, events out, nothing in between leaves it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use auditor_ebpf::abi::{COUNTER_NAMES, Counter};
use auditor_ebpf::window::Want;

use crate::attribute::Attribution;
use crate::capture::kernel::clock::{Clock, present};
use crate::capture::kernel::memory::{Counters, Wants};
use crate::capture::kernel::parse::parse;
use crate::capture::kernel::ring::Ring;
use crate::capture::record::{ConnectionId, Direction};
use crate::emit::writer::Outlet;
use crate::pipeline::{Feedback, Loss, Pipeline};

/// Records taken before events are handed on.
const BATCH: usize = 4096;
/// Longest pause of a ring that stays empty.
const MAX_PAUSE: Duration = Duration::from_millis(40);
/// Between two looks at what the kernel counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// Word to a worker.
pub(super) enum Control {
    /// The objects have changed.
    Attribution(Arc<Attribution>),
    /// TLS code that was not tapped before is now.
    Tapped,
    /// Nothing more comes into the ring: empty it, finish, end.
    Finish,
}

/// What a worker reads.
pub(super) struct Input {
    pub(super) ring: Ring,
    pub(super) wants: Wants,
    pub(super) counters: Counters,
    pub(super) clock: Clock,
    /// How long to wait when the ring is empty.
    pub(super) pause: Duration,
}

/// What the kernel counted, at the end.
pub(super) type Counted = [u64; COUNTER_NAMES.len()];

/// A running worker.
pub(super) struct Worker {
    control: SyncSender<Control>,
    thread: JoinHandle<Counted>,
}

impl Feedback for Wants {
    fn needed(&mut self, id: ConnectionId, direction: Direction, want: Want) {
        self.set(id, direction, want);
    }
}

impl Worker {
    /// Starts one.
    pub(super) fn start(
        name: String,
        input: Input,
        pipeline: impl FnOnce(Wants) -> Pipeline<Wants> + Send + 'static,
        outlet: Outlet,
    ) -> io::Result<Self> {
        // Of no capacity: what was sent has been taken.
        let (control, orders) = sync_channel(0);
        let work = move || {
            let Input { ring, wants, counters, clock, pause } = input;
            // Made in its own thread: a pipeline never leaves it.
            let pipeline = pipeline(wants);
            let seen = [0; COUNTER_NAMES.len()];
            Work { ring, counters, clock, pause, pipeline, outlet, seen, datagrams: HashMap::new() }
                .run(&orders)
        };
        Ok(Self { control, thread: thread::Builder::new().name(name).spawn(work)? })
    }

    /// Judges by other objects: what is seen after this returns by these alone.
    pub(super) fn set_attribution(&self, attribution: &Arc<Attribution>) {
        // A worker that is gone needs none.
        let _ = self.control.send(Control::Attribution(Arc::clone(attribution)));
    }

    /// TLS code that was not tapped before is now.
    pub(super) fn tapped(&self) {
        let _ = self.control.send(Control::Tapped);
    }

    /// Lets it finish; gives what the kernel counted, or none if it panicked.
    pub(super) fn finish(self) -> Option<Counted> {
        let _ = self.control.send(Control::Finish);
        self.thread.join().ok()
    }
}

struct Work {
    ring: Ring,
    counters: Counters,
    clock: Clock,
    pause: Duration,
    pipeline: Pipeline<Wants>,
    outlet: Outlet,
    seen: Counted,
    /// Packets and bytes of UDP that were told of, by port.
    datagrams: HashMap<u16, [u64; 2]>,
}

impl Work {
    fn run(mut self, orders: &Receiver<Control>) -> Counted {
        let mut counted = Instant::now();
        let mut pause = self.pause;
        let mut finishing = false;
        loop {
            let taken = self.drain();
            if counted.elapsed() >= COUNT_INTERVAL || finishing {
                counted = Instant::now();
                self.count();
            }
            // While records wait in the ring, the present says nothing about what is missing from it.
            if taken < BATCH {
                self.tick();
            }
            self.outlet.send(self.pipeline.take_events());
            // A record that is reserved is still being written, and others may have come after it.
            if finishing && taken == 0 && self.ring.waiting() == 0 {
                self.pipeline.finish();
                self.outlet.send(self.pipeline.take_events());
                return self.seen;
            }
            match orders.try_recv() {
                Ok(Control::Attribution(attribution)) => self.pipeline.set_attribution(attribution),
                Ok(Control::Tapped) => {
                    if let Ok(now) = present(&self.clock) {
                        self.pipeline.set_tapped(now);
                    }
                }
                Ok(Control::Finish) | Err(TryRecvError::Disconnected) => finishing = true,
                Err(TryRecvError::Empty) => {}
            }
            // A quiet ring is looked at less often; the kernel wakes the reader when it fills up.
            pause = if taken > 0 { self.pause } else { (pause * 2).min(MAX_PAUSE.max(self.pause)) };
            if !finishing && taken < BATCH {
                // A ring that can not be polled is read at the same pace all the same.
                if self.ring.wait(pause).is_err() {
                    thread::sleep(pause);
                }
            }
        }
    }

    fn drain(&mut self) -> usize {
        let Self { ring, pipeline, clock, .. } = self;
        ring.drain(BATCH, |bytes| match parse(bytes, clock) {
            Some(record) => pipeline.record(&record),
            None => pipeline.unreadable_record(),
        })
    }

    fn tick(&mut self) {
        if let Ok(now) = present(&self.clock) {
            self.pipeline.tick(now);
        }
    }

    /// Tells the pipeline what the kernel could not hand over, and how the wall clock stands.
    fn count(&mut self) {
        if let Ok(shift) = self.clock.drift() {
            self.pipeline.builder().set_shift(shift);
        }
        let now = self.counters.read();
        let before = std::mem::replace(&mut self.seen, now);
        let grown = |counter: Counter| {
            let of = |counted: &Counted| counted.get(counter as usize).copied().unwrap_or_default();
            of(&now) - of(&before)
        };
        for (counter, bytes, loss) in [
            (Counter::RingFull, grown(Counter::RingFullBytes), Loss::RingFull),
            (Counter::NoState, 0, Loss::KernelStateFull),
            (Counter::Unreadable, 0, Loss::PacketUnreadable),
            (Counter::NotTcp, 0, Loss::NotTcp),
            (Counter::CopyFailed, grown(Counter::CopyFailed), Loss::CopyFailed),
        ] {
            let count = grown(counter);
            if count > 0 {
                self.pipeline.lost(loss, count, bytes);
            }
        }
        if grown(Counter::Udp) > 0 {
            for (port, now) in self.counters.datagrams() {
                let before = self.datagrams.insert(port, now).unwrap_or_default();
                let [packets, bytes] = [0, 1].map(|which: usize| {
                    let of = |counted: &[u64; 2]| counted.get(which).copied().unwrap_or_default();
                    of(&now).saturating_sub(of(&before))
                });
                if packets > 0 {
                    self.pipeline.datagrams(port, packets, bytes);
                }
            }
        }
    }
}
