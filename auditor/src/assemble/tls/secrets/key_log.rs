//! A key log in the NSS form, line by line, in any pieces (draft-ietf-tls-keylogfile, 2).

use super::{ClientRandom, Label, Secret};

/// What is read of a line. The longest with a meaning here has 31 + 1 + 64 + 1 + 96 bytes.
const MAX_LINE: usize = 512;

/// What the lines were. Every line is in exactly one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Secrets given out.
    pub secrets: u64,
    /// Secrets that protect no records: exporters, ECH, and what later versions add; encrypted premaster secrets.
    pub ignored: u64,
    /// Empty lines and comments.
    pub blank: u64,
    /// Lines that are none of these.
    pub malformed: u64,
    /// The number of the first of them, from 1.
    pub first_malformed: Option<u64>,
}

impl Counts {
    /// Lines that have ended.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.secrets + self.ignored + self.blank + self.malformed
    }

    fn malformed(&mut self) {
        let number = self.lines() + 1;
        self.first_malformed.get_or_insert(number);
        self.malformed += 1;
    }
}

/// A reader of key logs.
#[derive(Debug, Default)]
pub struct KeyLog {
    line: Vec<u8>,
    too_long: bool,
    counts: Counts,
}

impl Drop for KeyLog {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.line);
    }
}

impl KeyLog {
    /// A reader at the start of a line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads on.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut impl FnMut(ClientRandom, Label, Secret)) {
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            let (head, tail) = bytes.split_at(at);
            bytes = tail.get(1..).unwrap_or_default();
            if self.line.is_empty() && !self.too_long {
                self.read(head, out);
            } else {
                self.keep(head);
                self.end_line(out);
            }
        }
        self.keep(bytes);
    }

    /// Reads the last line, if no line feed ended it.
    pub fn finish(&mut self, out: &mut impl FnMut(ClientRandom, Label, Secret)) {
        if !self.line.is_empty() || self.too_long {
            self.end_line(out);
        }
    }

    /// What the lines were.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.line.capacity() == 0 && !bytes.is_empty() {
            // Allocated once: growing would leave copies of secrets behind.
            self.line.reserve_exact(MAX_LINE);
        }
        let room = MAX_LINE - self.line.len();
        self.too_long |= bytes.len() > room;
        self.line.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn end_line(&mut self, out: &mut impl FnMut(ClientRandom, Label, Secret)) {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.too_long) {
            self.read_start(&line);
        } else {
            self.read(&line, out);
        }
        zeroize::Zeroize::zeroize(&mut line);
        self.line = line;
    }

    /// Tells a line that is longer than is read by how it starts: it holds no secret that is known here.
    fn read_start(&mut self, line: &[u8]) {
        let name = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        if line.starts_with(b"#") {
            self.counts.blank += 1;
        } else if is_name(name) && Label::from_name(name).is_none() && name.len() < line.len() {
            self.counts.ignored += 1;
        } else {
            self.counts.malformed();
        }
    }

    fn read(&mut self, line: &[u8], out: &mut impl FnMut(ClientRandom, Label, Secret)) {
        if let Some(start) = line.get(..MAX_LINE).filter(|_| line.len() > MAX_LINE) {
            return self.read_start(start);
        }
        let line = line.trim_ascii_end();
        if line.is_empty() || line.starts_with(b"#") {
            self.counts.blank += 1;
            return;
        }
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(name), Some(random), Some(secret), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            self.counts.malformed();
            return;
        };
        let Some(label) = Label::from_name(name) else {
            if is_name(name) {
                self.counts.ignored += 1;
            } else {
                self.counts.malformed();
            }
            return;
        };
        let (mut client_random, mut bytes) = ([0; 32], [0; 48]);
        let whole = hex(random, &mut client_random) == Some(32);
        let secret = hex(secret, &mut bytes).and_then(|len| Secret::new(bytes.get(..len)?));
        zeroize::Zeroize::zeroize(&mut bytes);
        match secret {
            Some(secret) if whole => {
                self.counts.secrets += 1;
                out(ClientRandom(client_random), label, secret);
            }
            _ => self.counts.malformed(),
        }
    }
}

/// Whether it has the form of a label.
fn is_name(name: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    name.iter().all(fits) && !name.is_empty()
}

/// Reads hexadecimal digits of either case into `out` and tells how many bytes they were.
fn hex(digits: &[u8], out: &mut [u8]) -> Option<usize> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() > out.len() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for ([high, low], byte) in pairs.iter().zip(out) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(pairs.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RANDOM: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    fn read(pieces: &[&[u8]]) -> (Vec<(Label, usize)>, Counts) {
        let (mut log, mut out) = (KeyLog::new(), vec![]);
        let mut take = |random: ClientRandom, label, secret: Secret| {
            assert_eq!(random.0[1], 0x11);
            assert_eq!(random.0[31], 0xff);
            assert!(secret.bytes().iter().all(|byte| *byte == 0xab));
            out.push((label, secret.bytes().len()));
        };
        for piece in pieces {
            log.push(piece, &mut take);
        }
        log.finish(&mut take);
        (out, log.counts())
    }

    fn text() -> String {
        let secret = "ab".repeat(32);
        let long = "ab".repeat(48);
        format!(
            "# SSL/TLS secrets log file, generated by OpenSSL\n\nCLIENT_RANDOM {RANDOM} {long}\r\n\
             SERVER_TRAFFIC_SECRET_0 {RANDOM} {secret}\nEXPORTER_SECRET {RANDOM} {secret}\n\
             RSA 0011223344556677 {long}\nCLIENT_RANDOM {RANDOM}\nCLIENT_RANDOM {RANDOM} {secret}0\n\
             CLIENT_RANDOM {RANDOM} {secret} x\nCLIENT_RANDOM 00 {secret}\n{}\n\
             CLIENT_EARLY_TRAFFIC_SECRET {RANDOM} {secret}",
            "x".repeat(600)
        )
    }

    #[test]
    fn a_log_is_read_in_any_pieces() {
        let text = text();
        let expected = read(&[text.as_bytes()]);
        assert_eq!(
            expected.0,
            [(Label::Master, 48), (Label::ServerApplication, 32), (Label::ClientEarly, 32)]
        );
        let first_malformed = Some(7); // A name and a random value, and no secret.
        assert_eq!(expected.1, Counts { secrets: 3, ignored: 2, blank: 2, malformed: 5, first_malformed });
        for at in 0..text.len() {
            let (one, two) = text.as_bytes().split_at(at);
            assert_eq!(read(&[one, two]), expected, "{at}");
        }
    }

    /// `ECH_CONFIG` holds a whole configuration, a comment anything (draft-ietf-tls-keylogfile, 2).
    #[test]
    fn a_long_line_is_the_same_in_any_pieces() {
        let secret = "ab".repeat(48);
        let text = format!(
            "ECH_CONFIG {RANDOM} {}\n# {}\nCLIENT_RANDOM {RANDOM} {}\nCLIENT_RANDOM {RANDOM} {secret}\n",
            "ab".repeat(300),
            "x".repeat(600),
            "ab".repeat(250),
        );
        let expected = read(&[text.as_bytes()]);
        assert_eq!(expected.0, [(Label::Master, 48)]);
        let first_malformed = Some(3);
        assert_eq!(expected.1, Counts { secrets: 1, ignored: 1, blank: 1, malformed: 1, first_malformed });
        for at in 0..text.len() {
            let (one, two) = text.as_bytes().split_at(at);
            assert_eq!(read(&[one, two]), expected, "{at}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_counted_once(bytes in prop::collection::vec(any::<u8>(), 0..2000), at in 0usize..2000) {
            let (one, two) = bytes.split_at(at.min(bytes.len()));
            let mut log = KeyLog::new();
            log.push(one, &mut |_, _, _| {});
            log.push(two, &mut |_, _, _| {});
            log.finish(&mut |_, _, _| {});
            let counts = log.counts();
            let lines = bytes.split(|byte| *byte == b'\n').count() as u64
                - u64::from(bytes.is_empty() || bytes.ends_with(b"\n"));
            prop_assert_eq!(counts.lines(), lines);
            prop_assert_eq!(counts.first_malformed.is_some(), counts.malformed > 0);
        }
    }
}
