//! Faults of the distributed mode, each under load: real hosts over real Redis, Kafka and PostgreSQL servers that the scenario kills.
//!
//! Each ends in the same way: `greenroom reconcile` finds no difference, every gift that was answered is settled exactly once or stands in
//! the dead letters, every host tells the balances of the database, and the recorded history (`target/faults/<scenario>/history.edn`, in
//! Jepsen's format) is accepted by a checker that shares no code with the ledger. `SEED` repeats a load.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod audit;
mod clock;
mod cluster;
mod history;
mod hosts;
mod kafka;
mod killed;
mod load;
mod messages;
mod network;
mod postgres;
mod probe;
mod proxy;
mod redis;
mod services;
mod site;
mod verdict;
mod world;
