//! Checks histories of the bank workload, as Jepsen has it: transfers between accounts under faults, and reads of all balances.
//!
//! A history is a file of Jepsen's format, one operation a line (see [`History`]). It is judged by what clients saw and by what the books
//! say at the end, and by nothing else: this crate shares no code with the ledger that it judges.
//!
//! | operation | its `:value` | what is checked |
//! |---|---|---|
//! | `:transfer` | `{:id "…", :from 1, :to 2, :amount 30}` | if `:ok`, it has its effect exactly once at the end; if `:fail`, none; if `:info`, at most once |
//! | `:read` | `{1 970, 2 21, -2 9}`: all settled balances at one moment | the sum never changes; no account that is not the system's is below zero; nobody has more than could have come in, or less than could have gone out |
//! | `:balance` | `{:account 1, :spendable 970}`: what its owner is told | not above what was there less what was surely spent, not below what could have been spent |
//! | `:entries` | `[["id" 1 -30] …]`: the books at the end | each transfer's lines sum to zero, and all lines to the last `:read` |
//! | `:dead-letters` | `["id" …]`: what was set aside | a transfer that was answered stands in the books or here |
//!
//! Accounts below zero are the system's. `:read` alone is what Jepsen's own checker of this workload looks at, so it can be run over the
//! same file.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod bounds;
mod effects;
mod finding;
mod history;
mod order;
mod read;
mod snapshots;

pub use finding::Finding;
pub use history::{Entry, Function, History, Op, Transfer, Type, Value};
pub use read::Error;

/// Everything that is wrong with a history; empty if it is accepted.
#[must_use]
pub fn check(history: &History) -> Vec<Finding> {
    let mut findings = order::check(history);
    if findings.is_empty() {
        findings.extend(snapshots::check(history));
        findings.extend(bounds::check(history));
        findings.extend(effects::check(history));
    }
    findings
}
