//! The watching at work, and what it has told.

use std::collections::BTreeMap;
use std::time::Duration;

use auditor::attribute::controllers::Controller;
use auditor::attribute::manifests::Kind;
use auditor::attribute::store::{Applied, Store};
use auditor::attribute::watch::{self, News, Pace, Problem, Settings};
use kube::Client;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cluster::{Cluster, KINDS};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);

/// As fast as a test wants it.
pub(crate) fn fast() -> Pace {
    Pace {
        least: Duration::from_millis(5),
        most: Duration::from_millis(60),
        answer: Duration::from_millis(300),
        watch: Duration::from_secs(1),
        between: Duration::from_millis(20),
    }
}

pub(crate) struct Watcher {
    news: Receiver<News>,
    task: JoinHandle<()>,
    namespace: String,
    pub(crate) store: Store,
    /// Pods that carry ingress traffic, by uid.
    pub(crate) controllers: BTreeMap<String, Controller>,
    /// What is wrong, by resource.
    pub(crate) problems: BTreeMap<String, Problem>,
    /// Every problem that was told, by resource.
    pub(crate) told: Vec<(String, Option<Problem>)>,
    /// Objects that were refused.
    pub(crate) refused: usize,
    /// All controllers have been told.
    pub(crate) complete: bool,
}

impl Watcher {
    pub(crate) fn start(cluster: &Cluster, pace: Pace) -> Self {
        Self::as_user(cluster, cluster.client.clone(), pace)
    }

    pub(crate) fn as_user(cluster: &Cluster, client: Client, pace: Pace) -> Self {
        let (sender, news) = channel(64);
        let settings =
            Settings { node: cluster.node.clone(), named: Vec::new(), kinds: Kind::ALL.to_vec(), pace };
        Self {
            news,
            task: tokio::spawn(watch::run(client, settings, sender)),
            namespace: cluster.namespace.clone(),
            store: Store::default(),
            controllers: BTreeMap::new(),
            problems: BTreeMap::new(),
            told: Vec::new(),
            refused: 0,
            complete: false,
        }
    }

    /// Takes news until `enough`.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, enough: impl Fn(&Self) -> bool) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let all = async {
                while !enough(self) {
                    let news = self.news.recv().await.unwrap();
                    self.take(news);
                }
            };
            let done = timeout(LIMIT, all).await;
            assert!(done.is_ok(), "{caller}: waited in vain for {what}");
        }
    }

    fn take(&mut self, news: News) {
        match news {
            News::Found(controller) => {
                self.controllers.insert(controller.uid.clone(), *controller);
            }
            News::Lost { uid } => {
                self.controllers.remove(&uid).unwrap();
            }
            News::Complete => self.complete = true,
            News::Change(change) => {
                self.refused += usize::from(matches!(self.store.apply(change), Applied::Refused(_)));
            }
            News::State { resource, problem } => {
                self.told.push((resource.clone(), problem.clone()));
                match problem {
                    Some(problem) => self.problems.insert(resource, problem),
                    None => self.problems.remove(&resource),
                };
            }
        }
    }

    /// Names and values of the objects of a kind.
    pub(crate) fn held(&self, kind: Kind) -> Vec<(String, String)> {
        macro_rules! of {
            ($list:expr) => {
                $list
                    .iter()
                    .filter_map(|object| {
                        let metadata = &object.metadata;
                        let name = metadata.name.clone()?;
                        let own = match &metadata.namespace {
                            Some(namespace) => *namespace == self.namespace,
                            None => name.starts_with(&self.namespace),
                        };
                        Some((name, metadata.labels.as_ref()?.get("value")?.clone())).filter(|_| own)
                    })
                    .collect()
            };
        }
        let objects = self.store.objects();
        let mut held: Vec<(String, String)> = match kind {
            Kind::Ingress => of!(objects.ingresses),
            Kind::IngressClass => of!(objects.classes),
            Kind::Service => of!(objects.services),
            Kind::EndpointSlice => of!(objects.slices),
            Kind::Pod => of!(objects.pods),
            Kind::ReferenceGrant => of!(objects.grants),
            other => unreachable!("{other} is not served"),
        };
        held.sort();
        held
    }

    /// Waits until it holds what the cluster has.
    pub(crate) async fn agree(&mut self, cluster: &Cluster) {
        for kind in KINDS {
            let expected = cluster.held(kind).await;
            self.until(&format!("each {kind}: {expected:?}"), |watcher| watcher.held(kind) == expected).await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}
