//! Seeded disorder: holds, repetitions, deliveries in portions and again, voids, credits and restarts in random order, beside a model
//! that cannot go wrong.

use std::collections::HashMap;

use greenroom::domain::{Account, EventId};
use greenroom::ledger::{Error, Voided};
use rand::rngs::StdRng;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::house::{ANNA, BERT, House, gold, hold, new_id, posting};

const STEPS: usize = 400;
const RUNS: u64 = 8;
const ACCOUNTS: [Account; 3] = [ANNA, BERT, gold(1003)];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Held,
    Posted,
    Voided,
}

struct Payment {
    payer: Account,
    receiver: Account,
    id: EventId,
    amount: i64,
    fate: Fate,
}

/// What must be true.
#[derive(Default)]
struct Model {
    settled: HashMap<Account, i64>,
    payments: Vec<Payment>,
}

impl Model {
    fn spendable(&self, account: Account) -> i64 {
        let held = |p: &&Payment| p.payer == account && p.fate == Fate::Held;
        self.settled[&account] - self.payments.iter().filter(held).map(|p| p.amount).sum::<i64>()
    }

    fn post(&mut self, index: usize) {
        let payment = &mut self.payments[index];
        if payment.fate == Fate::Held {
            payment.fate = Fate::Posted;
            *self.settled.get_mut(&payment.payer).unwrap() -= payment.amount;
            *self.settled.get_mut(&payment.receiver).unwrap() += payment.amount;
        }
    }
}

#[tokio::test]
async fn whatever_the_order_of_steps_the_books_agree_with_the_model() {
    let first: u64 = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    for seed in (0..RUNS).map(|run| first.wrapping_add(run)) {
        println!("seed {seed}; set SEED to repeat it");
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let dir = TempDir::new().unwrap();
    let mut house = House::open(&dir).await;
    let mut model = Model::default();
    for account in ACCOUNTS {
        house.credit(account, 1_000).await;
        model.settled.insert(account, 1_000);
    }
    for _ in 0..STEPS {
        match random.random_range(0..100) {
            0..40 => pay(&house, &mut model, &mut random).await,
            40..50 => repeat(&house, &model, &mut random).await,
            50..80 => deliver(&house, &mut model, &mut random).await,
            80..88 => void(&house, &mut model, &mut random).await,
            88..96 => {
                let account = *ACCOUNTS.choose(&mut random).unwrap();
                house.credit(account, 50).await;
                *model.settled.get_mut(&account).unwrap() += 50;
            }
            _ => {
                house.close().await;
                house = House::open(&dir).await;
            }
        }
        let account = *ACCOUNTS.choose(&mut random).unwrap();
        let spendable = house.spendable(account).await;
        assert!(spendable <= model.spendable(account), "more can be spent than is there");
    }
    finish(&house, &mut model).await;
    house.close().await;
}

async fn pay(house: &House, model: &mut Model, random: &mut StdRng) {
    let (payer, receiver) = (*ACCOUNTS.choose(random).unwrap(), *ACCOUNTS.choose(random).unwrap());
    if payer == receiver {
        return;
    }
    let (id, amount) = (new_id(), random.random_range(1..200));
    match house.ledger.hold(hold(payer, &id, amount)).await {
        Ok(answer) => {
            house.ledger.durable(answer.position).await.unwrap();
            model.payments.push(Payment { payer, receiver, id, amount, fate: Fate::Held });
        }
        Err(Error::Insufficient { .. }) => {
            // After a restart the cache may know less than is there until everything is delivered again, never more.
        }
        Err(error) => panic!("{error}"),
    }
}

/// Asks for an old payment again: the old answer. Asks with other content: refused.
async fn repeat(house: &House, model: &Model, random: &mut StdRng) {
    let Some(payment) = model.payments.choose(random) else { return };
    let before = house.spendable(payment.payer).await;
    match house.ledger.hold(hold(payment.payer, &payment.id, payment.amount)).await {
        Ok(answer) => assert!(answer.replayed, "a known event was held again"),
        // What was posted without an outcome is known, but has no answer.
        Err(Error::Reused(_)) => {}
        Err(error) => panic!("{error}"),
    }
    let other = house.ledger.hold(hold(payment.payer, &payment.id, payment.amount + 1)).await;
    assert!(matches!(other, Err(Error::Reused(_))), "{other:?}");
    assert_eq!(house.spendable(payment.payer).await, before);
}

/// Delivers some events, some of them twice, in one batch.
async fn deliver(house: &House, model: &mut Model, random: &mut StdRng) {
    if model.payments.is_empty() {
        return;
    }
    let chosen: Vec<usize> =
        (0..random.random_range(1..8)).map(|_| random.random_range(0..model.payments.len())).collect();
    let batch: Vec<_> = chosen
        .iter()
        .map(|index| &model.payments[*index])
        .map(|p| posting(p.payer, p.receiver, &p.id, p.amount))
        .collect();
    house.ledger.post(&batch).await.unwrap();
    chosen.into_iter().for_each(|index| model.post(index));
}

async fn void(house: &House, model: &mut Model, random: &mut StdRng) {
    let Some(payment) = model.payments.choose_mut(random) else { return };
    let voided = house.ledger.void(payment.payer, &payment.id).await.unwrap();
    match payment.fate {
        Fate::Posted => assert_eq!(voided, Voided::AlreadyPosted),
        Fate::Held | Fate::Voided => {
            assert_eq!(voided, Voided::Voided);
            payment.fate = Fate::Voided;
        }
    }
}

/// Delivers everything that is left; then nothing is held, and every balance is the model's.
async fn finish(house: &House, model: &mut Model) {
    for index in 0..model.payments.len() {
        let payment = &model.payments[index];
        let posting = posting(payment.payer, payment.receiver, &payment.id, payment.amount);
        house.ledger.post(&[posting]).await.unwrap();
        model.post(index);
    }
    while !house.deliver().await.is_empty() {}
    for account in ACCOUNTS {
        let balance = house.ledger.balance(account).await.unwrap();
        assert_eq!((balance.settled.0, balance.held.0), (model.settled[&account], 0), "{account}");
    }
    assert_eq!(house.differences().await, Vec::<String>::new());
}
