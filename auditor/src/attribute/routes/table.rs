//! The paths of one host: a tree by path element.
//!
//! A lookup goes down as far as rules go, so a path of ten thousand slashes costs no more than the deepest rule. Few
//! children are searched by comparing; many are hashed, with the standard library's keyed hash, which nobody who writes
//! objects or requests can make collide. What is compared lies together in memory: with ten thousand hosts, a decision
//! costs what its cache misses cost.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{PathType, Route};

/// The paths of one host, ready to match.
#[derive(Debug)]
pub(super) struct Table {
    nodes: Box<[Node]>,
    /// The children of all nodes that have few, node by node, sorted by element.
    edges: Box<[Edge]>,
    /// The elements of those edges.
    text: Box<[u8]>,
    /// The children of the nodes that have many.
    wide: Box<[HashMap<Box<[u8]>, u32>]>,
    default_backend: Option<Arc<Route>>,
}

#[derive(Debug)]
struct Node {
    children: Children,
    leaf: Leaf,
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

/// The rules that end at a node.
#[derive(Debug, Default)]
struct Leaf {
    exact: Option<Arc<Route>>,
    /// Exact, with a slash at the end.
    exact_slash: Option<Arc<Route>>,
    /// Prefix or `ImplementationSpecific`.
    prefix: Option<Arc<Route>>,
}

impl Table {
    /// The rule that takes a normalised path.
    pub(super) fn find(&self, path: &[u8]) -> Option<&Arc<Route>> {
        let (elements, slash) = elements(path);
        let mut node = self.nodes.first()?;
        let mut best = node.leaf.prefix.as_ref();
        for element in elements {
            let Some(child) = self.child(node.children, element) else { return best };
            node = self.nodes.get(child as usize)?;
            best = node.leaf.prefix.as_ref().or(best);
        }
        // An Exact match is as long as the path: no Prefix is longer, and of equals it comes first.
        let exact = if slash { &node.leaf.exact_slash } else { &node.leaf.exact };
        exact.as_ref().or(best)
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

    /// The default backend of the oldest Ingress that has one and a rule for this host.
    pub(super) fn default_backend(&self) -> Option<&Arc<Route>> {
        self.default_backend.as_ref()
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

/// A table that is being filled, from the oldest Ingress to the newest.
#[derive(Default)]
pub(super) struct Builder {
    nodes: Vec<Growing>,
    default_backend: Option<Arc<Route>>,
}

#[derive(Default)]
struct Growing {
    children: BTreeMap<Box<[u8]>, u32>,
    leaf: Leaf,
}

/// A rule that can never match, and the one because of which it cannot.
pub(super) struct Shadow {
    pub(super) lost: Arc<Route>,
    pub(super) by: Arc<Route>,
}

impl Builder {
    /// Adds a rule with a normalised path. If another is for the same path, gives back the one that can never match and
    /// the one that comes before it.
    pub(super) fn add(&mut self, path: &[u8], path_type: PathType, route: &Arc<Route>) -> Option<Shadow> {
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
                    if let Some(node) = self.nodes.get_mut(at) {
                        node.children.insert(element.into(), narrow(next));
                    }
                    self.nodes.push(Growing::default());
                    next
                }
            };
        }
        let leaf = &mut self.nodes.get_mut(at)?.leaf;
        let slot = match (path_type, slash) {
            (PathType::Exact, true) => &mut leaf.exact_slash,
            (PathType::Exact, false) => &mut leaf.exact,
            (PathType::Prefix | PathType::ImplementationSpecific, _) => &mut leaf.prefix,
        };
        let newer = Arc::clone(route);
        match slot {
            None => {
                *slot = Some(newer);
                None
            }
            Some(first) if first.path_type <= route.path_type => {
                Some(Shadow { lost: newer, by: Arc::clone(first) })
            }
            // Prefix comes before ImplementationSpecific, however old that is.
            Some(first) => Some(Shadow { lost: std::mem::replace(first, Arc::clone(&newer)), by: newer }),
        }
    }

    /// Sets the host's default backend, unless an older Ingress did.
    pub(super) fn default_backend(&mut self, route: &Arc<Route>) {
        self.default_backend.get_or_insert_with(|| Arc::clone(route));
    }

    pub(super) fn build(self) -> Table {
        let (mut nodes, mut edges, mut text, mut wide) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
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
            nodes.push(Node { children, leaf: node.leaf });
        }
        Table {
            nodes: nodes.into(),
            edges: edges.into(),
            text: text.into(),
            wide: wide.into(),
            default_backend: self.default_backend,
        }
    }
}

/// Counts of nodes and bytes are bounded by the bytes of the objects, which stay far below 4 GiB. Were they not, what lies
/// beyond would not be found, as every place is looked up with a check.
fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
