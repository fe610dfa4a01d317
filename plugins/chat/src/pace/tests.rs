//! How often one may write.

use proptest::prelude::*;

use super::*;

fn settings(messages_max: u32, window_ms: u32, slow_mode_ms: u32) -> Settings {
    Settings { messages_max, window_ms, slow_mode_ms, ..Settings::default() }
}

#[test]
fn the_window_moves_with_the_clock() {
    let settings = settings(2, 1_000, 0);
    let pace = Pace::default().with_message_at(5_000, &settings).unwrap();
    let pace = pace.with_message_at(5_400, &settings).unwrap();
    assert_eq!(pace.with_message_at(5_500, &settings), Err(Wait(500)));
    assert_eq!(pace.with_message_at(5_999, &settings), Err(Wait(1)));
    let pace = pace.with_message_at(6_000, &settings).unwrap();
    assert_eq!(pace.with_message_at(6_000, &settings), Err(Wait(400)));
}

#[test]
fn slow_mode_holds_for_longer_than_the_window() {
    let settings = settings(5, 1_000, 30_000);
    let pace = Pace::default().with_message_at(1_000, &settings).unwrap();
    assert_eq!(pace.with_message_at(11_000, &settings), Err(Wait(20_000)));
    assert!(pace.with_message_at(31_000, &settings).is_ok());
    assert_eq!(Pace::ttl(&settings), Duration::from_secs(30));
}

#[test]
fn a_clock_that_is_behind_gives_no_message_for_free() {
    let settings = settings(1, 1_000, 0);
    let pace = Pace::default().with_message_at(10_000, &settings).unwrap();
    assert_eq!(pace.with_message_at(9_000, &settings), Err(Wait(1_000)));
    assert_eq!(pace.with_message_at(0, &settings), Err(Wait(1_000)));
}

proptest! {
    #[test]
    fn no_window_has_more_and_whoever_waits_as_told_may_write(
        steps in prop::collection::vec(0_u64..3_000, 1..60),
        messages_max in 1_u32..6,
        window_ms in 1_000_u32..5_000,
        slow_mode_ms in 0_u32..2_000,
    ) {
        let settings = settings(messages_max, window_ms, slow_mode_ms);
        let (mut pace, mut now_ms, mut said) = (Pace::default(), 1_000_000, Vec::new());
        for step in steps {
            now_ms += step;
            match pace.with_message_at(now_ms, &settings) {
                Ok(next) => { pace = next; said.push(now_ms); }
                Err(Wait(wait_ms)) => {
                    prop_assert!(wait_ms >= 1);
                    prop_assert!(pace.with_message_at(now_ms + wait_ms - 1, &settings).is_err(), "told to wait for too long");
                    prop_assert!(pace.with_message_at(now_ms + wait_ms, &settings).is_ok(), "told to wait for too short");
                }
            }
            prop_assert!(pace.times_ms.len() <= messages_max as usize, "memory grows");
        }
        for (index, at_ms) in said.iter().enumerate() {
            let window = said[index..].iter().filter(|other| **other < at_ms + u64::from(window_ms)).count();
            prop_assert!(window <= messages_max as usize);
            if let Some(next_ms) = said.get(index + 1) {
                prop_assert!(next_ms - at_ms >= u64::from(slow_mode_ms));
            }
        }
    }
}
