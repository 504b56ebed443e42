//! A small Kubernetes API server: what a client that lists and watches may meet, faults included.
//!
//! Consumes objects as JSON, from the test or over HTTP; serves them as the API's conventions say
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/>): lists in pages, watches with bookmarks, resource
//! versions that expire, discovery, bearer tokens and rules per resource. Keeps a record of who asked for what.
//!
//! Invariants: one number counts all changes, as etcd's revision does; a list is of one moment, however many pages it has; a
//! watch tells every change after its version, once and in order, or that the version has expired; nothing is stored that
//! was not put in. Faults come only where a test asks for them.

mod answer;
mod faults;
mod http;
mod path;
mod resource;
mod rules;
mod selector;
mod state;
mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

pub use faults::{Fault, On};
pub use path::Verb;
pub use resource::Resource;
pub use rules::Rules;
pub use state::Asked;
use state::Shared;

/// The token of the test itself, which may do everything.
pub const ADMIN: &str = "admin";

/// A running server. Dropping it closes all connections.
pub struct ApiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    directory: TempDir,
}

impl ApiServer {
    /// Starts one on a free port of the loopback address, with the kinds that every cluster has.
    ///
    /// # Errors
    /// No port, or no thread.
    pub fn start() -> Result<Self> {
        let directory = TempDir::new()?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new());
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("api-server".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || runtime.block_on(http::serve(listener, shared, stopped))
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread), directory })
    }

    /// Where it listens, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves another kind, as if its CRD had been installed.
    pub fn serve(&self, resource: Resource) {
        self.shared.change(|state| state.serve(resource));
    }

    /// Serves a kind no longer, as if its CRD had been removed, with all of its objects.
    pub fn unserve(&self, plural: &str) {
        self.shared.change(|state| state.unserve(plural));
    }

    /// Lets whoever shows `token` do what `rules` allow, and nothing else.
    pub fn allow(&self, token: &str, rules: Rules) {
        self.shared.change(|state| state.allow(token, rules));
    }

    /// Writes a kubeconfig for `token`, which anybody may read.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig(&self, token: &str) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.directory.path().join(format!("{token}.kubeconfig"));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url()}}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        std::fs::write(&path, config.to_string())?;
        std::fs::set_permissions(self.directory.path(), std::fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// Creates the object, or replaces the one of its name. Gives its resource version.
    ///
    /// # Errors
    /// Its kind is not served, or it has no name.
    pub fn put(&self, object: Value) -> Result<u64> {
        self.shared.change(|state| state.put(object)).map_err(|failure| anyhow!("{failure:?}"))
    }

    /// Deletes an object. Gives the resource version of its deletion.
    ///
    /// # Errors
    /// There is none.
    pub fn delete(&self, plural: &str, namespace: Option<&str>, name: &str) -> Result<u64> {
        let deleted = self.shared.change(|state| {
            let resource = state.resources().iter().find(|resource| resource.plural == plural)?.clone();
            state.delete(&resource, namespace, name).ok()
        });
        deleted.map(|(version, _)| version).with_context(|| format!("there is no {plural} {name}"))
    }

    /// Forgets all changes up to now: older resource versions and the tokens of lists that go on have expired.
    pub fn expire(&self) {
        self.shared.change(state::State::expire);
    }

    /// Tells each watch that asked for bookmarks the present version.
    pub fn bookmark(&self) {
        self.shared.change(state::State::bookmark);
    }

    /// Ends all watches that are open, as a server does that restarts.
    pub fn close_watches(&self) {
        self.shared.change(state::State::close_watches);
    }

    /// Lets requests fail from now on.
    pub fn fail(&self, on: On, fault: Fault) {
        self.shared.change(|state| state.faults.add(on, fault));
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.shared.change(|state| state.faults.clear());
    }

    /// Every request up to now, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.read(|state| state.asked.clone())
    }

    /// Watches that are open now, by resource.
    #[must_use]
    pub fn open_watches(&self) -> Vec<String> {
        self.shared.read(|state| state.watching.values().cloned().collect())
    }

    /// A directory that lives as long as the server.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.close_watches();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
