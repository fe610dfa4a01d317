//! Compiling components, and the cache of compiled code on the disk.
//!
//! A file is named after the component's digest, the engine's configuration and the version of wasmtime, and carries its own
//! checksum: a damaged one is compiled again. Only files that this module wrote are loaded; the directory belongs to this process's
//! user alone. Blocking: call it off the reactor.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The first bytes of a file, with the version of its form.
const MAGIC: &[u8; 8] = b"GRCODE01";
const CHECKSUM_BYTES: usize = 32;

/// The compiled form of a component, from the disk where it is there.
///
/// # Errors
/// If the component does not compile. Faults of the disk are only logged.
pub(crate) fn load_or_compile(engine: &Engine, dir: &Path, digest: &str, wasm: &[u8]) -> wasmtime::Result<Component> {
    let path = path_of(engine, dir, digest);
    if let Some(component) = load(engine, &path) {
        return Ok(component);
    }
    let code = engine.precompile_component(wasm)?;
    if let Err(error) = store(dir, &path, &code) {
        tracing::warn!("cannot keep compiled code in {}: {error}", path.display());
    }
    // SAFETY: the bytes were made by this very engine one statement ago.
    unsafe { Component::deserialize(engine, &code) }
}

/// Makes the directory, for this process's user alone.
///
/// # Errors
/// As the operating system has them.
pub(crate) fn prepare(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    #[cfg(unix)]
    std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

fn path_of(engine: &Engine, dir: &Path, digest: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    dir.join(format!("{digest}-{:016x}.code", hasher.finish()))
}

fn load(engine: &Engine, path: &Path) -> Option<Component> {
    let file = std::fs::read(path).ok()?;
    let rest = file.strip_prefix(MAGIC)?;
    let (checksum, code) = rest.split_at_checked(CHECKSUM_BYTES)?;
    if Sha256::digest(code).as_slice() != checksum {
        tracing::warn!("{} is damaged; compiling again", path.display());
        return None;
    }
    // SAFETY: the file lies in a directory that only this user can write, under a name that binds it to this engine's configuration
    // and version, and its checksum shows it to be what `store` wrote.
    match unsafe { Component::deserialize(engine, code) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!("{} does not load ({error:#}); compiling again", path.display());
            None
        }
    }
}

fn store(dir: &Path, path: &Path, code: &[u8]) -> std::io::Result<()> {
    let temporary = dir.join(format!(".{}.{}", std::process::id(), uuid::Uuid::new_v4()));
    let written = write(&temporary, code).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // What is left of it is of no use; that it may not be there is no fault.
        drop(std::fs::remove_file(&temporary));
    }
    written
}

fn write(path: &Path, code: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::File::create_new(path)?;
    file.write_all(MAGIC)?;
    file.write_all(Sha256::digest(code).as_slice())?;
    file.write_all(code)?;
    file.sync_all()
}
