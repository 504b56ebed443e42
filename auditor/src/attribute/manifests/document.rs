//! One document: what it is, and the objects in it.
//!
//! A document is parsed twice, once for its kind (which may stand anywhere in it) and once as that kind, because going
//! through a generic tree would lose the lines that an error has to name. Nesting, aliases and what they expand to are
//! bounded by the parsers.

use std::fmt;
use std::path::Path;

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::error::{ManifestError, ParseError};
use crate::attribute::objects::contour::HttpProxy;
use crate::attribute::objects::gateway::{
    Gateway, GatewayClass, GrpcRoute, HttpRoute, ReferenceGrant, TlsRoute,
};
use crate::attribute::objects::traefik::IngressRoute;
use crate::attribute::objects::{Ignored, Objects};

/// The longest path of a key in an error, in characters.
const MAX_KEY: usize = 256;

/// Declares the kinds that matter: how each is called, in which versions it is understood (the first is the preferred one),
/// whether it lies in namespaces, and which list of [`Objects`] it goes to.
macro_rules! kinds {
    ($( $(#[$doc:meta])* $kind:ident = $name:literal [$($version:literal),+] $namespaced:literal => $list:ident; )*) => {
        /// The sorts of objects that matter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $( $(#[$doc])* $kind, )*
        }

        impl Kind {
            /// All of them.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$kind),*];

            /// Its name, as manifests write it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $( Self::$kind => $name, )*
                }
            }

            /// The versions that are understood; the first is the preferred one.
            #[must_use]
            pub fn api_versions(self) -> &'static [&'static str] {
                match self {
                    $( Self::$kind => &[$($version),+], )*
                }
            }

            /// Whether its objects belong to namespaces.
            #[must_use]
            pub fn namespaced(self) -> bool {
                match self {
                    $( Self::$kind => $namespaced, )*
                }
            }
        }

        /// An object that matters.
        pub(in crate::attribute) enum Object {
            $( $kind(Box<$kind>), )*
        }

        impl Object {
            pub(super) fn kind(&self) -> Kind {
                match self {
                    $( Self::$kind(_) => Kind::$kind, )*
                }
            }

            pub(super) fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $( Self::$kind(object) => &mut object.metadata, )*
                }
            }

            pub(super) fn add_to(self, objects: &mut Objects) {
                match self {
                    $( Self::$kind(object) => objects.$list.push(*object), )*
                }
            }
        }

        impl<'de> DeserializeSeed<'de> for ObjectOf {
            type Value = Object;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Object, D::Error> {
                Ok(match self.0 {
                    $( Kind::$kind => Object::$kind(Box::deserialize(deserializer)?), )*
                })
            }
        }
    };
}

kinds! {
    /// `Ingress` of `networking.k8s.io`.
    Ingress = "Ingress" ["networking.k8s.io/v1"] true => ingresses;
    /// `IngressClass` of `networking.k8s.io`.
    IngressClass = "IngressClass" ["networking.k8s.io/v1"] false => classes;
    /// `Service` of the core group.
    Service = "Service" ["v1"] true => services;
    /// `EndpointSlice` of `discovery.k8s.io`.
    EndpointSlice = "EndpointSlice" ["discovery.k8s.io/v1"] true => slices;
    /// `Pod` of the core group.
    Pod = "Pod" ["v1"] true => pods;
    /// `Namespace` of the core group.
    Namespace = "Namespace" ["v1"] false => namespaces;
    /// `GatewayClass` of `gateway.networking.k8s.io`.
    GatewayClass = "GatewayClass"
        ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"] false => gateway_classes;
    /// `Gateway` of `gateway.networking.k8s.io`.
    Gateway = "Gateway" ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"] true => gateways;
    /// `HTTPRoute` of `gateway.networking.k8s.io`.
    HttpRoute = "HTTPRoute"
        ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"] true => http_routes;
    /// `GRPCRoute` of `gateway.networking.k8s.io`.
    GrpcRoute = "GRPCRoute"
        ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha2"] true => grpc_routes;
    /// `TLSRoute` of `gateway.networking.k8s.io`.
    TlsRoute = "TLSRoute"
        ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha3", "gateway.networking.k8s.io/v1alpha2"]
        true => tls_routes;
    /// `ReferenceGrant` of `gateway.networking.k8s.io`.
    ReferenceGrant = "ReferenceGrant"
        ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"] true => grants;
    /// `IngressRoute` of `traefik.io`.
    IngressRoute = "IngressRoute" ["traefik.io/v1alpha1"] true => ingress_routes;
    /// `HTTPProxy` of `projectcontour.io`.
    HttpProxy = "HTTPProxy" ["projectcontour.io/v1"] true => http_proxies;
}

impl Kind {
    pub(super) fn prefix(kind: Option<Self>) -> String {
        kind.map(|kind| format!("{kind} ")).unwrap_or_default()
    }

    /// Other groups have kinds of the same name (Knative's `Service`), and Ingress has been in another one.
    fn of(name: &str, api_version: &str) -> Option<Self> {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let kind = Self::ALL.iter().copied().find(|kind| kind.name() == name)?;
        let own = kind.api_versions().first()?.rsplit_once('/').map_or("", |(group, _)| group);
        (group == own || (kind == Self::Ingress && group == "extensions")).then_some(kind)
    }
}

impl Object {
    /// An object of this kind from JSON that does not say the kind itself.
    pub(in crate::attribute) fn from_json(kind: Kind, text: &str) -> serde_json::Result<Self> {
        ObjectOf(kind).deserialize(&mut serde_json::Deserializer::from_str(text))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text of a document.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// A document of a YAML stream, and how many lines of the file precede it.
    Yaml { text: &'a str, offset: u64 },
    /// A whole file.
    Json(&'a str),
}

impl Source<'_> {
    pub(super) fn first_line(self) -> u64 {
        match self {
            Self::Yaml { offset, .. } => offset + 1,
            Self::Json(_) => 1,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: Option<String>,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct ListHead {
    items: Option<Vec<Head>>,
}

/// The objects of a document: none for a kind that does not matter, several for a list.
pub(super) fn read(
    file: &Path,
    source: Source<'_>,
    ignored: &mut Ignored,
) -> Result<Vec<Object>, ManifestError> {
    let line = source.first_line();
    let head = parse(file, source, None, std::marker::PhantomData::<Head>)?;
    let missing = |key: &str| ManifestError::NoKind { file: file.to_owned(), line, key: key.to_owned() };
    let name = head.kind.ok_or_else(|| missing("kind"))?;
    // Without the group it cannot be told whether the object matters, and guessing no would lose it silently.
    let version = head.api_version.ok_or_else(|| missing("apiVersion"))?;
    // `kubectl get -o yaml` writes List; the API server writes IngressList, whose items do not repeat their kind.
    let of_kind = name.strip_suffix("List").and_then(|item| Kind::of(item, &version));
    if of_kind.is_none() && !(name == "List" && version == "v1") {
        let Some(kind) = known(file, line, &name, &version)? else {
            ignored.count(&name);
            return Ok(Vec::new());
        };
        return parse(file, source, Some(kind), ObjectOf(kind)).map(|object| vec![object]);
    }
    let list = parse(file, source, None, std::marker::PhantomData::<ListHead>)?;
    let mut kinds = Vec::new();
    for (item, head) in list.items.unwrap_or_default().into_iter().enumerate() {
        let version = head.api_version.unwrap_or_else(|| version.clone());
        let kind = match (head.kind, of_kind) {
            (Some(name), _) if name == "List" => {
                return Err(ManifestError::NestedList { file: file.to_owned(), line, item });
            }
            (Some(name), _) => {
                let kind = known(file, line, &name, &version)?;
                if kind.is_none() {
                    ignored.count(&name);
                }
                kind
            }
            (None, Some(kind)) => Some(kind),
            (None, None) => {
                let key = format!("items[{item}].kind");
                return Err(ManifestError::NoKind { file: file.to_owned(), line, key });
            }
        };
        kinds.push(kind);
    }
    parse(file, source, of_kind, ListOf(&kinds))
}

fn known(file: &Path, line: u64, name: &str, version: &str) -> Result<Option<Kind>, ManifestError> {
    let kind = Kind::of(name, version);
    match kind {
        Some(kind) if !kind.api_versions().contains(&version) => {
            let version = version.chars().take(MAX_KEY).collect();
            Err(ManifestError::Version { file: file.to_owned(), line, kind, version })
        }
        kind => Ok(kind),
    }
}

fn parse<'de, S>(
    file: &Path,
    source: Source<'de>,
    kind: Option<Kind>,
    seed: S,
) -> Result<S::Value, ManifestError>
where
    S: DeserializeSeed<'de>,
{
    let mut track = serde_path_to_error::Track::new();
    let (line, column, error) = match source {
        Source::Yaml { text, offset } => {
            let result =
                serde_saphyr::with_deserializer_from_str_with_options(text, options(), |deserializer| {
                    seed.deserialize(serde_path_to_error::Deserializer::new(deserializer, &mut track))
                });
            match result {
                Ok(value) => return Ok(value),
                Err(error) => {
                    let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
                    (offset + line.max(1), column.max(1), ParseError::Yaml { error: Box::new(error), offset })
                }
            }
        }
        Source::Json(text) => {
            let mut deserializer = serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}'));
            let result = seed
                .deserialize(serde_path_to_error::Deserializer::new(&mut deserializer, &mut track))
                .and_then(|value| deserializer.end().map(|()| value));
            match result {
                Ok(value) => return Ok(value),
                Err(error) => {
                    (error.line().max(1) as u64, error.column().max(1) as u64, ParseError::Json(error))
                }
            }
        }
    };
    let key = track.path().to_string().chars().take(MAX_KEY).collect();
    Err(ManifestError::Invalid { file: file.to_owned(), line, column, kind, key, error })
}

/// A file is at most 16 MiB, so these bound what a document may *expand* to; ordinary manifests come nowhere near.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 8_000_000,
            max_nodes: 4_000_000,
            max_depth: 64,
            flow_nesting_limit: 64,
            max_anchors: 10_000,
            max_aliases: 10_000,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: 8 << 20,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 200_000,
            max_replay_stack_depth: 16,
        },
        with_snippet: false,
    }
}

#[derive(Clone, Copy)]
struct ObjectOf(Kind);

/// A list whose items are of these kinds, in order; those without one are skipped.
struct ListOf<'a>(&'a [Option<Kind>]);

impl<'de> DeserializeSeed<'de> for ListOf<'_> {
    type Value = Vec<Object>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ListOf<'_> {
    type Value = Vec<Object>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut objects = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            // `items: null` was read as no items before.
            if key == "items" && !self.0.is_empty() {
                objects = map.next_value_seed(Items(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(objects)
    }
}

struct Items<'a>(&'a [Option<Kind>]);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = Vec<Object>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = Vec<Object>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut objects = Vec::new();
        for kind in self.0 {
            match kind {
                Some(kind) => objects.extend(items.next_element_seed(ObjectOf(*kind))?),
                None => drop(items.next_element::<IgnoredAny>()?),
            }
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(objects)
    }
}
