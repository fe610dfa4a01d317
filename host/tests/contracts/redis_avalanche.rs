//! Accounts that were loaded together do not expire together.

use std::time::Duration;

use crate::fixture::funded;
use crate::redis_backend::{open_single, single_url};
use crate::redis_faults::administrator;

#[tokio::test]
async fn expiry_times_of_accounts_that_were_loaded_at_once_are_spread_over_a_quarter_of_their_lifetime() {
    const ACCOUNTS: usize = 400;
    let backend = open_single().await;
    for _ in 0..ACCOUNTS {
        funded(&*backend.cache, 100).await;
    }
    let mut link = administrator(&single_url()).await;
    let keys: Vec<String> =
        redis::cmd("KEYS").arg(format!("*{}*", backend.settings.prefix)).query_async(&mut link).await.unwrap();
    let mut left = Vec::new();
    for key in keys {
        let ms: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut link).await.unwrap();
        // Nothing else that these tests leave there expires.
        left.extend(u64::try_from(ms).map(Duration::from_millis));
    }
    assert_eq!(left.len(), ACCOUNTS, "every account expires");
    let (first, last) = (*left.iter().min().unwrap(), *left.iter().max().unwrap());
    let lifetime = backend.settings.account_lifetime;
    println!("{ACCOUNTS} accounts expire within {:?}, the first in {first:?}", last - first);
    assert!(last - first > lifetime / 5 && last <= lifetime * 5 / 4, "{first:?} to {last:?}");
    // A tenth of the spread has no more than a third of them.
    let tenth = (last - first) / 10;
    for part in 0..10 {
        let from = first + tenth * part;
        let within = left.iter().filter(|left| (from..from + tenth).contains(*left)).count();
        assert!(within <= ACCOUNTS / 3, "{within} of them expire within {tenth:?}");
    }
}
