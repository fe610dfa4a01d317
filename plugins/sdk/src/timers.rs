//! Timers as an enum: a variant's fields are the payload, and its text the key.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Problem, read_json, timer};

/// A plugin's timers, one variant for each kind. Derive it, make the enum [`stored`](crate::stored), and name it in
/// [`plugin!`](crate::plugin!) with the function that is called when one is due. Each is durable before the client sees the answer, fires
/// at least once, and only once if the function succeeds and nothing crashes meanwhile.
pub trait Timer: Serialize + DeserializeOwned {
    /// Setting a timer of a key replaces the one that was there, in the call's room; 1 to 128 characters.
    fn key(&self) -> String;

    /// Sets it, at most 31 days ahead.
    ///
    /// # Errors
    /// As the host has them.
    fn set(&self, after: Duration) -> Result<(), Problem> {
        Ok(timer::set(&self.key(), millis(after), &self.payload()?)?)
    }

    /// Sets it unless one of its key is to fire at the same time or sooner. One that is firing now does not count, so what was written
    /// before is seen by a firing after it.
    ///
    /// # Errors
    /// As the host has them.
    fn ensure(&self, after: Duration) -> Result<(), Problem> {
        Ok(timer::ensure(&self.key(), millis(after), &self.payload()?)?)
    }

    /// Takes it back; it may still fire if it is firing now.
    ///
    /// # Errors
    /// As the host has them.
    fn cancel(&self) -> Result<(), Problem> {
        Ok(timer::cancel(&self.key())?)
    }

    /// As [`Timer::set`], in a room in which the plugin is enabled; it need not be the call's.
    ///
    /// # Errors
    /// As the host has them.
    fn set_in(&self, room_id: i64, after: Duration) -> Result<(), Problem> {
        Ok(timer::set_in(room_id, &self.key(), millis(after), &self.payload()?)?)
    }

    /// As [`Timer::ensure`], in a room in which the plugin is enabled.
    ///
    /// # Errors
    /// As the host has them.
    fn ensure_in(&self, room_id: i64, after: Duration) -> Result<(), Problem> {
        Ok(timer::ensure_in(room_id, &self.key(), millis(after), &self.payload()?)?)
    }

    /// As [`Timer::cancel`], in a room in which the plugin is enabled.
    ///
    /// # Errors
    /// As the host has them.
    fn cancel_in(&self, room_id: i64) -> Result<(), Problem> {
        Ok(timer::cancel_in(room_id, &self.key())?)
    }

    /// What the timer carries: at most 4 KiB.
    ///
    /// # Errors
    /// If it cannot be written.
    fn payload(&self) -> Result<Vec<u8>, Problem> {
        serde_json::to_vec(self).map_err(|e| Problem::failed(format!("timer: {e}")))
    }
}

/// A timer that fires.
///
/// # Errors
/// If another version of the plugin wrote what this one cannot read.
pub fn fired<T: Timer>(key: &str, payload: &[u8]) -> Result<T, String> {
    read_json(payload).map_err(|e| format!("timer `{key}`: {e}"))
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
