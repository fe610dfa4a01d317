//! Installed plugins.

use async_trait::async_trait;
use semver::Version;

use super::Error;

/// An installed version of a plugin. Never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPlugin {
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// SHA-256 of the bytes, in hexadecimal.
    pub digest: String,
    /// The component with its manifest.
    pub wasm: Vec<u8>,
    /// When it was installed, in milliseconds since the Unix epoch.
    pub installed_at_ms: u64,
    /// The first of the 1,000 problem codes given to the plugin's name.
    pub problem_code_base: u32,
}

/// The installed plugins.
#[async_trait]
pub trait Plugins: Send + Sync {
    /// Adds a version and gives the plugin's name its range of problem codes (the first from 50,000, in steps of 1,000, kept for
    /// ever). Installing the same name, version and digest again changes nothing; another digest under a used version is
    /// `None`. Returns the base of the range.
    async fn install(&self, plugin: &StoredPlugin) -> Result<Option<u32>, Error>;

    /// Every installed version, by name and then version.
    async fn installed(&self) -> Result<Vec<StoredPlugin>, Error>;

    /// Removes a version. False if it was not there.
    async fn remove(&self, name: &str, version: &Version) -> Result<bool, Error>;

    /// Name and version of everything that is installed, in no particular order.
    async fn versions(&self) -> Result<Vec<(String, Version)>, Error>;

    /// One installed version.
    async fn version(&self, name: &str, version: &Version) -> Result<Option<StoredPlugin>, Error>;
}
