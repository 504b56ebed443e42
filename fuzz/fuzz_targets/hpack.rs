//! Arbitrary header blocks, some of which one decoder misses: it says of each field what the other says, or that it does
//! not know.

#![no_main]

use auditor::decode::hpack::{Decoder, Error, Field, TABLE_BYTES};
use libfuzzer_sys::fuzz_target;

type Owned = (Option<Vec<u8>>, Option<Vec<u8>>);

fn decode(decoder: &mut Decoder, block: &[u8]) -> (Result<(), Error>, Vec<Owned>) {
    let mut fields = Vec::new();
    let result = decoder.decode(block, |field| {
        fields.push(match field {
            Field::Known { name, value } => (Some(name.to_vec()), Some(value.to_vec())),
            Field::Unnamed { value } => (None, Some(value.to_vec())),
            Field::Unknown => (None, None),
        });
    });
    (result, fields)
}

fuzz_target!(|input: (Option<u32>, Vec<(bool, Vec<u8>)>)| {
    let (limit, blocks) = input;
    let (mut whole, mut lossy) = (Decoder::default(), Decoder::default());
    whole.set_limit(limit);
    lossy.set_limit(limit);
    for (missed, block) in &blocks {
        let (result, fields) = decode(&mut whole, block);
        assert!(whole.table_bytes() <= TABLE_BYTES);
        if result.is_err() {
            return;
        }
        if *missed {
            lossy.lose();
            continue;
        }
        let (seen, partial) = decode(&mut lossy, block);
        assert_eq!((seen, partial.len()), (Ok(()), fields.len()));
        for ((name, value), (true_name, true_value)) in partial.iter().zip(&fields) {
            assert!(name.is_none() || true_name.is_none() || name == true_name);
            assert!(value.is_none() || true_value.is_none() || value == true_value);
        }
    }
});
