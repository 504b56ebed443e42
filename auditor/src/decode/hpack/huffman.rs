//! Huffman's code of RFC 7541, appendix B.
//!
//! The code is canonical: within a length, codes are consecutive and in the order of their symbols. So the lengths say all,
//! and the tables are made from them when this is compiled.

use super::Error;

/// The symbol that ends a string and never stands in one.
const EOS: u16 = 256;
/// The longest code.
const LONGEST: usize = 30;
/// Bits that are looked up at once; the codes of nearly all that stands in fields are no longer.
const FAST: usize = 9;

/// How long the code of each symbol is; the last is [`EOS`].
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// Codes of one length.
#[derive(Clone, Copy)]
struct Group {
    /// The first of them, in the low bits.
    first: u32,
    /// Behind the last of them, at the upper end of 32 bits.
    end: u64,
    /// Where in [`Tables::symbols`] the first one's symbol is.
    at: usize,
}

struct Tables {
    /// Symbols by length, and within a length by value.
    symbols: [u16; 257],
    /// By length.
    groups: [Group; LONGEST + 1],
    /// By the next bits: the symbol and its length; length 0: longer than [`FAST`].
    fast: [(u16, u8); 1 << FAST],
}

static TABLES: Tables = build();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler: beyond the end is an error of the build"
)]
#[expect(clippy::cast_possible_truncation, reason = "symbols are below 257 and lengths below 31")]
const fn build() -> Tables {
    let mut symbols = [0u16; 257];
    let mut groups = [Group { first: 0, end: 0, at: 0 }; LONGEST + 1];
    let mut fast = [(0u16, 0u8); 1 << FAST];
    let (mut code, mut at, mut length) = (0u64, 0, 1);
    while length <= LONGEST {
        code <<= 1;
        groups[length].first = code as u32;
        groups[length].at = at;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                symbols[at] = symbol as u16;
                at += 1;
                if length <= FAST {
                    let base = (code as usize) << (FAST - length);
                    let mut low = 0;
                    while low < 1 << (FAST - length) {
                        fast[base + low] = (symbol as u16, length as u8);
                        low += 1;
                    }
                }
                code += 1;
            }
            symbol += 1;
        }
        groups[length].end = code << (32 - length);
        length += 1;
    }
    // A complete code: nothing is left over behind the last one.
    assert!(code == 1 << LONGEST);
    Tables { symbols, groups, fast }
}

/// Decodes a string and adds it to `out`.
pub(super) fn decode(text: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    // The shortest codes take 5 bits.
    out.reserve(text.len().saturating_mul(8) / 5);
    let mut rest = text;
    // The next bits stand at the upper end, with ones below them, as the padding has.
    let (mut window, mut bits) = (u64::MAX, 0usize);
    loop {
        if let Some((chunk, behind)) = rest.split_first_chunk::<4>()
            && bits <= 32
        {
            window = put(window, bits, u32::from_be_bytes(*chunk).into(), 32);
            (rest, bits) = (behind, bits + 32);
        } else {
            while bits <= 56
                && let Some((byte, behind)) = rest.split_first()
            {
                window = put(window, bits, (*byte).into(), 8);
                (rest, bits) = (behind, bits + 8);
            }
        }
        let (symbol, length) = next(window);
        if length > bits {
            // 5.2: fewer than 8 bits of ones.
            return if bits < 8 && window == u64::MAX { Ok(()) } else { Err(Error::Huffman) };
        }
        out.push(u8::try_from(symbol).map_err(|_| Error::Huffman)?);
        window = (window << length) | ((1 << length) - 1);
        bits -= length;
    }
}

/// Writes the low `count` bits of `value` below the first `bits` of the window; `bits + count` is at most 64.
fn put(window: u64, bits: usize, value: u64, count: usize) -> u64 {
    let shift = 64 - bits - count;
    let ones = (1u64 << count) - 1;
    window & !((ones & !value) << shift)
}

/// The symbol that the window starts with, and how long its code is.
fn next(window: u64) -> (u16, usize) {
    let top = usize::try_from(window >> (64 - FAST)).unwrap_or(0);
    if let Some((symbol, length @ 1..)) = TABLES.fast.get(top) {
        return (*symbol, usize::from(*length));
    }
    let head = window >> 32;
    for (length, group) in TABLES.groups.iter().enumerate().skip(FAST + 1) {
        if head < group.end {
            let index = (head >> (32 - length)) - u64::from(group.first);
            let symbol = usize::try_from(index).ok().and_then(|index| TABLES.symbols.get(group.at + index));
            return (symbol.copied().unwrap_or(EOS), length);
        }
    }
    (EOS, LONGEST)
}
