//! How accounts come into a cache when many ask at once: every question to the database is counted.
//!
//! The four ways in which a cache fails its database, by their usual names: a stampede (many ask for one absent account), penetration
//! (many ask for what does not exist), breakdown (a hot account expires under load) and an avalanche (all expire together).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::join_all;
use greenroom::adapters::embedded::SystemClock;
use greenroom::domain::{Account, Amount, AssetType, ContentDigest, Event, EventId, Outcome, Posting, UserId};
use greenroom::ledger::{Error, Ledger};
use greenroom::ports::cache::{Cache, Settled};
use greenroom::ports::db::{
    self, DeadLetter, Deliveries, Difference, KnownEvent, PostResult, Posted, PostedEvent, Record, RecordCursor, Retry,
};

use crate::fixture::*;

/// How long the database takes to answer: long enough for all to have asked by then.
const DB_TAKES: Duration = Duration::from_millis(15);
/// How long the caches of these tests remember that somebody does not exist.
pub(crate) const ABSENT_FOR: Duration = Duration::from_millis(300);
/// How long those that are opened for a breakdown keep an account, at least.
pub(crate) const KEPT_FOR: Duration = Duration::from_millis(250);

/// A database of settled accounts that counts how often it is asked for one.
#[derive(Default)]
struct Asked {
    accounts: HashMap<Account, Settled>,
    loads: AtomicU64,
}

impl Asked {
    fn with(accounts: &[Account]) -> Arc<Self> {
        let accounts = accounts.iter().map(|account| (*account, settled(100, 1))).collect();
        Arc::new(Self { accounts, loads: AtomicU64::new(0) })
    }

    fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    fn ledger(self: &Arc<Self>, cache: &Arc<dyn Cache>) -> Ledger {
        Ledger::new(Arc::clone(cache), self.clone(), self.clone(), Arc::new(SystemClock))
    }
}

#[async_trait]
impl db::Ledger for Asked {
    async fn account(&self, account: Account) -> Result<Option<Settled>, db::Error> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(DB_TAKES).await;
        Ok(self.accounts.get(&account).copied())
    }
    async fn event(&self, _: UserId, _: &EventId) -> Result<Option<PostedEvent>, db::Error> {
        Ok(None)
    }
    async fn known(&self, events: &[(UserId, EventId)]) -> Result<Vec<Option<KnownEvent>>, db::Error> {
        Ok(vec![None; events.len()])
    }
    async fn accounts_of(&self, _: UserId) -> Result<Vec<(AssetType, Settled)>, db::Error> {
        unreachable!()
    }
    async fn post(&self, _: &[Posting]) -> Result<Posted, db::Error> {
        unreachable!()
    }
    async fn void(
        &self,
        _: Account,
        _: &EventId,
        _: ContentDigest,
        _: Option<&Outcome>,
        _: u64,
    ) -> Result<(PostResult, Option<Settled>), db::Error> {
        unreachable!()
    }
    async fn records(
        &self,
        _: UserId,
        _: Option<AssetType>,
        _: Option<&RecordCursor>,
        _: usize,
    ) -> Result<(Vec<Record>, Option<RecordCursor>), db::Error> {
        unreachable!()
    }
    async fn differences(&self) -> Result<Vec<Difference>, db::Error> {
        unreachable!()
    }
}

#[async_trait]
impl Deliveries for Asked {
    async fn waiting_of(&self, _: Account) -> Result<Vec<Event>, db::Error> {
        Ok(Vec::new())
    }
    async fn waiting(&self) -> Result<Vec<Event>, db::Error> {
        unreachable!()
    }
    async fn set_aside(&self, _: Vec<Retry>, _: Vec<DeadLetter>) -> Result<(), db::Error> {
        unreachable!()
    }
    async fn due(&self, _: &str, _: u64, _: usize) -> Result<Vec<Retry>, db::Error> {
        unreachable!()
    }
    async fn remove_retries(&self, _: &[i64]) -> Result<(), db::Error> {
        unreachable!()
    }
    async fn dead_letters(&self, _: i64, _: usize) -> Result<Vec<DeadLetter>, db::Error> {
        unreachable!()
    }
    async fn dead_letter(&self, _: i64) -> Result<Option<DeadLetter>, db::Error> {
        unreachable!()
    }
    async fn unpublished_dead_letters(&self, _: u64, _: u64, _: usize) -> Result<Vec<DeadLetter>, db::Error> {
        unreachable!()
    }
    async fn dead_letters_published(&self, _: &[i64]) -> Result<(), db::Error> {
        unreachable!()
    }
    async fn replay(&self, _: i64, _: u64) -> Result<bool, db::Error> {
        unreachable!()
    }
    async fn drop_dead_letter(&self, _: i64) -> Result<bool, db::Error> {
        unreachable!()
    }
}

/// Asks again while another process loads the account.
async fn spendable(ledger: &Ledger, account: Account) -> Amount {
    let begun = Instant::now();
    loop {
        match ledger.balance(account).await {
            Ok(balance) => return balance.spendable,
            Err(Error::Loading) => assert!(begun.elapsed() < Duration::from_secs(20), "it is never loaded"),
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) async fn a_hundred_who_ask_for_one_absent_account_ask_the_database_once(cache: Arc<dyn Cache>) {
    let account = new_account();
    let db = Asked::with(&[account]);
    let ledger = db.ledger(&cache);
    let asked = (0..100).map(|number| {
        let ledger = &ledger;
        async move {
            if number % 2 == 0 {
                assert_eq!(ledger.balance(account).await.unwrap().settled, Amount(100));
            } else {
                ledger.hold(hold_of(account, &format!("e{number}"), 1)).await.unwrap();
            }
        }
    });
    join_all(asked).await;
    assert_eq!(db.loads(), 1);

    let other = new_account();
    let db = Asked::with(&[other]);
    let (one, another) = (db.ledger(&cache), db.ledger(&cache));
    let asked = (0..100).map(|number| spendable(if number % 2 == 0 { &one } else { &another }, other));
    assert!(join_all(asked).await.iter().all(|spendable| *spendable == Amount(100)));
    assert_eq!(db.loads(), 1, "two processes share one load");
}

pub(crate) async fn a_flood_of_unknown_users_hardly_reaches_the_database(cache: Arc<dyn Cache>) {
    const USERS: u64 = 50;
    let db = Asked::with(&[]);
    let ledger = &db.ledger(&cache);
    let users: Vec<Account> = (0..USERS).map(|_| new_account()).collect();
    let begun = Instant::now();
    let flood = users.iter().flat_map(|user| (0..20).map(move |number| (*user, number)));
    join_all(flood.map(|(user, number)| async move {
        let held = ledger.hold(hold_of(user, &format!("e{number}"), 1)).await;
        assert!(matches!(held, Err(Error::NoAccount(_) | Error::Loading)), "{held:?}");
    }))
    .await;
    let times = 1 + u64::try_from(begun.elapsed().as_millis() / ABSENT_FOR.as_millis()).unwrap();
    // A request that was told of a miss while a load ended may ask once more; the 20 of each user never do.
    assert!((USERS..=2 * USERS * times).contains(&db.loads()), "{} loads in {:?}", db.loads(), begun.elapsed());
}

/// `cache` keeps accounts for [`KEPT_FOR`], from their load or from their last use. How often this one is loaded meanwhile is returned.
pub(crate) async fn a_hot_account_is_loaded_once_each_time_that_it_expires_under_load(cache: Arc<dyn Cache>) -> u64 {
    let account = new_account();
    let db = Asked::with(&[account]);
    let ledger = &db.ledger(&cache);
    let begun = Instant::now();
    let ask = || async {
        while begun.elapsed() < KEPT_FOR * 8 {
            assert_eq!(spendable(ledger, account).await, Amount(100));
            tokio::task::yield_now().await;
        }
    };
    join_all((0..64).map(|_| ask())).await;
    // Between two loads lies the time for which it is kept.
    let expirations = u64::try_from(begun.elapsed().as_millis() / KEPT_FOR.as_millis()).unwrap();
    assert!(db.loads() <= 1 + expirations, "{} loads in {:?}", db.loads(), begun.elapsed());
    db.loads()
}

/// Makes a test of each for a backend that `$open` opens, and `$brief` with accounts that are kept for [`KEPT_FOR`]; under load for much
/// longer than that, an account is loaded `$loads` times.
#[macro_export]
macro_rules! loading_contracts {
    ($open:path, $brief:path, $loads:expr) => {
        $crate::loading_contracts!(@each
            $open, a_hundred_who_ask_for_one_absent_account_ask_the_database_once;
            $open, a_flood_of_unknown_users_hardly_reaches_the_database;
        );
        #[tokio::test]
        async fn a_hot_account_is_loaded_once_each_time_that_it_expires_under_load() {
            let backend = $brief().await;
            let cache = backend.cache.clone();
            let loads = $crate::loading::a_hot_account_is_loaded_once_each_time_that_it_expires_under_load(cache).await;
            assert!($loads.contains(&loads), "{loads} loads");
        }
    };
    (@each $($open:path, $contract:ident;)*) => {
        $(
            #[tokio::test]
            async fn $contract() {
                let backend = $open().await;
                $crate::loading::$contract(backend.cache.clone()).await;
            }
        )*
    };
}
