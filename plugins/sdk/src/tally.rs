//! Pushes that coalesce: however often something changes, the room is told about once a period, and the last change is always told.
//!
//! Time is divided into periods. A change sets a timer for the end of the period in which it was made; all changes of a period set the same
//! one. When it fires, the plugin adds up and pushes once. The timer is durable and one host fires it, so this holds over all hosts and
//! crashes. An instance that has set a period's timer does not ask the host again.
//!
//! A change in the last quarter of a period is told with those of the next one. Clocks of hosts may differ by so much without a change being left
//! out, and setting a timer may take so long before it is set once more after it has fired, and the room told twice.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::timers::millis;
use crate::{Now, Problem, Timer, timer};

/// How many tallies an instance remembers.
const REMEMBERED_MAX: usize = 512;

thread_local! {
    /// The period whose timer this instance has set last, of each (room, key).
    static SET: RefCell<BTreeMap<(i64, String), u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Says that what `alarm` tells of has changed in a room: it fires there at the end of the period (1 ms or more), or of the next one. Call it
/// after the change is committed, from any call: a consumer's names the room of its message.
///
/// # Errors
/// As the host has them; the change stands, and is told with the next one.
pub fn tell_every(period: Duration, room_id: i64, alarm: &impl Timer) -> Result<(), Problem> {
    // Not as the request arrived: a call may have waited in between.
    let (key, Now(now_ms)) = (alarm.key(), Now::of_this_call());
    let turn = Turn::at(now_ms, millis(period).max(1));
    let place = (room_id, key);
    if SET.with_borrow(|set| set.get(&place) == Some(&turn.number)) {
        return Ok(());
    }
    timer::ensure_in(room_id, &format!("{}/{}", place.1, turn.number), turn.left_ms, &alarm.payload()?)?;
    SET.with_borrow_mut(|set| {
        if set.len() >= REMEMBERED_MAX {
            set.clear();
        }
        set.insert(place, turn.number);
    });
    Ok(())
}

/// How long to wait until a period has passed since something was told last, in milliseconds since the Unix epoch; none if it has. For a plugin
/// that notes when it told: timers of several rooms may tell of one thing, and a host that is slow may set one once more. Clocks of hosts may differ.
#[must_use]
pub fn too_soon(told_ms: u64, period: Duration) -> Option<Duration> {
    let passed = Duration::from_millis(Now::of_this_call().0.saturating_sub(told_ms));
    period.checked_sub(passed).filter(|wait| !wait.is_zero())
}

/// The period with which a change is told.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    number: u64,
    /// Until its end.
    left_ms: u64,
}

impl Turn {
    fn at(now_ms: u64, period_ms: u64) -> Self {
        let number = (now_ms + period_ms / 4) / period_ms;
        Self { number, left_ms: (number + 1) * period_ms - now_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_at_the_end_of_its_period_or_of_the_next_if_that_is_too_near() {
        assert_eq!(Turn::at(1_000, 500), Turn { number: 2, left_ms: 500 });
        assert_eq!(Turn::at(1_374, 500), Turn { number: 2, left_ms: 126 });
        assert_eq!(Turn::at(1_375, 500), Turn { number: 3, left_ms: 625 });
        for now_ms in 0..3_000 {
            let turn = Turn::at(now_ms, 500);
            assert!((126..=625).contains(&turn.left_ms));
            assert_eq!(now_ms + turn.left_ms, (turn.number + 1) * 500);
        }
        assert_eq!(Turn::at(7, 1), Turn { number: 7, left_ms: 1 });
    }
}
