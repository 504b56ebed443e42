//! What the API server tells of this node's controllers and of the objects that they serve by.
//!
//! Consumes a client and the node's name; produces [`News`]: which pods here carry ingress traffic, and the changes of the
//! objects that routes and backends are known by. The only part of attribution that talks to the API server.
//!
//! A good citizen: this node's pods are watched by a field selector, and nothing else is while none of them carries
//! ingress traffic. Lists come in pages, watches with bookmarks; failures are followed by growing pauses; objects are
//! pruned before they go further. Nothing is kept here but which pods are controllers.

mod pace;
mod problem;
mod prune;
mod reflect;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;

use self::reflect::{Reader, Scope, Step};
use super::controllers::{Controller, Named, recognise};
use super::manifests::Kind;
use super::store::{Change, Name};
pub use pace::Pace;
pub use problem::{Problem, Trouble};

/// Most controllers of one node that are told of.
pub const MAX_CONTROLLERS: usize = 256;

/// What is watched, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node's name, as its pods' `spec.nodeName` has it.
    pub node: String,
    /// Pods that the configuration names.
    pub named: Vec<Named>,
    /// The kinds that routes and backends are known by.
    pub kinds: Vec<Kind>,
    /// How fast.
    pub pace: Pace,
}

/// What is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// A pod of this node carries ingress traffic.
    Found(Box<Controller>),
    /// A pod that was found is gone, or carries none any more.
    Lost {
        /// Its uid, as it was found with.
        uid: String,
    },
    /// Every controller that there is has been told.
    Complete,
    /// An object has changed.
    Change(Change),
    /// A resource cannot be watched; or can again, without a problem.
    State {
        /// Its name: `pods`, `ingresses.networking.k8s.io`.
        resource: String,
        /// What is wrong.
        problem: Option<Problem>,
    },
}

/// Watches until nobody listens any more.
pub async fn run(client: Client, settings: Settings, news: Sender<News>) {
    let scope = Scope {
        resource: "pods of this node".to_owned(),
        optional: false,
        fields: Some(format!("spec.nodeName={}", settings.node)),
    };
    let api: Api<Pod> = Api::all(client.clone());
    let own = Own {
        client,
        settings: settings.clone(),
        news,
        pods: BTreeMap::new(),
        fresh: BTreeMap::new(),
        kinds: None,
        beyond: false,
    };
    reflect::reflect(&api, &scope, &settings.pace, own).await;
}

/// This node's pods.
struct Own {
    client: Client,
    settings: Settings,
    news: Sender<News>,
    /// Those that carry ingress traffic, by the name of the object.
    pods: BTreeMap<Name, Controller>,
    /// The same of a list that has not ended yet.
    fresh: BTreeMap<Name, Controller>,
    /// The tasks that watch the objects; none where no pod needs them.
    kinds: Option<JoinSet<()>>,
    beyond: bool,
}

impl Own {
    async fn take(&mut self, name: Name, found: Option<Controller>) -> bool {
        let before = self.pods.get(&name);
        if before == found.as_ref() {
            return true;
        }
        // A pod of the same name with another uid is another pod.
        if let Some(before) = before
            && found.as_ref().is_none_or(|found| found.uid != before.uid)
        {
            let uid = before.uid.clone();
            self.pods.remove(&name);
            if !self.tell(News::Lost { uid }).await {
                return false;
            }
        }
        let Some(found) = found else { return true };
        if self.pods.len() >= MAX_CONTROLLERS && !self.pods.contains_key(&name) {
            return std::mem::replace(&mut self.beyond, true) || self.tell(beyond()).await;
        }
        self.pods.insert(name, found.clone());
        self.tell(News::Found(Box::new(found))).await
    }

    async fn tell(&self, news: News) -> bool {
        self.news.send(news).await.is_ok()
    }

    /// Watches the objects exactly while a pod needs them.
    async fn follow(&mut self) -> bool {
        if self.pods.is_empty() {
            // Whoever is told may hold what another watching process told before this one.
            if let Some(mut kinds) = self.kinds.take() {
                kinds.shutdown().await;
            }
            for kind in self.settings.kinds.clone() {
                if !self.tell(News::Change(Change::Unwatched(kind))).await {
                    return false;
                }
            }
        } else if self.kinds.is_none() {
            let mut kinds = JoinSet::new();
            for kind in &self.settings.kinds {
                kinds.spawn(watch(self.client.clone(), *kind, self.settings.pace, self.news.clone()));
            }
            self.kinds = Some(kinds);
        }
        true
    }
}

fn beyond() -> News {
    let message = format!(
        "there are more than {MAX_CONTROLLERS} pods here that carry ingress traffic: the others are not audited"
    );
    News::State {
        resource: "pods of this node".to_owned(),
        problem: Some(Problem { trouble: Trouble::Limit, message }),
    }
}

impl Reader<Pod> for Own {
    async fn read(&mut self, step: Step<Pod>) -> bool {
        match step {
            Step::Begun => self.fresh.clear(),
            Step::Is(pod, listing) => {
                let (name, found) = (name_of(&pod), recognise(&pod, &self.settings.named));
                if listing && let Some(found) = &found {
                    self.fresh.insert(name.clone(), found.clone());
                }
                if !self.take(name, found).await || (!listing && !self.follow().await) {
                    return false;
                }
            }
            Step::Gone(pod) => {
                if !self.take(name_of(&pod), None).await {
                    return false;
                }
                return self.follow().await;
            }
            Step::Listed => {
                let fresh = std::mem::take(&mut self.fresh);
                let gone: Vec<Name> =
                    self.pods.keys().filter(|name| !fresh.contains_key(name)).cloned().collect();
                for name in gone {
                    if !self.take(name, None).await {
                        return false;
                    }
                }
                return self.tell(News::Complete).await && self.follow().await;
            }
            // Every cluster has pods: this is another server, or one that is not whole yet.
            Step::Unserved => {}
            Step::State(problem) => {
                return self.tell(News::State { resource: "pods of this node".to_owned(), problem }).await;
            }
        }
        true
    }
}

/// The objects of a kind, on their way.
struct Objects {
    kind: Kind,
    resource: String,
    news: Sender<News>,
}

/// Whether clusters need not serve this group: what all of them serve and this one does not, is trouble.
fn is_custom(group: &str) -> bool {
    !matches!(group, "" | "networking.k8s.io" | "discovery.k8s.io")
}

/// Watches a kind in the first of its versions that is served; which one that is can change while the cluster is upgraded.
async fn watch(client: Client, kind: Kind, pace: Pace, news: Sender<News>) {
    while !news.is_closed() {
        for version in kind.api_versions() {
            let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind.name()));
            let name = if group.is_empty() {
                resource.plural.clone()
            } else {
                format!("{}.{group}", resource.plural)
            };
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let scope = Scope { resource: name.clone(), fields: None, optional: is_custom(group) };
            reflect::reflect(&api, &scope, &pace, Objects { kind, resource: name, news: news.clone() }).await;
        }
        if news.send(News::Change(Change::Unserved(kind))).await.is_err() {
            return;
        }
        tokio::time::sleep(pace.most).await;
    }
}

impl Reader<DynamicObject> for Objects {
    async fn read(&mut self, step: Step<DynamicObject>) -> bool {
        let kind = self.kind;
        let news = match step {
            Step::Begun => News::Change(Change::Begun(kind)),
            Step::Listed => News::Change(Change::Listed(kind)),
            // Another version may be.
            Step::Unserved => return false,
            Step::Gone(object) => News::Change(Change::Gone { kind, name: name_of(&object) }),
            Step::Is(mut object, _) => {
                let name = name_of(&object);
                prune::prune(kind, &mut object);
                // What was read from JSON can be written as such.
                let Ok(text) = serde_json::to_string(&object) else { return true };
                let Ok(object) = RawValue::from_string(text) else { return true };
                News::Change(Change::Is { kind, name, object })
            }
            Step::State(problem) => News::State { resource: self.resource.clone(), problem },
        };
        self.news.send(news).await.is_ok()
    }
}

fn name_of(object: &impl ResourceExt) -> Name {
    Name { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}
