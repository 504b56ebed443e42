//! The HPACK decoder against the header blocks of other encoders (http2jp's hpack-test-case).
//!
//! They are in the shared corpora (`AUDITOR_CORPORA`, or beside the repository). Without them the test says so on stderr and
//! checks nothing.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

use auditor::decode::hpack::{Decoder, Field};
use serde_json::Value;

fn stories() -> Vec<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora");
    let folder = std::env::var_os("AUDITOR_CORPORA").map_or(beside, PathBuf::from).join("hpack");
    let folders = folder.read_dir().into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|folder| folder.read_dir().unwrap());
    let mut stories: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    stories.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    stories.sort();
    stories
}

fn hex(text: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(pair).collect()
}

/// Fields of a case, as `name: value`.
fn expected(case: &Value) -> Vec<String> {
    let fields = case["headers"].as_array().unwrap().iter().flat_map(|field| field.as_object().unwrap());
    fields.map(|(name, value)| format!("{name}: {}", value.as_str().unwrap())).collect()
}

#[test]
fn blocks_of_other_encoders() {
    let stories = stories();
    if stories.is_empty() {
        writeln!(stderr(), "SKIPPED hpack_corpora: no corpora").unwrap();
        return;
    }
    let (mut blocks, mut lossy_fields, mut unknown) = (0, 0, 0);
    for story in &stories {
        let cases: Value = serde_json::from_slice(&std::fs::read(story).unwrap()).unwrap();
        let (mut decoder, mut lossy) = (Decoder::default(), Decoder::default());
        for (number, case) in cases["cases"].as_array().unwrap().iter().enumerate() {
            if let Some(size) = case["header_table_size"].as_u64() {
                let size = Some(u32::try_from(size).unwrap());
                decoder.set_limit(size);
                lossy.set_limit(size);
            }
            let (block, expected) = (hex(case["wire"].as_str().unwrap()), expected(case));
            let mut fields = Vec::new();
            let result = decoder.decode(&block, |field| {
                let Field::Known { name, value } = field else { panic!("{story:?}: nothing was lost") };
                fields.push(format!("{}: {}", str::from_utf8(name).unwrap(), str::from_utf8(value).unwrap()));
            });
            assert_eq!((result, &fields), (Ok(()), &expected), "{story:?} {number}");
            blocks += 1;
            // One that misses every seventh block says the same, or that it does not know.
            if number % 7 == 6 {
                lossy.lose();
                continue;
            }
            let mut at = 0;
            let result = lossy.decode(&block, |field| {
                match field {
                    Field::Known { name, value } => {
                        let seen =
                            format!("{}: {}", str::from_utf8(name).unwrap(), str::from_utf8(value).unwrap());
                        assert_eq!(seen, expected[at], "{story:?} {number}");
                    }
                    Field::Unnamed { value } => {
                        assert!(expected[at].ends_with(str::from_utf8(value).unwrap()), "{story:?} {number}");
                        unknown += 1;
                    }
                    Field::Unknown => unknown += 1,
                }
                at += 1;
            });
            assert_eq!((result, at), (Ok(()), expected.len()), "{story:?} {number}");
            lossy_fields += at;
        }
    }
    writeln!(
        stderr(),
        "{} stories, {blocks} blocks; with losses, {unknown} of {lossy_fields} fields unknown",
        stories.len()
    )
    .unwrap();
    assert!(unknown < lossy_fields / 2);
}
