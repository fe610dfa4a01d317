//! The judgement: the recorded history by the independent checker, and what the test itself knows by the books.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use greenroom_checker::{Finding, check};

use crate::audit::Books;
use crate::history;
use crate::load::Gift;

/// What a scenario may look at after its end.
#[derive(Debug)]
pub struct Outcome {
    /// When each gift was answered that is gone, in milliseconds since the load began, in order. Empty unless losses were allowed.
    pub lost: Vec<u64>,
    /// How many gifts were answered.
    pub answered: usize,
    /// Why events were set aside.
    pub dead_letters: Vec<String>,
}

/// Judges; panics with everything that is wrong.
pub fn judge(file: &Path, gifts: &[Gift], books: &Books, keeps_all: bool) -> Outcome {
    let history = history::read(file);
    let findings = check(&history);
    let lost: BTreeMap<String, u64> = findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::Lost { id, answered_at } => Some((id.clone(), answered_at / 1_000_000)),
            _ => None,
        })
        .collect();
    let findings = if keeps_all { findings } else { check(&history.without_promise(&lost.keys().cloned().collect())) };
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{} is not accepted:\n{}", file.display(), told.join("\n"));
    settled_once(gifts, books, &lost);
    let mut lost: Vec<u64> = lost.into_values().collect();
    lost.sort_unstable();
    Outcome {
        lost,
        answered: gifts.iter().filter(|gift| gift.answer.is_some()).count(),
        dead_letters: books.dead_letters.iter().map(|(_, reason)| reason.clone()).collect(),
    }
}

/// Without the history: each gift that was answered is booked once, or set aside, or known to be lost.
fn settled_once(gifts: &[Gift], books: &Books, lost: &BTreeMap<String, u64>) {
    let mut paid: BTreeMap<&str, usize> = BTreeMap::new();
    for (id, account, delta) in &books.entries {
        let is_payer = id.split('/').next() == Some(&*account.to_string()) && *delta < 0;
        *paid.entry(id).or_default() += usize::from(is_payer);
    }
    let set_aside: BTreeSet<&str> = books.dead_letters.iter().filter_map(|(id, _)| id.as_deref()).collect();
    for gift in gifts.iter().filter(|gift| gift.answer.is_some()) {
        let id = gift.id();
        let times = paid.get(&*id).copied().unwrap_or_default() + usize::from(set_aside.contains(&*id));
        assert_eq!(times, usize::from(!lost.contains_key(&id)), "{id} is settled or set aside {times} times");
    }
}
