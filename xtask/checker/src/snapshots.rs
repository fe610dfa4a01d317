//! Reads of all balances at one moment.

use std::collections::BTreeMap;

use crate::Finding;
use crate::history::History;

pub(crate) fn check(history: &History) -> Vec<Finding> {
    let reads = history.reads();
    let Some((_, _, first)) = reads.first() else { return vec![Finding::Incomplete("read of all balances")] };
    let expected = total(first);
    let mut findings = Vec::new();
    for (_, op, balances) in &reads {
        let found = total(balances);
        if found != expected {
            findings.push(Finding::Total { index: op.index, expected, found });
        }
        for (&account, &balance) in balances.iter().filter(|(account, balance)| **account >= 0 && **balance < 0) {
            findings.push(Finding::Negative { index: op.index, account, balance });
        }
    }
    findings
}

fn total(balances: &BTreeMap<i64, i64>) -> i128 {
    balances.values().map(|balance| i128::from(*balance)).sum()
}
