//! `cargo xtask plugins`: every Rust plugin of the tree, for wasm32, as a component with its manifest inside.

mod describe;

use std::path::{Path, PathBuf};

use anyhow::Context;

use greenroom_manifest::Manifest;

use crate::pack::{Packed, pack};
use crate::wasm_target::Toolchain;
use crate::workspace::{Package, Workspace};
use greenroom_services::progress;

/// The folders in which plugins live, and the folder below `target` into which those of each are built: those that only tests want are by
/// themselves, so that no server installs them.
const SHELVES: [(&str, &str); 3] = [("plugins", "plugins"), ("examples", "plugins"), ("host/tests/guests", "guests")];
const TARGET: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "plugin";

/// Builds and packs all plugins; gives the folder of those that a server may install.
///
/// # Errors
/// If there is no way to a wasm32 standard library, a plugin does not compile, or its manifest has a fault.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let folder = workspace.target.join("plugins");
    let sources = find(&workspace.root)?;
    if sources.is_empty() {
        let shelves = SHELVES.map(|(shelf, _)| shelf);
        eprintln!("no plugin with a plugin.toml and a Cargo.toml under {}", shelves.join(", "));
        return Ok(folder);
    }
    let packages = sources
        .iter()
        .map(|Source { path: source, .. }| {
            workspace.package_in(source).with_context(|| {
                format!(
                    "{} has a plugin.toml but is no member of the workspace; add it to Cargo.toml",
                    source.display()
                )
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let programs = packages.iter().map(|package| program(package)).collect::<anyhow::Result<Vec<_>>>()?;
    let modules = build(workspace, &packages)?;
    let described = describe::build(workspace, &programs)?;
    for (source, program) in sources.iter().zip(programs) {
        let toml = source.path.join("plugin.toml");
        let manifest = Manifest::described(&toml, &describe::run(&described, program)?)
            .with_context(|| format!("in {}", toml.display()))?;
        report(&pack(&modules.join(format!("{program}.wasm")), &manifest, &workspace.target.join(source.built))?);
    }
    Ok(folder)
}

/// The names of the plugins in the folder `plugins`: each is called as its folder.
///
/// # Errors
/// If a folder cannot be read.
pub(crate) fn shipped(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let shelf = workspace.root.join("plugins");
    let sources = find(&workspace.root)?.into_iter().filter(|source| source.path.starts_with(&shelf));
    Ok(sources.filter_map(|source| Some(source.path.file_name()?.to_str()?.to_owned())).collect())
}

/// The program of a plugin: for wasm32 the plugin itself, on this machine what describes it.
fn program(package: &Package) -> anyhow::Result<&str> {
    let program = package.targets.iter().find(|target| target.kind.iter().any(|kind| kind == "bin"));
    program
        .map(|target| target.name.as_str())
        .with_context(|| format!("{} needs a `src/main.rs` with `greenroom_sdk::plugin!` to be a plugin", package.name))
}

/// A plugin's folder, and the one below `target` into which it is built.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    path: PathBuf,
    built: &'static str,
}

/// The folders with a `plugin.toml` and a `Cargo.toml`, in order. Plugins in other languages have no `Cargo.toml`.
fn find(root: &Path) -> anyhow::Result<Vec<Source>> {
    let mut found = Vec::new();
    for (shelf, built) in SHELVES.map(|(shelf, built)| (root.join(shelf), built)) {
        let Ok(entries) = std::fs::read_dir(&shelf) else { continue };
        for entry in entries {
            let path = entry.with_context(|| format!("cannot read {}", shelf.display()))?.path();
            if path.join("plugin.toml").is_file() && path.join("Cargo.toml").is_file() {
                found.push(Source { path, built });
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Compiles the packages in one go; gives the folder of the modules. Cargo shows its own progress.
fn build(workspace: &Workspace, packages: &[&Package]) -> anyhow::Result<PathBuf> {
    let toolchain = Toolchain::find()?;
    eprintln!("wasm32: {toolchain}");
    let target = workspace.target.join("wasm");
    let mut cargo = toolchain.cargo();
    cargo.current_dir(&workspace.root).args(["build", "--locked", "--bins", "--target", TARGET, "--profile", PROFILE]);
    cargo.arg("--target-dir").arg(&target);
    for package in packages {
        cargo.args(["--package", &package.name]);
    }
    progress::run(cargo.args(toolchain.args()))?;
    Ok(target.join(TARGET).join(PROFILE))
}

fn report(packed: &Packed) {
    let state = if packed.changed { "written" } else { "unchanged" };
    let kib = packed.len_bytes.div_ceil(1024);
    println!("{} → {} ({kib} KiB, {state})", packed.title, packed.file.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_with_both_files_are_rust_plugins() {
        let root = std::env::temp_dir().join(format!("xtask-find-{}", std::process::id()));
        for (folder, files) in [
            ("plugins/gift", &["plugin.toml", "Cargo.toml"][..]),
            ("plugins/sdk", &["Cargo.toml"][..]),
            ("examples/poll-c", &["plugin.toml"][..]),
            ("host/tests/guests/spin", &["plugin.toml", "Cargo.toml"][..]),
        ] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
            for file in files {
                std::fs::write(root.join(folder).join(file), "").unwrap();
            }
        }
        let found = find(&root).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        let expected = [("host/tests/guests/spin", "guests"), ("plugins/gift", "plugins")];
        assert_eq!(found, expected.map(|(path, built)| Source { path: root.join(path), built }));
    }
}
