//! What is measured: which controller, and what its clients speak.

use anyhow::{Result, bail};
use clap::ValueEnum;
use serde::Serialize;

/// The controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Server {
    /// Debian's, one worker, with OpenSSL.
    Nginx,
    /// As in the tests: stripped, with BoringSSL; one worker.
    Envoy,
    /// Debian's, with Go's TLS.
    Caddy,
}

/// What clients speak. To the backend it is HTTP/1.1 in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
pub(super) enum Protocol {
    /// HTTP/1.1 in the clear, 16 connections.
    #[serde(rename = "http/1.1")]
    #[value(name = "http/1.1")]
    Http1,
    /// HTTP/1.1 over TLS 1.3, 16 connections.
    #[serde(rename = "https/1.1")]
    #[value(name = "https/1.1")]
    Https1,
    /// HTTP/2 over TLS 1.3, 4 connections with 100 streams each.
    #[serde(rename = "https/2")]
    #[value(name = "https/2")]
    Https2,
}

/// Both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) server: Server,
    pub(super) protocol: Protocol,
}

impl Setting {
    /// Refuses what cannot be started.
    pub(super) fn new(server: Server, protocol: Protocol) -> Result<Self> {
        if server != Server::Nginx && protocol == Protocol::Http1 {
            bail!("in the clear only nginx is measured: ask for --protocol https/1.1 or https/2");
        }
        Ok(Self { server, protocol })
    }

    /// For people.
    pub(super) fn name(self) -> String {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        format!("{}, {}", name(self.server.to_possible_value()), name(self.protocol.to_possible_value()))
    }
}

impl Protocol {
    /// Whether it is over TLS.
    pub(super) fn tls(self) -> bool {
        self != Self::Http1
    }
}
