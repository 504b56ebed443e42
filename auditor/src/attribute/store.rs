//! [`Store`]: the objects of a cluster, kept as its changes tell.
//!
//! Consumes [`Change`]s; holds [`Objects`] that a route table and an index are built from. Pure.
//!
//! Invariants: what a list did not show is gone once the list has ended, and not before; an object that cannot be read is not
//! used in the state that it had before, for that is not its state any more; a change that changes nothing that is used is
//! told as none. Objects and their bytes are bounded.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::manifests::{Kind, MAX_OBJECTS, MAX_TOTAL_BYTES, Object};
use super::objects::Objects;

/// The largest object, pruned, as JSON. The API server takes none above 1.5 MiB (etcd's own bound), managed fields and status
/// included.
pub const MAX_OBJECT_BYTES: usize = 1 << 20;

/// Without these it can be said all the same which rule applies, and whether somebody could have answered.
const DISPENSABLE: [Kind; 1] = [Kind::Pod];

/// What tells whose an address is, and decides about no route.
const BACKENDS: [Kind; 3] = [Kind::Service, Kind::EndpointSlice, Kind::Pod];

/// What has become of the objects of a kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// They are listed from the start.
    Begun(Kind),
    /// There is such an object.
    Is {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Name,
        /// What it is, pruned.
        object: Box<RawValue>,
    },
    /// There is no such object any more.
    Gone {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Name,
    },
    /// The list has ended: all that there are have been told.
    Listed(Kind),
    /// The kind is not served by this cluster: there are none.
    Unserved(Kind),
    /// The kind is not watched any more: nothing is known of it.
    Unwatched(Kind),
}

impl Change {
    fn kind(&self) -> Kind {
        match self {
            Self::Begun(kind) | Self::Listed(kind) | Self::Unserved(kind) | Self::Unwatched(kind) => *kind,
            Self::Is { kind, .. } | Self::Gone { kind, .. } => *kind,
        }
    }
}

/// The name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name {
    /// Its namespace; empty without.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What became of a change.
#[derive(Debug, PartialEq, Eq)]
pub enum Applied {
    /// What can be known from the objects is another.
    Changed,
    /// It is the same.
    Same,
    /// An object could not be used.
    Refused(Refused),
}

/// Why an object could not be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not what its kind is.
    #[error("{kind} {namespace}/{name} is not understood: {error}", namespace = name.namespace, name = name.name)]
    Invalid {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Name,
        /// What is wrong.
        error: Wording,
    },
    /// It is larger than [`MAX_OBJECT_BYTES`].
    #[error("{kind} {namespace}/{name} has {bytes} bytes", namespace = name.namespace, name = name.name)]
    TooLarge {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: Name,
        /// How many it has.
        bytes: usize,
    },
    /// There are more of them, or more bytes of them, than are held.
    #[error("there are more than {} objects or {} bytes of them", MAX_OBJECTS, MAX_TOTAL_BYTES)]
    TooMany,
}

/// The words of a parser.
#[derive(Debug, PartialEq, Eq)]
pub struct Wording(Box<str>);

impl std::fmt::Display for Wording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The objects, as far as they are known.
#[derive(Debug, Default)]
pub struct Store {
    objects: Objects,
    kinds: BTreeMap<Kind, OfKind>,
    count: usize,
    bytes: u64,
    changed: Changed,
    hasher: foldhash::fast::RandomState,
}

/// What is another than before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// What rules are made of.
    pub routes: bool,
    /// What tells whose an address is.
    pub backends: bool,
}

/// What is known of a kind.
#[derive(Debug, Default)]
struct OfKind {
    standing: Standing,
    /// Where each object is.
    places: HashMap<Name, Place>,
    /// Counts lists.
    list: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Unknown,
    Known,
}

/// An object in its list.
#[derive(Clone, Copy, Debug)]
struct Place {
    index: usize,
    /// The list that has shown it last.
    list: u64,
    hash: u64,
    bytes: u64,
}

impl Store {
    /// Takes a change.
    pub fn apply(&mut self, change: Change) -> Applied {
        let kind = change.kind();
        let applied = self.take(change);
        if applied != Applied::Same {
            let is_backend = BACKENDS.contains(&kind);
            self.changed.routes |= !is_backend;
            self.changed.backends |= is_backend;
        }
        applied
    }

    fn take(&mut self, change: Change) -> Applied {
        match change {
            Change::Begun(kind) => {
                self.kinds.entry(kind).or_default().list += 1;
                Applied::Same
            }
            Change::Is { kind, name, object } => self.put(kind, name, object.get()),
            Change::Gone { kind, name } => changed(self.remove(kind, &name)),
            Change::Listed(kind) => {
                let of_kind = self.kinds.entry(kind).or_default();
                let first = std::mem::replace(&mut of_kind.standing, Standing::Known) == Standing::Unknown;
                let list = of_kind.list;
                let missing = of_kind.places.iter().filter(|(_, place)| place.list != list);
                let missing: Vec<Name> = missing.map(|(name, _)| name.clone()).collect();
                let gone = missing.iter().filter(|name| self.remove(kind, name)).count();
                changed(first || gone > 0)
            }
            Change::Unserved(kind) => changed(self.clear(kind, Standing::Known)),
            Change::Unwatched(kind) => changed(self.clear(kind, Standing::Unknown)),
        }
    }

    /// The objects.
    #[must_use]
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Whether all is known that a route and its backends are judged by.
    #[must_use]
    pub fn is_known(&self) -> bool {
        let is_known = |kind| self.kinds.get(kind).is_some_and(|of_kind| of_kind.standing == Standing::Known);
        Kind::ALL.iter().all(|kind| DISPENSABLE.contains(kind) || is_known(kind))
    }

    /// What has changed since this was asked last.
    pub fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    /// How many objects there are, and their bytes as JSON.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        (self.count, self.bytes)
    }

    fn put(&mut self, kind: Kind, name: Name, text: &str) -> Applied {
        if text.len() > MAX_OBJECT_BYTES {
            self.remove(kind, &name);
            return Applied::Refused(Refused::TooLarge { kind, name, bytes: text.len() });
        }
        let hash = self.hasher.hash_one(text);
        let of_kind = self.kinds.entry(kind).or_default();
        let before = of_kind.places.get_mut(&name).map(|place| {
            place.list = of_kind.list;
            *place
        });
        if before.is_some_and(|before| before.hash == hash) {
            return Applied::Same;
        }
        let object = match Object::from_json(kind, text) {
            Ok(object) => object,
            Err(error) => {
                self.remove(kind, &name);
                let error = Wording(error.to_string().chars().take(256).collect());
                return Applied::Refused(Refused::Invalid { kind, name, error });
            }
        };
        let (bytes, freed) = (text.len() as u64, before.map_or(0, |before| before.bytes));
        let is_new = before.is_none();
        if (is_new && self.count >= MAX_OBJECTS) || self.bytes - freed + bytes > MAX_TOTAL_BYTES {
            self.remove(kind, &name);
            return Applied::Refused(Refused::TooMany);
        }
        self.bytes = self.bytes - freed + bytes;
        self.count += usize::from(is_new);
        let index = set(&mut self.objects, before.map(|before| before.index), object);
        let of_kind = self.kinds.entry(kind).or_default();
        of_kind.places.insert(name, Place { index, list: of_kind.list, hash, bytes });
        Applied::Changed
    }

    fn remove(&mut self, kind: Kind, name: &Name) -> bool {
        let Some(of_kind) = self.kinds.get_mut(&kind) else { return false };
        let Some(place) = of_kind.places.remove(name) else { return false };
        self.count -= 1;
        self.bytes -= place.bytes;
        // The last one takes its place.
        if let Some(moved) = unset(&mut self.objects, kind, place.index)
            && let Some(of_moved) = of_kind.places.get_mut(&moved)
        {
            of_moved.index = place.index;
        }
        true
    }

    fn clear(&mut self, kind: Kind, standing: Standing) -> bool {
        let of_kind = self.kinds.entry(kind).or_default();
        let before = std::mem::replace(&mut of_kind.standing, standing);
        let names: Vec<Name> = of_kind.places.keys().cloned().collect();
        names.iter().for_each(|name| {
            self.remove(kind, name);
        });
        before != standing || !names.is_empty()
    }
}

fn changed(changed: bool) -> Applied {
    if changed { Applied::Changed } else { Applied::Same }
}

macro_rules! lists {
    ($($kind:ident in $list:ident),* $(,)?) => {
        /// Puts an object in its list, at this place or at the end; gives the place.
        fn set(objects: &mut Objects, index: Option<usize>, object: Object) -> usize {
            match object {
                $(Object::$kind(object) => {
                    let list = &mut objects.$list;
                    let found = index.and_then(|index| Some((index, list.get_mut(index)?)));
                    if let Some((index, before)) = found {
                        *before = *object;
                        return index;
                    }
                    list.push(*object);
                    list.len() - 1
                })*
            }
        }

        /// Takes one from its list; gives the name of that which has now its place.
        fn unset(objects: &mut Objects, kind: Kind, index: usize) -> Option<Name> {
            match kind {
                $(Kind::$kind => {
                    let list = &mut objects.$list;
                    if index < list.len() {
                        list.swap_remove(index);
                    }
                    let metadata = &list.get(index)?.metadata;
                    let text = |text: &Option<String>| text.clone().unwrap_or_default();
                    Some(Name { namespace: text(&metadata.namespace), name: text(&metadata.name) })
                })*
            }
        }
    };
}

lists! {
    Ingress in ingresses,
    IngressClass in classes,
    Service in services,
    EndpointSlice in slices,
    Pod in pods,
    Namespace in namespaces,
    GatewayClass in gateway_classes,
    Gateway in gateways,
    HttpRoute in http_routes,
    GrpcRoute in grpc_routes,
    TlsRoute in tls_routes,
    ReferenceGrant in grants,
    IngressRoute in ingress_routes,
    HttpProxy in http_proxies,
}

#[cfg(test)]
mod tests;
