//! What the server holds: objects, the history of changes, users, faults, the record of requests.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::answer::Failure;
use super::faults::Faults;
use super::path::Verb;
use super::resource::Resource;
use super::rules::Rules;
use super::selector::Selector;

/// The state, and word to whoever waits for a change of it.
pub(super) struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The token that it showed.
    pub token: Option<String>,
    /// What it was to do.
    pub verb: Verb,
    /// With which resource; empty for discovery.
    pub resource: String,
    /// In which namespace.
    pub namespace: Option<String>,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// What it accepts.
    pub accept: String,
    /// The code of the answer; 0 where it got none.
    pub status: u16,
    /// When it came.
    pub at: Instant,
}

/// Resource, namespace, name.
pub(super) type Key = (String, String, String);

/// A change.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) resource: String,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
    /// The object as the change left it, or as it was when it was deleted.
    pub(super) object: Value,
}

/// The rest of a list that goes on.
struct Rest {
    version: u64,
    items: Vec<Value>,
}

/// A page of a list.
pub(super) struct Page {
    pub(super) version: u64,
    pub(super) items: Vec<Value>,
    pub(super) next: Option<String>,
    pub(super) remaining: usize,
}

pub(super) struct State {
    version: u64,
    objects: BTreeMap<Key, Value>,
    history: Vec<Change>,
    /// Versions before this one have expired: nothing begins there.
    oldest: u64,
    /// The last change of each resource that was forgotten: a watch that has not told it never will.
    forgotten: HashMap<String, u64>,
    rests: HashMap<String, Rest>,
    resources: Vec<Resource>,
    users: HashMap<String, Rules>,
    pub(super) faults: Faults,
    pub(super) asked: Vec<Asked>,
    /// Open watches, by number.
    pub(super) watching: BTreeMap<u64, String>,
    next: u64,
    /// Watches begun before this number end.
    pub(super) closed_before: u64,
    /// How often bookmarks were asked for.
    pub(super) bookmarks: u64,
}

impl Shared {
    pub(super) fn new() -> Self {
        let mut state = State {
            version: 1,
            objects: BTreeMap::new(),
            history: Vec::new(),
            oldest: 0,
            forgotten: HashMap::new(),
            rests: HashMap::new(),
            resources: Resource::built_in(),
            users: HashMap::new(),
            faults: Faults::default(),
            asked: Vec::new(),
            watching: BTreeMap::new(),
            next: 1,
            closed_before: 0,
            bookmarks: 0,
        };
        state.allow(super::ADMIN, Rules::all());
        Self { state: Mutex::new(state), changed: watch::Sender::new(0) }
    }

    /// Looks at the state.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state, and wakes whoever waits for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = self.note(change);
        self.changed.send_modify(|count| *count += 1);
        value
    }

    /// Changes what no watch has to know of.
    pub(super) fn note<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

impl State {
    pub(super) fn resources(&self) -> &[Resource] {
        &self.resources
    }

    pub(super) fn serve(&mut self, resource: Resource) {
        self.resources.push(resource);
    }

    pub(super) fn unserve(&mut self, plural: &str) {
        let Some(place) = self.resources.iter().position(|known| known.plural == plural) else { return };
        let resource = self.resources.remove(place);
        let name = resource.name();
        let keys: Vec<Key> = self.objects.keys().filter(|key| key.0 == name).cloned().collect();
        for (_, namespace, of) in keys {
            // It is there: it was listed just now.
            let _ = self.delete(&resource, Some(&namespace), &of);
        }
        self.close_watches();
    }

    pub(super) fn resource(&self, group: &str, version: &str, plural: &str) -> Option<&Resource> {
        let is_it = |resource: &&Resource| {
            (resource.group.as_str(), resource.version.as_str(), resource.plural.as_str())
                == (group, version, plural)
        };
        self.resources.iter().find(is_it)
    }

    pub(super) fn allow(&mut self, token: &str, rules: Rules) {
        self.users.insert(token.to_owned(), rules);
    }

    pub(super) fn rules(&self, token: &str) -> Option<&Rules> {
        self.users.get(token)
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn put(&mut self, mut object: Value) -> Result<u64, Failure> {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let found =
            self.resources.iter().find(|known| known.kind == kind && known.api_version() == api_version);
        let Some(resource) = found.cloned() else {
            return Err(Failure::not_found(&format!("{api_version} {kind}")));
        };
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
        let Some(metadata) = metadata else { return Err(Failure::invalid("no metadata")) };
        let name = metadata.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(Failure::invalid("no name"));
        }
        let namespace = if resource.namespaced {
            let given = metadata.get("namespace").and_then(Value::as_str).unwrap_or("default").to_owned();
            metadata.insert("namespace".to_owned(), given.clone().into());
            given
        } else {
            metadata.remove("namespace");
            String::new()
        };
        let key = (resource.name(), namespace, name);
        let before = self.objects.get(&key).cloned();
        self.version += 1;
        let version = self.version;
        metadata.insert("resourceVersion".to_owned(), version.to_string().into());
        // As the server does: what is given once stays.
        let old =
            |field: &str| before.as_ref().and_then(|object| object.get("metadata")?.get(field)).cloned();
        let uid = old("uid").or_else(|| metadata.get("uid").cloned());
        let uid = uid.unwrap_or_else(|| format!("00000000-0000-4000-8000-{version:012x}").into());
        metadata.insert("uid".to_owned(), uid);
        let created = old("creationTimestamp").or_else(|| metadata.get("creationTimestamp").cloned());
        metadata.insert("creationTimestamp".to_owned(), created.unwrap_or_else(|| time(version).into()));
        self.objects.insert(key.clone(), object.clone());
        self.history.push(Change { version, resource: key.0, before, after: Some(object.clone()), object });
        Ok(version)
    }

    pub(super) fn get(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> Option<&Value> {
        let namespace = namespace.filter(|_| resource.namespaced).unwrap_or_default().to_owned();
        self.objects.get(&(resource.name(), namespace, name.to_owned()))
    }

    pub(super) fn delete(
        &mut self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<(u64, Value), Failure> {
        let namespace = namespace.filter(|_| resource.namespaced).unwrap_or_default().to_owned();
        let key = (resource.name(), namespace, name.to_owned());
        let Some(before) = self.objects.remove(&key) else { return Err(Failure::not_found(name)) };
        self.version += 1;
        let version = self.version;
        let mut object = before.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), version.to_string().into());
        }
        let change =
            Change { version, resource: key.0, before: Some(before), after: None, object: object.clone() };
        self.history.push(change);
        Ok((version, object))
    }

    pub(super) fn expire(&mut self) {
        // Something changes that nobody watches here, as in any cluster: the present version is a new one.
        self.version += 1;
        self.oldest = self.version;
        self.forgotten.extend(self.history.drain(..).map(|change| (change.resource, change.version)));
        self.rests.clear();
    }

    pub(super) fn bookmark(&mut self) {
        self.bookmarks += 1;
    }

    pub(super) fn close_watches(&mut self) {
        self.closed_before = self.next;
    }

    /// A list's first page, or the page that a token stands for.
    pub(super) fn list(
        &mut self,
        resource: &Resource,
        namespace: Option<&str>,
        selector: &Selector,
        limit: usize,
        token: Option<&str>,
    ) -> Result<Page, Failure> {
        let Rest { version, mut items } = match token {
            Some(token) => self.rests.get(token).map(Rest::again).ok_or_else(Failure::expired)?,
            None => {
                let name = resource.name();
                let of_kind = self.objects.iter().filter(|(key, _)| key.0 == name);
                let in_place =
                    of_kind.filter(|(key, _)| namespace.is_none_or(|namespace| key.1 == namespace));
                let items = in_place.map(|(_, object)| object).filter(|object| selector.matches(object));
                Rest { version: self.version, items: items.cloned().collect() }
            }
        };
        let rest = if limit > 0 && items.len() > limit { items.split_off(limit) } else { Vec::new() };
        let remaining = rest.len();
        let next = (remaining > 0).then(|| {
            let token = format!("rest-{}", self.number());
            self.rests.insert(token.clone(), Rest { version, items: rest });
            token
        });
        Ok(Page { version, items, next, remaining })
    }

    /// Whether something may begin at this version.
    pub(super) fn has(&self, version: u64) -> bool {
        version >= self.oldest
    }

    /// The changes after `version`, or none if some of them are forgotten.
    pub(super) fn after(&self, version: u64, resource: &str) -> Option<Vec<Change>> {
        if self.forgotten.get(resource).is_some_and(|forgotten| *forgotten > version) {
            return None;
        }
        let fresh = self.history.iter().skip_while(|change| change.version <= version);
        Some(fresh.filter(|change| change.resource == resource).cloned().collect())
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Rest {
    /// A token may be used again: a client whose answer was lost asks again.
    fn again(&self) -> Self {
        Self { version: self.version, items: self.items.clone() }
    }
}

/// A time for each version: a second apart, the same in each run.
fn time(version: u64) -> String {
    let (days, hours) = (version / 86_400, version / 3600 % 24);
    format!("2026-01-{:02}T{hours:02}:{:02}:{:02}Z", 1 + days % 31, version / 60 % 60, version % 60)
}

/// An event of a watch.
pub(super) fn event(kind: &str, object: &Value) -> Vec<u8> {
    let mut line = json!({"type": kind, "object": object}).to_string().into_bytes();
    line.push(b'\n');
    line
}
