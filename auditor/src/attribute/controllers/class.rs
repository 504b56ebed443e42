//! Which Ingresses a controller serves, by its command line.

use super::ControllerKind;
use crate::attribute::routes::ClassFilter;

/// The classes of a controller that was started so. Where the command line does not say, each product's own default.
pub(super) fn classes(kind: ControllerKind, words: &[&str]) -> ClassFilter {
    let controllers = |own: &str| {
        let known = kind.class_controllers().iter().take(1);
        known.map(|name| if own.is_empty() { (*name).to_owned() } else { own.to_owned() }).collect()
    };
    let by_controller = || ClassFilter { controllers: controllers(""), ..ClassFilter::default() };
    let named = |name: &str| {
        let names = Some(name).filter(|name| !name.is_empty()).map(str::to_owned).into_iter().collect();
        ClassFilter { names, ..by_controller() }
    };
    match kind {
        // https://kubernetes.github.io/ingress-nginx/user-guide/cli-arguments/
        ControllerKind::IngressNginx => ClassFilter {
            names: [value(words, "ingress-class").unwrap_or("nginx").to_owned()].into(),
            controllers: controllers(value(words, "controller-class").unwrap_or_default()),
            require_class: !is_set(words, "watch-ingress-without-class"),
        },
        // https://docs.nginx.com/nginx-ingress-controller/configuration/global-configuration/command-line-arguments/
        // The class is one name, and must name this controller.
        ControllerKind::NginxIngress => ClassFilter {
            names: [value(words, "ingress-class").unwrap_or("nginx").to_owned()].into(),
            controllers: [].into(),
            require_class: true,
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
            ClassFilter {
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
            ClassFilter { controllers: [base.to_owned(), own].into(), ..named(class) }
        }
        // They go by the class's name.
        ControllerKind::Contour => ClassFilter { controllers: [].into(), ..named("contour") },
        ControllerKind::Cilium => ClassFilter { require_class: true, ..named("cilium") },
        ControllerKind::Kong => ClassFilter { require_class: true, ..named("kong") },
        ControllerKind::Istio => ClassFilter { require_class: true, ..named("istio") },
        ControllerKind::Apisix => ClassFilter { require_class: true, ..named("apisix") },
        ControllerKind::Emissary => ClassFilter { require_class: true, ..named("ambassador") },
        ControllerKind::Caddy => ClassFilter { require_class: true, ..named("caddy") },
        // They serve no Ingress: no class is theirs.
        ControllerKind::NginxGatewayFabric | ControllerKind::EnvoyGateway | ControllerKind::Gateway => {
            ClassFilter { require_class: true, ..by_controller() }
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
            return value.filter(|value| !value.contains("$("));
        }
    }
    None
}

fn is_set(words: &[&str], name: &str) -> bool {
    let given = words.iter().filter_map(|word| {
        word.trim_start_matches('-').split_once('=').or(Some((word.trim_start_matches('-'), "true")))
    });
    given
        .filter(|(option, _)| option.eq_ignore_ascii_case(name))
        .last()
        .is_some_and(|(_, value)| value != "false")
}
