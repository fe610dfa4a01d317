//! Reading `plugin.toml`, with the schemas it refers to.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Fault, Manifest};

/// Why a manifest is not usable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or not a manifest.
    #[error("not a manifest: {0}")]
    Parse(String),
    /// A field has a value that it may not have.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The component carries no manifest.
    #[error("the component has no manifest; add it with `greenroom plugin pack`")]
    Missing,
    /// The component carries more than one manifest, or would.
    #[error("the component has a manifest already; pack a fresh build")]
    Twice,
    /// The bytes are not WebAssembly.
    #[error("not a WebAssembly component: {0}")]
    Wasm(String),
}

impl Manifest {
    /// Reads `plugin.toml`. Where it gives a string for a schema, that is the path of a JSON file beside it.
    ///
    /// # Errors
    /// With the file or the field.
    pub fn from_toml(path: &Path) -> Result<Self, Error> {
        let text = read(path)?;
        let table: toml::Table = toml::from_str(&text).map_err(|e| Error::Parse(e.to_string()))?;
        let mut value = serde_json::to_value(table).map_err(|e| Error::Parse(e.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        inline(value.get_mut("config"), folder)?;
        let routes = value.get_mut("routes").and_then(Value::as_array_mut);
        for route in routes.into_iter().flatten() {
            inline(route.get_mut("query"), folder)?;
            inline(route.get_mut("request"), folder)?;
            inline(route.get_mut("response"), folder)?;
        }
        Self::from_value(value)
    }

    /// Reads `plugin.toml` of a plugin whose code says the rest: `description` is the JSON that its program prints, with `routes`, `config`
    /// and `problems`.
    ///
    /// # Errors
    /// With the file or the field; also if one is in both.
    pub fn described(path: &Path, description: &[u8]) -> Result<Self, Error> {
        let text = read(path)?;
        let mut written: serde_json::Map<String, Value> =
            toml::from_str(&text).map_err(|e| Error::Parse(e.to_string()))?;
        let described: serde_json::Map<String, Value> = serde_json::from_slice(description)
            .map_err(|e| Error::Parse(format!("what the plugin's program prints: {e}")))?;
        for (field, value) in described {
            if written.insert(field.clone(), value).is_some() {
                return Err(Error::Parse(format!("`{field}` comes from the code; take it out here")));
            }
        }
        Self::from_value(Value::Object(written))
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// With the field.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        Self::from_value(serde_json::from_slice(bytes).map_err(|e| Error::Parse(e.to_string()))?)
    }

    fn from_value(value: Value) -> Result<Self, Error> {
        let manifest: Manifest = serde_json::from_value(value).map_err(|e| Error::Parse(e.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }
}

fn inline(schema: Option<&mut Value>, folder: &Path) -> Result<(), Error> {
    let Some(schema) = schema else { return Ok(()) };
    if let Some(file) = schema.as_str() {
        let path = folder.join(file);
        let text = read(&path)?;
        *schema = serde_json::from_str(&text).map_err(|e| Error::Parse(format!("{}: {e}", path.display())))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })
}
