//! Running the explorations: breadth first, so that the way to what fails is short.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

use crate::Action;
use crate::guard::Guard;
use crate::properties;
use crate::state::State;
use crate::world::World;

/// So long an exploration may take; one that does not end says nothing.
const TIME_MAX: Duration = Duration::from_secs(240);

/// Explores a world until this is found, or to its end.
fn explore(world: World, until: HasDiscoveries) -> HashMap<&'static str, Path<State, Action>> {
    let (name, begun) = (world.name, Instant::now());
    let checker = world.checker().finish_when(until).timeout(TIME_MAX).spawn_bfs().join();
    println!(
        "{name}: {} states, {} steps, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed().as_secs_f64()
    );
    assert!(checker.is_done(), "{name}: it did not end in {TIME_MAX:?}");
    checker.discoveries()
}

/// The way to the first state that breaks the promise: a step a line, and where they lead.
fn told(world: &World, promise: &'static str, path: &Path<State, Action>) -> String {
    let kept = world.property(promise).condition;
    let mut told = String::new();
    for (state, action) in path.clone().into_vec() {
        if !kept(world, &state) {
            return format!("{told}{state:?}");
        }
        told.extend(action.map(|action| format!("{action:?}\n")));
    }
    told
}

/// Every promise is kept in every state, and what must be possible is.
pub fn holds(world: World) {
    let properties = properties::all(&world);
    let found = explore(world.clone(), HasDiscoveries::AnyFailures);
    for property in properties {
        match (property.expectation, found.get(property.name)) {
            (Expectation::Sometimes, None) => panic!("never so: {}", property.name),
            (Expectation::Always, Some(path)) => {
                panic!("not so: {}\n{}", property.name, told(&world, property.name, path))
            }
            _ => {}
        }
    }
}

/// These promises are kept in every state, whatever becomes of the others.
pub fn keeps(world: World, promises: &[&'static str]) {
    let found = explore(world.clone(), HasDiscoveries::AnyOf(promises.iter().copied().collect()));
    if let Some((promise, path)) = promises.iter().find_map(|promise| Some((promise, found.get(promise)?))) {
        panic!("not so: {promise}\n{}", told(&world, promise, path));
    }
}

/// Without the protection, if one is named, the promise is broken.
pub fn breaks(world: World, guard: Option<Guard>, property: &'static str) {
    let name = world.name;
    let world = match guard {
        Some(guard) => world.without(guard),
        None => world,
    };
    let found = explore(world.clone(), HasDiscoveries::AnyOf([property].into()));
    let path = found.get(property).unwrap_or_else(|| panic!("{name} without {guard:?} still keeps: {property}"));
    println!("{name} without {guard:?}, not so: {property}\n{}\n", told(&world, property, path));
}

/// From every state there is a way to rest: nothing stands still for ever, whatever has happened.
pub fn can_always_rest(world: World) {
    let name = world.name;
    if let Some(stuck) = stuck(world) {
        panic!("{name}: it can never come to rest from here: {stuck:?}");
    }
}

/// Without the protection there is a state with no way to rest.
pub fn stands_still(world: World, guard: Guard) {
    let name = world.name;
    let stuck =
        stuck(world.without(guard)).unwrap_or_else(|| panic!("{name} without {guard:?} can still come to rest"));
    println!("without {guard:?} it can never come to rest from here: {stuck:?}");
}

/// The first state from which no way leads to rest.
fn stuck(world: World) -> Option<State> {
    let begun = Instant::now();
    let mut numbers: HashMap<u64, u32> = HashMap::new();
    let mut waiting: Vec<State> = Vec::new();
    let mut before: Vec<Vec<u32>> = Vec::new();
    let mut resting: Vec<u32> = Vec::new();
    let mut visit = |state: State, from: Option<u32>, waiting: &mut Vec<State>, before: &mut Vec<Vec<u32>>| {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        let number = *numbers.entry(hasher.finish()).or_insert_with(|| {
            before.push(Vec::new());
            if properties::at_rest(&world, &state) {
                resting.push(before.len() as u32 - 1);
            }
            waiting.push(state);
            before.len() as u32 - 1
        });
        before[number as usize].extend(from);
    };
    visit(world.start(), None, &mut waiting, &mut before);
    let mut at = 0;
    while at < waiting.len() {
        for next in world.next_states(&waiting[at].clone()) {
            visit(next, Some(at as u32), &mut waiting, &mut before);
        }
        at += 1;
    }
    let mut reached = vec![false; before.len()];
    while let Some(number) = resting.pop() {
        if !std::mem::replace(&mut reached[number as usize], true) {
            resting.extend(&before[number as usize]);
        }
    }
    println!("{}: the ways to rest from {} states, {:.1} s", world.name, before.len(), begun.elapsed().as_secs_f64());
    reached.iter().position(|&reached| !reached).map(|stuck| waiting.swap_remove(stuck))
}
