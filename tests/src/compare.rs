//! Events against the server's own access log: none missing, none extra, the same method, path, status and bytes.
//!
//! Consumes both lists, produces nothing or an error that names every difference. A pairing of two multisets: order and
//! time do not count, so nothing is hidden by requests that look alike.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, bail};

use crate::entry::LogEntry;
use crate::event::Request;

/// How many differences an error names.
const SHOWN: usize = 20;

type Key = (Option<String>, String, String, Option<u16>);

#[derive(Default)]
struct Group {
    logged: Vec<Option<u64>>,
    seen: Vec<Option<u64>>,
}

/// Compares the events with the log, request by request. What the server could not read as a request is left out on both sides.
///
/// # Errors
/// They differ; the message names the first differences.
pub fn same_requests(events: &[Request], log: &[LogEntry]) -> Result<()> {
    let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
    for entry in log {
        let Some(method) = entry.method.clone() else { continue };
        let path = entry.uri.split('?').next().unwrap_or_default().to_owned();
        let key = (entry.request_id.clone(), method, path, entry.status);
        groups.entry(key).or_default().logged.push(entry.body_bytes);
    }
    for event in events {
        let request = &event.http.request;
        let Some(method) = request.method.clone() else { continue };
        let path = request.path.clone().unwrap_or_default();
        groups
            .entry((request.id.clone(), method, path, event.status()))
            .or_default()
            .seen
            .push(event.body_bytes());
    }
    let mut differences = Vec::new();
    for (key, group) in groups {
        let (missing, extra) = pair(group);
        differences.extend(missing.into_iter().map(|bytes| format!("no event for {key:?}, bytes {bytes:?}")));
        differences
            .extend(extra.into_iter().map(|bytes| format!("not in the log: {key:?}, bytes {bytes:?}")));
    }
    if differences.is_empty() {
        return Ok(());
    }
    let mut text =
        format!("{} events, {} log entries, {} differences", events.len(), log.len(), differences.len());
    for difference in differences.iter().take(SHOWN) {
        write!(text, "\n  {difference}")?;
    }
    bail!(text)
}

/// Takes away what agrees: first equal numbers, then entries whose number the log does not know. What is left: logged, seen.
fn pair(group: Group) -> (Vec<Option<u64>>, Vec<Option<u64>>) {
    let Group { mut logged, mut seen } = group;
    logged.sort_unstable();
    seen.sort_unstable();
    let mut missing = Vec::new();
    let mut unknown = 0;
    for bytes in logged {
        if bytes.is_none() {
            unknown += 1;
        } else if let Ok(place) = seen.binary_search(&bytes) {
            seen.remove(place);
        } else if bytes == Some(0) && seen.first() == Some(&None) {
            // No response was sent, so there is no number of its bytes.
            seen.remove(0);
        } else {
            missing.push(bytes);
        }
    }
    let matched = unknown.min(seen.len());
    seen.drain(..matched);
    missing.extend(std::iter::repeat_n(None, unknown - matched));
    (missing, seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(logged: &[Option<u64>], seen: &[Option<u64>], expected: (&[Option<u64>], &[Option<u64>])) {
        let (missing, extra) = pair(Group { logged: logged.to_vec(), seen: seen.to_vec() });
        assert_eq!((missing.as_slice(), extra.as_slice()), expected);
    }

    #[test]
    fn pairs() {
        check(&[Some(1), Some(2)], &[Some(2), Some(1)], (&[], &[]));
        check(&[Some(1), Some(1)], &[Some(1)], (&[Some(1)], &[]));
        check(&[Some(1)], &[Some(1), Some(1)], (&[], &[Some(1)]));
        check(&[None, Some(3)], &[Some(3), Some(9)], (&[], &[]));
        check(&[None], &[], (&[None], &[]));
        check(&[], &[None], (&[], &[None]));
        check(&[Some(0)], &[None], (&[], &[]));
    }
}
