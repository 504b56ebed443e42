//! Arbitrary pieces and records of both directions, some of them well formed and well encrypted. Every byte is counted once,
//! what is held is bounded, and nothing comes out after an end.

#![no_main]

use auditor::assemble::tls::context::{Context, Limits};
use auditor::assemble::tls::secrets::store::SecretStore;
use auditor::assemble::tls::secrets::{ClientRandom, Label, Secret};
use auditor::assemble::tls::{Sink, Tls};
use auditor::assemble::{Absence, Piece};
use auditor::capture::record::{Direction, Nanos};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Step {
    Data { client: bool, bytes: Vec<u8> },
    Record { client: bool, content: u8, bytes: Vec<u8>, cut: u8 },
    Message { client: bool, kind: u8, bytes: Vec<u8> },
    Hello { client: bool, retry: bool, tls13: bool, suite: u8, early: bool },
    /// A record of a trace of RFC 8448.
    Trace { which: u8 },
    Hole { client: bool, len: u16, lost: bool },
    Fin { client: bool },
    Reset { client: bool },
    Secret { label: u8, byte: u8, long: bool, named: bool },
    Trace8448Secrets,
    Expire,
    Forget { client: bool },
    Needed { client: bool, offset: u16 },
}

const TRACES: &str = include_str!("../../auditor/src/assemble/tls/tests/rfc8448.txt");

#[derive(Default)]
struct Taken {
    plain: [u64; 2],
    ended: [bool; 2],
    reset: [bool; 2],
    needed: [u64; 2],
}

impl Sink for Taken {
    fn piece(&mut self, direction: Direction, piece: Piece<'_>, _: Nanos) {
        let side = direction as usize;
        assert!(!self.ended[side] || piece == Piece::Reset);
        match piece {
            Piece::Data(bytes) => {
                assert!(!bytes.is_empty());
                self.plain[side] += bytes.len() as u64;
            }
            Piece::Hole { len, .. } => {
                assert!(len > 0);
                self.plain[side] += len;
            }
            Piece::Fin => self.ended[side] = true,
            Piece::Reset => {
                self.ended[side] = true;
                self.reset[side] = true;
            }
        }
    }

    fn lost(&mut self, direction: Direction, offset: u64, _: Nanos) {
        assert_eq!(self.plain[direction as usize], offset);
    }

    fn needed(&self, direction: Direction) -> u64 {
        self.needed[direction as usize]
    }
}

fn record(content: u8, bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let mut record = vec![content, 3, 3];
    record.extend(len.to_be_bytes());
    record.extend(&bytes[..usize::from(len)]);
    record
}

fn message(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes().to_vec();
    message[0] = kind;
    message.extend(bytes);
    record(22, &message)
}

fn hello(client: bool, retry: bool, tls13: bool, suite: u8, early: bool) -> Vec<u8> {
    let suite = [[0x13, 1], [0x13, 3], [0xc0, 0x2f], [0xcc, 0xa8], [0xc0, 0x13]][usize::from(suite % 5)];
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(0);
    let mut extensions = vec![];
    if client {
        body.extend([0, 2, suite[0], suite[1], 1, 0]);
        if early {
            extensions.extend([0, 42, 0, 0]);
        }
    } else {
        body.extend([suite[0], suite[1], 0]);
        if tls13 {
            extensions.extend([0, 43, 0, 2, 3, 4]);
        }
        if early {
            extensions.extend([0, 41, 0, 2, 0, 0]);
        }
        if retry {
            body[2..34].copy_from_slice(&[
                0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
                0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
            ]);
        }
    }
    body.extend(u16::try_from(extensions.len()).unwrap_or(0).to_be_bytes());
    body.extend(extensions);
    message(if client { 1 } else { 2 }, &body)
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fuzz_target!(|input: (bool, Vec<Step>)| {
    let (small, steps) = input;
    let limits = if small {
        Limits { held_bytes: 200, age: 3, message_bytes: 100, trials: 3, ..Limits::default() }
    } else {
        Limits::default()
    };
    let mut cx = Context::new(limits, SecretStore::default());
    let mut tls = Tls::new(Direction::Ingress);
    let (mut taken, mut fed) = (Taken::default(), [0u64; 2]);
    for (time, step) in (0u64..).zip(&steps) {
        let way = |client: bool| if client { Direction::Ingress } else { Direction::Egress };
        let (direction, bytes) = match step {
            Step::Data { client, bytes } => (way(*client), bytes.clone()),
            Step::Record { client, content, bytes, cut } => {
                let mut record = record(20 + content % 5, bytes);
                record.truncate(record.len() - usize::from(*cut % 4).min(record.len()));
                (way(*client), record)
            }
            Step::Message { client, kind, bytes } => (way(*client), message(*kind, bytes)),
            Step::Hello { client, retry, tls13, suite, early } => {
                (way(*client), hello(*client, *retry, *tls13, *suite, *early))
            }
            Step::Trace { which } => {
                let mut lines = TRACES.lines().filter(|line| line.starts_with("client") || line.starts_with("server"));
                let Some((who, text)) = lines.nth(usize::from(*which)).and_then(|line| line.split_once(' ')) else {
                    continue;
                };
                (way(who == "client"), hex(text))
            }
            Step::Hole { client, len, lost } if *len > 0 => {
                let reason = if *lost { Absence::Lost } else { Absence::Unwanted };
                let direction = way(*client);
                if taken.reset[direction as usize] {
                    continue;
                }
                fed[direction as usize] += u64::from(*len);
                let hole = Piece::Hole { len: u64::from(*len), reason };
                tls.feed(&mut cx, direction, hole, time, &mut taken);
                balance(&tls, fed, &taken, &limits);
                continue;
            }
            Step::Hole { .. } => continue,
            Step::Fin { client } => {
                tls.feed(&mut cx, way(*client), Piece::Fin, time, &mut taken);
                continue;
            }
            Step::Reset { client } => {
                tls.feed(&mut cx, way(*client), Piece::Reset, time, &mut taken);
                continue;
            }
            Step::Secret { label, byte, long, named } => {
                let label = Label::ALL[usize::from(*label) % Label::ALL.len()];
                let secret = vec![*byte; if *long { 48 } else { 32 }];
                let random = named.then_some(ClientRandom([7; 32]));
                if let Some(secret) = Secret::new(&secret) {
                    cx.secrets.insert(random, label, secret, time);
                }
                tls.secrets_arrived(&mut cx, time, &mut taken);
                continue;
            }
            Step::Trace8448Secrets => {
                let mut log = auditor::assemble::tls::secrets::key_log::KeyLog::new();
                let mut found = vec![];
                log.push(TRACES.as_bytes(), &mut |random, label, secret| found.push((random, label, secret)));
                for (random, label, secret) in found {
                    cx.secrets.insert(Some(random), label, secret, time);
                }
                tls.secrets_arrived(&mut cx, time, &mut taken);
                continue;
            }
            Step::Expire => {
                tls.expire(&mut cx, time, &mut taken);
                continue;
            }
            Step::Forget { client } => {
                tls.forget(&mut cx, way(*client), time, &mut taken);
                continue;
            }
            Step::Needed { client, offset } => {
                taken.needed[way(*client) as usize] = u64::from(*offset);
                continue;
            }
        };
        if !bytes.is_empty() {
            fed[direction as usize] += bytes.len() as u64;
            tls.feed(&mut cx, direction, Piece::Data(&bytes), time, &mut taken);
        }
        balance(&tls, fed, &taken, &limits);
    }
    tls.finish(&mut cx, u64::MAX, &mut taken);
    balance(&tls, fed, &taken, &limits);
    assert!(!tls.is_waiting(Direction::Ingress) && !tls.is_waiting(Direction::Egress));
    let troubles = tls.take_trouble();
    for direction in [Direction::Ingress, Direction::Egress] {
        assert_eq!(tls.pending(direction), 0);
        let told: u64 = troubles.iter().filter(|it| it.direction == direction).map(|it| it.bytes).sum();
        assert!(told <= fed[direction as usize]);
    }
});

fn balance(tls: &Tls, fed: [u64; 2], taken: &Taken, limits: &Limits) {
    for direction in [Direction::Ingress, Direction::Egress] {
        let side = direction as usize;
        assert_eq!(tls.counts(direction).total() + tls.pending(direction), fed[side]);
        assert_eq!(tls.plaintext_offset(direction), taken.plain[side]);
        if let Some(needed) = tls.needed(direction, tls.plaintext_offset(direction)) {
            assert!(needed >= tls.counts(direction).total());
        }
    }
    // What is held back, a record, and a message, in both directions; vectors may have grown to twice their length.
    assert!(tls.held_bytes() <= 2 * (limits.held_bytes + (17 << 10) + 2 * limits.message_bytes + (64 << 10)));
    assert!(tls.facts().alerts.len() <= 8 && tls.facts().protocols.len() <= 16);
}
