//! Builds firmware.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Builds a workspace under `examples` as a release, with `options` for cargo; where each program is.
pub(crate) fn release(workspace: &str, options: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // From within: cargo takes the target and the runner from the configuration of where it is.
    cargo.current_dir(root().join("examples").join(workspace));
    cargo.args(["build", "-q", "--release", "--message-format=json-render-diagnostics"]);
    let built =
        cargo.args(options).stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(built.status.success(), "examples/{workspace} does not build");
    let messages = String::from_utf8(built.stdout).context("cargo's messages are no text")?;
    let mut programs = BTreeMap::new();
    for line in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if let (Some(path), Some(name)) =
            (message["executable"].as_str(), message["target"]["name"].as_str())
        {
            programs.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    Ok(programs)
}
