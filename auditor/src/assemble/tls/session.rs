//! What both directions have agreed on, as far as it is needed to find keys.

use super::secrets::ClientRandom;
use super::suite::{Protection, Version};

/// The state that belongs to neither direction alone.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Under which client random the secrets are found: the connection's own, or another that a trial has proved.
    pub(super) secrets: Option<ClientRandom>,
    pub(super) client_random: Option<[u8; 32]>,
    /// Under which name it holds the store's secrets.
    pub(super) held: Option<ClientRandom>,
    /// SHA-256 of the first `ClientHello`.
    pub(super) hello: Option<[u8; 32]>,
    pub(super) server_random: Option<[u8; 32]>,
    pub(super) version: Option<Version>,
    /// None: not known yet, or none that is read.
    pub(super) protection: Option<Protection>,
    /// The `ServerHello` that is no `HelloRetryRequest` was read.
    pub(super) agreed: bool,
    /// A `HelloRetryRequest` was read, and the second `ClientHello` was not.
    pub(super) retrying: bool,
    /// What the server made of early data will not be known.
    pub(super) early_unknown: bool,
    /// TLS 1.2 and before: the server has sent `ServerHelloDone`, so this is a full handshake.
    pub(super) full: bool,
    /// TLS 1.2 and before: how many `Finished` were read.
    pub(super) finished: u8,
    /// Secrets that were tried.
    pub(super) trials: u32,
}
