//! What a balance can be at a moment, by what was surely and what was possibly transferred until then.
//!
//! What an account receives is settled some time after the answer, so a read need not know of it; what its owner has paid is gone at
//! once, so what can be spent must not contain it.

use std::collections::BTreeMap;

use crate::Finding;
use crate::history::{Attempt, Function, History, Value};

pub(crate) fn check(history: &History) -> Vec<Finding> {
    let reads = history.reads();
    // That there is none is told with the reads.
    let Some((_, _, first)) = reads.first() else { return Vec::new() };
    let attempts = history.attempts();
    let mut findings = Vec::new();
    if attempts.first().is_some_and(|attempt| reads.first().is_some_and(|(_, op, _)| op.index > attempt.begun)) {
        findings.push(Finding::Incomplete("read of all balances before the first transfer"));
    }
    for (_, op, balances) in &reads {
        for (&account, &balance) in balances.iter().filter(|(account, _)| **account >= 0) {
            // The books are behind the answers, so nothing that was paid need be in them.
            let range = range(account, first, &attempts, 0, op.index);
            findings.extend(outside(op.index, account, balance, range));
        }
    }
    let told = history.answered(Function::Balance, |value| match value {
        Value::Spendable { account, amount: Some(amount) } => Some((*account, *amount)),
        _ => None,
    });
    for (begun, op, (account, amount)) in told {
        let range = range(account, first, &attempts, begun, op.index);
        findings.extend(outside(op.index, account, amount, range));
    }
    findings
}

/// The least and the most that an account can have for a read that began and ended at these places.
fn range(account: i64, first: &BTreeMap<i64, i64>, attempts: &[Attempt<'_>], begun: u64, ended: u64) -> (i128, i128) {
    let start = i128::from(first.get(&account).copied().unwrap_or_default());
    let (mut least, mut most) = (start, start);
    for attempt in attempts.iter().filter(|attempt| attempt.possibly_before(ended)) {
        let amount = i128::from(attempt.transfer.amount);
        if attempt.transfer.from == account {
            least -= amount;
            if attempt.surely_before(begun) {
                most -= amount;
            }
        }
        if attempt.transfer.to == account {
            most += amount;
        }
    }
    (least, most)
}

fn outside(index: u64, account: i64, found: i64, (least, most): (i128, i128)) -> Option<Finding> {
    let is_inside = (least..=most).contains(&i128::from(found));
    (!is_inside).then_some(Finding::OutOfBounds { index, account, found, least, most })
}
