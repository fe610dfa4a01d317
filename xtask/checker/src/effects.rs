//! What became of each transfer: the books at the end against what clients were told.

use std::collections::{BTreeMap, BTreeSet};

use crate::Finding;
use crate::history::{Attempt, Entry, Function, History, Transfer, Value};

pub(crate) fn check(history: &History) -> Vec<Finding> {
    let entries = history.answered(Function::Entries, |value| match value {
        Value::Entries(entries) => Some(entries),
        _ => None,
    });
    let set_aside = history.answered(Function::DeadLetters, |value| match value {
        Value::Ids(ids) => Some(ids),
        _ => None,
    });
    let (Some((begun, _, entries)), Some((_, _, set_aside))) = (entries.last(), set_aside.last()) else {
        return vec![Finding::Incomplete("reading of the books or of what was set aside")];
    };
    let attempts = history.attempts();
    let mut findings = Vec::new();
    if attempts.iter().any(|attempt| attempt.ended.is_some_and(|(ended, _)| ended > *begun)) {
        findings.push(Finding::Incomplete("reading of the books after the last transfer"));
    }
    let mut lines: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in *entries {
        lines.entry(&entry.id).or_default().push(entry);
    }
    let answered_at: BTreeMap<u64, u64> = history.ops.iter().map(|op| (op.index, op.time)).collect();
    let set_aside: BTreeSet<&str> = set_aside.iter().map(String::as_str).collect();
    for attempt in &attempts {
        let lines = lines.remove(&*attempt.transfer.id).unwrap_or_default();
        let is_set_aside = set_aside.contains(&*attempt.transfer.id);
        findings.extend(judge(attempt, &lines, is_set_aside, &answered_at));
    }
    findings.extend(lines.keys().map(|id| Finding::Unknown((*id).to_owned())));
    findings.extend(sums(history, entries));
    findings
}

fn judge(attempt: &Attempt<'_>, lines: &[&Entry], set_aside: bool, times: &BTreeMap<u64, u64>) -> Option<Finding> {
    let Transfer { id, from, .. } = attempt.transfer;
    let paid = lines.iter().filter(|line| line.account == *from && line.delta < 0).count();
    match (lines.is_empty(), set_aside) {
        (true, false) if attempt.is_ok() => {
            let answered_at = attempt.ended.and_then(|(ended, _)| times.get(&ended).copied()).unwrap_or_default();
            Some(Finding::Lost { id: id.clone(), answered_at })
        }
        (true, _) => None,
        (false, true) => Some(Finding::Twice(id.clone())),
        (false, false) if attempt.has_failed() => Some(Finding::Refused(id.clone())),
        (false, false) if paid > 1 => Some(Finding::Twice(id.clone())),
        (false, false) => {
            let why = altered(attempt.transfer, lines)?;
            Some(Finding::Altered { id: id.clone(), why })
        }
    }
}

/// What is wrong with the lines of a transfer that was done once.
fn altered(transfer: &Transfer, lines: &[&Entry]) -> Option<&'static str> {
    let sum: i128 = lines.iter().map(|line| i128::from(line.delta)).sum();
    let of = |account: i64| {
        let deltas = lines.iter().filter(move |line| line.account == account).map(|line| i128::from(line.delta));
        deltas.sum::<i128>()
    };
    let amount = i128::from(transfer.amount);
    let is_stranger = |line: &&&Entry| line.account >= 0 && ![transfer.from, transfer.to].contains(&line.account);
    if sum != 0 {
        Some("its lines do not sum to zero")
    } else if of(transfer.from) != -amount {
        Some("the payer paid another amount")
    } else if !(1..=amount).contains(&of(transfer.to)) {
        Some("the receiver got nothing, or more than was paid")
    } else if lines.iter().any(|line| is_stranger(&line)) {
        Some("somebody else has a part in it")
    } else {
        None
    }
}

/// Whether the last read is the first one and all that was booked since.
fn sums(history: &History, entries: &[Entry]) -> Vec<Finding> {
    let reads = history.reads();
    let (Some((_, _, first)), Some((_, _, last))) = (reads.first(), reads.last()) else { return Vec::new() };
    let mut expected: BTreeMap<i64, i128> =
        first.iter().map(|(account, balance)| (*account, i128::from(*balance))).collect();
    for entry in entries {
        *expected.entry(entry.account).or_default() += i128::from(entry.delta);
    }
    let accounts: BTreeSet<i64> = expected.keys().chain(last.keys()).copied().collect();
    let of = |account| {
        let expected = expected.get(&account).copied().unwrap_or_default();
        (account, expected, last.get(&account).copied().map(i128::from).unwrap_or_default())
    };
    let differing = accounts.into_iter().map(of).filter(|(_, expected, found)| expected != found);
    differing.map(|(account, expected, found)| Finding::Books { account, expected, found }).collect()
}
