//! Several hosts on one database, connections that are cut, locks that are not to be had.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use greenroom::adapters::postgres::{Postgres, Settings};
use greenroom::domain::{Amount, Part, Posting, UserId};
use greenroom::ports::db::Database as _;
use greenroom::ports::db::{Difference, Error, Ledger, PostResult, RecordCursor};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use super::{Opened, open};
use crate::contracts::db::ledger::{COIN, POINTS, account, entry, gift, posting};
use crate::outage;
use crate::proxy::{Proxy, Service};

async fn adds_up(db: &Postgres) {
    let found = db.differences().await.unwrap();
    let found: Vec<_> = found.iter().filter(|d| !matches!(d, Difference::BelowZero { .. })).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// Posts until every batch went through, and counts what was posted by this host.
async fn post_all(db: &Postgres, batches: Vec<Vec<Posting>>) -> usize {
    let mut posted = 0;
    for batch in batches {
        let answer = db.post(&batch).await.unwrap();
        assert!(answer.results.iter().all(|r| matches!(r, PostResult::Posted | PostResult::Duplicate)));
        posted += answer.results.iter().filter(|result| **result == PostResult::Posted).count();
    }
    posted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_post_the_same_events_in_opposite_order_never_deadlock() {
    const BATCHES: i64 = 20;
    const EVENTS: i64 = 100;
    let opened = open().await;
    // One attempt: a deadlock would be an error.
    let settings = Settings { attempts_max: 1, ..opened.settings() };
    let (one, other) = (Postgres::open(settings.clone()).await.unwrap(), Postgres::open(settings).await.unwrap());
    // Each pays the next in a ring of 50; the other host has the batches' second halves first and everything backwards.
    let event = |n: i64| gift(format!("e{n:05}"), n % 50 + 1, (n + 1) % 50 + 1, 1);
    let forth: Vec<Vec<Posting>> = (0..BATCHES).map(|b| (b * EVENTS..(b + 1) * EVENTS).map(event).collect()).collect();
    let back = (0..BATCHES)
        .map(|b| (b * EVENTS..(b + 1) * EVENTS).rev().map(|n| event((n + EVENTS / 2) % (BATCHES * EVENTS))).collect())
        .collect();
    let (a, b) = tokio::join!(post_all(&one, forth), post_all(&other, back));
    assert_eq!(a + b, (BATCHES * EVENTS) as usize);
    for user in 1..=50 {
        assert_eq!(one.account(account(user, COIN)).await.unwrap().unwrap().balance, Amount(0));
    }
    adds_up(&one).await;
    let deadlocks: i64 =
        sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            .fetch_one(&mut opened.connect().await)
            .await
            .unwrap();
    assert_eq!(deadlocks, 0);
}

/// Cuts what the host does, once for each round, until there are no more rounds.
async fn cut_each_round(mut admin: PgConnection, rounds: Arc<AtomicI64>) -> i64 {
    let mut cut = 0;
    let mut last = -1;
    loop {
        let round = rounds.load(Ordering::Relaxed);
        if round == i64::MAX {
            return cut;
        }
        if round == last {
            tokio::task::yield_now().await;
            continue;
        }
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = 'greenroom' AND state = 'active'",
        )
        .fetch_one(&mut admin)
        .await
        .unwrap();
        if count > 0 {
            cut += count;
            last = round;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_connection_is_cut_is_posted_once_when_it_is_tried_again() {
    const ROUNDS: i64 = 25;
    let opened = open().await;
    let db = opened.again().await;
    let rounds = Arc::new(AtomicI64::new(0));
    let killer = tokio::spawn(cut_each_round(opened.connect().await, Arc::clone(&rounds)));
    let mut failed = 0;
    for round in 0..ROUNDS {
        rounds.store(round, Ordering::Relaxed);
        let batch: Vec<_> = (0..300).map(|n| gift(format!("e{round}-{n}"), n % 9 + 1, 99, 1)).collect();
        let answer = loop {
            match db.post(&batch).await {
                Ok(answer) => break answer,
                Err(Error::Unavailable(_)) => failed += 1,
                Err(fault) => panic!("{fault}"),
            }
        };
        assert!(answer.results.iter().all(|result| *result == answer.results[0]), "whole or not at all");
    }
    rounds.store(i64::MAX, Ordering::Relaxed);
    assert!(killer.await.unwrap() > 0);
    assert!(failed > 0, "no batch was cut");
    assert_eq!(db.account(account(99, COIN)).await.unwrap().unwrap().balance, Amount(ROUNDS * 300));
    adds_up(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_behind_a_cursor_stays_whatever_other_hosts_commit() {
    let opened = open().await;
    let hosts = [opened.again().await, opened.again().await];
    let mut writers = Vec::new();
    for (index, host) in hosts.iter().cloned().enumerate() {
        writers.push(tokio::spawn(async move {
            for n in 0..150 {
                // The same user in two assets, in batches of its own and of both.
                let asset = |asset, name: &str| {
                    let entries = vec![entry(1, asset, Part::Payer, -1), entry(9, asset, Part::Receiver, 1)];
                    posting(format!("h{index}-{n}-{name}"), 1, entries)
                };
                let batch = match n % 3 {
                    0 => vec![asset(COIN, "c")],
                    1 => vec![asset(POINTS, "p")],
                    _ => vec![asset(COIN, "c"), asset(POINTS, "p")],
                };
                host.post(&batch).await.unwrap();
            }
        }));
    }
    let all_behind = async |mut cursor: Option<RecordCursor>| {
        let mut found = Vec::new();
        while let Some(after) = cursor {
            let (records, next) = opened.db().records(UserId(9), None, Some(&after), 40).await.unwrap();
            found.extend(records.into_iter().map(|record| record.event_id.to_string()));
            cursor = next;
        }
        found
    };
    let mut seen = Vec::new();
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        let (_, cursor) = opened.db().records(UserId(9), None, None, 3).await.unwrap();
        seen.push((cursor.clone(), all_behind(cursor).await));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(seen.iter().any(|(_, found)| !found.is_empty()));
    for (cursor, found) in seen {
        assert_eq!(all_behind(cursor).await, found);
    }
    let (first, cursor) = opened.db().records(UserId(9), None, None, 3).await.unwrap();
    assert_eq!(first.len() + all_behind(cursor).await.len(), 2 * 150 / 3 * 4);
    adds_up(opened.db()).await;
}

#[tokio::test]
async fn a_lock_that_is_not_to_be_had_is_for_another_try_and_nothing_is_written() {
    let opened = open().await;
    let settings = Settings { lock_timeout: Duration::from_millis(50), attempts_max: 2, ..opened.settings() };
    let db = Postgres::open(settings).await.unwrap();
    db.post(&[gift("e1", 1, 2, 3)]).await.unwrap();
    let mut other = opened.connect().await;
    let mut held = other.begin().await.unwrap();
    held.execute("UPDATE user_asset SET version = version WHERE user_id = 2").await.unwrap();
    let answer = db.post(&[gift("e2", 1, 2, 3)]).await;
    assert!(matches!(answer, Err(Error::Busy(_))), "{answer:?}");
    held.rollback().await.unwrap();
    assert_eq!(db.post(&[gift("e2", 1, 2, 3)]).await.unwrap().results, [PostResult::Posted]);
}

#[tokio::test]
async fn calls_after_closing_are_unavailable() {
    let opened = open().await;
    opened.db().ping().await.unwrap();
    opened.db().close().await;
    let after = opened.db().account(account(2, COIN)).await;
    assert!(matches!(after, Err(Error::Unavailable(_))), "{after:?}");
    assert!(opened.db().ping().await.is_err());
}

/// A host whose way to the database leads through a network that can lose everything.
async fn behind_a_network(opened: &Opened, limit: Duration) -> (Proxy, Arc<Postgres>) {
    let url = opened.url();
    let (user, rest) = url.split_once('@').unwrap();
    let (place, database) = rest.split_once('/').unwrap();
    let proxy = Proxy::open(Service::Plain, place).await;
    let near = format!("{user}@{}/{database}", proxy.address());
    let settings =
        Settings { url: near, wait_max: limit / 2, call_timeout: limit, batch_timeout: limit, ..opened.settings() };
    (proxy, Postgres::open(settings).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_silent_costs_no_waiting_once_its_circuit_is_open() {
    let opened = open().await;
    let (proxy, db) = behind_a_network(&opened, Duration::from_millis(700)).await;
    outage::is_borne(db.guard(), &proxy, async || db.account(account(2, COIN)).await.map(drop)).await;
}

#[tokio::test]
async fn a_server_that_refuses_is_not_away() {
    let opened = open().await;
    let settings = Settings { lock_timeout: Duration::from_millis(5), attempts_max: 1, ..opened.settings() };
    let db = Postgres::open(settings).await.unwrap();
    db.post(&[gift("e1", 1, 2, 3)]).await.unwrap();
    let mut other = opened.connect().await;
    let mut held = other.begin().await.unwrap();
    held.execute("UPDATE user_asset SET version = version WHERE user_id = 2").await.unwrap();
    for _ in 0..20 {
        let answer = db.post(&[gift("e2", 1, 2, 3)]).await;
        assert!(matches!(answer, Err(Error::Busy(_))), "{answer:?}");
    }
    assert_eq!(db.guard().breaker().failures(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_packets_is_unavailable_and_works_again_when_it_does() {
    let opened = open().await;
    let limit = Duration::from_millis(700);
    let (proxy, db) = behind_a_network(&opened, limit).await;
    db.post(&[gift("e1", 1, 2, 3)]).await.unwrap();

    proxy.drop_all();
    let started = Instant::now();
    let answer = db.post(&[gift("e2", 1, 2, 3)]).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    assert!(started.elapsed() < limit * 5);

    proxy.pass();
    let again = loop {
        match db.post(&[gift("e2", 1, 2, 3)]).await {
            Ok(posted) => break posted,
            Err(Error::Unavailable(_)) if started.elapsed() < limit * 40 => {}
            Err(fault) => panic!("{fault}"),
        }
    };
    assert!(matches!(again.results[..], [PostResult::Posted | PostResult::Duplicate]));
    assert_eq!(db.account(account(2, COIN)).await.unwrap().unwrap().balance, Amount(6));
    db.close().await;
}
