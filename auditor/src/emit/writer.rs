//! The thread that writes: events in batches through a bounded queue, out as JSON Lines.
//!
//! Consumes `Vec<Event>`s from any number of producers; produces lines on a `Write`, flushed once a batch. Each event is
//! given its sequence number as it is written: contiguous on the output, whoever produced it. Invariants: [`Outlet::send`] never waits; a batch for which there is no room, or that could not be written,
//! is dropped and counted by kind; `captured = delivered + dropped + pending` in every [`Books`] that is taken when neither
//! side is at work, and `pending` is never more than what the queue and the writer's hands hold.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use super::model::{Count, Event, Kind};
use super::native;

/// Why the writer came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The outlet is gone and everything queued is written.
    Drained,
    /// The reader of the output is gone (EPIPE): nothing more can be delivered.
    ReaderGone,
}

/// Why writing failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The thread could not be started.
    #[error("cannot start the writer's thread")]
    Spawn(#[source] io::Error),
    /// The output failed, for another reason than that its reader is gone.
    #[error("cannot write events to the output")]
    Output(#[source] io::Error),
    /// The output still takes nothing; the thread is left behind, what it has not written is pending in the books.
    #[error("the output took no events for {0:?}")]
    Blocked(Duration),
    /// The thread panicked.
    #[error("the writer's thread panicked")]
    Panicked,
}

/// How many events of each kind, by [`Kind::ALL`]'s order.
pub type ByKind = [u64; Kind::ALL.len()];

/// What became of the events, each number since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Books {
    /// Handed to the outlet.
    pub captured: u64,
    /// Written and flushed.
    pub delivered: u64,
    /// Not written, and never will be: the queue was full, or the output was closed or failed.
    pub dropped: u64,
    /// In the queue or in the writer's hands.
    pub pending: u64,
}

/// Events dropped since [`Outlet::take_dropped`] was last asked, for a `coverage` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// How many of each kind.
    pub by_kind: ByKind,
    /// The output is closed (`output_closed`), rather than slow (`output_blocked`).
    pub closed: bool,
}

#[derive(Default)]
struct Shared {
    captured: AtomicU64,
    delivered: AtomicU64,
    dropped: [AtomicU64; Kind::ALL.len()],
    closed: AtomicBool,
}

impl Shared {
    fn drop_all(&self, batch: &[Event]) {
        for event in batch {
            if let Some(counter) = self.dropped.get(event.body.kind() as usize) {
                counter.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    fn dropped(&self) -> ByKind {
        self.dropped.each_ref().map(|counter| counter.load(Ordering::Acquire))
    }
}

/// The producer's end. When it is dropped, the writer writes what is queued and ends.
pub struct Outlet {
    queue: SyncSender<Vec<Event>>,
    shared: Arc<Shared>,
    reported: ByKind,
}

/// The writer's thread.
pub struct Writer {
    end: Receiver<Result<End, WriteError>>,
}

/// Counters of an outlet, for others than its producer.
#[derive(Clone)]
pub struct Meter(Arc<Shared>);

/// Starts a writer on `output`, with room for `batches` batches in its queue (at least one).
///
/// # Errors
///
/// [`WriteError::Spawn`].
pub fn start<W: Write + Send + 'static>(output: W, batches: usize) -> Result<(Outlet, Writer), WriteError> {
    let (queue, batches) = sync_channel(batches.max(1));
    let shared = Arc::new(Shared::default());
    let writers = Arc::clone(&shared);
    let (tell, end) = sync_channel(1);
    let work = move || {
        let end = write_all(output, &batches, &writers);
        // Nobody has to wait for it.
        let _: Result<(), _> = tell.send(end);
    };
    thread::Builder::new().name("emit".into()).spawn(work).map_err(WriteError::Spawn)?;
    Ok((Outlet { queue, shared, reported: [0; Kind::ALL.len()] }, Writer { end }))
}

impl Outlet {
    /// Queues a batch, or drops it and counts its events. Never waits. An empty batch is nothing.
    pub fn send(&mut self, batch: Vec<Event>) {
        if batch.is_empty() {
            return;
        }
        self.shared.captured.fetch_add(batch.len() as u64, Ordering::AcqRel);
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) = self.queue.try_send(batch)
        {
            self.shared.drop_all(&batch);
        }
    }

    /// What was dropped since this was last asked; none if nothing was. The caller tells it in a `coverage` event, with the
    /// next batch that has room.
    pub fn take_dropped(&mut self) -> Option<Dropped> {
        let now = self.shared.dropped();
        let mut by_kind = now;
        by_kind.iter_mut().zip(self.reported).for_each(|(count, before)| *count -= before);
        self.reported = now;
        by_kind.iter().any(|count| *count > 0).then(|| Dropped { by_kind, closed: self.is_closed() })
    }

    /// Whether the output has ended, so that nothing sent is delivered any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// Another producer's end. What is dropped is told by whoever first asks [`Outlet::take_dropped`] of its own end.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { queue: self.queue.clone(), shared: Arc::clone(&self.shared), reported: self.reported }
    }

    /// The counters.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter(Arc::clone(&self.shared))
    }
}

impl Meter {
    /// The books as they stand.
    #[must_use]
    pub fn books(&self) -> Books {
        // In this order: what is counted as delivered or dropped was captured before.
        let delivered = self.0.delivered.load(Ordering::Acquire);
        let dropped = self.0.dropped().iter().sum();
        let captured = self.0.captured.load(Ordering::Acquire);
        Books { captured, delivered, dropped, pending: captured - delivered - dropped }
    }
}

impl Writer {
    /// Waits until the writer has ended, which is when the outlet has been dropped and the queue is empty; no longer than
    /// `within`, because whoever reads the output may have stopped for ever.
    ///
    /// # Errors
    ///
    /// [`WriteError::Output`] if the output failed; what was not written is in the books as dropped.
    /// [`WriteError::Blocked`] after `within`.
    pub fn join(self, within: Duration) -> Result<End, WriteError> {
        match self.end.recv_timeout(within) {
            Ok(end) => end,
            Err(RecvTimeoutError::Timeout) => Err(WriteError::Blocked(within)),
            Err(RecvTimeoutError::Disconnected) => Err(WriteError::Panicked),
        }
    }
}

/// Most bytes that the line buffer keeps between batches.
const KEPT_BUFFER: usize = 1 << 20;

fn write_all<W: Write>(
    mut output: W,
    batches: &Receiver<Vec<Event>>,
    shared: &Shared,
) -> Result<End, WriteError> {
    let mut lines = Vec::new();
    let mut sequence = 0;
    while let Ok(mut batch) = batches.recv() {
        let Err(error) = write_batch(&mut output, &mut batch, &mut sequence, &mut lines) else {
            shared.delivered.fetch_add(batch.len() as u64, Ordering::AcqRel);
            continue;
        };
        let gone = error.kind() == io::ErrorKind::BrokenPipe;
        shared.closed.store(true, Ordering::Release);
        shared.drop_all(&batch);
        // Until the outlet is dropped: so that each batch in the queue is counted, and the sender never finds it full.
        while let Ok(batch) = batches.recv() {
            shared.drop_all(&batch);
        }
        return if gone { Ok(End::ReaderGone) } else { Err(WriteError::Output(error)) };
    }
    Ok(End::Drained)
}

fn write_batch<W: Write>(
    output: &mut W,
    batch: &mut [Event],
    sequence: &mut u64,
    lines: &mut Vec<u8>,
) -> io::Result<()> {
    lines.clear();
    lines.shrink_to(KEPT_BUFFER);
    for event in batch {
        event.sequence = Count::new(*sequence);
        *sequence += 1;
        native::render(event, lines).map_err(io::Error::from)?;
    }
    output.write_all(lines)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::emit::model::Body;
    use crate::emit::sample;

    /// Longer than any of these takes; nothing waits for it unless it fails.
    const LONG: Duration = Duration::from_secs(60);

    fn batch(kind: Kind, events: usize) -> Vec<Event> {
        vec![sample::event(kind); events]
    }

    fn index(kind: Kind) -> usize {
        Kind::ALL.iter().position(|other| *other == kind).unwrap()
    }

    /// Says when a write begins, and ends it when told to, as it is told to.
    struct Blocking {
        begun: SyncSender<()>,
        go_on: Receiver<io::Result<()>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Blocking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun.send(()).unwrap();
            self.go_on.recv().unwrap()?;
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Blocked = (Outlet, Writer, Receiver<()>, SyncSender<io::Result<()>>, Arc<Mutex<Vec<u8>>>);

    fn blocked(batches: usize) -> Blocked {
        let (begun, is_begun) = sync_channel(16);
        let (end, go_on) = sync_channel(16);
        let written = Arc::new(Mutex::new(Vec::new()));
        let output = Blocking { begun, go_on, written: Arc::clone(&written) };
        let (outlet, writer) = start(output, batches).unwrap();
        (outlet, writer, is_begun, end, written)
    }

    #[test]
    fn a_blocked_output_costs_counted_events_and_no_time() {
        let (mut outlet, writer, begun, end, written) = blocked(2);
        let meter = outlet.meter();
        outlet.send(batch(Kind::HttpRequest, 3));
        begun.recv().unwrap();
        // One batch is in the writer's hands; two fit in the queue; the others do not.
        outlet.send(batch(Kind::HttpRequest, 5));
        outlet.send(batch(Kind::Connection, 7));
        outlet.send(batch(Kind::HttpRequest, 11));
        outlet.send(batch(Kind::Coverage, 13));
        assert_eq!(meter.books(), Books { captured: 39, delivered: 0, dropped: 24, pending: 15 });
        let dropped = outlet.take_dropped().unwrap();
        assert_eq!(dropped.by_kind[index(Kind::HttpRequest)], 11);
        assert_eq!(dropped.by_kind[index(Kind::Coverage)], 13);
        assert_eq!(dropped.by_kind.iter().sum::<u64>(), 24);
        assert!(!dropped.closed);
        assert_eq!(outlet.take_dropped(), None);

        for _ in 0..3 {
            end.send(Ok(())).unwrap();
        }
        drop(outlet);
        assert_eq!(writer.join(LONG).unwrap(), End::Drained);
        assert_eq!(meter.books(), Books { captured: 39, delivered: 15, dropped: 24, pending: 0 });
        let written = written.lock().unwrap();
        let events: Vec<Event> = written
            .split_inclusive(|b| *b == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        assert_eq!(events.len(), 15);
        assert!(events[..8].iter().all(|event| matches!(event.body, Body::HttpRequest(_))));
        assert!(events[8..].iter().all(|event| matches!(event.body, Body::Connection(_))));
    }

    #[test]
    fn a_reader_that_leaves_ends_it_cleanly_and_is_told() {
        let (mut outlet, writer, begun, end, _) = blocked(2);
        let meter = outlet.meter();
        outlet.send(batch(Kind::HttpRequest, 3));
        begun.recv().unwrap();
        outlet.send(batch(Kind::HttpRequest, 4));
        assert!(!outlet.is_closed());
        end.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        drop(outlet);
        assert_eq!(writer.join(LONG).unwrap(), End::ReaderGone);
        assert_eq!(meter.books(), Books { captured: 7, delivered: 0, dropped: 7, pending: 0 });
        // No second write was tried.
        assert_eq!(begun.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn an_output_that_fails_is_an_error() {
        let (mut outlet, writer, _begun, end, _) = blocked(2);
        let meter = outlet.meter();
        end.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        outlet.send(batch(Kind::Auth, 2));
        drop(outlet);
        assert!(
            matches!(writer.join(LONG), Err(WriteError::Output(error)) if error.kind() == io::ErrorKind::StorageFull)
        );
        assert_eq!(meter.books(), Books { captured: 2, delivered: 0, dropped: 2, pending: 0 });
    }

    #[test]
    fn an_output_that_stays_blocked_does_not_hold_up_the_end() {
        let (mut outlet, writer, begun, end, _) = blocked(2);
        let meter = outlet.meter();
        outlet.send(batch(Kind::Auth, 2));
        begun.recv().unwrap();
        drop(outlet);
        assert!(matches!(writer.join(Duration::from_millis(1)), Err(WriteError::Blocked(_))));
        assert_eq!(meter.books(), Books { captured: 2, delivered: 0, dropped: 0, pending: 2 });
        end.send(Ok(())).unwrap();
    }
}
