//! All objects of a resource, and then their changes: list and watch.
//!
//! Consumes an API; tells a [`Reader`] each [`Step`]. Of this project, on kube's client, and not kube's own watcher, because
//! that one does not say that a watch has begun (so nobody could tell that trouble is over), begins one after the other
//! without a pause where a server closes them at once, passes over a change that it cannot read, and waits for a list
//! without end.
//!
//! Invariants: the steps between `Begun` and `Listed` are all objects of one moment; after that each change comes once and in
//! order, or `Begun` again. What was told stays true while the server cannot be asked.

use std::fmt::Debug;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};

use futures::{StreamExt, pin_mut};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::debug;

use super::pace::{Backoff, Pace};
use super::problem::{Failure, Problem, Remedy, Trouble};

/// Objects of one page.
const PAGE: u32 = 500;
/// So many failures, one after the other, are told.
const TOLD: u32 = 3;
/// So many times [`Pace::between`] without trouble are calm.
const CALM: u32 = 10;

/// What happens.
#[derive(Debug)]
pub(super) enum Step<K> {
    /// All objects follow.
    Begun,
    /// There is such an object; whether it is one of a list that is still going on.
    Is(K, bool),
    /// There is no such object any more.
    Gone(K),
    /// Those were all.
    Listed,
    /// The server knows no such resource.
    Unserved,
    /// Something is wrong, or nothing any more.
    State(Option<Problem>),
}

/// Whoever is told.
pub(super) trait Reader<K>: Send {
    /// Takes a step; gives whether it wants more.
    fn read(&mut self, step: Step<K>) -> impl Future<Output = bool> + Send;
}

/// Which objects.
pub(super) struct Scope {
    /// How the resource is called in logs.
    pub(super) resource: String,
    /// A field selector.
    pub(super) fields: Option<String>,
    /// That it is not served is no trouble.
    pub(super) optional: bool,
}

/// Nobody wants to know any more.
struct Closed;

/// How a round ended.
enum Ended {
    Failed(Failure),
    Closed,
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Closed> for Ended {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// Lists and watches until the reader has enough.
pub(super) async fn reflect<K, R>(api: &Api<K>, scope: &Scope, pace: &Pace, reader: R)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    R: Reader<K>,
{
    let backoff = Backoff::new(*pace, RandomState::new().hash_one(&scope.resource));
    let mut reflector = Reflector { api, scope, pace, reader, backoff, told: false, version: None };
    // It ends when nobody wants to know any more, and only then.
    while reflector.round().await.is_ok() {}
}

struct Reflector<'a, K, R> {
    api: &'a Api<K>,
    scope: &'a Scope,
    pace: &'a Pace,
    reader: R,
    backoff: Backoff,
    /// A problem was told, and not yet that it is over.
    told: bool,
    /// The version up to which everything has been told; none before a list has ended.
    version: Option<String>,
}

impl<K, R> Reflector<'_, K, R>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    R: Reader<K>,
{
    /// Goes on until something fails, and sees to that.
    async fn round(&mut self) -> Result<(), Closed> {
        let begun = Instant::now();
        let ended = self.go_on().await;
        // Pauses begin anew after a while without trouble, not after a list that worked: a server may answer lists, and fail
        // every watch.
        if begun.elapsed() >= self.pace.between * CALM {
            self.backoff.succeed();
        }
        match ended {
            Ok(()) => {
                self.backoff.succeed();
                sleep_until(begun + self.pace.between).await;
                Ok(())
            }
            Err(Ended::Closed) => Err(Closed),
            Err(Ended::Failed(failure)) => self.fail(failure).await,
        }
    }

    async fn go_on(&mut self) -> Result<(), Ended> {
        let version = match self.version.clone() {
            Some(version) => version,
            None => {
                let version = self.list().await?;
                self.version = Some(version.clone());
                version
            }
        };
        self.watch(version).await
    }

    /// Tells all objects; gives the version that they are of.
    async fn list(&mut self) -> Result<String, Ended> {
        let mut params = ListParams::default().limit(PAGE);
        params.field_selector.clone_from(&self.scope.fields);
        self.tell(Step::Begun).await?;
        loop {
            let page =
                timeout(self.pace.answer, self.api.list(&params)).await.map_err(|_| Failure::silent())?;
            let page = page.map_err(|error| Failure::of(&error))?;
            for object in page.items {
                self.tell(Step::Is(object, true)).await?;
            }
            let version = page.metadata.resource_version.filter(|version| !version.is_empty());
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => {
                    let version = version.ok_or_else(Failure::without_version)?;
                    self.recover().await?;
                    self.tell(Step::Listed).await?;
                    return Ok(version);
                }
            }
        }
    }

    /// Tells changes until the watch ends.
    async fn watch(&mut self, mut version: String) -> Result<(), Ended> {
        let seconds = u32::try_from(self.pace.watch.as_secs()).unwrap_or(u32::MAX).max(1);
        let mut params = WatchParams::default().timeout(seconds);
        params.field_selector.clone_from(&self.scope.fields);
        let api = self.api;
        let stream =
            timeout(self.pace.answer, api.watch(&params, &version)).await.map_err(|_| Failure::silent())?;
        let stream = stream.map_err(|error| Failure::of(&error))?;
        pin_mut!(stream);
        self.recover().await?;
        // The server ends it at that time; one that does not is not there any more.
        while let Ok(Some(event)) = timeout(self.pace.watch + self.pace.answer, stream.next()).await {
            let fresh = match event.map_err(|error| Failure::of(&error))? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let fresh = object.resource_version();
                    self.tell(Step::Is(object, false)).await?;
                    fresh
                }
                WatchEvent::Deleted(object) => {
                    let fresh = object.resource_version();
                    self.tell(Step::Gone(object)).await?;
                    fresh
                }
                WatchEvent::Bookmark(bookmark) => Some(bookmark.metadata.resource_version),
                WatchEvent::Error(status) => return Err(Failure::status(&status).into()),
            };
            version = fresh.filter(|fresh| !fresh.is_empty()).ok_or_else(Failure::without_version)?;
            self.version = Some(version.clone());
        }
        Ok(())
    }

    async fn fail(&mut self, failure: Failure) -> Result<(), Closed> {
        let Failure { remedy, after, problem } = failure;
        debug!(resource = %self.scope.resource, ?remedy, message = %problem.message, "A request to the API server failed");
        // A list that broke off is begun anew, and a version that has expired comes back from a list at once: that is how
        // the API is meant, and no trouble.
        if remedy == Remedy::List && self.version.take().is_some() && self.backoff.failures() == 0 {
            self.backoff.fail(None);
            return Ok(());
        }
        let pause = self.backoff.fail(after);
        match (remedy, problem.trouble) {
            (Remedy::Later, _) if self.scope.optional => {
                self.version = None;
                self.recover().await?;
                self.tell(Step::Unserved).await?;
                sleep(self.pace.most).await;
            }
            (_, Trouble::Forbidden) => {
                self.tell_problem(problem).await?;
                sleep(self.pace.most).await;
            }
            _ => {
                if self.backoff.failures() >= TOLD {
                    self.tell_problem(problem).await?;
                }
                sleep(pause).await;
            }
        }
        Ok(())
    }

    /// Something was answered as it should be.
    async fn recover(&mut self) -> Result<(), Closed> {
        if std::mem::take(&mut self.told) { self.tell(Step::State(None)).await } else { Ok(()) }
    }

    async fn tell_problem(&mut self, problem: Problem) -> Result<(), Closed> {
        if std::mem::replace(&mut self.told, true) {
            return Ok(());
        }
        self.tell(Step::State(Some(problem))).await
    }

    async fn tell(&mut self, step: Step<K>) -> Result<(), Closed> {
        if self.reader.read(step).await { Ok(()) } else { Err(Closed) }
    }
}
