//! Plugins: installing them, and calling them within limits. Step 3 of the way of a gift.
//!
//! An instance lives from its first call to its retirement: after a number of calls, on a trap, on a deadline. It answers one call
//! at a time and holds no state that matters. What a call did to the cache is made durable, and only then are its pushes published
//! and its answer given.

mod answer;
mod bindings;
mod call;
mod compile;
mod consume;
mod enabled;
mod engine;
mod follow;
mod host;
mod inspect;
mod install;
mod instance;
mod invoke;
mod limits;
mod pool;
mod posting;
mod prepare;
mod query;
mod registry;
mod schema;
mod state;
mod turn;

pub use call::{ApiRequest, ApiResponse, Caller, Context, Error, Occasion, Problem, RoomInfo, StreamInfo, Verdict};
pub use enabled::Enabled;
pub use install::{ConfigFault, Plugin, Rejected};
pub use limits::Bounds;
pub use registry::{InstallError, Registry, Settings, default_mintable_assets};
