//! A mute and a ban of one user: the rules. Pure; `moderation` writes them, `say` obeys.

use std::time::Duration;

use greenroom_sdk::stored;

use crate::refusal::No;

/// What was lifted or has run out is kept so long, so that a later change has a later revision than what was before.
const AFTERGLOW_MS: u64 = 24 * 60 * 60 * 1_000;

/// What is held against a user in a room; as `Default`, nothing.
#[derive(Copy, Eq, Default)]
#[stored]
pub(crate) struct Restriction {
    /// Grows with each change.
    pub(crate) revision: u64,
    /// Milliseconds since the Unix epoch; 0 for never muted.
    pub(crate) muted_until_ms: u64,
    pub(crate) is_banned: bool,
}

/// What a moderator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// From now on for so long; a mute that was there ends sooner or later with it.
    Mute(Duration),
    Unmute,
    Ban,
    Unban,
}

impl Restriction {
    /// After a change. A mute and a ban do not touch each other.
    pub(crate) fn changed(self, change: Change, now_ms: u64) -> Self {
        let revision = now_ms.max(self.revision.saturating_add(1));
        match change {
            Change::Mute(time) => {
                let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                Self { revision, muted_until_ms: now_ms.saturating_add(time_ms), ..self }
            }
            Change::Unmute => Self { revision, muted_until_ms: 0, ..self },
            Change::Ban => Self { revision, is_banned: true, ..self },
            Change::Unban => Self { revision, is_banned: false, ..self },
        }
    }

    /// Whether the user may write now. A ban is told before a mute, as it lasts longer.
    pub(crate) fn check(self, now_ms: u64) -> Result<(), No> {
        if self.is_banned {
            return Err(No::Banned);
        }
        match self.muted_until_ms.saturating_sub(now_ms) {
            0 => Ok(()),
            left_ms => Err(No::Muted {
                left_s: left_ms.div_ceil(1_000),
                until_ms: self.muted_until_ms,
                retry_after_ms: u32::try_from(left_ms).unwrap_or(u32::MAX),
            }),
        }
    }

    /// How long the cache must keep it; none for as long as it is there.
    pub(crate) fn ttl(self, now_ms: u64) -> Option<Duration> {
        let left_ms = self.muted_until_ms.saturating_sub(now_ms);
        (!self.is_banned).then(|| Duration::from_millis(left_ms.saturating_add(AFTERGLOW_MS)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000;

    #[test]
    fn who_is_muted_is_told_for_how_long_and_who_is_banned_is_told_that() {
        let muted = Restriction::default().changed(Change::Mute(Duration::from_secs(60)), 5 * SECOND);
        let no = No::Muted { left_s: 60, until_ms: 65 * SECOND, retry_after_ms: 60_000 };
        assert_eq!(muted.check(5 * SECOND), Err(no));
        assert_eq!(
            muted.check(65 * SECOND - 1),
            Err(No::Muted { left_s: 1, until_ms: 65 * SECOND, retry_after_ms: 1 })
        );
        assert_eq!(muted.check(65 * SECOND), Ok(()));
        let banned = muted.changed(Change::Ban, 6 * SECOND);
        assert_eq!(banned.check(500 * SECOND), Err(No::Banned));
        assert_eq!(banned.ttl(7 * SECOND), None);
        let unbanned = banned.changed(Change::Unban, 7 * SECOND);
        assert!(matches!(unbanned.check(8 * SECOND), Err(No::Muted { .. })), "the mute is still there");
        assert_eq!(unbanned.changed(Change::Unmute, 9 * SECOND).check(9 * SECOND), Ok(()));
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            (1_u64..100_000).prop_map(|seconds| Change::Mute(Duration::from_secs(seconds))),
            Just(Change::Unmute),
            Just(Change::Ban),
            Just(Change::Unban),
        ]
    }

    proptest! {
        #[test]
        fn a_later_change_has_a_later_revision_and_the_cache_keeps_what_holds(
            changes in prop::collection::vec((change(), 0_u64..200_000_000), 1..30),
            goes_back_ms in 0_u64..5_000,
        ) {
            let (mut restriction, mut now_ms) = (Restriction::default(), 1_000_000);
            for (change, step) in changes {
                now_ms += step;
                // Another host's clock may be behind.
                let next = restriction.changed(change, now_ms - goes_back_ms);
                prop_assert!(next.revision > restriction.revision);
                if let Some(ttl) = next.ttl(now_ms) {
                    let forgotten_ms = now_ms + ttl.as_millis() as u64;
                    prop_assert!(next.check(forgotten_ms).is_ok(), "what still holds is forgotten");
                    prop_assert!(ttl <= Duration::from_secs(49 * 24 * 60 * 60));
                }
                restriction = next;
            }
        }
    }
}
