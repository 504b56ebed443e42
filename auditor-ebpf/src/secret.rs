//! What the key tap writes: the record of a secret, its labels, and how a program is told where a function's arguments are.
//!
//! As in [`crate::abi`]: `repr(C)`, integers only, sizes asserted, any change raises [`crate::abi::VERSION`].

use crate::abi::Header;

/// A secret of a TLS connection. A [`Secret`]; its header has neither cookie nor direction.
pub const KIND_SECRET: u8 = 32;

/// [`Secret::flags`]: `client_random` was read.
pub const HAS_CLIENT_RANDOM: u8 = 1;

/// Longest secret: 48 bytes with SHA-384 and for TLS 1.2, 64 if a suite ever uses SHA-512.
pub const MAX_SECRET: usize = 64;
/// Length of the longest label, and of its final zero.
pub const LABEL_LEN: usize = 32;

/// [`KIND_SECRET`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// The common part.
    pub header: Header,
    /// The random value of the `ClientHello`, which names the connection; zeros where it is not known.
    pub client_random: [u8; 32],
    /// The secret, then zeros.
    pub secret: [u8; MAX_SECRET],
    /// Process (thread group) that has it, as the initial pid namespace numbers it.
    pub pid: u32,
    /// Place in [`LABELS`].
    pub label: u8,
    /// Bytes of the secret.
    pub secret_len: u8,
    /// `HAS_` bits.
    pub flags: u8,
    /// Always zero.
    pub reserved: u8,
}

const _: () = assert!(size_of::<Secret>() == 128);

/// Labels of the NSS key-log form that are copied (draft-ietf-tls-keylogfile).
pub const LABELS: [&str; 6] = [
    "CLIENT_RANDOM",
    "CLIENT_EARLY_TRAFFIC_SECRET",
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
];

/// Labels that are known and not wanted: nothing on the wire is protected with exporter secrets, and what follows a
/// `KeyUpdate` (the numbered ones are OpenSSL's) is derived from what was before (RFC 8446, 7.2).
pub const UNWANTED_LABELS: [&str; 4] =
    ["EXPORTER_SECRET", "EARLY_EXPORTER_SECRET", "CLIENT_TRAFFIC_SECRET_N", "SERVER_TRAFFIC_SECRET_N"];

/// A label as a program compares it: 32 bytes, zeros after its end, as four words.
pub type LabelWords = [u64; LABEL_LEN / 8];

/// A label's words.
///
/// # Panics
/// When the label is longer than [`LABEL_LEN`]: all of them are constants.
#[expect(clippy::indexing_slicing, reason = "evaluated when compiling, for constants")]
#[must_use]
pub const fn label_words(label: &str) -> LabelWords {
    let bytes = label.as_bytes();
    let mut words = [0; LABEL_LEN / 8];
    let mut at = 0;
    while at < bytes.len() {
        words[at / 8] |= (bytes[at] as u64) << (8 * (at % 8));
        at += 1;
    }
    words
}

/// What a program answers for words that are no wanted label.
pub const LABEL_UNWANTED: u8 = 0xfe;
/// What a program answers for words that are no label at all.
pub const LABEL_FOREIGN: u8 = 0xff;

/// The place in [`LABELS`] of a label, or one of the two `LABEL_` answers.
#[inline(always)]
#[must_use]
pub const fn label_code(words: &LabelWords) -> u8 {
    const fn same(a: &LabelWords, label: &str) -> bool {
        let b = label_words(label);
        a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3]
    }
    macro_rules! compare {
        ($labels:ident: $($place:literal)*) => {
            $(if same(words, $labels[$place]) {
                return if const { $labels.len() == LABELS.len() } { $place } else { LABEL_UNWANTED };
            })*
        };
    }
    compare!(LABELS: 0 1 2 3 4 5);
    compare!(UNWANTED_LABELS: 0 1 2 3);
    LABEL_FOREIGN
}

/// Where a function's arguments are, packed into the cookie of its probe (`bpf_get_attach_cookie`).
///
/// Bits 56 to 63: one of the `FORM_` constants; 28 to 55: offset of a pointer; 0 to 27: offset of the client random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// One of the `FORM_` constants.
    pub form: u8,
    /// For [`FORM_C_BEHIND`]: offset, from the first argument, of the pointer to the structure with the client random.
    pub pointer: u32,
    /// Offset of the client random in its structure.
    pub offset: u32,
}

/// C; the client random is not known.
pub const FORM_C: u8 = 1;
/// C; the client random lies in the structure that the first argument points to.
pub const FORM_C_EMBEDDED: u8 = 2;
/// C; it lies in a structure that the first argument's structure points to.
pub const FORM_C_BEHIND: u8 = 3;
/// Go.
pub const FORM_GO: u8 = 4;

const OFFSET_BITS: u32 = 28;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;

impl Layout {
    /// Into a cookie. Offsets of 2^28 or more do not occur, and are cut.
    #[must_use]
    pub const fn pack(self) -> u64 {
        (self.form as u64) << 56
            | (self.pointer as u64 & OFFSET_MASK) << OFFSET_BITS
            | (self.offset as u64 & OFFSET_MASK)
    }

    /// Out of a cookie.
    #[inline(always)]
    #[must_use]
    pub const fn unpack(cookie: u64) -> Self {
        Self {
            form: (cookie >> 56) as u8,
            pointer: ((cookie >> OFFSET_BITS) & OFFSET_MASK) as u32,
            offset: (cookie & OFFSET_MASK) as u32,
        }
    }
}
