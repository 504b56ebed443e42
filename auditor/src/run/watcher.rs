//! The process that talks to the API server: a token and the network, no rights and no traffic.
//!
//! Consumes the configuration; tells the attaching process which pods carry ingress traffic, and the decoding process the
//! objects. The kubeconfig and what it names are read as who started it, everything after that without rights.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::{fs, thread};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config as Access};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::oneshot;

use super::channel::{Channel, Order, Sighting, Told};
use super::error::RunError;
use super::privileges;
use crate::attribute::watch::{self, News};
use crate::config::Config;

/// News that wait to be sent: a page of a list.
const QUEUE: usize = 512;
/// News that are sent in one message, at most.
const BATCH: usize = 512;

/// Why the API server cannot be asked.
#[derive(Debug, thiserror::Error)]
enum AccessError {
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// There is no service account.
    #[error("no kubeconfig is given, and this is no pod with a service account")]
    InCluster(#[from] kube::config::InClusterError),
    /// No client can be made.
    #[error("the API server cannot be asked")]
    Client(#[from] kube::Error),
    /// The token would not be read again when it changes.
    #[error(
        "the token {} cannot be read as user {user}: leave `runAsUser` of the pod unset, or set `user` to it",
        path.display()
    )]
    Token { path: std::path::PathBuf, user: u32, source: io::Error },
    /// The runtime was refused by the system.
    #[error("cannot wait for the network")]
    Runtime(#[source] io::Error),
}

/// Watches for the process on the other end of standard input until that is done.
///
/// # Errors
/// [`RunError`].
pub fn run(start_log: impl FnOnce(&Config)) -> Result<ExitCode, RunError> {
    let inherited: OwnedFd = io::stdin().as_fd().try_clone_to_owned().map_err(RunError::Spawn)?;
    let parent = Channel::from(inherited);
    let Some((Order::Configure(config), descriptors)) = parent.receive()? else {
        return Err(RunError::OutOfTurn);
    };
    let decoder = Channel::from(descriptors.into_iter().next().ok_or(RunError::OutOfTurn)?);
    start_log(&config);
    // One thread: rights are given up by threads, one by one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let started = runtime.map_err(AccessError::Runtime).and_then(|runtime| {
        let (client, token) = runtime.block_on(connect(&config))?;
        Ok((runtime, client, token))
    });
    privileges::give_up(config.user)?;
    let started = started.and_then(|(runtime, client, token)| {
        if let Some(path) = token
            && let Err(source) = fs::File::open(&path)
        {
            return Err(AccessError::Token { path, user: config.user, source });
        }
        Ok((runtime, client))
    });
    let (runtime, client) = match started {
        Ok(started) => started,
        Err(error) => {
            let reason = format!("{:#}", anyhow::Error::from(error));
            parent.send(&Sighting::Refused { reason }, &[])?;
            return Ok(ExitCode::FAILURE);
        }
    };
    parent.send(&Sighting::Ready, &[])?;
    let (sender, news) = channel(QUEUE);
    let settings = config.watch_settings();
    let parents_end = parent.as_fd().try_clone_to_owned().and_then(until_closed).map_err(RunError::Spawn)?;
    let sending = thread::Builder::new().name("tell".to_owned()).spawn(move || tell(news, &parent, &decoder));
    let sending = sending.map_err(RunError::Spawn)?;
    runtime.block_on(async {
        tokio::select! {
            () = watch::run(client, settings, sender) => {}
            _ = parents_end => {}
        }
    });
    // What it waits for is dropped with the runtime.
    drop(runtime);
    match sending.join() {
        Ok(sent) => sent.map(|()| ExitCode::SUCCESS),
        Err(_) => Err(RunError::OutOfTurn),
    }
}

/// A client, and the file of its token if it has one that changes.
async fn connect(config: &Config) -> Result<(Client, Option<std::path::PathBuf>), AccessError> {
    let mut access = match &config.kubernetes.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)?;
            Access::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
        }
        None => Access::incluster()?,
    };
    // Failures are told, and followed by pauses of our own.
    access.default_retry = false;
    let token = access.auth_info.token_file.clone().map(Into::into);
    Ok((Client::try_from(access)?, token))
}

/// Sends what is told, until nothing more is or nobody takes it.
fn tell(mut news: Receiver<News>, parent: &Channel, decoder: &Channel) -> Result<(), RunError> {
    while let Some(first) = news.blocking_recv() {
        let mut objects = Vec::new();
        let mut next = Some(first);
        while let Some(news_item) = next {
            match news_item {
                News::Found(controller) => parent.send(&Sighting::Found(controller), &[])?,
                News::Lost { uid } => parent.send(&Sighting::Lost { uid }, &[])?,
                News::Complete => parent.send(&Sighting::Complete, &[])?,
                News::Change(change) => objects.push(Told::Change(change)),
                News::State { resource, problem } => objects.push(Told::State { resource, problem }),
            }
            next = if objects.len() < BATCH { news.try_recv().ok() } else { None };
        }
        if !objects.is_empty() {
            decoder.send(&objects, &[])?;
        }
    }
    Ok(())
}

/// A word for when the other process is gone: it says nothing more.
fn until_closed(channel: OwnedFd) -> io::Result<oneshot::Receiver<()>> {
    let (sender, closed) = oneshot::channel();
    thread::Builder::new().name("parent".to_owned()).spawn(move || {
        let mut polled = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        while poll(&mut polled, PollTimeout::NONE) == Err(Errno::EINTR) {}
        // Whoever waited may be gone as well.
        let _ = sender.send(());
    })?;
    Ok(closed)
}
