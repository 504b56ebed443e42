//! Which Ingresses a controller serves, by its command line.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{ControllerKind, MAX_NAME};
use crate::attribute::routes::Dialect;

/// Which objects a controller serves, and how it reads them: Ingresses by their classes, and where it was made for one, that
/// Gateway alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Classes {
    /// Classes of these names.
    pub names: BTreeSet<String>,
    /// Classes whose `spec.controller` is one of these.
    pub controllers: BTreeSet<String>,
    /// An Ingress without a class is not served.
    pub require_class: bool,
    /// The Gateway that it was made for: namespace and name.
    pub gateway: Option<(String, String)>,
    /// How it reads Ingresses, and which kinds of its own it has.
    pub dialect: Dialect,
}

/// How a product reads Ingresses; what it reads of no others' kinds.
pub(super) fn dialect(kind: ControllerKind) -> Dialect {
    match kind {
        ControllerKind::IngressNginx => Dialect::IngressNginx,
        ControllerKind::NginxIngress => Dialect::F5Nginx,
        ControllerKind::Traefik => Dialect::Traefik,
        ControllerKind::HaproxyTech => Dialect::HaproxyTech,
        ControllerKind::HaproxyIngress => Dialect::HaproxyIngress,
        ControllerKind::Contour => Dialect::Contour,
        ControllerKind::Kong => Dialect::Kong,
        ControllerKind::Cilium => Dialect::Cilium,
        ControllerKind::Istio => Dialect::Istio,
        ControllerKind::Apisix
        | ControllerKind::Emissary
        | ControllerKind::Caddy
        | ControllerKind::NginxGatewayFabric
        | ControllerKind::EnvoyGateway
        | ControllerKind::Gateway => Dialect::Standard,
    }
}

/// The classes of a controller that was started so. Where the command line does not say, each product's own default.
pub(super) fn classes(kind: ControllerKind, words: &[&str]) -> Classes {
    let controllers = |own: &str| {
        let known = kind.class_controllers().iter().take(1);
        known.map(|name| if own.is_empty() { (*name).to_owned() } else { own.to_owned() }).collect()
    };
    let by_controller = || Classes { controllers: controllers(""), ..Classes::default() };
    let named = |name: &str| {
        let names = Some(name).filter(|name| !name.is_empty()).map(str::to_owned).into_iter().collect();
        Classes { names, ..by_controller() }
    };
    match kind {
        // https://kubernetes.github.io/ingress-nginx/user-guide/cli-arguments/
        ControllerKind::IngressNginx => Classes {
            names: [value(words, "ingress-class").unwrap_or("nginx").to_owned()].into(),
            controllers: controllers(value(words, "controller-class").unwrap_or_default()),
            require_class: !is_set(words, "watch-ingress-without-class"),
            ..Classes::default()
        },
        // https://docs.nginx.com/nginx-ingress-controller/configuration/global-configuration/command-line-arguments/
        // The class is one name, and must name this controller.
        ControllerKind::NginxIngress => Classes {
            names: [value(words, "ingress-class").unwrap_or("nginx").to_owned()].into(),
            controllers: [].into(),
            require_class: true,
            ..Classes::default()
        },
        // https://doc.traefik.io/traefik/providers/kubernetes-ingress/#ingressclass
        ControllerKind::Traefik => {
            named(value(words, "providers.kubernetesingress.ingressclass").unwrap_or_default())
        }
        // https://haproxy-ingress.github.io/docs/configuration/command-line/#ingress-class
        ControllerKind::HaproxyIngress => {
            let suffix = value(words, "controller-class").unwrap_or_default().trim_start_matches('/');
            let base = "haproxy-ingress.github.io/controller";
            let own = if suffix.is_empty() { base.to_owned() } else { format!("{base}/{suffix}") };
            Classes {
                controllers: controllers(&own),
                require_class: !is_set(words, "watch-ingress-without-class"),
                ..named(value(words, "ingress-class").unwrap_or("haproxy"))
            }
        }
        // https://www.haproxy.com/documentation/kubernetes-ingress/community/configuration-reference/startup-options/
        ControllerKind::HaproxyTech => {
            let class = value(words, "ingress.class").unwrap_or_default();
            let base = "haproxy.org/ingress-controller";
            let own = if class.is_empty() { base.to_owned() } else { format!("{base}/{class}") };
            Classes { controllers: [base.to_owned(), own].into(), ..named(class) }
        }
        // They go by the class's name.
        ControllerKind::Contour => Classes { controllers: [].into(), ..named("contour") },
        ControllerKind::Cilium => Classes { require_class: true, ..named("cilium") },
        ControllerKind::Kong => Classes { require_class: true, ..named("kong") },
        ControllerKind::Istio => Classes { require_class: true, ..named("istio") },
        ControllerKind::Apisix => Classes { require_class: true, ..named("apisix") },
        ControllerKind::Emissary => Classes { require_class: true, ..named("ambassador") },
        ControllerKind::Caddy => Classes { require_class: true, ..named("caddy") },
        // They serve no Ingress: no class is theirs.
        ControllerKind::NginxGatewayFabric | ControllerKind::EnvoyGateway | ControllerKind::Gateway => {
            Classes { require_class: true, ..by_controller() }
        }
    }
}

/// The value of `--name=value`, `--name value`, or the same with one hyphen; names without regard to case, as Traefik
/// reads them. What is filled in from the environment is not known here.
fn value<'w>(words: &[&'w str], name: &str) -> Option<&'w str> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else { continue };
        let (option, value) = match option.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (option, None),
        };
        if option.eq_ignore_ascii_case(name) {
            let value = value.or_else(|| words.next().copied().filter(|value| !value.starts_with('-')));
            return value.filter(|value| !value.contains("$(") && value.len() <= MAX_NAME);
        }
    }
    None
}

fn is_set(words: &[&str], name: &str) -> bool {
    let given = words.iter().rev().map(|word| word.trim_start_matches('-'));
    let mut values = given.map(|word| word.split_once('=').unwrap_or((word, "true")));
    // The last one counts.
    values.find(|(option, _)| option.eq_ignore_ascii_case(name)).is_some_and(|(_, value)| value != "false")
}
