//! RFC 7541's own examples, blocks that are wrong, and tables of which a part is lost.

use proptest::prelude::*;

use super::reader::Reader;
use super::{Decoder, Error, Field, TABLE_BYTES, huffman};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|digit| !digit.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

/// `name: value`, with `?` for what is not known.
fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<String>, Error> {
    let mut fields = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    decoder.decode(block, |field| {
        fields.push(match field {
            Field::Known { name, value } => format!("{}: {}", text(name), text(value)),
            Field::Unnamed { value } => format!("?: {}", text(value)),
            Field::Unknown => "?: ?".to_owned(),
        });
    })?;
    Ok(fields)
}

#[track_caller]
fn check(decoder: &mut Decoder, block: &str, expected: &[&str], table: usize) {
    assert_eq!(decode(decoder, &hex(block)).unwrap(), expected, "{block}");
    assert_eq!(decoder.table_bytes(), table, "{block}");
}

#[test]
fn appendix_c_2_single_fields() {
    let new = Decoder::default;
    let custom = "400a637573746f6d2d6b65790d637573746f6d2d686561646572";
    check(&mut new(), custom, &["custom-key: custom-header"], 55);
    check(&mut new(), "040c2f73616d706c652f70617468", &[":path: /sample/path"], 0);
    check(&mut new(), "100870617373776f726406736563726574", &["password: secret"], 0);
    check(&mut new(), "82", &[":method: GET"], 0);
}

#[test]
fn appendix_c_3_and_4_requests() {
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    let coded = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    for [first, second, third] in [plain, coded] {
        let mut decoder = Decoder::default();
        let authority = ":authority: www.example.com";
        check(&mut decoder, first, &[":method: GET", ":scheme: http", ":path: /", authority], 57);
        let cached = [":method: GET", ":scheme: http", ":path: /", authority, "cache-control: no-cache"];
        check(&mut decoder, second, &cached, 110);
        let custom =
            [":method: GET", ":scheme: https", ":path: /index.html", authority, "custom-key: custom-value"];
        check(&mut decoder, third, &custom, 164);
    }
}

#[test]
fn appendix_c_5_and_6_responses_that_evict() {
    let plain = [
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54\
         6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        "4803333037c1c0bf",
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d\
         4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b20766572\
         73696f6e3d31",
    ];
    let coded = [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b\
         97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdf\
         cd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ];
    for [first, second, third] in [plain, coded] {
        let mut decoder = Decoder::default();
        decoder.table.resize(256).unwrap();
        let location = "location: https://www.example.com";
        let at = |second: u8| format!("date: Mon, 21 Oct 2013 20:13:{second} GMT");
        let private = "cache-control: private";
        check(&mut decoder, first, &[":status: 302", private, &at(21), location], 222);
        check(&mut decoder, second, &[":status: 307", private, &at(21), location], 222);
        let cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
        let all = [":status: 200", private, &at(22), location, "content-encoding: gzip", cookie];
        check(&mut decoder, third, &all, 215);
    }
}

#[test]
fn integers() {
    let check = |bytes: &str, prefix, expected| {
        assert_eq!(Reader::new(&hex(bytes)).integer(prefix), expected, "{bytes}");
    };
    // Appendix C.1.
    check("0a", 5, Ok(10));
    check("1f9a0a", 5, Ok(1337));
    check("7fab7f", 7, Ok(127 + 43 + 127 * 128));
    check("ff80ffffff0f", 7, Ok(u32::MAX));
    check("ff81ffffff0f", 7, Err(Error::Integer));
    check("1fffffffffff00", 5, Err(Error::Integer));
    check("1f8080808000", 5, Ok(31));
    check("1f808080808000", 5, Err(Error::Integer));
    check("1f80", 5, Err(Error::Truncated));
    check("1f", 5, Err(Error::Truncated));
    check("", 5, Err(Error::Truncated));
}

#[test]
fn codes_that_are_wrong() {
    let check = |bytes: &str, expected: Result<&str, Error>| {
        let mut out = Vec::new();
        let result = huffman::decode(&hex(bytes), &mut out).map(|()| String::from_utf8(out).unwrap());
        assert_eq!(result.as_deref().map_err(|error| *error), expected, "{bytes}");
    };
    check("", Ok(""));
    check("1f", Ok("a"));
    check("f1e3c2e5f23a6ba0ab90f4ff", Ok("www.example.com"));
    // Padding of 8 bits and more, padding that is not ones, and the code of the end.
    check("ff", Err(Error::Huffman));
    check("1fff", Err(Error::Huffman));
    check("1e", Err(Error::Huffman));
    check("18", Err(Error::Huffman));
    check("fffffffc", Err(Error::Huffman));
    check("ffffffff", Err(Error::Huffman));
    check("1fffffffff", Err(Error::Huffman));
}

#[test]
fn blocks_that_are_wrong() {
    let check = |block: &str, expected: Error| {
        let mut decoder = Decoder::default();
        assert_eq!(decode(&mut decoder, &hex(block)), Err(expected), "{block}");
    };
    check("80", Error::Index);
    check("be", Error::Index);
    check("ff80ffffff0f", Error::Index);
    check("7f80010161", Error::Index);
    check("ff81ffffff0f", Error::Integer);
    check("40", Error::Truncated);
    check("4001", Error::Truncated);
    check("400161", Error::Truncated);
    check("40016103", Error::Truncated);
    check("007fffffffff07", Error::Truncated);
    check("008261", Error::Truncated);
    check("0082ffff0161", Error::Huffman);
    // 4097 where 4096 is allowed, and 2^32.
    check("3fe21f", Error::TableSize);
    check("3fe0ffffff0f", Error::TableSize);
    check("3fe1ffffff0f", Error::Integer);
    check("8220", Error::LateTableSize);
    assert_eq!(decode(&mut Decoder::default(), &hex("203fe11f82")).unwrap(), [":method: GET"]);
}

#[test]
fn a_table_of_no_bytes_holds_nothing() {
    let mut decoder = Decoder::default();
    check(&mut decoder, "20400161016240016301644001650166", &["a: b", "c: d", "e: f"], 0);
    assert_eq!(decode(&mut decoder, &hex("be")), Err(Error::Index));
}

#[test]
fn what_the_settings_allow() {
    let mut decoder = Decoder::default();
    decoder.set_limit(Some(100));
    assert_eq!(decode(&mut decoder, &hex("3f46")), Err(Error::TableSize));
    check(&mut decoder, "3f45", &[], 0);
    decoder.set_limit(None);
    check(&mut decoder, "3fe1ffff07", &[], 0);
}

#[test]
fn entries_after_a_loss_are_known_and_those_before_are_not() {
    let mut decoder = Decoder::default();
    check(&mut decoder, "4001610162", &["a: b"], 34);
    decoder.lose();
    check(&mut decoder, "be82", &["?: ?", ":method: GET"], 0);
    // Inserted since; by the name of an entry that is lost; and the lost one again, now two places older.
    check(&mut decoder, "4001630164", &["c: d"], 34);
    check(&mut decoder, "7f000165", &["?: e"], 67);
    check(&mut decoder, "bebfc0", &["?: e", "c: d", "?: ?"], 67);
    // 4096 bytes hold at most 128 entries: 62 and 127 places behind it; two are known and count 67.
    check(&mut decoder, "ff3c", &["?: ?"], 67);
    assert_eq!(decode(&mut decoder, &hex("ff40")), Err(Error::Index));
}

#[test]
fn a_lost_table_is_known_again_when_it_is_full() {
    let mut decoder = Decoder::default();
    decoder.lose();
    assert!(decoder.is_lost());
    // 41 entries of 100 bytes do not fit: the oldest makes room, so all are known.
    let entry = [&hex("4001617f00"), &[b'x'; 127][..]].concat();
    for known in 1..=25 {
        decode(&mut decoder, &entry).unwrap();
        assert_eq!((decoder.table_bytes(), decoder.is_lost()), (160 * known, true));
    }
    let rest = [&hex("40016112"), &[b'x'; 18][..]].concat();
    decode(&mut decoder, &rest).unwrap();
    assert_eq!((decoder.table_bytes(), decoder.is_lost()), (4051, true));
    let rest = [&hex("40016000"), &[][..]].concat();
    decode(&mut decoder, &rest).unwrap();
    assert_eq!((decoder.table_bytes(), decoder.is_lost()), (4084, false));
    // A smaller table says the same.
    decoder.lose();
    check(&mut decoder, "3f01", &[], 0);
    assert!(decoder.is_lost());
    check(&mut decoder, "3e", &[], 0);
    assert!(!decoder.is_lost());
}

#[test]
fn a_table_larger_than_what_is_remembered_is_known_in_its_newest_part() {
    let mut decoder = Decoder::default();
    decoder.set_limit(Some(1 << 20));
    decode(&mut decoder, &hex("3fe1ff3f")).unwrap();
    let value = [b'x'; 1000];
    let entry = |name: &str| [&hex("4001"), name.as_bytes(), &hex("7fe906"), &value[..]].concat();
    for _ in 0..70 {
        decode(&mut decoder, &entry("a")).unwrap();
    }
    assert!(decoder.table_bytes() <= TABLE_BYTES && decoder.is_lost());
    decode(&mut decoder, &entry("b")).unwrap();
    assert!(decode(&mut decoder, &hex("be")).unwrap()[0].starts_with("b: xxx"));
    assert_eq!(decode(&mut decoder, &hex("ff07")).unwrap(), ["?: ?"]);
    // One that is too large to be remembered is in the encoder's table all the same.
    let huge = [&hex("4001617f81ff03"), &[b'y'; 65_536][..]].concat();
    decode(&mut decoder, &huge).unwrap();
    assert_eq!(decode(&mut decoder, &hex("be")).unwrap(), ["?: ?"]);
    decode(&mut decoder, &entry("c")).unwrap();
    assert!(decode(&mut decoder, &hex("be")).unwrap()[0].starts_with("c: xxx"));
    assert_eq!(decode(&mut decoder, &hex("bf")).unwrap(), ["?: ?"]);
}

/// A step of a made-up encoder: what it emits, and whether it adds it to its table.
#[derive(Clone, Debug)]
enum Step {
    Insert { name: u8, len: usize },
    InsertByName { index: usize, len: usize },
    Refer { index: usize },
    Resize { bytes: u32 },
}

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = prop_oneof![
        4 => (0u8..20, 0usize..60).prop_map(|(name, len)| Step::Insert { name, len }),
        2 => (0usize..40, 0usize..60).prop_map(|(index, len)| Step::InsertByName { index, len }),
        4 => (0usize..40).prop_map(|index| Step::Refer { index }),
    ];
    let resize = prop::option::of((0u32..600).prop_map(|bytes| Step::Resize { bytes }));
    let block = (resize, prop::collection::vec(step, 0..8))
        .prop_map(|(resize, steps)| resize.into_iter().chain(steps).collect());
    prop::collection::vec(block, 1..40)
}

fn integer(out: &mut Vec<u8>, first: u8, prefix: u32, value: usize) {
    let octet = |value: usize| u8::try_from(value).unwrap();
    let mask = (1usize << prefix) - 1;
    if value < mask {
        out.push(first | octet(value));
        return;
    }
    out.push(first | octet(mask));
    let mut rest = value - mask;
    while rest >= 128 {
        out.push(0x80 | octet(rest % 128));
        rest /= 128;
    }
    out.push(octet(rest));
}

proptest! {
    /// A decoder that missed blocks says of each field what one that missed none says, or that it does not know.
    #[test]
    fn what_is_lost_is_never_guessed(blocks in steps(), missed in prop::collection::vec(any::<bool>(), 40)) {
        let (mut whole, mut lossy) = (Decoder::default(), Decoder::default());
        let mut serial = 0;
        let mut entries: Vec<usize> = Vec::new();
        let mut size = 4096usize;
        for (block, missed) in blocks.iter().zip(missed) {
            let mut bytes = Vec::new();
            for step in block {
                serial += 1;
                let value = |len: usize| format!("{serial:03}{}", "v".repeat(len));
                // The table as RFC 7541, 4, has it: sizes, newest first.
                match step {
                    Step::Insert { name, len } => {
                        let (name, value) = (format!("n{name}"), value(*len));
                        integer(&mut bytes, 0x40, 6, 0);
                        integer(&mut bytes, 0, 7, name.len());
                        bytes.extend(name.bytes());
                        integer(&mut bytes, 0, 7, value.len());
                        bytes.extend(value.bytes());
                        entries.insert(0, name.len() + value.len() + 32);
                    }
                    Step::InsertByName { index, len } => {
                        let Some(_) = entries.get(*index) else { continue };
                        let value = value(*len);
                        integer(&mut bytes, 0x40, 6, 62 + index);
                        integer(&mut bytes, 0, 7, value.len());
                        bytes.extend(value.bytes());
                        // Its name is one of those above: its length is in what the decoder says below.
                        entries.insert(0, 0);
                    }
                    Step::Refer { index } => {
                        if entries.get(*index).is_some() {
                            integer(&mut bytes, 0x80, 7, 62 + index);
                        }
                        continue;
                    }
                    Step::Resize { bytes: to } => {
                        size = *to as usize;
                        integer(&mut bytes, 0x20, 5, size);
                    }
                }
                let decoded = decode(&mut whole, &bytes).unwrap();
                if entries.first() == Some(&0) {
                    entries[0] = decoded.last().unwrap().len() - 2 + 32;
                }
                while entries.iter().sum::<usize>() > size {
                    entries.pop();
                }
                prop_assert_eq!(whole.table_bytes(), entries.iter().sum::<usize>());
                check_lossy(&mut lossy, &bytes, &decoded, missed)?;
                bytes.clear();
            }
            if !bytes.is_empty() {
                let decoded = decode(&mut whole, &bytes).unwrap();
                check_lossy(&mut lossy, &bytes, &decoded, missed)?;
            }
            prop_assert!(!whole.is_lost());
        }
    }

    #[test]
    fn arbitrary_blocks_are_taken_or_refused(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..9)) {
        let mut decoder = Decoder::default();
        for block in blocks {
            let _ = decode(&mut decoder, &block);
            prop_assert!(decoder.table_bytes() <= 4096);
        }
    }
}

fn check_lossy(
    lossy: &mut Decoder,
    bytes: &[u8],
    expected: &[String],
    missed: bool,
) -> Result<(), TestCaseError> {
    if missed {
        lossy.lose();
        return Ok(());
    }
    let decoded = decode(lossy, bytes).unwrap();
    prop_assert_eq!(decoded.len(), expected.len());
    for (seen, expected) in decoded.iter().zip(expected) {
        let right = seen == "?: ?"
            || seen == expected
            || seen.strip_prefix("?: ").is_some_and(|value| expected.split_once(": ").unwrap().1 == value);
        prop_assert!(right, "{} is not {}", seen, expected);
    }
    Ok(())
}
