//! Accounts: reading, filling from the database, and releasing what is settled.

use std::collections::BTreeMap;
use std::future::ready;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use redis::Value;

use super::cache::{RedisCache, millis};
use super::event::{Known, written};
use super::keys::account_name;
use super::reply::{Reply, parse, text};
use super::scripts::{ACCOUNT, ACCOUNTS, Call, FILL, LEASE, RELEASE};
use crate::domain::{Account, Amount, AssetType, Event, EventId, Held, UserId};
use crate::ports::cache::{CachedAccount, Lease, Release, Settled};

/// Accounts that one script releases: so many take about a millisecond, and others wait for as long.
const RELEASES_MAX: usize = 64;
/// Scripts of one call that are under way at the same time.
const RELEASES_AT_ONCE: usize = 64;

impl RedisCache {
    pub(super) async fn read_account(&self, account: Account) -> Result<Option<CachedAccount>, String> {
        let keys = self.keys.of_user(account.user_id);
        let call = Call::new(&ACCOUNT, &[&keys.epoch(), &keys.account(account)]);
        let mut found = Reply::new(self.server.run(call).await?)?;
        if found.is_empty() { Ok(None) } else { cached(&mut found).map(Some) }
    }

    pub(super) async fn take_lease(&self, account: Account) -> Result<Option<Lease>, String> {
        let keys = self.keys.of_user(account.user_id);
        let lease = Lease(rand::random());
        let call = Call::new(&LEASE, &[&keys.epoch(), &keys.account(account), &keys.lease(account)])
            .arg(lease.0)
            .arg(millis(self.settings.lease_lifetime).max(1));
        let taken = self.server.run(call).await?;
        Ok((taken == Value::Int(1)).then_some(lease))
    }

    pub(super) async fn fill_account(
        &self,
        account: Account,
        lease: Lease,
        settled: Option<Settled>,
        waiting: &[Event],
    ) -> Result<bool, String> {
        let keys = self.keys.of_user(account.user_id);
        let waiting: Vec<(&Event, &Held)> =
            waiting.iter().filter_map(|event| event.held.as_ref().map(|held| (event, held))).collect();
        let mut names =
            vec![keys.epoch(), keys.account(account), keys.lease(account), keys.accounts(), keys.account_prefix()];
        names.extend(waiting.iter().map(|(event, _)| keys.outcome(account.user_id, &event.event_id)));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut call = Call::new(&FILL, &names).arg(lease.0).arg(account_name(account));
        match settled {
            Some(settled) => {
                call.push(jittered(self.settings.account_lifetime));
                call.push((settled.balance.0, settled.version));
            }
            None => {
                call.push(millis(self.settings.absent_lifetime).max(1));
                call.push(("", ""));
            }
        }
        call.push(millis(self.settings.outcome_lifetime));
        for (event, held) in waiting {
            call.push((event.event_id.as_str(), held.outcome.amount.0, written(held)));
        }
        Ok(self.server.run(call).await? == Value::Int(1))
    }

    /// A script is one step of one node: in a cluster it has accounts of one bucket, on a single server of any.
    pub(super) async fn release_holds(&self, releases: Vec<Release>) -> Result<(), String> {
        let mut together: BTreeMap<Option<u32>, Vec<Release>> = BTreeMap::new();
        for release in releases {
            let bucket = self.server.is_cluster().then(|| self.keys.of_user(release.account.user_id).bucket);
            together.entry(bucket).or_default().push(release);
        }
        let chunks = together.values().flat_map(|releases| releases.chunks(RELEASES_MAX));
        let calls: Vec<Call> = chunks.map(|some| self.release_call(some)).collect();
        stream::iter(calls.into_iter().map(|call| self.server.run(call)))
            .buffer_unordered(RELEASES_AT_ONCE)
            .fold(Ok(()), |first, released| ready(first.and(released.map(drop))))
            .await
    }

    fn release_call(&self, releases: &[Release]) -> Call {
        let names = |release: &Release| {
            let keys = self.keys.of_user(release.account.user_id);
            [keys.account(release.account), keys.lease(release.account)]
        };
        let names: Vec<String> = releases.iter().flat_map(names).collect();
        let mut call = Call::new(&RELEASE, &names.iter().map(String::as_str).collect::<Vec<_>>());
        for Release { events, settled, .. } in releases {
            call.push(jittered(self.settings.account_lifetime));
            match settled {
                Some(settled) => call.push((settled.balance.0, settled.version)),
                None => call.push(("", "")),
            }
            call.push(events.len());
            events.iter().for_each(|event_id| call.push(event_id.as_str()));
        }
        call
    }

    /// Every cached account of a bucket, by one script.
    pub(super) async fn accounts_of(&self, bucket: u32, all: &mut Vec<(Account, CachedAccount)>) -> Result<(), String> {
        let keys = self.keys.of_bucket(bucket);
        let call = Call::new(&ACCOUNTS, &[&keys.epoch(), &keys.accounts(), &keys.account_prefix()]);
        for found in Reply::new(self.server.run(call).await?)?.rest() {
            let mut found = Reply::new(found)?;
            let name = found.text()?;
            let (user, asset) = name.split_once(':').ok_or_else(|| format!("strange account: {name}"))?;
            let account = Account { user_id: UserId(parse(user)?), asset_type: AssetType(parse(asset)?) };
            all.push((account, cached(&mut found)?));
        }
        Ok(())
    }

    pub(super) async fn holds_of(&self, account: Account) -> Result<Vec<(EventId, Amount)>, String> {
        let keys = self.keys.of_user(account.user_id);
        let fields: Value = self.server.ask(redis::cmd("HGETALL").arg(keys.account(account))).await?;
        let mut fields = Reply::new(fields)?.rest();
        let mut holds = Vec::new();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            let name = text(name)?;
            // Other fields have one character.
            let Some(event_id) = name.strip_prefix('o').filter(|id| !id.is_empty()) else { continue };
            let event_id = EventId::new(event_id).map_err(|error| error.to_string())?;
            holds.push((event_id, Known::read(&text(value)?)?.outcome.amount));
        }
        Ok(holds)
    }
}

fn cached(found: &mut Reply) -> Result<CachedAccount, String> {
    let settled = Settled { balance: Amount(found.number()?), version: found.number()? };
    Ok(CachedAccount { settled, held: Amount(found.number()?) })
}

/// Accounts that were loaded together do not expire together: up to a quarter later.
fn jittered(lifetime: Duration) -> u64 {
    let lifetime = millis(lifetime).max(1);
    lifetime.saturating_add(rand::random_range(0..=lifetime / 4))
}
