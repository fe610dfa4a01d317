//! The secret with which tokens are signed: configured, or in development made once and kept in the data directory.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Error;
use crate::config::Config;

/// The file of the development secret in the data directory.
const FILE: &str = "dev-secret";

/// The secret to sign with: the configured one, or the one that a server made here in development. None if there is neither.
#[must_use]
pub fn secret(config: &Config) -> Option<Vec<u8>> {
    if !config.auth.hs256_secret.is_empty() {
        return Some(config.auth.hs256_secret.clone().into_bytes());
    }
    let text = fs::read_to_string(config.data_dir.join(FILE)).ok()?;
    Some(text.trim().as_bytes().to_vec())
}

/// The same, made if it is not there and the server runs in development.
///
/// # Errors
/// If there is none and none may be made, or it cannot be written.
pub(super) fn secret_or_made(config: &Config) -> Result<Option<Vec<u8>>, Error> {
    if let Some(secret) = secret(config) {
        return Ok(Some(secret));
    }
    if config.dev {
        make(&config.data_dir.join(FILE))?;
    } else if config.auth.jwks_file.as_os_str().is_empty() {
        return Err(Error::Config(
            "nobody could sign in: set auth.hs256_secret or auth.jwks_file, or start with --dev to try things out"
                .into(),
        ));
    }
    Ok(secret(config))
}

fn make(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::DataDir { path: path.into(), source };
    let secret = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(secret.as_bytes()).map_err(failed)
}
