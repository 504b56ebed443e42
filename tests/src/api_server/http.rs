//! Requests over HTTP/1.1, one task for each connection.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::answer::{self, Failure};
use super::faults::Fault;
use super::path::{self, Place, Verb};
use super::resource::Resource;
use super::selector::Selector;
use super::state::{Asked, Shared};
use super::watch::{self, Watch};

/// The largest object that is taken, as the API server's own bound.
const MAX_BODY: usize = 3 << 20;

pub(super) type Body = BoxBody<Bytes, Infallible>;

/// Serves until told to stop.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopped: oneshot::Receiver<()>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
            // A client that goes away is no news.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// What is asked for, before anyone looks whether it may be.
struct Question {
    token: Option<String>,
    verb: Verb,
    place: Place,
    query: std::collections::BTreeMap<String, String>,
    accept: String,
    method: Method,
}

impl Question {
    fn read(request: &Request<Incoming>) -> Option<Self> {
        let place = path::place(request.uri().path())?;
        let query = path::query(request.uri().query().unwrap_or_default());
        let text =
            |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_watch = query.get("watch").is_some_and(|value| ["1", "true"].contains(&value.as_str()));
        let verb = match (&place, request.method()) {
            (Place::Discovery(_), _) => Verb::Discover,
            (Place::Objects { name: Some(_), .. }, &Method::GET) => Verb::Get,
            (_, &Method::GET) if is_watch => Verb::Watch,
            (_, &Method::GET) => Verb::List,
            (_, &Method::POST) => Verb::Create,
            (_, &Method::DELETE) => Verb::Delete,
            (_, _) => Verb::Update,
        };
        let token = text(AUTHORIZATION).strip_prefix("Bearer ").map(|token| token.trim().to_owned());
        let (accept, method) = (text(ACCEPT).to_owned(), request.method().clone());
        Some(Self { token, verb, place, query, accept, method })
    }

    fn metadata_only(&self) -> bool {
        self.accept.contains("as=PartialObjectMetadata")
    }

    fn text(&self, key: &str) -> &str {
        self.query.get(key).map(String::as_str).unwrap_or_default()
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Infallible> {
    let Some(question) = Question::read(&request) else { return Ok(failed(&Failure::not_found("the path"))) };
    let (resource, namespace) = match &question.place {
        Place::Discovery(_) => (None, None),
        Place::Objects { group, version, plural, namespace, .. } => {
            let known = shared.read(|state| state.resource(group, version, plural).cloned());
            let unknown = || Resource::new(group, version, plural, "", namespace.is_some());
            (Some(known.unwrap_or_else(unknown)), namespace.clone())
        }
    };
    let number = shared.note(|state| {
        state.asked.push(Asked {
            token: question.token.clone(),
            verb: question.verb,
            resource: resource.as_ref().map(Resource::name).unwrap_or_default(),
            namespace,
            query: question.query.clone(),
            accept: question.accept.clone(),
            status: 0,
            at: Instant::now(),
        });
        state.asked.len() - 1
    });
    let answer = match handle(request, question, resource, &shared).await {
        Ok(answer) => answer,
        Err(failure) => failed(&failure),
    };
    shared.note(|state| {
        if let Some(asked) = state.asked.get_mut(number) {
            asked.status = answer.status().as_u16();
        }
    });
    Ok(answer)
}

async fn handle(
    request: Request<Incoming>,
    question: Question,
    resource: Option<Resource>,
    shared: &Arc<Shared>,
) -> Result<Response<Body>, Failure> {
    let plural = resource.as_ref().map(|resource| resource.plural.as_str()).unwrap_or_default();
    let fault = shared.note(|state| state.faults.take(plural, question.verb));
    match &fault {
        Some(Fault::Status(code)) => return Err(Failure::injected(*code, None)),
        Some(Fault::TooMany(seconds)) => return Err(Failure::injected(429, Some(*seconds))),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::HangAfterHead) => return Ok(watch::silence()),
        Some(Fault::Garbage) => {
            return Ok(respond(200, Bytes::from_static(b"\xff<html>not what was asked for")));
        }
        _ => {}
    }
    let rules = question.token.as_deref().and_then(|token| shared.read(|state| state.rules(token).cloned()));
    let rules = rules.ok_or_else(Failure::unauthorized)?;
    let Some(resource) = resource else {
        let Place::Discovery(parts) = &question.place else { return Err(Failure::not_found("the path")) };
        let found = shared.read(|state| answer::discovery(state.resources(), parts));
        return found.map(|found| json(200, &found)).ok_or_else(|| Failure::not_found("the group"));
    };
    // Rules come before anything else is said: who may not ask does not learn what there is.
    if !rules.allow(question.verb, &resource) {
        return Err(Failure::forbidden(question.verb.name(), &resource));
    }
    if resource.kind.is_empty() {
        return Err(Failure::not_found("the server could not find the requested resource"));
    }
    let Place::Objects { namespace, name, .. } = &question.place else {
        return Err(Failure::not_found("the path"));
    };
    let namespace = namespace.as_deref();
    let wrong = |message: String| Failure::invalid(&message);
    match (question.verb, name) {
        (Verb::Get, Some(name)) => {
            let found = shared.read(|state| state.get(&resource, namespace, name).cloned());
            found.map(|object| json(200, &object)).ok_or_else(|| Failure::not_found(name))
        }
        (Verb::List | Verb::Watch, _) => {
            let selector = Selector::new(
                &resource.plural,
                question.text("labelSelector"),
                question.text("fieldSelector"),
            )
            .map_err(wrong)?;
            if question.verb == Verb::Watch {
                let watch = Watch {
                    resource: resource.name(),
                    namespace: namespace.map(str::to_owned),
                    selector,
                    // 0 and none mean any version; the present one is one.
                    version: question.text("resourceVersion").parse().ok().filter(|version| *version > 0),
                    bookmarks: question.text("allowWatchBookmarks") == "true",
                    metadata_only: question.metadata_only(),
                    seconds: question.text("timeoutSeconds").parse().ok(),
                    fault,
                };
                return watch::start(watch, Arc::clone(shared));
            }
            let limit = question.text("limit").parse().unwrap_or(0);
            let token = question.query.get("continue").filter(|token| !token.is_empty());
            let page = shared.note(|state| {
                state.list(&resource, namespace, &selector, limit, token.map(String::as_str))
            })?;
            Ok(json(200, &answer::list(&resource, &page, question.metadata_only())))
        }
        (Verb::Create | Verb::Update, _) if question.method == Method::PATCH => {
            Err(Failure::new(405, "MethodNotAllowed", "patches are not supported here"))
        }
        (Verb::Create | Verb::Update, _) => {
            let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
            let body = body.map_err(|error| wrong(error.to_string()))?.to_bytes();
            let mut object: Value =
                serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))?;
            if let Some(fields) = object.as_object_mut() {
                // Clients may leave out what the path says.
                fields.entry("apiVersion").or_insert_with(|| resource.api_version().into());
                fields.entry("kind").or_insert_with(|| resource.kind.clone().into());
            }
            if let (Some(metadata), Some(namespace)) =
                (object.get_mut("metadata").and_then(Value::as_object_mut), namespace)
            {
                metadata.insert("namespace".to_owned(), namespace.into());
            }
            let given =
                object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let stored = shared.change(|state| {
                let exists = state.get(&resource, namespace, &given).is_some();
                match question.verb {
                    Verb::Create if exists => Err(Failure::new(409, "AlreadyExists", &given)),
                    Verb::Update if !exists => Err(Failure::not_found(&given)),
                    _ => {
                        state.put(object)?;
                        Ok(state.get(&resource, namespace, &given).cloned())
                    }
                }
            })?;
            let code = if question.verb == Verb::Create { 201 } else { 200 };
            stored.map(|object| json(code, &object)).ok_or_else(|| Failure::not_found(&given))
        }
        (Verb::Delete, Some(name)) => {
            let (_, object) = shared.change(|state| state.delete(&resource, namespace, name))?;
            Ok(json(200, &object))
        }
        _ => Err(Failure::new(405, "MethodNotAllowed", "not supported here")),
    }
}

fn failed(failure: &Failure) -> Response<Body> {
    let mut answer = json(failure.code, &failure.status());
    if let Some(seconds) = failure.retry_after {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    answer
}

fn json(code: u16, value: &Value) -> Response<Body> {
    respond(code, Bytes::from(value.to_string()))
}

fn respond(code: u16, bytes: Bytes) -> Response<Body> {
    let mut answer = Response::new(Full::new(bytes).boxed());
    *answer.status_mut() = code.try_into().unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    answer
}
