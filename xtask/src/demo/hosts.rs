//! Three hosts over one Redis, Kafka and PostgreSQL.

use anyhow::Context;

use crate::server::{Options, Server};
use greenroom_services::{Service, Variable};

const HOSTS: usize = 3;
/// Who holds it may sign tokens for the demo, which listens on this machine alone.
const SECRET: &str = "the secret of a demo on this machine";

/// Starts them: the first as the options say, the others beside it on free ports.
///
/// # Errors
/// If one does not start.
pub(super) fn start(options: &Options<'_>, services: &[Variable]) -> anyhow::Result<Vec<Server>> {
    let env = environment(services)?;
    let mut servers = Vec::new();
    for number in 1..=HOSTS {
        let data_dir = options.data_dir.with_file_name(format!("demo-{number}"));
        let (data_dir, listen) =
            if number == 1 { (options.data_dir, options.listen) } else { (&*data_dir, "127.0.0.1:0") };
        servers.push(Server::start(&Options { data_dir, listen, env: &env, secret: Some(SECRET), ..*options })?);
    }
    Ok(servers)
}

/// Configuration keys for the services that run.
fn environment(services: &[Variable]) -> anyhow::Result<Vec<(String, String)>> {
    let at = |service: Service| {
        let found = services.iter().find(|(name, _)| name == service.variable());
        found.map(|(_, value)| value.clone()).with_context(|| format!("{} is not known", service.variable()))
    };
    let key = |name: &str, value: String| (format!("GREENROOM_DISTRIBUTED_{name}"), value);
    Ok(vec![
        key("ENABLED", "true".into()),
        key("REDIS_URLS", format!("[\"{}\"]", at(Service::Redis)?)),
        key("KAFKA_BROKERS", at(Service::Kafka)?),
        key("POSTGRES_URL", at(Service::Postgres)?),
        // A demo does not wait long for a cache that starts empty.
        key("KAFKA_DELIVERY_TIMEOUT_MS", "3000".into()),
        key("POSTGRES_CONNECTIONS_MAX", "8".into()),
    ])
}
