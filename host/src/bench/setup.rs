//! Before the load: rooms with a live gift plugin, viewers with money, and a token for each. All through the public interface.

use std::time::Duration;

use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Error;
use super::http1::{self, Connection};
use super::message::Cast;

/// How long the tokens last: longer than the longest run.
const TOKEN_TTL_S: u64 = 6 * 3600;
/// Connections that recharge viewers at the same time.
const RECHARGE_CONNECTIONS: usize = 8;
/// A server that asks for patience gets it, so often.
const PATIENCE: u32 = 100;
const PATIENCE_PAUSE: Duration = Duration::from_millis(100);
/// Streamers' ids are this far above viewers'; both stay below 2^53, where JSON's numbers end in most clients.
const STREAMERS_FROM: i64 = 4_000_000_000_000_000;

/// Signs tokens with the server's secret.
pub(super) struct Signer(EncodingKey);

#[derive(Serialize)]
struct Claims<'a> {
    sub: String,
    role: &'a str,
    exp: u64,
}

impl Signer {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(EncodingKey::from_secret(secret))
    }

    pub(super) fn token(&self, user: i64, role: &str, now_ms: u64) -> Result<String, Error> {
        let claims = Claims { sub: user.to_string(), role, exp: now_ms / 1000 + TOKEN_TTL_S };
        Ok(jsonwebtoken::encode(&Header::default(), &claims, &self.0)?)
    }
}

/// One caller of the interface on one connection.
pub(super) struct Api {
    authority: String,
    token: String,
    connection: Option<Connection>,
}

impl Api {
    pub(super) fn new(authority: &str, token: String) -> Self {
        Self { authority: authority.into(), token, connection: None }
    }

    /// Calls, again if the server is busy, and gives the answer's body.
    ///
    /// # Errors
    /// If the server cannot be reached, refuses, or stays busy.
    pub(super) async fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.authority,
            self.token,
            body.len()
        );
        for _ in 0..PATIENCE {
            let (status, answer) = self.exchange(request.as_bytes()).await?;
            match status {
                200..=299 if answer.is_empty() => return Ok(Value::Null),
                200..=299 => return serde_json::from_slice(&answer).map_err(|e| Error::Answer(path.into(), e)),
                429 | 503 => sleep(PATIENCE_PAUSE).await,
                _ => return Err(refused(method, path, status, &answer)),
            }
        }
        Err(Error::Refused { call: format!("{method} {path}"), status: 503, detail: "it stays busy".into() })
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>), Error> {
        let unreachable = |source: http1::Error| Error::Unreachable { authority: self.authority.clone(), source };
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.authority).await.map_err(unreachable)?,
        };
        let answer = connection.exchange(request).await.map_err(unreachable)?;
        let copied = (answer.status, answer.body.to_vec());
        self.connection = connection.is_open().then_some(connection);
        Ok(copied)
    }
}

fn refused(method: &str, path: &str, status: u16, body: &[u8]) -> Error {
    Error::Refused {
        call: format!("{method} {path}"),
        status,
        detail: String::from_utf8_lossy(body).chars().take(500).collect(),
    }
}

/// What is to be set up.
pub(super) struct Stage<'a> {
    pub(super) authority: &'a str,
    pub(super) signer: &'a Signer,
    pub(super) viewers: u32,
    pub(super) rooms: u32,
    pub(super) gift_id: &'a str,
    pub(super) asset_type: u32,
    /// What each viewer gets.
    pub(super) balance: i64,
    pub(super) now_ms: u64,
    pub(super) salt: u64,
}

impl Stage<'_> {
    /// Who will play; nothing is asked of the server yet.
    pub(super) fn cast(&self) -> Result<Cast, Error> {
        let base = i64::try_from(self.now_ms).unwrap_or_default().saturating_mul(1000);
        let viewers: Vec<i64> = (1..=i64::from(self.viewers)).map(|n| base + n).collect();
        let token = |viewer: &i64| self.signer.token(*viewer, "viewer", self.now_ms);
        Ok(Cast {
            authority: self.authority.into(),
            gift_id: self.gift_id.into(),
            rooms: (1..=i64::from(self.rooms)).map(|n| base + n).collect(),
            tokens: viewers.iter().map(token).collect::<Result<_, _>>()?,
            viewers,
            began_at_ms: self.now_ms,
            salt: self.salt,
        })
    }

    /// Makes the rooms, starts their streams, and recharges the viewers.
    pub(super) async fn build(&self, cast: &Cast) -> Result<(), Error> {
        let mut operator = Api::new(self.authority, self.signer.token(1, "operator", self.now_ms)?);
        for room in &cast.rooms {
            let streamer = (room + STREAMERS_FROM).to_string();
            let body = json!({ "roomId": room.to_string(), "title": "Load", "streamers": [streamer] });
            operator.call("POST", "/v1/rooms", Some(&body)).await?;
            let body = json!({ "plugins": [{ "name": "gift" }] });
            operator.call("POST", &format!("/v1/rooms/{room}/streams"), Some(&body)).await?;
        }
        let mut tasks = JoinSet::new();
        for part in cast.viewers.chunks(cast.viewers.len().div_ceil(RECHARGE_CONNECTIONS).max(1)) {
            let api = Api::new(self.authority, self.signer.token(1, "service", self.now_ms)?);
            tasks.spawn(recharge(api, part.to_vec(), self.asset_type, self.balance));
        }
        while let Some(done) = tasks.join_next().await {
            done.map_err(|_| Error::Interrupted)??;
        }
        Ok(())
    }
}

async fn recharge(mut api: Api, viewers: Vec<i64>, asset_type: u32, amount: i64) -> Result<(), Error> {
    for viewer in viewers {
        let order = format!("load-{viewer}");
        let body = json!({
            "eventId": order, "userId": viewer.to_string(), "assetType": asset_type, "amount": amount.to_string(),
            "eventType": "orderApple", "orderId": order, "transactionId": order,
        });
        api.call("POST", "/v1/recharges", Some(&body)).await?;
    }
    Ok(())
}
