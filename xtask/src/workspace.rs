//! Where things are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
}

/// The directory of the workspace.
pub(crate) fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// Cargo's target directory, as its configuration and the environment have it.
pub(crate) fn target() -> Result<PathBuf> {
    let mut command = Command::new(cargo());
    command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(root());
    let output = command.output().context("start cargo metadata")?;
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("read what cargo metadata said")?;
    Ok(metadata.target_directory)
}

/// The cargo that runs us.
pub(crate) fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}
