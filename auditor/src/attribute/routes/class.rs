//! Which Ingresses the controller serves: classes, and the filter that is configured.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::networking::v1::{Ingress, IngressClass};

/// The annotation that named the class before `spec.ingressClassName` did.
const LEGACY: &str = "kubernetes.io/ingress.class";
/// The annotation that makes a class the default.
const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

/// Which classes the controller serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassFilter {
    /// Classes by name; they need not exist as objects, as a controller that goes by names does not ask for them.
    pub names: BTreeSet<String>,
    /// Classes by their `spec.controller`, such as `k8s.io/ingress-nginx`.
    pub controllers: BTreeSet<String>,
    /// Ingresses that have no class, where there is no default class either, are not served.
    pub require_class: bool,
}

impl ClassFilter {
    /// Whether every class that exists is served.
    fn is_open(&self) -> bool {
        self.names.is_empty() && self.controllers.is_empty()
    }
}

/// The classes that exist.
pub(super) struct Classes<'o> {
    controllers: HashMap<&'o str, &'o str>,
    default: Option<&'o str>,
}

/// What the class says about an Ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    Yes,
    No,
    /// No, because the class that it names does not exist.
    Dangling,
}

impl<'o> Classes<'o> {
    pub(super) fn new(classes: &'o [IngressClass]) -> Self {
        let mut controllers = HashMap::new();
        let mut default: Option<(_, &str)> = None;
        for class in classes {
            let Some(name) = class.metadata.name.as_deref() else { continue };
            let controller = class.spec.as_ref().and_then(|spec| spec.controller.as_deref());
            controllers.insert(name, controller.unwrap_or_default());
            let annotations = class.metadata.annotations.as_ref();
            if annotations.and_then(|all| all.get(DEFAULT)).is_some_and(|value| value == "true") {
                // Several defaults: the newest, then the first name, as the API server's admission chooses.
                let candidate = (class.metadata.creation_timestamp.as_ref(), name);
                if default.is_none_or(|(time, other)| (candidate.0, other) > (time, name)) {
                    default = Some(candidate);
                }
            }
        }
        Self { controllers, default: default.map(|(_, name)| name) }
    }

    /// The class of an Ingress: the field, else the annotation, else the default class. Manifests have not been through
    /// the API server's admission, which would have written the default into the field.
    pub(super) fn of(&self, ingress: &'o Ingress) -> Option<&'o str> {
        let field = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
        field.or_else(|| annotation(ingress)).or(self.default)
    }

    /// The `spec.controller` of an Ingress's class.
    pub(super) fn controller(&self, ingress: &'o Ingress) -> Option<&'o str> {
        self.controllers.get(self.of(ingress)?).copied().filter(|controller| !controller.is_empty())
    }

    pub(super) fn served(&self, ingress: &'o Ingress, filter: &ClassFilter) -> Served {
        let Some(name) = self.of(ingress) else {
            return if filter.require_class { Served::No } else { Served::Yes };
        };
        let controller = self.controllers.get(name);
        if filter.names.contains(name)
            || controller.is_some_and(|controller| filter.controllers.contains(*controller))
        {
            return Served::Yes;
        }
        match controller {
            Some(_) if filter.is_open() => Served::Yes,
            Some(_) => Served::No,
            // The annotation is older than the objects and never referred to one.
            None if filter.is_open() && annotation(ingress) == Some(name) => Served::Yes,
            // Names are enough to tell that it is not one of them.
            None if filter.controllers.is_empty() && !filter.is_open() => Served::No,
            None => Served::Dangling,
        }
    }
}

fn annotation(ingress: &Ingress) -> Option<&str> {
    ingress.metadata.annotations.as_ref()?.get(LEGACY).map(String::as_str)
}
