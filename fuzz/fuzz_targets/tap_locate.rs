//! The locator takes any bytes: without panic, without hanging, and what it finds lies in the file.
//!
//! Seeds: stripped programs and libraries, small ones.
#![no_main]

use auditor::capture::tap::locate::locate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let located = locate(bytes);
    assert!(located.points.iter().all(|point| point.offset < bytes.len() as u64));
    assert!(located.points.len() <= 8 && located.misses.len() <= 3);
});
