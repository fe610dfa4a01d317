//! Damage is found, sums have no bound, records are readable under the name of the design.

use greenroom::domain::{Amount, AssetType, UserId};
use greenroom::ports::db::{Difference, Error, Ledger, PostResult};

use super::{Opened, open};
use crate::contracts::db::ledger::{COIN, account, event_id, gift};

/// A mint, a payer, a receiver: everything adds up and nobody is below zero.
async fn sound() -> Opened {
    let opened = open().await;
    opened.db().post(&[gift("charge", -1, 1, 100), gift("e1", 1, 2, 30)]).await.unwrap();
    assert_eq!(opened.db().differences().await.unwrap(), []);
    opened
}

#[tokio::test]
async fn a_changed_balance_is_found() {
    let opened = sound().await;
    opened.run("UPDATE user_asset SET asset_cn = asset_cn + 5 WHERE user_id = 2").await;
    let asset = Difference::AssetSum { asset_type: COIN, sum: "5".into() };
    let sum = Difference::AccountSum { account: account(2, COIN), balance: Amount(35), records: "30".into() };
    assert_eq!(opened.db().differences().await.unwrap(), [asset, sum]);
}

#[tokio::test]
async fn a_changed_entry_is_found() {
    let opened = sound().await;
    opened.run("UPDATE entries SET deltas = '{-31}' WHERE user_id = 1 AND op_user_type = 1").await;
    let (event_id, payer) = ("e1".to_owned(), UserId(1));
    let event = Difference::EventSum { event_id, payer, asset_type: COIN, sum: "-1".into() };
    let sum = Difference::AccountSum { account: account(1, COIN), balance: Amount(70), records: "69".into() };
    assert_eq!(opened.db().differences().await.unwrap(), [event, sum]);
}

#[tokio::test]
async fn a_lost_account_and_a_lost_event_are_found() {
    let opened = sound().await;
    opened.run("DELETE FROM user_asset WHERE user_id = 2; DELETE FROM event WHERE event_id = 'e1'").await;
    let found = opened.db().differences().await.unwrap();
    let asset = Difference::AssetSum { asset_type: COIN, sum: "-30".into() };
    let sum = Difference::AccountSum { account: account(2, COIN), balance: Amount(0), records: "30".into() };
    assert_eq!((found.len(), &found[0], &found[2]), (3, &asset, &sum));
    assert!(matches!(&found[1], Difference::EventSum { payer: UserId(0), .. }));
}

#[tokio::test]
async fn an_account_below_zero_is_found_unless_it_is_the_mint() {
    let opened = sound().await;
    opened.db().post(&[gift("e2", 3, 2, 1)]).await.unwrap();
    let below = Difference::BelowZero { account: account(3, COIN), balance: Amount(-1) };
    assert_eq!(opened.db().differences().await.unwrap(), [below]);
}

#[tokio::test]
async fn sums_beyond_64_bits_are_still_exact() {
    let opened = sound().await;
    opened
        .run("INSERT INTO user_asset VALUES (7, 5, 9223372036854775807, 1, 0, 0), (8, 5, 9223372036854775807, 1, 0, 0)")
        .await;
    opened
        .run("INSERT INTO entries VALUES (9, 6, 1, 0, 2, '{1, 2}', '{9223372036854775807, 9223372036854775807}')")
        .await;
    let found = opened.db().differences().await.unwrap();
    assert_eq!(found[0], Difference::AssetSum { asset_type: AssetType(5), sum: "18446744073709551614".into() });
    let sum = Difference::AccountSum {
        account: account(9, AssetType(6)),
        balance: Amount(0),
        records: "18446744073709551614".into(),
    };
    assert!(found.contains(&sum), "{found:?}");
}

#[tokio::test]
async fn deltas_whose_sum_alone_does_not_fit_are_posted_if_the_balance_does() {
    let opened = open().await;
    let db = opened.db();
    db.post(&[gift("low", 9, 1, i64::MAX)]).await.unwrap();
    let answer = db.post(&[gift("e1", 2, 9, i64::MAX), gift("e2", 3, 9, i64::MAX), gift("e3", 4, 9, 1)]).await.unwrap();
    assert_eq!(answer.results, [PostResult::Posted, PostResult::Posted, PostResult::Overflow]);
    assert_eq!(db.account(account(9, COIN)).await.unwrap().unwrap().balance, Amount(i64::MAX));
    assert_eq!(db.account(account(4, COIN)).await.unwrap(), None);
}

#[tokio::test]
async fn a_damaged_row_is_refused_and_not_a_panic() {
    let opened = sound().await;
    opened.run("UPDATE event SET digest = '\\x00', created_at = -1, outcome = '\\xff'").await;
    let db = opened.db();
    assert!(matches!(db.post(&[gift("e1", 1, 2, 30)]).await, Err(Error::Refused(_))));
    assert!(matches!(db.event(UserId(1), &event_id("e1")).await, Err(Error::Refused(_))));
    assert!(matches!(db.records(UserId(1), None, None, 10).await, Err(Error::Refused(_))));
}

#[tokio::test]
async fn a_zero_character_in_an_events_text_does_not_stand_in_the_way_of_its_batch() {
    let opened = open().await;
    let mut odd = gift("e1", 1, 2, 3);
    odd.obj_id = "a\0b".into();
    assert_eq!(opened.db().post(&[odd]).await.unwrap().results, [PostResult::Posted]);
    let (records, _) = opened.db().records(UserId(1), None, None, 1).await.unwrap();
    assert_eq!(records[0].obj_id, "a\u{fffd}b");
}

#[tokio::test]
async fn the_records_are_readable_under_the_name_of_the_design() {
    let opened = sound().await;
    let sql = "SELECT event_id, payer_id, op_user_type, user_id, delta FROM user_asset_record WHERE user_id = 2";
    let row: (String, i64, i16, i64, i64) = sqlx::query_as(sql).fetch_one(&mut opened.connect().await).await.unwrap();
    assert_eq!(row, ("e1".into(), 1, 2, 2, 30));
}
