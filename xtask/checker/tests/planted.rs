//! The checker accepts a history that was recorded while a host was silent, and rejects it with each fault planted in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;

use greenroom_checker::{Entry, Finding, Function, History, Op, Transfer, Type, Value, check};

/// Three hosts, one of them silent for seven seconds (SIGSTOP), ten viewers; durability `queued`.
const RECORDED: &str = include_str!("recorded.edn");

fn recorded() -> History {
    History::parse(RECORDED).unwrap()
}

/// A transfer that ended like this, and that others came after.
fn ended(history: &History, kind: Type) -> Transfer {
    let ended: Vec<i64> = history.ops.iter().filter(|op| op.kind == kind).map(|op| op.process).collect();
    let of = |op: &&Op| op.kind == kind && op.function == Function::Transfer && ended.contains(&op.process);
    match &history.ops.iter().find(of).expect("the history has one").value {
        Value::Transfer(transfer) => transfer.clone(),
        other => panic!("{other:?}"),
    }
}

fn entries(history: &mut History) -> &mut Vec<Entry> {
    let values = history.ops.iter_mut().map(|op| &mut op.value);
    values.filter_map(|value| if let Value::Entries(entries) = value { Some(entries) } else { None }).last().unwrap()
}

/// Balances of the read of all accounts that comes at this place among them.
fn read(history: &mut History, place: usize) -> (u64, &mut std::collections::BTreeMap<i64, i64>) {
    let ops = history.ops.iter_mut().map(|op| (op.index, &mut op.value));
    let mut reads =
        ops.filter_map(|(index, value)| if let Value::Balances(b) = value { Some((index, b)) } else { None });
    reads.nth(place).unwrap()
}

fn reads(history: &History) -> usize {
    history.ops.iter().filter(|op| matches!(op.value, Value::Balances(_))).count()
}

/// Books lines of a transfer into the last read, too, so that nothing but the planted fault is wrong.
fn book(history: &mut History, lines: &[Entry], times: i64) {
    let last = reads(history) - 1;
    for line in lines {
        *read(history, last).1.entry(line.account).or_default() += times * line.delta;
    }
}

#[test]
fn the_recorded_history_is_accepted() {
    let history = recorded();
    assert_eq!(check(&history), []);
    let count = |kind| history.ops.iter().filter(|op| op.function == Function::Transfer && op.kind == kind).count();
    assert!(count(Type::Ok) > 100 && count(Type::Fail) > 0 && count(Type::Info) > 0, "there is something to check");
    assert!(reads(&history) > 10);
}

#[test]
fn a_lost_transfer_is_found_and_may_be_forgiven() {
    let mut history = recorded();
    let Transfer { id, .. } = ended(&history, Type::Ok);
    let lines: Vec<Entry> = entries(&mut history).extract_if(.., |line| line.id == id).collect();
    book(&mut history, &lines, -1);
    let findings = check(&history);
    assert!(
        matches!(&findings[..], [Finding::Lost { id: lost, answered_at }] if *lost == id && *answered_at > 0),
        "{findings:?}"
    );
    let forgiven = check(&history.without_promise(&BTreeSet::from([id])));
    assert_eq!(forgiven, [], "all else holds");
}

#[test]
fn a_transfer_that_was_applied_twice_is_found() {
    let mut history = recorded();
    let Transfer { id, .. } = ended(&history, Type::Ok);
    let lines: Vec<Entry> = entries(&mut history).iter().filter(|line| line.id == id).cloned().collect();
    entries(&mut history).extend(lines.clone());
    book(&mut history, &lines, 1);
    assert!(check(&history).contains(&Finding::Twice(id)));
}

#[test]
fn a_refused_transfer_that_was_done_is_found() {
    let mut history = recorded();
    let Transfer { id, from, to, amount } = ended(&history, Type::Fail);
    let lines = [(from, -amount), (to, amount)].map(|(account, delta)| Entry { id: id.clone(), account, delta });
    entries(&mut history).extend(lines.clone());
    book(&mut history, &lines, 1);
    assert!(check(&history).contains(&Finding::Refused(id)));
}

#[test]
fn a_transfer_that_nobody_asked_for_and_one_of_another_amount_are_found() {
    let mut history = recorded();
    let lines = [(77, 5), (-2, -5)].map(|(account, delta)| Entry { id: "1/x".into(), account, delta });
    entries(&mut history).extend(lines.clone());
    book(&mut history, &lines, 1);
    assert_eq!(check(&history), [Finding::Unknown("1/x".into())]);

    let mut history = recorded();
    let Transfer { id, from, .. } = ended(&history, Type::Ok);
    let payment = entries(&mut history).iter_mut().find(|line| line.id == id && line.account == from).unwrap();
    payment.delta += 1;
    assert!(
        check(&history).iter().any(|finding| matches!(finding, Finding::Altered { id: found, .. } if *found == id))
    );
}

#[test]
fn a_snapshot_that_does_not_sum_is_found() {
    let mut history = recorded();
    let middle = reads(&history) / 2;
    let (index, balances) = read(&mut history, middle);
    *balances.get_mut(&-2).unwrap() += 1;
    let findings = check(&history);
    assert!(matches!(findings[..], [Finding::Total { index: found, .. }] if found == index), "{findings:?}");
}

#[test]
fn an_account_below_zero_is_found_but_not_one_of_the_systems() {
    let mut history = recorded();
    let middle = reads(&history) / 2;
    let (index, balances) = read(&mut history, middle);
    let before = std::mem::replace(balances.get_mut(&1010).unwrap(), -1);
    *balances.get_mut(&-1).unwrap() += before + 1;
    assert!(balances[&-1] < 0);
    assert!(check(&history).contains(&Finding::Negative { index, account: 1010, balance: -1 }));
}

#[test]
fn a_stale_read_that_overstates_what_can_be_spent_is_found() {
    let mut history = recorded();
    // What the owner was told at the very beginning, told again at the end.
    let start = read(&mut history, 0).1[&1003];
    let told = history.ops.iter_mut().rev().find_map(|op| match &mut op.value {
        Value::Spendable { account: 1003, amount: Some(amount) } => Some((op.index, amount)),
        _ => None,
    });
    let (index, amount) = told.expect("the history has one");
    assert!(std::mem::replace(amount, start) < start);
    let findings = check(&history);
    assert!(matches!(findings[..], [Finding::OutOfBounds { index: found, .. }] if found == index), "{findings:?}");
}

#[test]
fn a_history_that_does_two_things_at_once_or_lacks_its_end_is_none() {
    let mut history = recorded();
    let first = history.ops.iter().position(|op| op.function == Function::Transfer && op.kind == Type::Invoke).unwrap();
    history.ops[first].kind = Type::Ok;
    assert!(matches!(check(&history)[..], [Finding::Malformed { .. }, ..]));
    let mut history = recorded();
    history.ops.retain(|op| op.function != Function::Entries);
    assert!(matches!(check(&history)[..], [Finding::Incomplete(_)]));
}
