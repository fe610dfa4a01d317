//! One viewer's allowance of likes, and what they sent last. Pure.
//!
//! The allowance is a bucket that fills by `perSecond` and holds `gatherMs` of it: within any time of t seconds a viewer counts at most
//! `perSecond × (gatherMs / 1,000 + t)`. What is beyond is clipped.

use std::time::Duration;

use greenroom_sdk::stored;

use crate::settings::Settings;

/// So many requests are known when they are repeated: clients send every second or two, and repeat at once.
const SENT_MAX: usize = 8;
/// A viewer who has sent nothing for so long is forgotten.
const KEPT_MIN: Duration = Duration::from_secs(60);

/// What is known of a viewer.
#[derive(Eq)]
#[stored]
pub(crate) struct Liker {
    /// When the allowance was looked at last, in milliseconds since the Unix epoch.
    at_ms: u64,
    /// The allowance, in thousandths of a like.
    left: u64,
    /// The last requests, the oldest first.
    sent: Vec<Sent>,
}

/// A request and its answer.
#[derive(Eq)]
#[stored]
struct Sent {
    event_id: String,
    count: u32,
    counted: u32,
}

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is new.
    No,
    /// It was sent before, and so many were counted.
    Counted(u32),
    /// The event id was used for another count.
    Other,
}

fn full(settings: &Settings) -> u64 {
    u64::from(settings.per_second) * u64::from(settings.gather_ms)
}

impl Liker {
    /// Somebody of whom nothing is known: the allowance is full.
    pub(crate) fn new(now_ms: u64, settings: &Settings) -> Self {
        Self { at_ms: now_ms, left: full(settings), sent: Vec::new() }
    }

    /// Whether a request was sent before.
    pub(crate) fn known(&self, event_id: &str, count: u32) -> Known {
        match self.sent.iter().find(|sent| sent.event_id == event_id) {
            None => Known::No,
            Some(sent) if sent.count == count => Known::Counted(sent.counted),
            Some(_) => Known::Other,
        }
    }

    /// After a new request, and how many of its likes count. Clocks of hosts may differ: time does not go back.
    pub(crate) fn with(mut self, event_id: &str, count: u32, now_ms: u64, settings: &Settings) -> (Self, u32) {
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        let earned = passed_ms.saturating_mul(settings.per_second.into());
        let left = self.left.saturating_add(earned).min(full(settings));
        let counted = count.min(u32::try_from(left / 1_000).unwrap_or(u32::MAX));
        if self.sent.len() >= SENT_MAX {
            self.sent.drain(..=self.sent.len() - SENT_MAX);
        }
        self.sent.push(Sent { event_id: event_id.to_owned(), count, counted });
        let left = left.saturating_sub(u64::from(counted) * 1_000);
        (Self { at_ms: self.at_ms.max(now_ms), left, sent: self.sent }, counted)
    }

    /// After so long the allowance is full again, and repetitions do not come any more.
    pub(crate) fn ttl(settings: &Settings) -> Duration {
        KEPT_MIN.max(Duration::from_millis(settings.gather_ms.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(per_second: u32, gather_ms: u32) -> Settings {
        Settings { per_second, gather_ms, ..Settings::default() }
    }

    #[test]
    fn what_is_beyond_the_allowance_is_clipped_and_comes_back_with_time() {
        let settings = settings(10, 3_000);
        let (liker, counted) = Liker::new(1_000, &settings).with("a", 25, 1_000, &settings);
        assert_eq!(counted, 25);
        let (liker, counted) = liker.with("b", 10_000, 1_000, &settings);
        assert_eq!(counted, 5);
        let (liker, counted) = liker.with("c", 1, 1_099, &settings);
        assert_eq!(counted, 0, "a like takes 100 ms");
        let (liker, counted) = liker.with("d", 7, 1_100, &settings);
        assert_eq!(counted, 1);
        let (_, counted) = liker.with("e", 10_000, 9_000_000, &settings);
        assert_eq!(counted, 30);
    }

    #[test]
    fn a_repetition_is_known_until_eight_others_were_sent() {
        let settings = settings(10, 3_000);
        let (mut liker, _) = Liker::new(0, &settings).with("first", 3, 0, &settings);
        assert_eq!(liker.known("first", 3), Known::Counted(3));
        assert_eq!(liker.known("first", 4), Known::Other);
        for other in 0..7 {
            liker = liker.with(&other.to_string(), 1, 0, &settings).0;
        }
        assert_eq!(liker.known("first", 3), Known::Counted(3));
        let (liker, _) = liker.with("eighth", 1, 0, &settings);
        assert_eq!(liker.known("first", 3), Known::No);
    }

    proptest! {
        #[test]
        fn nobody_counts_more_than_the_cap_in_any_stretch_of_time(
            steps in prop::collection::vec((0_u64..2_000, 1_u32..=10_000, 0_u64..100), 1..50),
            per_second in 1_u32..=1_000,
            gather_ms in 1_000_u32..=60_000,
        ) {
            let settings = settings(per_second, gather_ms);
            let (mut liker, mut now_ms, mut counts) = (Liker::new(1_000_000, &settings), 1_000_000, Vec::new());
            for (index, (step, count, behind_ms)) in steps.into_iter().enumerate() {
                now_ms += step;
                let (next, counted) = liker.with(&index.to_string(), count, now_ms - behind_ms, &settings);
                prop_assert!(counted <= count);
                prop_assert!(next.sent.len() <= SENT_MAX);
                counts.push((now_ms, u64::from(counted)));
                liker = next;
            }
            for (index, (from_ms, _)) in counts.iter().enumerate() {
                let mut sum = 0;
                for (to_ms, counted) in &counts[index..] {
                    sum += counted;
                    // The clocks of this test differ by up to 100 ms.
                    let stretch_ms = to_ms - from_ms + 100 + u64::from(gather_ms);
                    prop_assert!(sum * 1_000 <= u64::from(per_second) * stretch_ms, "{sum} in {stretch_ms} ms");
                }
            }
        }

        #[test]
        fn who_keeps_to_the_cap_loses_nothing(per_second in 1_u32..100, seconds in 1_u64..30) {
            let settings = settings(per_second, 1_000);
            let mut liker = Liker::new(0, &settings);
            for second in 0..seconds {
                let (next, counted) = liker.with(&second.to_string(), per_second, second * 1_000, &settings);
                prop_assert_eq!(counted, per_second);
                liker = next;
            }
        }
    }
}
