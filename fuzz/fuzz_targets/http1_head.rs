//! Arbitrary bytes as a head. Where `httparse` accepts a request, so does this, with the same length and the same parts;
//! a head that is read is read again from its own bytes, and every prefix of it is partial.

#![no_main]

use auditor::decode::http1::Limits;
use auditor::decode::http1::head::{Head, Kind, Parsed, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default();
    for kind in [Kind::Request, Kind::Response] {
        if let Ok(Parsed::Whole(head, len)) = parse(kind, input, &limits) {
            assert_eq!(head.raw(), &input[..len]);
            read_everything(&head);
            assert!(
                matches!(parse(kind, &input[..len], &limits), Ok(Parsed::Whole(again, _)) if again == head)
            );
            assert!(matches!(parse(kind, &input[..len - 1], &limits), Ok(Parsed::Partial)));
        }
    }
    let mut storage = [httparse::EMPTY_HEADER; 128];
    let mut oracle = httparse::Request::new(&mut storage);
    if matches!(input.first(), Some(b'\r' | b'\n')) || input.len() > limits.head_bytes {
        return;
    }
    if let Ok(httparse::Status::Complete(len)) = oracle.parse(input) {
        let Ok(Parsed::Whole(head, taken)) = parse(Kind::Request, input, &limits) else {
            panic!("not accepted")
        };
        assert_eq!(taken, len);
        assert_eq!(Some(head.target()), oracle.path.map(str::as_bytes));
        assert_eq!(head.fields().len(), oracle.headers.len());
        for ((name, value), theirs) in head.fields().iter().zip(oracle.headers) {
            assert_eq!((name, &*value), (theirs.name.as_bytes(), theirs.value));
        }
    }
});

fn read_everything(head: &Head) {
    for (name, value) in head.fields().iter() {
        assert!(name.len() + value.len() <= head.raw().len());
    }
    assert!(head.path().len() <= head.raw().len());
    let _ = (head.host_lowercase(), head.query(), head.reason(), head.get("content-length"));
}
