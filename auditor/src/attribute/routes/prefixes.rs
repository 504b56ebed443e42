//! Texts of which those are found that another one starts with.
//!
//! Sorted, each with a link to the longest other one that it starts with. All that a text starts with are the greatest one
//! that is not above it and those that its links lead to: whatever lies between a prefix and the text in order starts with
//! that prefix too. So a search costs one binary search and the length of a chain, however many texts there are.

/// Texts, each with a value.
#[derive(Debug)]
pub(super) struct Prefixes<T> {
    sorted: Box<[Prefix<T>]>,
}

#[derive(Debug)]
struct Prefix<T> {
    text: Box<[u8]>,
    /// The longest other one that this starts with.
    parent: Option<u32>,
    value: T,
}

impl<T> Prefixes<T> {
    /// Of texts in order, each once.
    pub(super) fn new(sorted: impl Iterator<Item = (Box<[u8]>, T)>) -> Self {
        let mut done: Vec<Prefix<T>> = Vec::new();
        for (text, value) in sorted {
            let mut parent = u32::try_from(done.len()).ok().and_then(|count| count.checked_sub(1));
            while let Some(candidate) = parent.and_then(|place| done.get(place as usize)) {
                if text.starts_with(&candidate.text) {
                    break;
                }
                parent = candidate.parent;
            }
            done.push(Prefix { text, parent, value });
        }
        Self { sorted: done.into() }
    }

    /// The values of those that `text` starts with, the longest first.
    pub(super) fn of<'s>(&'s self, text: &'s [u8]) -> impl Iterator<Item = &'s T> {
        let above = self.sorted.partition_point(|prefix| *prefix.text <= *text);
        let greatest = above.checked_sub(1).and_then(|place| self.sorted.get(place));
        let links = std::iter::successors(greatest, |prefix| self.sorted.get(prefix.parent? as usize));
        links.filter(|prefix| text.starts_with(&prefix.text)).map(|prefix| &prefix.value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    proptest::proptest! {
        #[test]
        fn all_prefixes_are_found_longest_first(
            texts in proptest::collection::btree_set("[ab/]{0,5}", 0..12),
            wanted in "[ab/]{0,7}",
        ) {
            let texts: BTreeSet<String> = texts;
            let prefixes = Prefixes::new(texts.iter().map(|text| (text.as_bytes().into(), text.clone())));
            let found: Vec<&String> = prefixes.of(wanted.as_bytes()).collect();
            let mut expected: Vec<&String> = texts.iter().filter(|text| wanted.starts_with(*text)).collect();
            expected.sort_by_key(|text| std::cmp::Reverse(text.len()));
            assert_eq!(found, expected);
        }
    }
}
