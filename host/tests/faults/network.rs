//! The network between one host and each service: it loses, delays and cuts, while the others go on.

use std::time::Duration;

use crate::load::Status;
use crate::probe;
use crate::proxy::Proxy;
use crate::site::Network;
use crate::world::{Setup, World};

/// Longer than the time-outs of Redis (2 s) and PostgreSQL (5 s), and than the leases of buckets (5 s).
const AWAY: Duration = Duration::from_secs(8);
/// Slow, but nothing times out.
const SLOW: Duration = Duration::from_millis(150);

type To = fn(&Network) -> &Proxy;

const SERVICES: [(&str, To); 3] = [
    ("redis", |network| &network.redis),
    ("kafka", |network| &network.kafka),
    ("postgres", |network| &network.postgres),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_loses_what_one_host_says_to_one_service_after_the_other_loses_nothing() {
    one_service_after_the_other("network_drops", Proxy::drop_all, async |world, service| {
        assert!(probe::circuit(&world.hosts[0], service, "open").await, "the circuit of {service} never opened");
        others_go_on(world).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_cuts_one_host_off_from_one_service_after_the_other_loses_nothing() {
    one_service_after_the_other("network_cut", Proxy::cut, async |world, _| {
        others_go_on(world).await;
        tokio::time::sleep(AWAY).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_slow_for_one_host_loses_nothing() {
    let world = World::open(Setup::new("network_slow").proxied()).await;
    for (_, to) in SERVICES {
        to(world.network(0)).delay(SLOW);
        world.load.answered(60).await;
        to(world.network(0)).pass();
    }
    world.load.answered(60).await;
    let outcome = world.finish().await;
    assert_eq!(outcome.dead_letters, Vec::<String>::new());
}

/// Brings a fault between one host and each service in turn, for as long as `meanwhile` takes.
async fn one_service_after_the_other(scenario: &'static str, fault: fn(&Proxy), meanwhile: impl AsyncFn(&World, &str)) {
    let world = World::open(Setup::new(scenario).proxied()).await;
    for (service, to) in SERVICES {
        world.load.answered(60).await;
        fault(to(world.network(0)));
        meanwhile(&world, service).await;
        to(world.network(0)).pass();
        assert!(probe::circuit(&world.hosts[0], service, "closed").await, "the circuit of {service} never closed");
    }
    world.load.answered(60).await;
    let outcome = world.finish().await;
    assert_eq!(outcome.dead_letters, Vec::<String>::new());
}

/// The load goes over all hosts: what is asked of the others is answered.
async fn others_go_on(world: &World) {
    let lost = world.load.tally().count(Status::Unavailable) + world.load.tally().count(Status::Lost);
    world.load.answered(60).await;
    let now = world.load.tally().count(Status::Unavailable) + world.load.tally().count(Status::Lost);
    println!("while one host was cut off, 60 gifts were answered and {} requests failed", now - lost);
}
