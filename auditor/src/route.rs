//! `auditor route`: which rule a request falls under, step by step, from manifests.
//!
//! Consumes a directory of manifests and a request in words; produces an [`Answer`], which renders itself for people
//! ([`std::fmt::Display`]) and for programs (JSON). Nothing is sent to anybody.

mod answer;
mod request;

use std::path::{Path, PathBuf};

use crate::attribute::Attribution;
use crate::attribute::manifests::{self, ManifestError};
use crate::attribute::routes::{Listener, Options, Request, RequestPath};
pub use answer::Answer;
pub use request::{BadHeader, BadUrl, Header, Url};

/// Why a route could not be told.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// Neither the arguments nor the configuration say where the objects are.
    #[error("no manifests: --manifests DIR says where the objects are, or the configuration's `manifests`")]
    NoManifests,
    /// The manifests could not be read.
    #[error(transparent)]
    Manifests(#[from] ManifestError),
}

/// A request in words.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Where to.
    pub url: Url,
    /// Its fields; a `Host` among them replaces the URL's.
    pub headers: Vec<Header>,
}

/// Tells which rule a request falls under.
///
/// # Errors
/// [`RouteError`].
pub fn explain(dir: Option<&PathBuf>, options: &Options, asked: &Asked) -> Result<Answer, RouteError> {
    let dir: &Path = dir.ok_or(RouteError::NoManifests)?;
    let objects = manifests::load(dir)?.objects;
    let attribution = Attribution::new(&objects, options);
    let fields: Vec<(String, String)> =
        asked.headers.iter().map(|Header { name, value }| (name.clone(), value.clone())).collect();
    let host = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = host.map_or(asked.url.host.as_str(), |(_, host)| host.as_str());
    let path = RequestPath::new(asked.url.target.as_bytes());
    let explanation = attribution.routes.explain(&Request {
        host: Some(host.as_bytes()),
        path: &path,
        method: asked.method.as_bytes(),
        query: asked.url.query().map(str::as_bytes),
        fields: &fields,
        listener: Listener {
            tls: Some(asked.url.tls),
            port: Some(asked.url.port),
            server_name: asked.url.tls.then_some(asked.url.host.as_bytes()),
        },
        client: None,
    });
    Ok(Answer::new(asked, host, &path, explanation, &attribution))
}
