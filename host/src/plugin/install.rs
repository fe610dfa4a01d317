//! A component, made ready.

use greenroom_manifest::Manifest;
use serde_json::Value;

use crate::plugin::{ApiRequest, Problem};

/// One installed version of a plugin: checked, compiled, with its pool of warm instances.
#[derive(Debug)]
pub struct Plugin {
    /// What it says of itself.
    pub manifest: Manifest,
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
    /// The first of its problem codes.
    pub problem_code_base: u32,
}

/// A configuration that the plugin's schema refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("configuration at `{pointer}`: {fault}")]
pub struct ConfigFault {
    /// JSON pointer into the configuration.
    pub pointer: String,
    /// What is wrong.
    pub fault: String,
}

/// Why a component is not installed: which import, grant, statement, section or limit, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject}: {fault}")]
pub struct Rejected {
    /// Such as `import wasi:filesystem/types@0.2.0`, `grant ledger`, `statement gifts`, `section greenroom:manifest`.
    pub subject: String,
    /// What is wrong with it, and what would be right.
    pub fault: String,
}

impl Plugin {
    /// Fills in defaults and checks the configuration against the plugin's schema.
    ///
    /// # Errors
    /// With the place of the first fault.
    pub fn configure(&self, _config: Value) -> Result<Value, ConfigFault> {
        todo!()
    }

    /// Checks a request before the plugin is called: the caller's role and the body against the route's schema.
    ///
    /// # Errors
    /// The problem to answer with.
    pub fn admit(&self, _request: &ApiRequest) -> Result<(), Problem> {
        todo!()
    }
}
