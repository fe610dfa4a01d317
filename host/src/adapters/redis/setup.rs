//! Whether the servers are set up so that they lose nothing of their own accord. Looked at once, when Redis is opened.

use std::collections::BTreeMap;

use redis::{FromRedisValue, Value};

use super::Error;
use super::server::Server;

/// The only policy under which a full memory refuses steps rather than dropping what it was given.
const POLICY: &str = "noeviction";

/// Refuses a server that drops keys when its memory is full; warns of one that keeps nothing on disk, or does not tell.
pub(super) async fn check(server: &Server) -> Result<(), Error> {
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET").arg(&["maxmemory", "maxmemory-policy", "appendonly"]);
    let masters = match server.ask_masters(&ask).await {
        Ok(masters) => masters,
        Err(error) => {
            tracing::warn!(
                %error,
                "redis does not tell how it is set up; see to it that maxmemory-policy is noeviction and appendonly is yes"
            );
            return Ok(());
        }
    };
    for settings in masters {
        check_one(settings)?;
    }
    Ok(())
}

fn check_one(settings: Value) -> Result<(), Error> {
    let settings = BTreeMap::<String, String>::from_redis_value(settings);
    let settings = settings.map_err(|error| Error::Unavailable(format!("strange answer to CONFIG GET: {error}")))?;
    let of = |name: &str| settings.get(name).map(String::as_str);
    let policy = of("maxmemory-policy").unwrap_or(POLICY);
    if of("maxmemory").is_some_and(|bytes| bytes != "0") && policy != POLICY {
        return Err(Error::Evicts(policy.to_owned()));
    }
    if of("appendonly") == Some("no") {
        tracing::warn!("redis has appendonly no: a restart loses gifts that wait for the queue; set it to yes");
    }
    Ok(())
}
