//! Who calls: JSON Web Tokens, verified once and remembered until they expire.
//!
//! A key is only ever used with its own algorithm, so that a public key cannot be passed off as a secret, and `none` is no
//! algorithm at all. The cache is bounded and never outlives a token's `exp`.

mod keys;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use greenroom_manifest::Role;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};

use super::problem::{FORBIDDEN, Problem, UNAUTHENTICATED};
use super::settings::Settings;
use super::wire::Id;
use super::{App, problem};
use crate::domain::UserId;
use crate::plugin::Caller;
pub use keys::{Error, Keys};

/// How far a token's `nbf` may lie ahead of this machine's clock, in seconds.
const CLOCK_SKEW_S: u64 = 5;
/// The longest token that is looked at, in bytes.
const TOKEN_LEN_MAX: usize = 4_096;

/// Who calls, as a verified token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// User, role and level.
    pub caller: Caller,
    /// When the token expires, in seconds since the Unix epoch.
    pub expires_at_s: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    sub: Id,
    role: Role,
    #[serde(default)]
    level: u32,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
}

/// Makes a token.
///
/// # Errors
/// If it cannot be signed.
pub fn issue(secret: &[u8], user: UserId, role: Role, level: u32, expires_at_s: u64) -> Result<String, Error> {
    let claims = Claims { sub: Id(user.0), role, level, exp: expires_at_s, nbf: None };
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret))
        .map_err(|error| Error::Key(error.to_string()))
}

/// Verifies tokens.
pub struct Authenticator {
    keys: Keys,
    verified: Cache<Box<str>, Identity>,
}

impl Authenticator {
    /// With the keys that the settings name.
    ///
    /// # Errors
    /// If a secret is too short or the JWK set cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self { keys: Keys::load(settings)?, verified: Cache::new(settings.tokens_cached_max) })
    }

    /// Who a token stands for.
    ///
    /// # Errors
    /// `unauthenticated`, with the reason.
    pub fn verify(&self, token: &str, now_ms: u64) -> Result<Identity, Problem> {
        let now_s = now_ms / 1_000;
        if let Some(identity) = self.verified.get(token) {
            if identity.expires_at_s > now_s {
                return Ok(identity);
            }
            self.verified.invalidate(token);
            return Err(refused("the token has expired"));
        }
        if token.len() > TOKEN_LEN_MAX {
            return Err(refused("the token is too long"));
        }
        let claims = self.keys.decode(token).map_err(|fault| refused(&fault))?;
        if claims.exp <= now_s {
            return Err(refused("the token has expired"));
        }
        if claims.nbf.is_some_and(|nbf| nbf > now_s + CLOCK_SKEW_S) {
            return Err(refused("the token is not valid yet"));
        }
        if claims.sub.0 < 1 {
            return Err(refused("`sub` is no user id"));
        }
        let caller = Caller { user_id: UserId(claims.sub.0), role: claims.role, level: claims.level };
        let identity = Identity { caller, expires_at_s: claims.exp };
        self.verified.insert(token.into(), identity);
        Ok(identity)
    }

    /// Who the `Authorization` header stands for.
    ///
    /// # Errors
    /// `unauthenticated`, with the reason.
    pub fn header(&self, headers: &HeaderMap, now_ms: u64) -> Result<Identity, Problem> {
        let value = headers.get(AUTHORIZATION).ok_or_else(|| refused("send `Authorization: Bearer <token>`"))?;
        let text = value.to_str().map_err(|_| refused("the header is no text"))?;
        match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => self.verify(token.trim(), now_ms),
            _ => Err(refused("the scheme must be Bearer")),
        }
    }
}

fn refused(why: &str) -> Problem {
    Problem::new(UNAUTHENTICATED, why)
}

impl Identity {
    /// The user.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.caller.user_id
    }

    /// Lets only these roles pass.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn require(&self, roles: &[Role]) -> Result<(), Problem> {
        if roles.contains(&self.caller.role) {
            return Ok(());
        }
        Err(Problem::new(FORBIDDEN, format!("this is not for the role {}", role_name(self.caller.role))))
    }

    /// Lets operators pass, and those streamers who are among the room's.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn require_room(&self, streamers: &[UserId]) -> Result<(), Problem> {
        self.require(&[Role::Operator, Role::Streamer])?;
        if self.caller.role == Role::Operator || streamers.contains(&self.user()) {
            return Ok(());
        }
        Err(Problem::new(FORBIDDEN, "a streamer may only run their own room"))
    }
}

/// As tokens have it.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Streamer => "streamer",
        Role::Operator => "operator",
        Role::Service => "service",
    }
}

/// Takes the identity from the request: one that was verified before (a WebSocket's), or the header's. Counts towards the user's
/// rate either way.
impl FromRequestParts<Arc<App>> for Identity {
    type Rejection = problem::Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        app.identify(parts).await
    }
}

#[cfg(test)]
mod tests;
