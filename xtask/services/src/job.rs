//! The services that there are, and what one run knows of one of them.

use std::path::Path;

use clap::ValueEnum;

use crate::engine::Engine;
use crate::env::Variable;
use crate::place::{LIBRARIES, Place};
use crate::redis::{Fsync, Redis};
use crate::{cluster, kafka, postgres};

/// What can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// A single Redis.
    Redis,
    /// A Redis Cluster of three masters with a replica each.
    RedisCluster,
    /// PostgreSQL with an empty database.
    Postgres,
    /// One Kafka broker in KRaft mode.
    Kafka,
}

impl Service {
    /// As it is called on the command line, and its folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::RedisCluster => "redis-cluster",
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
        }
    }

    /// The environment variable that says where it is.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Redis => "GREENROOM_TEST_REDIS_URL",
            Self::RedisCluster => "GREENROOM_TEST_REDIS_CLUSTER_URLS",
            Self::Postgres => "GREENROOM_TEST_POSTGRES_URL",
            Self::Kafka => "GREENROOM_TEST_KAFKA_BROKERS",
        }
    }

    /// How it is run; `folder` is where the programs of all services of its kind are kept.
    pub(crate) fn engine(self, folder: &Path, fsync: Fsync) -> Box<dyn Engine> {
        match self {
            Self::Redis => Box::new(Redis { fsync }),
            Self::RedisCluster => Box::new(cluster::Cluster { fsync }),
            Self::Postgres => Box::new(postgres::Postgres),
            Self::Kafka => Box::new(kafka::Kafka { libraries: folder.join(LIBRARIES) }),
        }
    }
}

/// One service on its way up or down.
pub(crate) struct Job {
    pub(crate) service: Service,
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) place: Place,
    /// Where the environment says that it is, if it is none of ours.
    pub(crate) given: Option<String>,
}

impl Job {
    /// Every service, in the order in which they are declared.
    ///
    /// # Errors
    /// If what is known of one cannot be read.
    pub(crate) fn all(folder: &Path, fsync: Fsync) -> anyhow::Result<Vec<Self>> {
        Service::value_variants().iter().map(|service| Self::new(folder, *service, fsync)).collect()
    }

    /// Its variable, if it is there: named by the environment, or running.
    ///
    /// # Errors
    /// If it runs, but what its variable needs cannot be read.
    pub(crate) fn variable(&self) -> anyhow::Result<Option<Variable>> {
        let value = match &self.given {
            Some(value) => value.clone(),
            None if self.place.all_running() => self.engine.url(&self.place)?,
            None => return Ok(None),
        };
        Ok(Some((self.service.variable().to_owned(), value)))
    }

    fn new(folder: &Path, service: Service, fsync: Fsync) -> anyhow::Result<Self> {
        let folder = folder.join(service.name());
        let engine = service.engine(&folder, fsync);
        let place = Place::load(folder)?;
        let own = engine.url(&place).ok();
        // A shell that has taken over the variables of an earlier run means what that run started.
        let given = std::env::var(service.variable()).ok().filter(|value| !value.is_empty());
        let given = given.filter(|value| own.as_ref() != Some(value));
        Ok(Self { service, engine, place, given })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_on_the_command_line_as_its_folder_is() {
        for service in Service::value_variants() {
            assert_eq!(service.to_possible_value().unwrap().get_name(), service.name());
        }
    }
}
