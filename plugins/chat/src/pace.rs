//! How often one user may write: so many messages in a window that moves with the clock, and slow mode. Pure.

use std::time::Duration;

use greenroom_sdk::stored;

use crate::settings::Settings;

/// When a user wrote last: the moments that still count, in milliseconds since the Unix epoch, the oldest first. At most as many as
/// `messagesMax`.
#[derive(Default, Eq)]
#[stored]
pub(crate) struct Pace {
    times_ms: Vec<u64>,
}

/// So long a user has to wait, 1 ms or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) u64);

impl Pace {
    /// With a message now. Clocks of hosts may differ, so a moment before the last one counts as that.
    pub(crate) fn with_message_at(&self, now_ms: u64, settings: &Settings) -> Result<Self, Wait> {
        let last_ms = self.times_ms.last().copied();
        let now_ms = now_ms.max(last_ms.unwrap_or_default());
        let (window_ms, slow_ms) = (u64::from(settings.window_ms), u64::from(settings.slow_mode_ms));
        let recent: Vec<u64> =
            self.times_ms.iter().copied().filter(|at_ms| at_ms.saturating_add(window_ms) > now_ms).collect();
        let messages_max = usize::try_from(settings.messages_max).unwrap_or(usize::MAX).max(1);
        // The one whose end of the window makes room, if the window is full.
        let blocking = recent.len().checked_sub(messages_max).and_then(|index| recent.get(index));
        let free_ms = blocking.map_or(0, |at_ms| at_ms.saturating_add(window_ms));
        let slow_until_ms = last_ms.map_or(0, |at_ms| at_ms.saturating_add(slow_ms));
        match free_ms.max(slow_until_ms).saturating_sub(now_ms) {
            0 => {
                let mut times_ms = recent;
                times_ms.push(now_ms);
                Ok(Self { times_ms })
            }
            wait_ms => Err(Wait(wait_ms)),
        }
    }

    /// After so long nothing of it counts any more.
    pub(crate) fn ttl(settings: &Settings) -> Duration {
        Duration::from_millis(u64::from(settings.window_ms.max(settings.slow_mode_ms)))
    }
}

#[cfg(test)]
mod tests;
