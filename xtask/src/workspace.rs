//! Where things are: the workspace's root, its target folder and its packages, as cargo itself says.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

/// What `cargo metadata` says of this workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// The folder with the root `Cargo.toml`.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// The folder for everything that is built.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    /// The members.
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// For `cargo build --package`.
    pub(crate) name: String,
    /// Its `Cargo.toml`.
    pub(crate) manifest_path: PathBuf,
    /// Its libraries and binaries.
    pub(crate) targets: Vec<Target>,
}

/// A library or a binary.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    /// With hyphens where the author wrote them.
    pub(crate) name: String,
    /// For a library, its crate types.
    pub(crate) kind: Vec<String>,
}

impl Workspace {
    /// Asks cargo; needs no network.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"])
            .arg(manifest)
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("cannot read the answer of cargo metadata")
    }

    /// The package whose `Cargo.toml` is in `folder`.
    pub(crate) fn package_in(&self, folder: &Path) -> Option<&Package> {
        self.packages.iter().find(|package| package.manifest_path.parent() == Some(folder))
    }
}

/// The cargo that started this program, else the one on the path.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
