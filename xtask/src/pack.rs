//! From a core module to a plugin: a component, with its manifest inside, in a file that appears whole or not at all.

use std::path::{Path, PathBuf};

use anyhow::Context;
use greenroom_manifest::{Manifest, embed};
use wit_component::ComponentEncoder;

/// A plugin as a file.
pub(crate) struct Packed {
    /// `<name> <version>`.
    pub(crate) title: String,
    /// `<name>-<version>.wasm`.
    pub(crate) file: PathBuf,
    /// Its size.
    pub(crate) len_bytes: usize,
    /// Whether it differs from the file that was there.
    pub(crate) changed: bool,
}

/// Makes a component of `module`, embeds the manifest, and writes `<name>-<version>.wasm` and `<name>.wasm` in `folder`.
///
/// # Errors
/// If the module carries no component type, or the files cannot be written.
pub(crate) fn pack(module: &Path, manifest: &Manifest, folder: &Path) -> anyhow::Result<Packed> {
    let core = std::fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let component = component(&core).with_context(|| format!("{} is no component", module.display()))?;
    let bytes = embed(&component, manifest)?;
    let file = folder.join(format!("{}-{}.wasm", manifest.name, manifest.version));
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let changed = write_if_changed(&file, &bytes)?;
    write_if_changed(&folder.join(format!("{}.wasm", manifest.name)), &bytes)?;
    Ok(Packed { title: format!("{} {}", manifest.name, manifest.version), file, len_bytes: bytes.len(), changed })
}

fn component(core: &[u8]) -> anyhow::Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(core)?.encode()
}

/// Writes beside the file and renames, so that a reader sees the old plugin or the new one, never a part.
fn write_if_changed(file: &Path, bytes: &[u8]) -> anyhow::Result<bool> {
    if std::fs::read(file).is_ok_and(|there| there == bytes) {
        return Ok(false);
    }
    let partial = file.with_extension(format!("partial-{}", std::process::id()));
    std::fs::write(&partial, bytes).with_context(|| format!("cannot write {}", partial.display()))?;
    std::fs::rename(&partial, file).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(true)
}
