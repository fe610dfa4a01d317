//! The keys that tokens are verified with.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

use super::Claims;
use crate::http::settings::Settings;

/// RFC 7518, 3.2: a key for HS256 has at least 256 bits.
const SECRET_LEN_MIN: usize = 32;

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A secret is too short.
    #[error("a token secret must have at least {SECRET_LEN_MIN} bytes")]
    ShortSecret,
    /// There is no key at all.
    #[error("neither a token secret nor a JWKS file is configured")]
    NoKey,
    /// The JWK set cannot be read.
    #[error("JWKS file {path}: {fault}")]
    Jwks {
        /// The file.
        path: String,
        /// What is wrong.
        fault: String,
    },
    /// A key cannot be used.
    #[error("key: {0}")]
    Key(String),
}

/// Secrets and public keys, each with the one algorithm it is for.
pub struct Keys {
    keys: Vec<Key>,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Keys {
    /// Reads the keys that the settings name.
    ///
    /// # Errors
    /// If there is none, a secret is too short, or the JWK set cannot be read.
    pub fn load(settings: &Settings) -> Result<Self, Error> {
        if settings.secrets.iter().any(|secret| secret.len() < SECRET_LEN_MIN) {
            return Err(Error::ShortSecret);
        }
        let secret =
            |secret: &Vec<u8>| Key { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) };
        let mut keys: Vec<Key> = settings.secrets.iter().map(secret).collect();
        if let Some(path) = &settings.jwks_file {
            let fault = |fault: String| Error::Jwks { path: path.display().to_string(), fault };
            let text = std::fs::read(path).map_err(|error| fault(error.to_string()))?;
            keys.extend(from_jwks(&text).map_err(fault)?);
        }
        if keys.is_empty() { Err(Error::NoKey) } else { Ok(Self { keys }) }
    }

    /// Verifies the signature and reads the claims; the times in them are the caller's to check.
    pub(super) fn decode(&self, token: &str) -> Result<Claims, String> {
        let header = decode_header(token).map_err(|_| "the token cannot be read".to_owned())?;
        let fits = |key: &&Key| {
            key.algorithm == header.alg && (key.id.is_none() || header.kid.is_none() || key.id == header.kid)
        };
        let mut last = format!("no key for {:?} is known", header.alg);
        for key in self.keys.iter().filter(fits) {
            let mut validation = Validation::new(key.algorithm);
            validation.validate_exp = false;
            validation.validate_aud = false;
            match decode::<Claims>(token, &key.key, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }
}

fn from_jwks(text: &[u8]) -> Result<Vec<Key>, String> {
    let set: JwkSet = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let mut keys = Vec::new();
    for jwk in &set.keys {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            _ => return Err("a key is neither RSA nor Ed25519".to_owned()),
        };
        let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
        keys.push(Key { id: jwk.common.key_id.clone(), algorithm, key });
    }
    Ok(keys)
}
