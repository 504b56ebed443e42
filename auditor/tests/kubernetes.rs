//! The watching, against an API server: this project's own, with its faults; or, with `KUBECONFIG` set, a real one, which is
//! given the same objects and has no faults.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of a test fails as a test does, by panicking"
)]

#[path = "kubernetes/cluster.rs"]
mod cluster;
#[path = "kubernetes/faults.rs"]
mod faults;
#[path = "kubernetes/follows.rs"]
mod follows;
#[path = "kubernetes/watcher.rs"]
mod watcher;
