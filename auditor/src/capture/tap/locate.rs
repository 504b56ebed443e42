//! Finds, in the bytes of an ELF file, the functions at which TLS code offers its secrets for key logging.
//!
//! Consumes a file's bytes, produces [`Located`]. Pure; the file is hostile: nothing is executed, every read is checked, and
//! the work is bounded by the file's size (a few passes at memory speed) and by `MAX_` constants (instructions decoded,
//! references followed). Symbols are never needed. OpenSSL and BoringSSL are found by who is called with the label strings
//! (`keylog`), two labels at least having to agree; Go by the name in its table of functions (`go`).

mod code;
mod flow;
mod go;
mod image;
mod keylog;
mod random;

use std::fmt;

use image::Image;

/// Largest file that is looked at. The largest seen is Envoy with 107 MB.
pub const MAX_FILE: u64 = 512 << 20;

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    /// `EM_X86_64`.
    X86_64,
    /// `EM_AARCH64`.
    Arm64,
}

/// Whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Library {
    /// OpenSSL 1.1.1 or later.
    OpenSsl,
    /// BoringSSL, or AWS-LC, which stems from it.
    BoringSsl,
    /// `GnuTLS`.
    GnuTls,
    /// Go's `crypto/tls`.
    Go,
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenSsl => "OpenSSL",
            Self::BoringSsl => "BoringSSL",
            Self::GnuTls => "GnuTLS",
            Self::Go => "Go crypto/tls",
        })
    }
}

/// How the code came into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Linkage {
    /// The file is the library.
    Shared,
    /// The library is a part of the program.
    Static,
}

/// Where, from the function's first argument, the client random lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientRandom {
    /// At an offset in the structure that the argument points to (OpenSSL 3).
    Embedded {
        /// The offset.
        offset: u32,
    },
    /// In a structure of its own (OpenSSL 1.1.1, BoringSSL).
    Behind {
        /// Offset of the pointer to that structure.
        pointer: u32,
        /// Offset in that structure.
        offset: u32,
    },
    /// The function does not show it: a secret is found by trial then.
    Unknown,
}

/// Where the arguments are when the function is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Convention {
    /// `(session, label, secret, secret_len)`, the label a C string, in the first four registers of the machine's C ABI: rdi,
    /// rsi, rdx, rcx; x0 to x3.
    C {
        /// Reached from the first argument.
        client_random: ClientRandom,
    },
    /// `(config, label, clientRandom, secret)` in the registers of Go's internal ABI, a string being two words and a slice
    /// three: rax; rbx, rcx; rdi, rsi, r8; r9, r10, r11 on x86-64, x0 to x8 on arm64.
    Go,
}

impl fmt::Display for Convention {
    /// Which function it is, by what it is called with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::C { client_random: ClientRandom::Unknown } => {
                "key-log function, client random not found in its code"
            }
            Self::C { .. } => "key-log function",
            Self::Go => "(*Config).writeKeyLog",
        })
    }
}

/// A place for a uprobe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct TapPoint {
    /// Offset in the file of the function's first instruction; in Go, of the first behind the look for room on the stack.
    pub offset: u64,
    /// The instruction set.
    pub machine: Machine,
    /// Whose code it is.
    pub library: Library,
    /// How it came into the file.
    pub linkage: Linkage,
    /// Where the arguments are.
    pub convention: Convention,
}

/// Why TLS code, or a file, cannot be tapped.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    thiserror::Error,
)]
#[serde(rename_all = "snake_case")]
pub enum Miss {
    /// Not an ELF file that can be read.
    #[error("the file is not a valid 64-bit little-endian ELF file")]
    NotElf,
    /// An instruction set that is not known.
    #[error("its instruction set (ELF machine {machine}) is not supported")]
    Machine {
        /// `e_machine`.
        machine: u16,
    },
    /// A file beyond [`MAX_FILE`].
    #[error("the file is larger than is looked at")]
    TooLarge,
    /// There is TLS code, but no function that is called with the labels of key logging.
    #[error("it holds TLS code, but no function in it offers secrets for key logging")]
    NoFunction,
    /// What takes a label is no function that two labels lead to and that shows a client random.
    #[error("it holds TLS code, but the function that offers secrets could not be told for certain")]
    OneWitness,
    /// Go before 1.17, which passes arguments on the stack.
    #[error("it was built with a Go that passes arguments on the stack (before 1.17, on arm64 before 1.18)")]
    GoStackArguments,
    /// The table of functions names the function, but not where it is.
    #[error("its table of functions names the function that logs, but where it begins is contradictory")]
    GoTable,
    /// More was found than is looked at.
    #[error("it has more code to look at than the bound allows")]
    TooMuch,
}

/// What was found in a file. Both empty: it holds no TLS code that offers secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Located {
    /// Where to tap.
    pub points: Vec<TapPoint>,
    /// TLS code that cannot be tapped, and why.
    pub misses: Vec<Miss>,
}

/// Looks for TLS code.
#[must_use]
pub fn locate(file: &[u8]) -> Located {
    let mut located = Located::default();
    if file.len() as u64 > MAX_FILE {
        located.misses.push(Miss::TooLarge);
        return located;
    }
    let image = match Image::parse(file) {
        Ok(image) => image,
        Err(miss) => {
            located.misses.push(miss);
            return located;
        }
    };
    for found in [keylog::find(&image), go::find(&image)] {
        match found {
            Ok(points) => located.points.extend(points),
            Err(miss) => located.misses.push(miss),
        }
    }
    if located == Located::default() && keylog::is_tls(&image) {
        located.misses.push(Miss::NoFunction);
    }
    located
}
