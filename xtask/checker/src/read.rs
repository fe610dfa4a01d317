//! Reading a history from its text.

use clojure_reader::edn::{Edn, read_string};

use crate::history::{Entry, Function, History, Op, Transfer, Type, Value};

/// A text that is no history.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line is no EDN.
    #[error("line {line}: {why}")]
    Syntax {
        /// From 1.
        line: usize,
        /// By the reader.
        why: String,
    },
    /// A line is no operation.
    #[error("line {line}: `{field}` is missing, or not what it should be")]
    Field {
        /// From 1.
        line: usize,
        /// Of the operation.
        field: &'static str,
    },
}

impl History {
    /// Reads operations, one a line; empty lines are skipped.
    ///
    /// # Errors
    /// If a line is no operation.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let op = |(index, line): (usize, &str)| {
            let line_number = index + 1;
            let edn = read_string(line);
            let edn = edn.map_err(|error| Error::Syntax { line: line_number, why: error.to_string() })?;
            read_op(&edn).map_err(|field| Error::Field { line: line_number, field })
        };
        Ok(Self { ops: lines.map(op).collect::<Result<_, _>>()? })
    }
}

fn read_op(edn: &Edn<'_>) -> Result<Op, &'static str> {
    let function = match keyword(edn, "f") {
        Some("transfer") => Function::Transfer,
        Some("read") => Function::Read,
        Some("balance") => Function::Balance,
        Some("entries") => Function::Entries,
        Some("dead-letters") => Function::DeadLetters,
        _ => return Err(":f"),
    };
    let kind = match keyword(edn, "type") {
        Some("invoke") => Type::Invoke,
        Some("ok") => Type::Ok,
        Some("fail") => Type::Fail,
        Some("info") => Type::Info,
        _ => return Err(":type"),
    };
    Ok(Op {
        index: natural(edn, "index").ok_or(":index")?,
        time: natural(edn, "time").ok_or(":time")?,
        process: number(edn, "process").ok_or(":process")?,
        kind,
        function,
        value: read_value(function, field(edn, "value").unwrap_or(&Edn::Nil)).ok_or(":value")?,
    })
}

fn read_value(function: Function, edn: &Edn<'_>) -> Option<Value> {
    if *edn == Edn::Nil {
        return Some(Value::Nothing);
    }
    Some(match function {
        Function::Transfer => Value::Transfer(Transfer {
            id: text(field(edn, "id")?)?,
            from: number(edn, "from")?,
            to: number(edn, "to")?,
            amount: number(edn, "amount")?,
        }),
        Function::Read => {
            let Edn::Map(balances) = edn else { return None };
            let pair = |(account, balance)| Some((integer(account)?, integer(balance)?));
            Value::Balances(balances.iter().map(pair).collect::<Option<_>>()?)
        }
        Function::Balance => Value::Spendable { account: number(edn, "account")?, amount: number(edn, "spendable") },
        Function::Entries => Value::Entries(list(edn)?.iter().map(read_entry).collect::<Option<_>>()?),
        Function::DeadLetters => Value::Ids(list(edn)?.iter().map(text).collect::<Option<_>>()?),
    })
}

fn read_entry(edn: &Edn<'_>) -> Option<Entry> {
    let [id, account, delta] = list(edn)? else { return None };
    Some(Entry { id: text(id)?, account: integer(account)?, delta: integer(delta)? })
}

fn field<'a>(edn: &'a Edn<'a>, name: &'static str) -> Option<&'a Edn<'a>> {
    let Edn::Map(fields) = edn else { return None };
    fields.iter().find(|(key, _)| matches!(key, Edn::Key(key) if key == name)).map(|(_, value)| value)
}

fn keyword<'a>(edn: &'a Edn<'a>, name: &'static str) -> Option<&'a str> {
    match field(edn, name)? {
        Edn::Key(word) => Some(word),
        _ => None,
    }
}

fn number(edn: &Edn<'_>, name: &'static str) -> Option<i64> {
    integer(field(edn, name)?)
}

fn natural(edn: &Edn<'_>, name: &'static str) -> Option<u64> {
    number(edn, name)?.try_into().ok()
}

fn integer(edn: &Edn<'_>) -> Option<i64> {
    match edn {
        Edn::Int(integer) => Some(*integer),
        _ => None,
    }
}

fn text(edn: &Edn<'_>) -> Option<String> {
    match edn {
        Edn::Str(text) => Some(text.clone().into_owned()),
        _ => None,
    }
}

fn list<'a>(edn: &'a Edn<'a>) -> Option<&'a [Edn<'a>]> {
    match edn {
        Edn::Vector(list) | Edn::List(list) => Some(list),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_as_jepsen_writes_them() {
        let text = r#"
{:type :invoke, :f :transfer, :process 2, :time 53137939465, :index 0, :value {:from 7, :to 9, :amount 4, :id "7/a"}}
{:index 1 :process -1 :type :ok :f :read :time 53137939466 :value {7 6, 9 4, -2 0}}
{:index 2 :process 3 :type :info :f :balance :time 53137939467 :value nil}
"#;
        let history = History::parse(text).unwrap();
        let transfer = Transfer { id: "7/a".into(), from: 7, to: 9, amount: 4 };
        assert_eq!((history.ops[0].time, &history.ops[0].value), (53_137_939_465, &Value::Transfer(transfer)));
        assert_eq!(history.ops[1].value, Value::Balances([(7, 6), (9, 4), (-2, 0)].into()));
        assert_eq!((history.ops[2].kind, &history.ops[2].value), (Type::Info, &Value::Nothing));
    }

    #[test]
    fn a_line_that_is_no_operation_is_told_with_its_number() {
        let told = |text: &str| History::parse(text).unwrap_err().to_string();
        assert!(told("\n{:type").starts_with("line 2: "));
        assert_eq!(told("{:type :ok, :f :read}"), "line 1: `:index` is missing, or not what it should be");
        let half = "{:type :ok, :f :entries, :process 1, :index 1, :time 1, :value [[\"a\" 1]]}";
        assert_eq!(told(half), "line 1: `:value` is missing, or not what it should be");
    }
}
