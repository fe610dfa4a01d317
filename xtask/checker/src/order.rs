//! Whether a history is one: each process does one thing at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::Finding;
use crate::history::{Function, History, Type, Value};

pub(crate) fn check(history: &History) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut open: BTreeMap<i64, Function> = BTreeMap::new();
    let mut gone: BTreeSet<i64> = BTreeSet::new();
    let mut ids: BTreeSet<&str> = BTreeSet::new();
    let mut last: Option<(u64, u64)> = None;
    for op in &history.ops {
        let mut fault = |why| findings.push(Finding::Malformed { index: op.index, why });
        if last.is_some_and(|(index, time)| op.index <= index || op.time < time) {
            fault("it is out of order");
        }
        last = Some((op.index, op.time));
        if gone.contains(&op.process) {
            fault("its process did not end what it began before");
        }
        if op.kind == Type::Invoke {
            if open.insert(op.process, op.function).is_some() {
                fault("its process does something else");
            }
            if let Value::Transfer(transfer) = &op.value
                && !ids.insert(&transfer.id)
            {
                fault("another transfer has its id");
            }
        } else if open.remove(&op.process) != Some(op.function) {
            fault("it ends what was not begun");
        }
        if op.kind == Type::Info {
            gone.insert(op.process);
        }
    }
    findings
}
