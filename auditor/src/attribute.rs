//! Attribution: which Ingress rule, Service and port should have served a request, and which pod did.
//!
//! Consumes Kubernetes objects ([`objects::Objects`], read by [`manifests`]) and, per exchange, the host and path that the
//! client asked for and the backend that was observed. Produces a [`routes::Decision`] and a [`verdict::Verdict`].
//!
//! Everything but [`manifests`] is pure. [`routes::Routes`] and [`index::Index`] are built once and never change: a reload
//! builds new ones beside the old, so that a request is judged by one consistent state.

pub mod index;
pub mod manifests;
pub mod objects;
pub mod routes;
pub mod verdict;
