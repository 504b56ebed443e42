//! Tests of headers: tables from the specification, what real proxies send, every split.

mod captured;
mod preamble;
mod tables;

use super::{Header, Parser, Progress, Refused};

/// Reads the header that `bytes` begin with, given at once; and what is left.
fn read(bytes: &[u8]) -> Result<(Header, &[u8]), Option<Refused>> {
    let mut parser = Parser::default();
    match parser.push(bytes) {
        Ok(Progress::Whole(header, taken)) => Ok((*header, &bytes[taken..])),
        Ok(Progress::Incomplete) => Err(None),
        Err(refused) => Err(Some(refused)),
    }
}

/// Reads it in two pieces, at every place, and byte by byte; the result must always be the same.
#[track_caller]
fn in_every_split(bytes: &[u8]) -> Result<(Header, &[u8]), Option<Refused>> {
    let whole = read(bytes);
    let pairs = (0..=bytes.len()).map(|at| bytes.split_at(at)).map(|(a, b)| vec![a, b]);
    for pieces in pairs.chain([bytes.chunks(1).collect()]) {
        let lens: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
        let (mut parser, mut before) = (Parser::default(), 0);
        let mut split = Err(None);
        for piece in pieces {
            match parser.push(piece) {
                Ok(Progress::Incomplete) => before += piece.len(),
                Ok(Progress::Whole(header, taken)) => {
                    split = Ok((*header, &bytes[before + taken..]));
                    break;
                }
                Err(refused) => {
                    assert_eq!(parser.held(), &bytes[..before], "what is to be read again");
                    split = Err(Some(refused));
                    break;
                }
            }
        }
        assert_eq!(split, whole, "pieces of {lens:?}");
    }
    whole
}

/// A header of version 2 with these bytes behind the fixed part.
fn two(how: u8, over: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[how, over][..], &length, rest].concat()
}

/// 192.0.2.1:258 to 198.51.100.2:443, as an address block.
const INET: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 1, 2, 1, 187];

/// A TLV.
fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind][..], &length, value].concat()
}
