//! What each viewer of a show must have at its end, by what everybody was told.

use std::collections::BTreeMap;

use crate::cast::{Cast, START};

/// Changes of viewers' accounts.
#[derive(Debug, Default)]
pub struct Books {
    changes: BTreeMap<i64, i64>,
    /// Each of them, for whoever looks for a fault.
    changes_told: BTreeMap<i64, Vec<i64>>,
    /// Who has one share of this sum more; coins that cannot be divided go to some of them, one each.
    pot: Option<(Vec<i64>, i64)>,
    /// How often something happened, to see that a test has shown anything.
    pub seen: BTreeMap<&'static str, usize>,
}

impl Books {
    pub fn add(&mut self, user_id: i64, amount: i64) {
        *self.changes.entry(user_id).or_default() += amount;
        self.changes_told.entry(user_id).or_default().push(amount);
    }

    pub fn saw(&mut self, what: &'static str, count: usize) {
        *self.seen.entry(what).or_default() += count;
    }

    /// A sum that these have shared.
    pub fn share(&mut self, sum: i64, users: Vec<i64>) {
        assert!(self.pot.is_none(), "a show has one quiz");
        let part = sum / i64::try_from(users.len()).unwrap();
        users.iter().for_each(|user_id| self.add(*user_id, part));
        self.pot = Some((users, sum));
    }

    /// Compares with what they have; who has something else, and why that is wrong.
    pub fn check(&self, cast: &Cast, balances: &BTreeMap<i64, i64>) -> Result<(), (i64, String)> {
        let (winners, pot) = self.pot.clone().unwrap_or_default();
        let mut odd = 0;
        for viewer in &cast.viewers {
            let expected = START + self.changes.get(&viewer.user_id).copied().unwrap_or_default();
            let over = balances[&viewer.user_id] - expected;
            let may_be = i64::from(winners.contains(&viewer.user_id));
            if !(0..=may_be).contains(&over) {
                let told = &self.changes_told[&viewer.user_id];
                return Err((viewer.user_id, format!("has {over} more than {expected}, by {told:?}")));
            }
            odd += over;
        }
        let rest = i64::try_from(winners.len()).ok().filter(|count| *count > 0).map_or(0, |count| pot % count);
        assert_eq!(odd, rest, "room {}: what could not be divided of {pot}", cast.room);
        Ok(())
    }
}
