//! Watches: the changes after a version, in order, as they come.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::answer::{self, Failure};
use super::faults::Fault;
use super::http::Body;
use super::selector::Selector;
use super::state::{Change, Shared, event};

/// Events that wait for a client that does not read.
const QUEUE: usize = 1024;
/// How long a watch lasts where the client does not say, as the API server's own least.
const DEFAULT_SECONDS: u64 = 1800;

/// What is watched.
pub(super) struct Watch {
    pub(super) resource: String,
    pub(super) namespace: Option<String>,
    pub(super) selector: Selector,
    pub(super) version: Option<u64>,
    pub(super) bookmarks: bool,
    pub(super) metadata_only: bool,
    pub(super) seconds: Option<u64>,
    pub(super) fault: Option<Fault>,
}

/// Starts one.
pub(super) fn start(mut watch: Watch, shared: Arc<Shared>) -> Result<Response<Body>, Failure> {
    let (begun, number) = shared.note(|state| {
        let version = watch.version.unwrap_or_else(|| state.version());
        if !state.has(version) {
            return Err(Failure::expired());
        }
        let number = state.number();
        state.watching.insert(number, watch.resource.clone());
        Ok(((version, state.bookmarks), number))
    })?;
    let (lines, body) = mpsc::channel(QUEUE);
    let open = Open { shared: Arc::clone(&shared), number };
    let fault = watch.fault.take();
    tokio::spawn(async move {
        let open = open;
        let seconds = watch.seconds.unwrap_or(DEFAULT_SECONDS);
        let end = match fault {
            Some(Fault::CloseAfter(time)) => Instant::now() + time,
            _ => Instant::now() + Duration::from_secs(seconds),
        };
        if fault == Some(Fault::GoneEvent) {
            let _ = lines.send(event("ERROR", &Failure::expired().status())).await;
            return;
        }
        let half = fault == Some(Fault::HalfEvent);
        tokio::select! {
            () = tell(&watch, &open, begun, &lines, half) => {}
            () = sleep_until(end) => {}
            () = lines.closed() => {}
        }
    });
    Ok(stream(body))
}

/// An answer of which nothing but the head comes.
pub(super) fn silence() -> Response<Body> {
    let (lines, body) = mpsc::channel(1);
    tokio::spawn(async move {
        let _lines = lines;
        pending::<()>().await;
    });
    stream(body)
}

/// A watch that is on the list of those that are open.
struct Open {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.note(|state| state.watching.remove(&self.number));
    }
}

/// Tells what comes after a version, and bookmarks after so many.
async fn tell(watch: &Watch, open: &Open, begun: (u64, u64), lines: &mpsc::Sender<Vec<u8>>, half: bool) {
    let mut changes = open.shared.changes();
    let (mut version, mut bookmarks) = begun;
    loop {
        changes.mark_unchanged();
        let (fresh, present, asked, closed) = open.shared.read(|state| {
            let fresh = state.after(version, &watch.resource);
            (fresh, state.version(), state.bookmarks, open.number <= state.closed_before)
        });
        let Some(fresh) = fresh else {
            let _ = lines.send(event("ERROR", &Failure::expired().status())).await;
            return;
        };
        for change in &fresh {
            let Some(mut line) = line(watch, change) else { continue };
            if half {
                line.truncate(line.len() / 2);
                let _ = lines.send(line).await;
                return;
            }
            if lines.send(line).await.is_err() {
                return;
            }
        }
        version = present;
        if asked > bookmarks {
            bookmarks = asked;
            let object = json!({"metadata": {"resourceVersion": version.to_string()}, "kind": "Bookmark", "apiVersion": "v1"});
            if watch.bookmarks && lines.send(event("BOOKMARK", &object)).await.is_err() {
                return;
            }
        }
        if closed || changes.changed().await.is_err() {
            return;
        }
    }
}

/// What a change is to this watch: an object that begins or ceases to be meant is added or deleted.
fn line(watch: &Watch, change: &Change) -> Option<Vec<u8>> {
    let meant = |object: &Option<Value>| {
        object.as_ref().is_some_and(|object| {
            let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
            (watch.namespace.is_none() || namespace == watch.namespace.as_deref())
                && watch.selector.matches(object)
        })
    };
    let kind = match (meant(&change.before), meant(&change.after)) {
        (false, true) => "ADDED",
        (true, true) => "MODIFIED",
        (true, false) => "DELETED",
        (false, false) => return None,
    };
    let object = if watch.metadata_only { answer::partial(&change.object) } else { change.object.clone() };
    Some(event(kind, &object))
}

/// A body that is what comes through a channel.
struct Lines(mpsc::Receiver<Vec<u8>>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line.into()))))
    }
}

fn stream(body: mpsc::Receiver<Vec<u8>>) -> Response<Body> {
    let mut answer = Response::new(Lines(body).boxed());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
