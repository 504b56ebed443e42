//! Arbitrary lines of forwarding headers. Every hop is a part of its line, what is appended comes out first, and an
//! address that is read is read again from how it is written.

#![no_main]

use std::borrow::Cow;

use auditor::decode::forwarding::{ForwardingHeader, Node};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: Vec<Vec<u8>>| {
    let longest = lines.iter().map(Vec::len).max().unwrap_or_default();
    for header in ForwardingHeader::ALL {
        let given: Vec<Cow<'_, [u8]>> = lines.iter().map(|line| Cow::Borrowed(&line[..])).collect();
        for hop in header.hops(&given) {
            assert!(!hop.text.is_empty() || header == ForwardingHeader::Forwarded);
            assert!(hop.text.len() <= longest);
            if let Some(node) = hop.node {
                assert_eq!(
                    first(ForwardingHeader::XRealIp, node.address.to_string().as_bytes()),
                    Some(node.address)
                );
            }
        }
    }
    let sent = lines.join(&b", "[..]);
    for (header, appended) in [
        (ForwardingHeader::XForwardedFor, "192.0.2.1"),
        (ForwardingHeader::Forwarded, "for=\"192.0.2.1:80\";by=\"_x\""),
    ] {
        let line = [&sent[..], b", ", appended.as_bytes()].concat();
        assert_eq!(first(header, &line), Some([192, 0, 2, 1].into()));
    }
});

fn first(header: ForwardingHeader, line: &[u8]) -> Option<std::net::IpAddr> {
    let Node { address, .. } = header.hops(&[Cow::Borrowed(line)]).next()?.node?;
    Some(address)
}
