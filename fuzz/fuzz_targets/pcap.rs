//! Any bytes as a capture file: no panic, every packet and byte accounted for, records in a lawful order, the same twice.
#![no_main]

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use auditor::capture::pcap::{Counters, Options, read, secrets};
use auditor::capture::record::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for listen in [vec![], vec![80, 443]] {
        let options = Options { listen, ..Options::default() };
        assert_eq!(run(data, &options), run(data, &options));
    }
});

/// A hash of all records.
fn run(data: &[u8], options: &Options) -> u64 {
    let mut counters = Counters::default();
    let mut open = HashSet::new();
    let mut delivered = 0;
    let mut hash = DefaultHasher::new();
    // The first pass gives the secrets that the second gives, in the same order.
    let mut before = Vec::new();
    secrets(data, &mut |record| {
        let Record::Secret { time: 0, secret } = record else { panic!("{record:?}") };
        before.push((secret.label, secret.client_random, secret.bytes.to_vec()));
    });
    let mut embedded = before.into_iter();
    let _ = read(data, options, &mut counters, &mut |record| {
        match record {
            Record::Opened { id, .. } => assert!(open.insert(id), "opened twice"),
            Record::Segment { id, segment, .. } => {
                assert!(open.contains(&id), "not open");
                assert!(segment.bytes.len() <= segment.len as usize, "more bytes than there were");
                delivered += u64::from(segment.len);
            }
            Record::Closed { id, .. } => assert!(open.remove(&id), "closed, not open"),
            Record::ConnectFailed { id, .. } => assert!(!open.contains(&id), "failed, but open"),
            Record::Secret { secret, .. } => {
                let given = (secret.label, secret.client_random, secret.bytes.to_vec());
                assert_eq!(embedded.next(), Some(given));
            }
            Record::Early { .. } | Record::Translated { .. } => panic!("not from a capture file"),
        }
        format!("{record:?}").hash(&mut hash);
    });
    assert!(open.is_empty(), "never closed");
    assert_eq!(embedded.next(), None);
    assert!(counters.accounted(), "unaccounted: {counters:?}");
    assert_eq!(counters.delivered_bytes, delivered);
    hash.finish()
}
