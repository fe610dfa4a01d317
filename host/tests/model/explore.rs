//! Running the explorations.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::guard::Guard;
use crate::world::World;

/// So long an exploration may take; one that does not end says nothing.
const TIME_MAX: Duration = Duration::from_secs(240);

/// Explores a world until a property fails or to its end: the failed property with the shortest way to it, a step a line.
fn explore(world: World) -> Option<(&'static str, Vec<String>)> {
    let (name, begun) = (world.name, Instant::now());
    let checker = world.checker().finish_when(HasDiscoveries::AnyFailures).timeout(TIME_MAX).spawn_bfs().join();
    println!(
        "{name}: {} states, {} steps, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f64()
    );
    assert!(checker.is_done(), "{name}: it did not end in {TIME_MAX:?}");
    let mut discoveries: Vec<_> = checker.discoveries().into_iter().collect();
    discoveries.sort_unstable_by_key(|&(property, _)| property);
    let failed =
        |&(property, _): &(&'static str, _)| checker.model().property(property).expectation.discovery_is_failure();
    if let Some(at) = discoveries.iter().position(failed) {
        let (property, path) = discoveries.swap_remove(at);
        let mut steps: Vec<String> = path.clone().into_actions().iter().map(|action| format!("{action:?}")).collect();
        steps.push(format!("{:?}", path.last_state()));
        return Some((property, steps));
    }
    for property in checker.model().properties() {
        let found = discoveries.iter().any(|&(name, _)| name == property.name);
        assert!(found || property.expectation.discovery_is_failure(), "{name}: never so: {}", property.name);
    }
    None
}

/// Every property holds.
pub fn holds(world: World) {
    if let Some((property, steps)) = explore(world) {
        panic!("not so: {property}\n{}", steps.join("\n"));
    }
}

/// Without the protection something fails.
pub fn fails_without(world: World, guard: Guard) -> Option<(&'static str, Vec<String>)> {
    explore(world.without(guard))
}
