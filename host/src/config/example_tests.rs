//! The example of a deployment sets nothing that this program does not know.

use std::collections::BTreeSet;

use super::Config;

const ENV_FILE: &str = include_str!("../../../examples/deployment/greenroom.env");
const COMPOSE: &str = include_str!("../../../examples/deployment/compose.yaml");
/// Stands for what whoever starts it has to set.
const GIVEN: &str = "0123456789abcdef0123456789abcdef";

/// The value with every `${VARIABLE:?…}` replaced.
fn filled(value: &str) -> String {
    let mut parts = value.split("${");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + GIVEN + part.split_once('}').map_or("", |(_, rest)| rest))
}

/// `NAME: value`, alone on a line or at the end of a map in braces.
fn set_in(line: &str) -> Option<(String, String)> {
    let at = line.find("GREENROOM_").filter(|at| !line[..*at].contains("${"))?;
    let (name, value) = line[at..].split_once(": ")?;
    let value = value.trim_end().trim_end_matches(" }").trim_matches('\'');
    Some((name.to_owned(), filled(value)))
}

#[test]
fn every_host_of_the_example_has_a_configuration() {
    let shared = ENV_FILE.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once('=').unwrap());
    let shared: Vec<(String, String)> = shared.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let set = COMPOSE.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(set_in);
    let (own, common): (Vec<_>, Vec<_>) = set.partition(|(name, _)| name == "GREENROOM_DISTRIBUTED_PROCESS");
    assert_eq!(common.len(), 4, "{common:?}");
    let mut names = BTreeSet::new();
    for process in own {
        let all = shared.iter().chain(&common).cloned().chain([process]);
        let config = Config::load(None, all).unwrap();
        let distributed = config.distributed;
        assert!(distributed.enabled && config.auth.hs256_secret == GIVEN);
        assert_eq!(distributed.redis_urls, ["redis://redis:6379"]);
        assert_eq!(distributed.kafka_brokers.split(',').count(), 3);
        assert_eq!(distributed.postgres_url, format!("postgres://greenroom:{GIVEN}@postgres:5432/greenroom"));
        names.insert(distributed.process);
    }
    assert_eq!(names.len(), 3);
}
