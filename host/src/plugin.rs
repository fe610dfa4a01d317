//! Plugins: installing them, and calling them within limits. Step 3 of the way of a gift.
//!
//! An instance lives from its first call to its retirement: after a number of calls, on a trap, on a deadline. It answers one call
//! at a time and holds no state that matters. What a call did to the cache is made durable, and only then are its pushes published
//! and its answer given.

mod call;

pub use call::{ApiRequest, ApiResponse, Caller, Context, Error, Occasion, Problem, RoomInfo, StreamInfo, Verdict};

pub mod breaker;
mod install;
mod registry;

pub use install::{ConfigFault, Plugin, Rejected};
pub use registry::{InstallError, Registry, Settings};
