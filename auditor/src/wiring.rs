//! From the configuration to the settings of each part.

use std::sync::Arc;

use crate::assemble::stream;
use crate::attribute::controllers::{Classes, Controller as Found};
use crate::attribute::manifests;
use crate::attribute::objects::ObjectName;
use crate::attribute::routes::{ClassFilter, Options, PortRef};
use crate::attribute::watch;
use crate::capture::kernel::attach;
use crate::config::Config;
use crate::decode::http1;
use crate::emit::build::Settings;
use crate::emit::id::Domain;
use crate::emit::model::{Controller, Source, Text};
use crate::pipeline::Limits;

impl Config {
    /// Bounds of a pipeline.
    #[must_use]
    pub fn pipeline_limits(&self) -> Limits {
        let limits = &self.limits;
        Limits {
            connections: limits.max_connections as usize,
            stream: stream::Limits {
                bytes: limits.held_bytes_per_connection as usize,
                ..stream::Limits::default()
            },
            held_bytes: limits.held_bytes as usize,
            http1: http1::Limits::default(),
        }
    }

    /// What is watched of a cluster.
    #[must_use]
    pub fn watch_settings(&self) -> watch::Settings {
        watch::Settings {
            node: self.node.clone(),
            named: self.kubernetes.controllers.clone(),
            kinds: manifests::Kind::ALL.to_vec(),
            pace: watch::Pace::default(),
        }
    }

    /// How the kernel programs are loaded.
    #[must_use]
    pub fn attach_options(&self) -> attach::Options {
        attach::Options {
            ring_bytes: self.limits.ring_bytes,
            request_window: self.limits.request_window.into(),
            response_window: self.limits.response_window.into(),
        }
    }

    /// How routes are read.
    #[must_use]
    pub fn route_options(&self) -> Options {
        let default_backend = self.default_backend.as_ref().map(|backend| {
            let name = ObjectName {
                namespace: backend.namespace.as_str().into(),
                name: backend.service.as_str().into(),
            };
            let port = match backend.port.parse() {
                Ok(number) => PortRef::Number(number),
                Err(_) => PortRef::Name(backend.port.as_str().into()),
            };
            (name, port)
        });
        let names = self.ingress_class.iter().cloned().collect();
        let classes = ClassFilter { names, ..ClassFilter::default() };
        let gateways = self.gateways.iter().map(|gateway| ObjectName {
            namespace: gateway.namespace.as_str().into(),
            name: gateway.name.as_str().into(),
        });
        Options {
            classes,
            default_backend,
            falls_through: false,
            dialect: self.dialect,
            strict_prefixes: self.strict_prefix_matching,
            gateways: gateways.collect(),
        }
    }

    /// How the routes of a pod's controller are read, which serves Ingresses of these classes.
    #[must_use]
    pub fn route_options_of(&self, classes: &Classes) -> Options {
        let options = self.route_options();
        let Classes { names, controllers, require_class, gateway, dialect } = classes.clone();
        let own = gateway.map(|(namespace, name)| ObjectName {
            namespace: namespace.as_str().into(),
            name: name.as_str().into(),
        });
        // What is configured goes first.
        let gateways = if options.gateways.is_empty() { own.into_iter().collect() } else { options.gateways };
        let classes = match self.ingress_class {
            Some(_) => options.classes,
            None => ClassFilter { names, controllers, require_class },
        };
        Options { classes, gateways, dialect: options.dialect.or(Some(dialect)), ..options }
    }

    /// What events say; of a pod, where that is known.
    #[must_use]
    pub fn event_settings(&self, domain: Domain, pod: Option<&Found>) -> Settings {
        let text = |value: &Option<String>| value.as_deref().map(Text::new);
        let labels = &self.controller;
        let mut controller = Controller {
            kind: text(&labels.kind),
            namespace: text(&labels.namespace),
            pod: text(&labels.pod),
            container: text(&labels.container),
        };
        if let Some(pod) = pod {
            controller = Controller {
                kind: Some(Text::from_static(pod.kind.name())),
                namespace: Some(Text::new(&pod.namespace)),
                pod: Some(Text::new(&pod.pod)),
                container: text(&pod.container),
            };
        }
        let known = controller != Controller::default();
        Settings {
            source: Arc::new(Source {
                cluster: text(&self.cluster),
                node: Text::new(&self.node),
                controller: known.then_some(controller),
            }),
            domain,
            management_ports: self.management.ports.clone(),
            management_paths: self.management.paths.clone(),
            query_allow: self.query_allow.clone(),
            trusted: self.trusted.clone(),
            forwarding_headers: self.forwarding_headers.clone(),
        }
    }
}
