//! The values that everything else speaks in: ids, money, events, what is pushed. Pure: no input or output, no clock.

mod asset;
mod event;
mod id;
mod posting;
mod push;

pub use asset::{Account, Amount, AssetType, Overflow};
pub use event::{ContentDigest, Event, EventTime, Held, Outcome};
pub use id::{BucketId, EventId, InvalidEventId, RoomId, StreamId, UserId};
pub use posting::{Entry, Part, Posting, Unbalanced};
pub use push::{Audience, Priority, PushMessage};
