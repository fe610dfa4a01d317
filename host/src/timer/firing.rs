//! What of a shard is being fired by this process.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Timers of a shard that fire at the same time, and those of one plugin: the calls of a plugin that hangs leave room for the others.
const TIMERS_MAX: usize = 64;
const PLUGIN_TIMERS_MAX: usize = 32;

/// The timers of a shard that are being fired: at most 64, 32 of one plugin.
#[derive(Debug, Default)]
pub struct Firing {
    members: HashSet<Arc<str>>,
    of_plugin: HashMap<String, usize>,
    /// Where the last look has looked behind the first page.
    looked_at: usize,
}

impl Firing {
    /// Whether there is room for one more, of some plugin.
    pub(super) fn has_room(&self) -> bool {
        self.members.len() < TIMERS_MAX
    }

    /// How many are being fired.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Where to look next behind the first page: a page further than the last time.
    pub(super) fn further(&mut self, page: usize) -> usize {
        self.looked_at = self.looked_at.saturating_add(page);
        self.looked_at
    }

    /// There is nothing due behind where the last look has looked.
    pub(super) fn start_over(&mut self) {
        self.looked_at = 0;
    }

    /// Takes a place for a timer; false if it has one, or if there is none.
    pub(super) fn begin(&mut self, member: &Arc<str>) -> bool {
        if !self.has_room() || self.members.contains(member) {
            return false;
        }
        let of_plugin = self.of_plugin.entry(plugin_of(member).to_owned()).or_default();
        if *of_plugin >= PLUGIN_TIMERS_MAX {
            return false;
        }
        *of_plugin += 1;
        self.members.insert(member.clone());
        true
    }

    /// Gives the place back.
    pub(super) fn end(&mut self, member: &str) {
        if !self.members.remove(member) {
            return;
        }
        let plugin = plugin_of(member);
        if let Some(of_plugin) = self.of_plugin.get_mut(plugin) {
            *of_plugin = of_plugin.saturating_sub(1);
            if *of_plugin == 0 {
                self.of_plugin.remove(plugin);
            }
        }
    }
}

fn plugin_of(member: &str) -> &str {
    member.split_once('/').map_or(member, |(plugin, _)| plugin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(plugin: &str, number: usize) -> Arc<str> {
        format!("{plugin}/7/{number}").into()
    }

    #[test]
    fn one_plugin_never_takes_all_the_places_and_gives_back_what_it_took() {
        let mut firing = Firing::default();
        let taken = |firing: &mut Firing, plugin| (0..100).filter(|n| firing.begin(&member(plugin, *n))).count();
        assert_eq!(taken(&mut firing, "slow"), PLUGIN_TIMERS_MAX);
        assert_eq!(taken(&mut firing, "quick"), TIMERS_MAX - PLUGIN_TIMERS_MAX);
        assert_eq!(taken(&mut firing, "third"), 0);
        for number in 0..100 {
            firing.end(&member("slow", number));
        }
        assert!(!firing.begin(&member("quick", 0)), "it is being fired");
        assert_eq!(taken(&mut firing, "third"), PLUGIN_TIMERS_MAX);
    }
}
