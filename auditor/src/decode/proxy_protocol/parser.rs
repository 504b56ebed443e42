//! Reads one header from bytes that come in any split.

use super::tlv::Reader;
use super::v2::{self, Start};
use super::{Defect, Header, v1};

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All bytes were taken, and more are needed.
    Incomplete,
    /// The header is complete; so many of the bytes given last are its own.
    Whole(Box<Header>, usize),
}

/// Why there is no header. Nothing of the bytes given last is taken; [`Parser::held`] has those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The stream begins with something else.
    #[error("no header of the PROXY protocol")]
    Absent,
    /// It begins as a header does, and where that would end is not certain.
    #[error("a malformed header of the PROXY protocol")]
    Malformed,
}

/// What the bytes up to the addresses are.
#[derive(Debug)]
pub(super) enum Judged {
    /// Not known before there are so many.
    More(usize),
    /// All of a header.
    Whole(Header),
    /// Of version 2, up to the addresses, and its length.
    Start(Box<Start>),
}

/// The reader of one header.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    held: Vec<u8>,
    body: Option<Box<Body>>,
}

/// Behind the addresses of version 2.
#[derive(Clone, Debug)]
struct Body {
    header: Header,
    left: usize,
    /// None where what follows has no known form.
    tlvs: Option<Reader>,
}

impl Parser {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// They are no header.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Progress, Refused> {
        let before = self.held.len();
        let mut taken = 0;
        while self.body.is_none() {
            let judged = judge(&self.held).inspect_err(|_| self.held.truncate(before))?;
            match judged {
                Judged::Whole(header) => {
                    let len = usize::try_from(header.len).unwrap_or(usize::MAX);
                    return Ok(Progress::Whole(Box::new(header), len.saturating_sub(before)));
                }
                Judged::More(total) => {
                    let rest = bytes.get(taken..).unwrap_or_default();
                    if rest.is_empty() {
                        return Ok(Progress::Incomplete);
                    }
                    let now = rest.get(..total.saturating_sub(self.held.len())).unwrap_or(rest);
                    self.held.extend_from_slice(now);
                    taken += now.len();
                }
                Judged::Start(start) => {
                    let Start { header, left, tlvs } = *start;
                    let left = usize::try_from(left).unwrap_or(usize::MAX);
                    let tlvs = tlvs.then(|| Reader::new(&self.held));
                    self.body = Some(Box::new(Body { header, left, tlvs }));
                }
            }
        }
        let rest = bytes.get(taken..).unwrap_or_default();
        if let Some(body) = &mut self.body {
            let now = rest.get(..body.left).unwrap_or(rest);
            body.left -= now.len();
            taken += now.len();
            if let Some(tlvs) = &mut body.tlvs {
                tlvs.push(now, body.left);
            }
        }
        Ok(self.complete().map_or(Progress::Incomplete, |header| Progress::Whole(header, taken)))
    }

    /// Bytes are not there. None where the header's end is not certain without them; else how many of them are its own are
    /// in [`Progress::Whole`].
    pub fn skip(&mut self, len: u64) -> Option<Progress> {
        let body = self.body.as_mut()?;
        let own = body.left.min(usize::try_from(len).unwrap_or(usize::MAX));
        body.left -= own;
        body.tlvs = None;
        body.header.defect = Some(Defect::Missing);
        Some(self.complete().map_or(Progress::Incomplete, |header| Progress::Whole(header, own)))
    }

    /// The bytes taken, while nothing of them is a header for certain; none once its end is known.
    #[must_use]
    pub fn held(&self) -> &[u8] {
        if self.body.is_some() { &[] } else { &self.held }
    }

    /// Whether the header's end is known, and not there yet.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.body.is_some()
    }

    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        let reader = self.body.as_ref().and_then(|body| body.tlvs.as_ref());
        self.held.len() + reader.map_or(0, Reader::weight)
    }

    fn complete(&mut self) -> Option<Box<Header>> {
        let Body { mut header, tlvs, .. } = *self.body.take_if(|body| body.left == 0)?;
        if let Some(tlvs) = tlvs {
            let (values, defect) = tlvs.finish();
            header.tlvs = values;
            header.defect = header.defect.or(defect);
        }
        Some(Box::new(header))
    }
}

fn judge(held: &[u8]) -> Result<Judged, Refused> {
    match held.first() {
        None => Ok(Judged::More(1)),
        Some(b'P') => v1::judge(held),
        Some(b'\r') => v2::judge(held),
        Some(_) => Err(Refused::Absent),
    }
}
