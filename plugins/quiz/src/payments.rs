//! Who gets which part of a pot: written down in pages before the first one is paid, for whoever goes on after a crash.

use std::collections::BTreeMap;

use greenroom_sdk::{Amount, Pot, Problem, RECEIVERS_MAX, db, read_json};

/// Pages that are paid in one call; the next ones are another timer's.
const PAGES: u32 = 20;
/// Pages that are written in one transaction.
const WRITTEN: usize = 200;

/// Writes the payments down; who comes second finds them written, and they are the same.
pub(crate) fn write_down(quiz_id: &str, payments: &BTreeMap<i64, Amount>) -> Result<(), Problem> {
    let payments: Vec<(i64, i64)> = payments
        .iter()
        .filter(|(_, amount)| **amount != Amount::ZERO)
        .map(|(user_id, amount)| (*user_id, amount.get()))
        .collect();
    let mut steps = Vec::new();
    for (number, page) in (0_i64..).zip(payments.chunks(RECEIVERS_MAX)) {
        let page = serde_json::to_string(page).map_err(|e| Problem::failed(format!("payments: {e}")))?;
        let params = vec![db::Value::Text(quiz_id.into()), db::Value::Integer(number), db::Value::Text(page)];
        steps.push(db::Step { statement: "put-page".into(), params, expected_rows: None });
    }
    for steps in steps.chunks(WRITTEN) {
        db::transact(steps)?;
    }
    Ok(())
}

/// Pays the pages from the given number on; gives the one to go on from, or none once all are paid.
pub(crate) fn pay(pot: &Pot<'_>, from: u32) -> Result<Option<u32>, Problem> {
    let params =
        [db::Value::Text(pot.thing_id.into()), db::Value::Integer(from.into()), db::Value::Integer(PAGES.into())];
    let pages = db::query("pages", &params)?;
    for row in &pages {
        let [db::Value::Integer(number), db::Value::Text(page)] = row.as_slice() else {
            return Err(Problem::failed("payments: a column is of another kind"));
        };
        let to: Vec<(i64, i64)> = read_json(page.as_bytes()).map_err(|e| Problem::failed(format!("payments: {e}")))?;
        pot.pay(&number.to_string(), to)?;
    }
    Ok((pages.len() == PAGES as usize).then_some(from.saturating_add(PAGES)))
}
