//! `greenroom plugin`: packing without a server, the rest over HTTP.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use greenroom_manifest::Manifest;
use reqwest::Method;

use super::client::{self, Client, print};

#[derive(Subcommand)]
pub enum Command {
    /// Adds a manifest to a component, so that one `.wasm` file is all.
    Pack {
        /// The component, such as `wasm-tools component new` makes it.
        component: PathBuf,
        /// The manifest.
        #[arg(default_value = "plugin.toml")]
        manifest: PathBuf,
        /// Where to write the packed plugin.
        #[arg(long, short)]
        output: PathBuf,
    },
    /// Installs a packed plugin.
    Install {
        /// The packed plugin.
        wasm: PathBuf,
        #[command(flatten)]
        client: client::ServerArgs,
    },
    /// Lists what is installed.
    List {
        #[command(flatten)]
        client: client::ServerArgs,
    },
    /// Removes a version that no room is bound to.
    Remove {
        /// The plugin.
        name: String,
        /// Its version.
        version: semver::Version,
        #[command(flatten)]
        client: client::ServerArgs,
    },
}

/// Runs a command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Pack { component, manifest, output } => {
            let bytes = std::fs::read(&component).with_context(|| format!("cannot read {}", component.display()))?;
            let manifest = Manifest::from_toml(&manifest)?;
            let packed = greenroom_manifest::embed(&bytes, &manifest)?;
            std::fs::write(&output, packed).with_context(|| format!("cannot write {}", output.display()))?;
            println!("{} {} is packed in {}", manifest.name, manifest.version, output.display());
            Ok(())
        }
        Command::Install { wasm, client } => {
            let bytes = std::fs::read(&wasm).with_context(|| format!("cannot read {}", wasm.display()))?;
            print(&Client::new(&client)?.upload("/v1/plugins", "application/wasm", bytes).await?)
        }
        Command::List { client } => print(&Client::new(&client)?.call(Method::GET, "/v1/plugins", None).await?),
        Command::Remove { name, version, client } => {
            let path = format!("/v1/plugins/{name}/{version}");
            Client::new(&client)?.call(Method::DELETE, &path, None).await?;
            println!("{name} {version} is removed");
            Ok(())
        }
    }
}
