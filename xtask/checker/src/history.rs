//! What a history is made of.

use std::collections::{BTreeMap, BTreeSet};

/// Operations in the order in which they were recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// An operation is an invocation, and later one completion of the same process.
    pub ops: Vec<Op>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Its place in the history.
    pub index: u64,
    /// When it was recorded, in nanoseconds since the history began.
    pub time: u64,
    /// Who did it; does one thing at a time, and nothing more after an `:info`.
    pub process: i64,
    /// Begun, or how it ended.
    pub kind: Type,
    /// What was done.
    pub function: Function,
    /// With what, or with what result.
    pub value: Value,
}

/// `:type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// It begins.
    Invoke,
    /// It was done.
    Ok,
    /// It was surely not done.
    Fail,
    /// It is not known whether it was done.
    Info,
}

/// `:f`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Money goes from one account to another.
    Transfer,
    /// All accounts at one moment.
    Read,
    /// One account, as its owner is told.
    Balance,
    /// All lines of the books.
    Entries,
    /// All transfers that were set aside.
    DeadLetters,
}

/// `:value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing yet.
    Nothing,
    /// Of a transfer.
    Transfer(Transfer),
    /// Balances by account.
    Balances(BTreeMap<i64, i64>),
    /// What can be spent.
    Spendable {
        /// Whose.
        account: i64,
        /// How much; none until it is answered.
        amount: Option<i64>,
    },
    /// Lines of the books.
    Entries(Vec<Entry>),
    /// Ids of transfers.
    Ids(Vec<String>),
}

/// A transfer that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Nobody else's.
    pub id: String,
    /// Who pays.
    pub from: i64,
    /// Who receives at least a part of it; the rest is the system's.
    pub to: i64,
    /// What is paid.
    pub amount: i64,
}

/// A line of the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Of this transfer.
    pub id: String,
    /// Whose balance changed.
    pub account: i64,
    /// By how much.
    pub delta: i64,
}

/// A transfer from its invocation to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) transfer: &'a Transfer,
    /// Index of the invocation.
    pub(crate) begun: u64,
    /// Index and type of the completion; none if the history ends before.
    pub(crate) ended: Option<(u64, Type)>,
}

impl Attempt<'_> {
    /// Whether it was answered as done before this place.
    pub(crate) fn surely_before(&self, index: u64) -> bool {
        self.ended.is_some_and(|(ended, kind)| kind == Type::Ok && ended < index)
    }

    /// Whether it can have been done before this place.
    pub(crate) fn possibly_before(&self, index: u64) -> bool {
        self.begun < index && !self.has_failed()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.ended.is_some_and(|(_, kind)| kind == Type::Fail)
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.surely_before(u64::MAX)
    }
}

impl History {
    /// All transfers, by the place where they began.
    pub(crate) fn attempts(&self) -> Vec<Attempt<'_>> {
        let mut attempts: Vec<Attempt<'_>> = Vec::new();
        let mut open: BTreeMap<i64, usize> = BTreeMap::new();
        for op in self.ops.iter().filter(|op| op.function == Function::Transfer) {
            match (op.kind, &op.value) {
                (Type::Invoke, Value::Transfer(transfer)) => {
                    open.insert(op.process, attempts.len());
                    attempts.push(Attempt { transfer, begun: op.index, ended: None });
                }
                _ => {
                    let attempt = open.remove(&op.process).and_then(|place| attempts.get_mut(place));
                    if let Some(attempt) = attempt {
                        attempt.ended = Some((op.index, op.kind));
                    }
                }
            }
        }
        attempts
    }

    /// Reads of all balances that were answered, each with the index of its invocation and of its answer.
    pub(crate) fn reads(&self) -> Vec<(u64, &Op, &BTreeMap<i64, i64>)> {
        self.answered(Function::Read, |value| match value {
            Value::Balances(balances) => Some(balances),
            _ => None,
        })
    }

    /// Answers of one kind, each with the index of its invocation.
    pub(crate) fn answered<'a, T>(
        &'a self,
        function: Function,
        of: impl Fn(&'a Value) -> Option<T>,
    ) -> Vec<(u64, &'a Op, T)> {
        let mut begun: BTreeMap<i64, u64> = BTreeMap::new();
        let mut answers = Vec::new();
        for op in self.ops.iter().filter(|op| op.function == function) {
            match op.kind {
                Type::Invoke => {
                    begun.insert(op.process, op.index);
                }
                Type::Ok => {
                    let invoked = begun.get(&op.process).copied().unwrap_or(op.index);
                    answers.extend(of(&op.value).map(|value| (invoked, op, value)));
                }
                Type::Fail | Type::Info => {}
            }
        }
        answers
    }

    /// The same history, as if nobody had been promised these transfers: they may have been done or not.
    ///
    /// For durabilities that allow a loss: what is lost is counted by [`crate::Finding::Lost`], and all else must hold even so.
    #[must_use]
    pub fn without_promise(mut self, ids: &BTreeSet<String>) -> Self {
        let mut open: BTreeMap<i64, bool> = BTreeMap::new();
        // A process does nothing more after an `:info`, so what it does next is another's.
        let mut renamed: BTreeMap<i64, i64> = BTreeMap::new();
        let mut next = self.ops.iter().map(|op| op.process).max().unwrap_or_default();
        for op in &mut self.ops {
            let process = op.process;
            op.process = renamed.get(&process).copied().unwrap_or(process);
            match (op.function, op.kind, &op.value) {
                (Function::Transfer, Type::Invoke, Value::Transfer(transfer)) => {
                    open.insert(process, ids.contains(&transfer.id));
                }
                (Function::Transfer, Type::Ok, _) if open.get(&process) == Some(&true) => {
                    op.kind = Type::Info;
                    next += 1;
                    renamed.insert(process, next);
                }
                _ => {}
            }
        }
        self
    }
}
