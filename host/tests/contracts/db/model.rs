//! Random batches, with repetitions, reuses and voids, against the simplest ledger there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use greenroom::domain::{Account, Amount, ContentDigest, Posting, UserId};
use greenroom::ports::cache::Settled;
use greenroom::ports::db::{Difference, Ledger, PostResult};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::ledger::{COIN, account, event_id, gift};

#[derive(Debug, Clone)]
pub enum Step {
    Post(Vec<Gift>),
    Void(Gift),
}

#[derive(Debug, Clone)]
pub struct Gift {
    event: u8,
    payer: i64,
    payee: i64,
    amount: i64,
    digest: u8,
}

impl Gift {
    fn posting(&self) -> Posting {
        let mut posting = gift(self.event, self.payer, self.payee, self.amount);
        posting.digest = ContentDigest([self.digest; 16]);
        posting
    }
}

fn any_gift() -> impl Strategy<Value = Gift> {
    // Mostly one digest, so that repetitions are more frequent than reuses; now and then an amount that overflows.
    let amount = prop_oneof![9 => 1..1_000_i64, 1 => Just(i64::MAX / 2)];
    let digest = prop_oneof![4 => Just(0_u8), 1 => Just(1_u8)];
    (0..20_u8, 1..5_i64, 5..8_i64, amount, digest).prop_map(|(event, payer, payee, amount, digest)| Gift {
        event,
        payer,
        payee,
        amount,
        digest,
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(any_gift(), 0..30).prop_map(Step::Post),
        1 => any_gift().prop_map(Step::Void),
    ]
}

#[derive(Default)]
struct Model {
    events: BTreeMap<(i64, u8), (u8, bool)>,
    accounts: BTreeMap<Account, Settled>,
    records: BTreeMap<i64, Vec<(u8, i64)>>,
}

impl Model {
    fn post(&mut self, gifts: &[Gift]) -> Vec<PostResult> {
        let mut touched: BTreeMap<Account, ()> = BTreeMap::new();
        let results = gifts.iter().map(|gift| self.post_one(gift, &mut touched)).collect();
        for account in touched.into_keys() {
            self.accounts.get_mut(&account).unwrap().version += 1;
        }
        results
    }

    fn post_one(&mut self, gift: &Gift, touched: &mut BTreeMap<Account, ()>) -> PostResult {
        if let Some(result) = self.repeated(gift) {
            return result;
        }
        let (payer, payee) = (account(gift.payer, COIN), account(gift.payee, COIN));
        let less = self.balance(payer).checked_sub(gift.amount);
        let (Some(less), Some(more)) = (less, self.balance(payee).checked_add(gift.amount)) else {
            return PostResult::Overflow;
        };
        for (account, balance, delta) in [(payer, less, -gift.amount), (payee, more, gift.amount)] {
            let settled = self.accounts.entry(account).or_insert(Settled { balance: Amount(0), version: 0 });
            settled.balance = Amount(balance);
            touched.insert(account, ());
            self.records.entry(account.user_id.0).or_default().push((gift.event, delta));
        }
        self.events.insert((gift.payer, gift.event), (gift.digest, false));
        PostResult::Posted
    }

    fn void(&mut self, gift: &Gift) -> PostResult {
        self.repeated(gift).unwrap_or_else(|| {
            self.events.insert((gift.payer, gift.event), (gift.digest, true));
            PostResult::Posted
        })
    }

    fn repeated(&self, gift: &Gift) -> Option<PostResult> {
        self.events.get(&(gift.payer, gift.event)).map(|(digest, voided)| match (*digest == gift.digest, voided) {
            (false, _) => PostResult::Conflict,
            (true, true) => PostResult::Voided,
            (true, false) => PostResult::Duplicate,
        })
    }

    fn balance(&self, account: Account) -> i64 {
        self.accounts.get(&account).map_or(0, |settled| settled.balance.0)
    }
}

/// Runs random steps on a fresh database each time and compares everything that can be read.
pub fn random_batches_agree_with_a_naive_model<F>(cases: u32, open: impl Fn() -> F)
where
    F: Future<Output = (Box<dyn std::any::Any>, Arc<dyn Ledger>)>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
    runner
        .run(&prop::collection::vec(any_step(), 1..12), |steps| {
            runtime.block_on(async {
                let (_kept, db) = open().await;
                check(&*db, &steps).await;
            });
            Ok(())
        })
        .unwrap();
}

async fn check(db: &dyn Ledger, steps: &[Step]) {
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Post(gifts) => {
                let batch: Vec<Posting> = gifts.iter().map(Gift::posting).collect();
                let posted = db.post(&batch).await.unwrap();
                assert_eq!(posted.results, model.post(gifts));
                for (account, settled) in posted.accounts {
                    assert_eq!(Some(&settled), model.accounts.get(&account), "{account}");
                }
            }
            Step::Void(gift) => {
                let digest = ContentDigest([gift.digest; 16]);
                let payer = account(gift.payer, COIN);
                let (result, settled) = db.void(payer, &event_id(gift.event), digest, None, 17).await.unwrap();
                assert_eq!((result, settled), (model.void(gift), model.accounts.get(&payer).copied()));
            }
        }
    }
    for (account, settled) in &model.accounts {
        assert_eq!(db.account(*account).await.unwrap(), Some(*settled));
    }
    for user in 1..8 {
        let mut expected = model.records.remove(&user).unwrap_or_default();
        expected.reverse();
        let (records, _) = db.records(UserId(user), None, None, 1_000).await.unwrap();
        let found: Vec<(u8, i64)> =
            records.iter().map(|record| (record.event_id.as_str().parse().unwrap(), record.delta.0)).collect();
        assert_eq!(found, expected);
    }
    // The payers begin with nothing, so they are below zero and that alone is to be found.
    let others = db.differences().await.unwrap().into_iter().filter(|d| !matches!(d, Difference::BelowZero { .. }));
    assert_eq!(others.count(), 0);
}
