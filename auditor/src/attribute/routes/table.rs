//! The rules of one host, by path: a tree by path element, the prefixes by character, and what no path can be named for.
//!
//! A lookup goes down as far as rules go, so a path of ten thousand slashes costs no more than the deepest rule. Few
//! children are searched by comparing; many are hashed, with the standard library's keyed hash, which nobody who writes
//! objects or requests can make collide. What is compared lies together in memory: with ten thousand hosts, a decision
//! costs what its cache misses cost.
//!
//! Which of the rules for a path comes first is their rank, which the dialect gave them: the table only finds candidates, the
//! [`Search`] asks their conditions and keeps the first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Route;
use super::condition::Conditions;
use super::prefixes::Prefixes;
use super::search::{Search, Watch};

/// The rules of one host, ready to match.
#[derive(Debug)]
pub(super) struct Table {
    nodes: Box<[Node]>,
    /// The children of all nodes that have few, node by node, sorted by element.
    edges: Box<[Edge]>,
    /// The elements of those edges.
    text: Box<[u8]>,
    /// The children of the nodes that have many.
    wide: Box<[HashMap<Box<[u8]>, u32>]>,
    /// The rules, list by list, each list in order of rank.
    entries: Box<[Entry]>,
    characters: Prefixes<List>,
    loose: List,
}

/// A rule in a table.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its place among all rules of its listener: the least comes first.
    pub(super) rank: u32,
    /// What it asks beside host and path.
    pub(super) conditions: Conditions,
    /// What it leads to.
    pub(super) route: Arc<Route>,
}

/// Some of a table's entries.
#[derive(Clone, Copy, Debug, Default)]
struct List {
    first: u32,
    count: u32,
}

#[derive(Debug)]
struct Node {
    children: Children,
    /// Exactly this path.
    exact: List,
    /// Exactly, with a slash at the end.
    exact_slash: List,
    /// This path and all below.
    prefix: List,
}

/// The nodes below a node.
#[derive(Clone, Copy, Debug)]
enum Children {
    /// A range of the table's edges.
    Few { first: u32, count: u32 },
    /// A place in the table's `wide`.
    Many(u32),
}

/// Up to here comparing is faster than hashing, and takes less memory: nearly every node has no child, or one.
const FEW: usize = 8;

#[derive(Debug)]
struct Edge {
    start: u32,
    length: u32,
    node: u32,
}

/// Which paths a rule is for, all in normal form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum PathMatch {
    /// This one.
    Exact(Vec<u8>),
    /// Those that start with these elements; a slash at the end does not count.
    Elements(Vec<u8>),
    /// Those that start with these characters.
    Characters(Vec<u8>),
    /// Its conditions say.
    Conditions,
}

impl Table {
    /// Shows the search every rule that may be for a path.
    pub(super) fn find<'t>(&'t self, path: &[u8], search: &mut Search<'t, '_, impl Watch>) {
        let (elements, slash) = elements(path);
        let Some(mut node) = self.nodes.first() else { return };
        let mut whole = true;
        self.consider(node.prefix, search);
        for element in elements {
            let Some(child) =
                self.child(node.children, element).and_then(|child| self.nodes.get(child as usize))
            else {
                whole = false;
                break;
            };
            node = child;
            self.consider(node.prefix, search);
        }
        if whole {
            self.consider(if slash { node.exact_slash } else { node.exact }, search);
        }
        for list in self.characters.of(path) {
            self.consider(*list, search);
        }
        self.consider(self.loose, search);
    }

    fn consider<'t>(&'t self, list: List, search: &mut Search<'t, '_, impl Watch>) {
        let first = list.first as usize;
        if let Some(entries) = self.entries.get(first..first + list.count as usize) {
            search.consider(entries);
        }
    }

    fn child(&self, children: Children, element: &[u8]) -> Option<u32> {
        let (first, count) = match children {
            Children::Few { first, count } => (first as usize, count as usize),
            Children::Many(place) => return self.wide.get(place as usize)?.get(element).copied(),
        };
        let edges = self.edges.get(first..first + count)?;
        let name = |edge: &Edge| {
            let start = edge.start as usize;
            self.text.get(start..start + edge.length as usize).unwrap_or_default()
        };
        let found = edges.binary_search_by(|edge| name(edge).cmp(element)).ok()?;
        edges.get(found).map(|edge| edge.node)
    }
}

/// The elements of a normalised path, and whether it ends with a slash.
fn elements(path: &[u8]) -> (impl Iterator<Item = &[u8]>, bool) {
    let inner = path.strip_prefix(b"/").unwrap_or(path);
    let (inner, slash) = match inner.strip_suffix(b"/") {
        Some(inner) => (inner, true),
        None => (inner, inner.is_empty()),
    };
    (inner.split(|&byte| byte == b'/').filter(|element| !element.is_empty()), slash)
}

/// How many elements a normalised path has.
pub(super) fn depth(path: &[u8]) -> usize {
    elements(path).0.count()
}

/// A table that is being filled, in order of rank.
#[derive(Default)]
pub(super) struct Builder {
    nodes: Vec<Growing>,
    characters: BTreeMap<Box<[u8]>, Vec<Entry>>,
    loose: Vec<Entry>,
}

#[derive(Default)]
struct Growing {
    children: BTreeMap<Box<[u8]>, u32>,
    exact: Vec<Entry>,
    exact_slash: Vec<Entry>,
    prefix: Vec<Entry>,
}

impl Builder {
    /// Adds a rule. If one without conditions is for the same paths and comes before it, it can never match: gives back that
    /// one, and leaves this one out.
    pub(super) fn add(&mut self, path: &PathMatch, entry: Entry) -> Option<Arc<Route>> {
        let list = match path {
            PathMatch::Exact(path) => {
                let (node, slash) = self.node(path)?;
                if slash { &mut node.exact_slash } else { &mut node.exact }
            }
            PathMatch::Elements(path) => &mut self.node(path)?.0.prefix,
            PathMatch::Characters(path) => self.characters.entry(path.as_slice().into()).or_default(),
            PathMatch::Conditions => &mut self.loose,
        };
        if let Some(before) = list.last().filter(|before| before.conditions.is_empty()) {
            return Some(Arc::clone(&before.route));
        }
        list.push(entry);
        None
    }

    /// The node of a path, made if need be, and whether the path ends with a slash.
    fn node(&mut self, path: &[u8]) -> Option<(&mut Growing, bool)> {
        let (elements, slash) = elements(path);
        if self.nodes.is_empty() {
            self.nodes.push(Growing::default());
        }
        let mut at = 0;
        for element in elements {
            let next = self.nodes.len();
            let known = self.nodes.get(at).and_then(|node| node.children.get(element)).copied();
            at = match known {
                Some(child) => child as usize,
                None => {
                    self.nodes.get_mut(at)?.children.insert(element.into(), narrow(next));
                    self.nodes.push(Growing::default());
                    next
                }
            };
        }
        Some((self.nodes.get_mut(at)?, slash))
    }

    pub(super) fn build(mut self) -> Table {
        let (mut nodes, mut edges, mut text, mut wide) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut entries = Vec::new();
        if self.nodes.is_empty() {
            self.nodes.push(Growing::default());
        }
        for node in self.nodes {
            let children = if node.children.len() <= FEW {
                let first = narrow(edges.len());
                for (name, node) in &node.children {
                    edges.push(Edge { start: narrow(text.len()), length: narrow(name.len()), node: *node });
                    text.extend_from_slice(name);
                }
                Children::Few { first, count: narrow(node.children.len()) }
            } else {
                wide.push(node.children.into_iter().collect());
                Children::Many(narrow(wide.len() - 1))
            };
            nodes.push(Node {
                children,
                exact: list(&mut entries, node.exact),
                exact_slash: list(&mut entries, node.exact_slash),
                prefix: list(&mut entries, node.prefix),
            });
        }
        let characters = self.characters.into_iter().map(|(text, rules)| (text, list(&mut entries, rules)));
        let characters = Prefixes::new(characters);
        let loose = list(&mut entries, self.loose);
        Table {
            nodes: nodes.into(),
            edges: edges.into(),
            text: text.into(),
            wide: wide.into(),
            entries: entries.into(),
            characters,
            loose,
        }
    }
}

fn list(entries: &mut Vec<Entry>, rules: Vec<Entry>) -> List {
    let first = narrow(entries.len());
    entries.extend(rules);
    List { first, count: narrow(entries.len()) - first }
}

/// Counts of nodes and bytes are bounded by the bytes of the objects, which stay far below 4 GiB. Were they not, what lies
/// beyond would not be found, as every place is looked up with a check.
fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
