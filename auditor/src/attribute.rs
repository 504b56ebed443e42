//! Attribution: which Ingress rule, Service and port should have served a request, and which pod did.
//!
//! Consumes Kubernetes objects ([`objects::Objects`], read by [`manifests`], or watched by [`watch`] and kept in a
//! [`store::Store`]) and, per exchange, the host and path that the
//! client asked for and the backend that was observed. Produces a [`routes::Decision`] and a [`verdict::Verdict`].
//!
//! Everything but [`manifests`] and [`watch`] is pure. [`routes::Routes`] and [`index::Index`] are built once and never change: a reload
//! builds new ones beside the old, so that a request is judged by one consistent state.

pub mod controllers;
pub mod index;
pub mod manifests;
pub mod objects;
pub mod routes;
pub mod store;
pub mod verdict;
pub mod watch;

use std::sync::Arc;

/// The objects of one moment, ready to judge requests by.
#[derive(Debug)]
pub struct Attribution {
    /// The rules. Shared by those states in which they are the same.
    pub routes: Arc<routes::Routes>,
    /// Services, endpoints and pods. Likewise.
    pub index: Arc<index::Index>,
    /// Whether any objects are known; without, nothing is said of routes.
    pub known: bool,
}

impl Attribution {
    /// Of these objects.
    #[must_use]
    pub fn new(objects: &objects::Objects, options: &routes::Options) -> Self {
        let routes = Arc::new(routes::Routes::new(objects, options));
        Self { routes, index: Arc::new(index::Index::new(objects)), known: true }
    }

    /// Without objects.
    #[must_use]
    pub fn none() -> Self {
        let objects = objects::Objects::default();
        Self { known: false, ..Self::new(&objects, &routes::Options::default()) }
    }
}
