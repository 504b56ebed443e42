//! For whom a request claims to be forwarded: `X-Forwarded-For`, `Forwarded` (RFC 7239), `X-Real-IP`.
//!
//! Consumes the values of one of these fields, produces [`Hop`]s from the nearest to the farthest. The nearest is the last
//! one written, by whoever sent the request; all before it is what that one was told. So everything here is read from its
//! end, `Forwarded` too: an open quote that a client put into the value then cannot swallow what a proxy appended.
//!
//! Nothing is believed here: who may be is for the one who asks.

mod forwarded;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// A field that says for whom a request is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`: each proxy appends whom it got the request from.
    XForwardedFor,
    /// `Forwarded`: the same, with a grammar.
    Forwarded,
    /// `X-Real-IP`: one address, which a proxy replaces.
    XRealIp,
}

impl ForwardingHeader {
    /// All, in the order in which they are asked unless it is configured: the most used first.
    pub const ALL: [Self; 3] = [Self::XForwardedFor, Self::Forwarded, Self::XRealIp];

    /// The field's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "X-Forwarded-For",
            Self::Forwarded => "Forwarded",
            Self::XRealIp => "X-Real-IP",
        }
    }

    /// The hops that the field's lines name, from the nearest on. Empty elements of a list are none (RFC 9110, 5.6.1).
    pub fn hops<'a>(self, lines: &'a [Cow<'a, [u8]>]) -> impl Iterator<Item = Hop<'a>> {
        // Of several X-Real-IP, none is part of a list: the last is the nearest.
        let lines = lines.iter().rev().take(if self == Self::XRealIp { 1 } else { usize::MAX });
        lines.flat_map(move |line| self.elements(line))
    }

    fn elements(self, line: &[u8]) -> impl Iterator<Item = Hop<'_>> {
        let (list, quoted) = (self != Self::XRealIp, self == Self::Forwarded);
        let elements = forwarded::Elements::new(line, list, quoted);
        elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty()).map(move |element| {
            let value = if quoted { forwarded::for_of(element) } else { Some(Cow::Borrowed(element)) };
            let node = value.as_deref().and_then(node);
            Hop { text: value.unwrap_or(Cow::Borrowed(element)), node }
        })
    }
}

/// One that the request passed, or began at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop<'a> {
    /// As it was named; the whole element where that has no name.
    pub text: Cow<'a, [u8]>,
    /// Its address; none where it is hidden (`unknown`, `_name`; RFC 7239, 6.2 and 6.3) or not readable.
    pub node: Option<Node>,
}

/// An address, perhaps with a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The address; IPv4 mapped into IPv6 is IPv4.
    pub address: IpAddr,
    /// The port.
    pub port: Option<u16>,
}

/// RFC 7239, 6: an address, in brackets or not, and perhaps a port, which may be hidden. No more and no less.
fn node(value: &[u8]) -> Option<Node> {
    let text = str::from_utf8(value).ok()?;
    let (address, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
        (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port)
    } else if let Ok(address) = text.parse() {
        (address, None)
    } else {
        let (address, port) = text.split_once(':')?;
        (IpAddr::V4(address.parse().ok()?), Some(port))
    };
    let port = match port {
        None => None,
        Some(hidden) if hidden.strip_prefix('_').is_some_and(is_hidden_name) => None,
        // Not left to the number's parser alone, which takes a sign.
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
    };
    Some(Node { address: address.to_canonical(), port })
}

fn is_hidden_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
