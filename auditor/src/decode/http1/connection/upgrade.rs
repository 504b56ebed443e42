//! Where a connection goes on as HTTP/2 after `101 Switching Protocols` (RFC 7540, 3.2; RFC 9113 has it no more).

use super::Http1;
use crate::decode::exchange::{Exchange, Message};
use crate::decode::http1::connection::Counts;
use crate::decode::http1::head::Head;
use crate::decode::http1::lane::{Hold, State};

/// What HTTP/2 takes over.
#[derive(Debug)]
pub(in crate::decode) struct Upgraded {
    /// The request, which becomes stream 1. Its 101 is an interim response.
    pub(in crate::decode) exchange: Box<Exchange>,
    /// The payload of `HTTP2-Settings`, if it could be read.
    pub(in crate::decode) settings: Option<Vec<u8>>,
    /// What became of the bytes of requests, and of responses.
    pub(in crate::decode) read: [Counts; 2],
    /// Pieces of requests that are held.
    pub(in crate::decode) held: Option<Box<Hold>>,
}

impl Http1 {
    /// Whether the response that comes may turn the connection into one of HTTP/2. Its bytes must be given line by line
    /// then, so that what follows its head is not taken.
    pub(in crate::decode) fn may_become_h2c(&self) -> bool {
        matches!(self.request.state, State::Wait)
            && self.queue.front().is_some_and(|exchange| {
                exchange.response.head.is_none() && asks_for_h2c(exchange.request.head.as_deref())
            })
    }

    /// What HTTP/2 goes on from, once the connection has been turned into one. Nothing is left here then.
    pub(in crate::decode) fn take_h2c(&mut self) -> Option<Upgraded> {
        if !self.h2c {
            return None;
        }
        let mut exchange = self.queue.pop_front_if(|exchange| exchange.tunnel == Some([0, 0]))?;
        exchange.tunnel = None;
        exchange.may_switch = false;
        exchange.interim.push(101);
        exchange.response = Message::default();
        let settings =
            exchange.request.head.as_ref().and_then(|head| base64url(&head.get("http2-settings")?));
        let read = [self.request.counts, self.response.counts];
        Some(Upgraded { exchange, settings, read, held: self.request.hold.take() })
    }
}

/// Whether a response turns the connection into one of HTTP/2, as its request asked.
pub(super) fn to_h2c(exchange: &Exchange) -> bool {
    exchange.request.done
        && asks_for_h2c(exchange.request.head.as_deref())
        && exchange.response.head.as_ref().is_some_and(|head| head.status() == 101 && has_h2c(head))
}

fn asks_for_h2c(head: Option<&Head>) -> bool {
    head.is_some_and(has_h2c)
}

fn has_h2c(head: &Head) -> bool {
    head.all("upgrade").any(|value| {
        value.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"h2c"))
    })
}

/// RFC 4648, 5, without padding.
fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for digit in text {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_in_base64url() {
        let check = |text: &str, expected: Option<&[u8]>| {
            assert_eq!(base64url(text.as_bytes()).as_deref(), expected, "{text}");
        };
        check("", Some(b""));
        // RFC 7540, 3.2.1 leaves the padding out; curl's: window, streams, push.
        check("AAMAAABkAAQAoAAAAAIAAAAA", Some(&[0, 3, 0, 0, 0, 100, 0, 4, 0, 160, 0, 0, 0, 2, 0, 0, 0, 0]));
        check("-_8", Some(&[0xfb, 0xff]));
        check("AA==", None);
    }
}
