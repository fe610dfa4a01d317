//! The plugins' keys: bytes, counters, sets and rankings, in shards that change in atomic steps.
//!
//! A step is applied to the shard at once and noted in an undo list; if it is refused half-way, or the journal does not take it, it
//! is undone before anybody could see it. Times to live count from the caller's clock: a key that has expired by the step's time is
//! absent to the step, and a sweep removes it later. Bound: none of its own; plugins' limits bound what a call may write.

mod dirty;
mod ranking;
mod shard;
mod slot;

pub(super) use dirty::{KeyCopy, SlotCopy};
pub(super) use ranking::Ranking;
pub(super) use shard::{Made, Refusal, ShardKeys, slot_of};
pub(super) use slot::{NEVER, Slot, Value, expiry};
