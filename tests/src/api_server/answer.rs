//! Answers: objects, lists, discovery, and failures as `Status` objects.

use serde_json::{Value, json};

use super::resource::Resource;
use super::state::Page;

/// What is answered instead of what was asked for.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: u16,
    reason: &'static str,
    message: String,
    pub(super) retry_after: Option<u32>,
}

impl Failure {
    pub(super) fn new(code: u16, reason: &'static str, message: &str) -> Self {
        Self { code, reason, message: message.to_owned(), retry_after: None }
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(404, "NotFound", &format!("{what} not found"))
    }

    pub(super) fn invalid(message: &str) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn expired() -> Self {
        Self::new(410, "Expired", "The resourceVersion or the continue parameter is too old.")
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub(super) fn forbidden(verb: &str, resource: &Resource) -> Self {
        let (name, group) = (&resource.plural, &resource.group);
        let message =
            format!("{name} is forbidden: User cannot {verb} resource \"{name}\" in API group \"{group}\"");
        Self::new(403, "Forbidden", &message)
    }

    /// One that a test asked for.
    pub(super) fn injected(code: u16, retry_after: Option<u32>) -> Self {
        let reason = match code {
            403 => "Forbidden",
            410 => "Expired",
            429 => "TooManyRequests",
            _ => "InternalError",
        };
        Self { retry_after, ..Self::new(code, reason, "a fault that the test asked for") }
    }

    /// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/>
    pub(super) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if let (Some(seconds), Some(status)) = (self.retry_after, status.as_object_mut()) {
            status.insert("details".to_owned(), json!({"retryAfterSeconds": seconds}));
        }
        status
    }
}

/// A page of a list; of metadata alone where that was asked for.
pub(super) fn list(resource: &Resource, page: &Page, metadata_only: bool) -> Value {
    let mut metadata = json!({"resourceVersion": page.version.to_string()});
    if let (Some(next), Some(metadata)) = (&page.next, metadata.as_object_mut()) {
        metadata.insert("continue".to_owned(), next.clone().into());
        metadata.insert("remainingItemCount".to_owned(), page.remaining.into());
    }
    // Items of a list do not repeat their kind.
    let item = |object: &Value| {
        let mut object = if metadata_only { partial(object) } else { object.clone() };
        if let (false, Some(fields)) = (metadata_only, object.as_object_mut()) {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        object
    };
    let items: Vec<Value> = page.items.iter().map(item).collect();
    let (api_version, kind) = if metadata_only {
        ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList".to_owned())
    } else {
        (resource.api_version(), format!("{}List", resource.kind))
    };
    json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "items": items})
}

/// An object's metadata alone.
pub(super) fn partial(object: &Value) -> Value {
    let metadata = object.get("metadata").cloned().unwrap_or_default();
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata})
}

/// Which kinds there are; none for a group or version that is not served.
pub(super) fn discovery(resources: &[Resource], place: &[String]) -> Option<Value> {
    let parts: Vec<&str> = place.iter().map(String::as_str).collect();
    let group_of = |group: &str| {
        let mut versions: Vec<&str> = resources
            .iter()
            .filter(|known| known.group == group)
            .map(|known| known.version.as_str())
            .collect();
        versions.sort_unstable();
        versions.dedup();
        let named = |version: &str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
        let preferred = named(versions.first()?);
        let versions: Vec<Value> = versions.iter().map(|version| named(version)).collect();
        Some(json!({"name": group, "versions": versions, "preferredVersion": preferred}))
    };
    let list_of = |group: &str, version: &str| {
        let of_it: Vec<&Resource> =
            resources.iter().filter(|known| known.group == group && known.version == version).collect();
        let api_version = of_it.first()?.api_version();
        let described: Vec<Value> = of_it.iter().map(|known| described(known)).collect();
        let list = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": described});
        Some(list)
    };
    match parts.as_slice() {
        ["version"] => Some(json!({"major": "1", "minor": "34", "gitVersion": "v1.34.0"})),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
        ["api", version] => list_of("", version),
        ["apis"] => {
            let mut groups: Vec<&str> = resources.iter().map(|known| known.group.as_str()).collect();
            groups.sort_unstable();
            groups.dedup();
            let groups: Vec<Value> =
                groups.into_iter().filter(|group| !group.is_empty()).filter_map(group_of).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", group] => group_of(group).map(|mut found| {
            if let Some(fields) = found.as_object_mut() {
                fields.insert("kind".to_owned(), "APIGroup".into());
                fields.insert("apiVersion".to_owned(), "v1".into());
            }
            found
        }),
        ["apis", group, version] => list_of(group, version),
        _ => None,
    }
}

fn described(resource: &Resource) -> Value {
    json!({
        "name": resource.plural, "singularName": resource.kind.to_lowercase(), "namespaced": resource.namespaced,
        "kind": resource.kind, "verbs": ["create", "delete", "get", "list", "update", "watch"],
    })
}
