//! `auditor replay`: a capture file through the same pipeline as live traffic, to standard output.
//!
//! Deterministic: time is that of the packets, and output is waited for, not dropped. The secrets of TLS, from key logs and
//! from the capture itself, are known before the first packet (`keys`).

mod keys;

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::assemble::tls::secrets::store::{self, Limits};
use crate::attribute::Attribution;
use crate::attribute::manifests::{self, ManifestError};
use crate::capture::pcap::{self, Counters, Options, PcapError};
use crate::capture::record::{Nanos, Record};
use crate::config::{Config, Replay};
use crate::emit::build::Moment;
use crate::emit::id::Domain;
use crate::emit::model::coverage::{Mode, Program, Reason, Subject, What};
use crate::emit::model::{Count, Event, SCHEMA_VERSION, Text};
use crate::emit::native;
use crate::pipeline::Pipeline;

/// Packet time between two looks at what was waited for long enough.
const TICK: Nanos = 10_000_000;

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The capture could not be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The capture.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The capture could not be read to its end; what came before is told.
    #[error("{}", path.display())]
    Capture {
        /// The capture.
        path: PathBuf,
        /// Why.
        #[source]
        source: PcapError,
    },
    /// A key log could not be read.
    #[error("cannot read the key log {}", path.display())]
    KeyLog {
        /// The key log.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that was given as a key log holds no line of one.
    #[error("{}:{line}: this is no key log: no line of it is one of the NSS form (LABEL CLIENT_RANDOM SECRET)", path.display())]
    NotAKeyLog {
        /// The file.
        path: PathBuf,
        /// The first line that is none.
        line: u64,
    },
    /// The manifests could not be read.
    #[error(transparent)]
    Manifests(#[from] ManifestError),
    /// The events could not be written.
    #[error("cannot write events to standard output")]
    Output(#[source] io::Error),
}

/// Replays a capture. A reader of the output that leaves is no failure.
///
/// # Errors
/// [`ReplayError`].
pub fn run(config: &Config, replay: &Replay, output: impl Write) -> Result<(), ReplayError> {
    run_within(keys::LIMITS, config, replay, output)
}

fn run_within(
    limits: Limits,
    config: &Config,
    replay: &Replay,
    output: impl Write,
) -> Result<(), ReplayError> {
    let path = &replay.capture;
    let opening = |source| ReplayError::Open { path: path.clone(), source };
    let mut file = File::open(path).map_err(opening)?;
    let attribution = match &config.manifests {
        Some(dir) => Attribution::new(&manifests::load(dir)?.objects, &config.route_options()),
        None => Attribution::none(),
    };
    let settings = config.event_settings(Domain::File, None);
    let mut pipeline = Pipeline::new(config.pipeline_limits(), settings, Arc::new(attribution), 0, ());
    pipeline.set_secret_limits(limits);
    let mut logged = keys::Logged::default();
    for log in &replay.key_logs {
        logged += keys::read(log, &mut |record| pipeline.record(&record))?;
    }
    // What cannot be read twice serves from where it stands. What can comes again there, which helps where there was no room
    // for all, and takes the room of others: what was dropped is counted before.
    let mut before = None;
    if file.metadata().map_err(opening)?.is_file() {
        pcap::secrets(&mut file, &mut |record| pipeline.record(&record));
        file.rewind().map_err(opening)?;
        before = Some(pipeline.secrets());
    }
    let options =
        Options { listen: replay.listen.iter().map(|port| port.get()).collect(), ..Options::default() };
    let mut lines = Lines { output: BufWriter::new(output), sequence: 0, buffer: Vec::new(), failed: None };
    let mut counters = Counters::default();
    let mut clock = Clock::default();
    let read = pcap::read(file, &options, &mut counters, &mut |record| {
        if let (None, Some(started)) = (clock.started, time(&record)) {
            clock.started = Some(started);
            let event = pipeline.builder().moment(
                What::Start,
                started,
                Moment { program: Some(program()), ..Moment::default() },
            );
            lines.write(vec![event]);
        }
        pipeline.record(&record);
        if let Some(now) = clock.advance(&record) {
            pipeline.tick(now);
            lines.write(pipeline.take_events());
        }
    });
    pipeline.finish();
    lines.write(pipeline.take_events());
    let after = pipeline.secrets();
    let secrets = store::Counts { evicted: before.unwrap_or(after).evicted, ..after };
    keys::warn(path, &counters, limits, &secrets);
    let stop = stop(&counters, logged, secrets, read.as_ref().err(), path);
    let event = pipeline.builder().moment(What::Stop, clock.now, stop);
    lines.write(vec![event]);
    lines.finish().map_err(ReplayError::Output)?;
    read.map_err(|source| ReplayError::Capture { path: path.clone(), source })
}

/// The time of the packets.
#[derive(Default)]
struct Clock {
    started: Option<Nanos>,
    now: Nanos,
    ticked: Nanos,
}

impl Clock {
    /// The present, if a tick is due.
    fn advance(&mut self, record: &Record<'_>) -> Option<Nanos> {
        self.now = self.now.max(time(record)?);
        (self.now >= self.ticked.saturating_add(TICK)).then(|| {
            self.ticked = self.now;
            self.now
        })
    }
}

fn time(record: &Record<'_>) -> Option<Nanos> {
    match record {
        Record::Opened { time, .. }
        | Record::Segment { time, .. }
        | Record::Early { time, .. }
        | Record::ConnectFailed { time, .. }
        | Record::Closed { time, .. } => Some(*time),
        // A secret in the file may stand before all packets.
        Record::Translated { .. } | Record::Secret { .. } => None,
    }
}

fn program() -> Program {
    Program {
        version: Text::from_static(env!("CARGO_PKG_VERSION")),
        schema_version: SCHEMA_VERSION,
        kernel: None,
        boot_id: None,
        mode: Mode::Replay,
    }
}

/// What the file held that was not understood.
fn stop(
    counters: &Counters,
    logged: keys::Logged,
    secrets: store::Counts,
    error: Option<&PcapError>,
    path: &Path,
) -> Moment {
    let counters = [
        ("packets", counters.packets),
        ("tcp_packets", counters.tcp),
        ("connections", counters.connections),
        ("joined_connections", counters.joined),
        ("foreign_connections", counters.foreign_connections),
        ("not_ip_packets", counters.not_ip),
        ("not_tcp_packets", counters.not_tcp),
        ("fragments", counters.fragments),
        ("unreadable_packets", counters.unreadable + counters.cut_headers + counters.unknown_link),
        ("malformed_blocks", counters.malformed_blocks + counters.oversized_blocks),
        ("packets_without_connection", counters.without_connection),
        ("bytes_not_captured", counters.cut_bytes),
        ("secrets", logged.secrets + counters.secrets),
        ("malformed_key_lines", logged.malformed + counters.malformed_key_lines),
        ("foreign_secrets_blocks", counters.foreign_secrets_blocks),
        ("secrets_that_contradict", secrets.contradictions),
        ("connections_whose_secrets_were_dropped", secrets.evicted),
    ];
    Moment {
        reason: error.map(|_| Reason::CaptureFileDamaged),
        subject: Some(Subject { file: Some(Text::new(&path.to_string_lossy())), ..Subject::default() }),
        counters: counters.into_iter().filter(|(_, count)| *count > 0).collect(),
        message: error.map(ToString::to_string),
        program: Some(program()),
        ..Moment::default()
    }
}

/// Events as lines, numbered.
struct Lines<W: Write> {
    output: BufWriter<W>,
    sequence: u64,
    buffer: Vec<u8>,
    failed: Option<io::Error>,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, events: Vec<Event>) {
        for mut event in events {
            event.sequence = Count::new(self.sequence);
            self.sequence += 1;
            self.buffer.clear();
            let written = native::render(&event, &mut self.buffer).map_err(io::Error::from);
            let written = written.and_then(|()| self.output.write_all(&self.buffer));
            if let (Err(error), None) = (written, &self.failed) {
                self.failed = Some(error);
            }
        }
    }

    fn finish(mut self) -> io::Result<()> {
        match self.failed.map_or_else(|| self.output.flush(), Err) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::*;

    /// A block of pcapng (draft-ietf-opsawg-pcapng, 3.1).
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(12 + body.len()).unwrap();
        [&kind.to_le_bytes()[..], &len.to_le_bytes(), body, &len.to_le_bytes()].concat()
    }

    #[test]
    fn what_a_capture_gives_twice_is_dropped_once() {
        let keys: String = (0..5)
            .map(|number| {
                format!("CLIENT_RANDOM {} {}\n", format!("{number:02x}").repeat(32), "ab".repeat(48))
            })
            .collect();
        // A section, and a decryption secrets block with a key log of TLS (4.1, 4.7).
        let mut keys = keys.into_bytes();
        let len = u32::try_from(keys.len()).unwrap();
        keys.resize(keys.len().next_multiple_of(4), 0);
        let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
        let secrets = [&0x544c_534b_u32.to_le_bytes()[..], &len.to_le_bytes(), &keys].concat();
        let capture = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(capture.path(), [block(0x0a0d_0d0a, &section), block(10, &secrets)].concat()).unwrap();
        let replay = Replay {
            capture: capture.path().to_path_buf(),
            listen: vec![NonZero::new(443).unwrap()],
            key_logs: Vec::new(),
        };
        let mut output = Vec::new();
        let limits = Limits { connections: 4, age: u64::MAX };
        let config = Config::load(None, crate::config::Overrides::default(), "host").unwrap();
        run_within(limits, &config, &replay, &mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        let stop: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let counters = stop.pointer("/counters").unwrap();
        assert_eq!(counters["secrets"], 5, "{counters}");
        assert_eq!(counters["connections_whose_secrets_were_dropped"], 1, "room for four: {counters}");
    }
}
