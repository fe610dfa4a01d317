//! The settled ledger.

use std::collections::{BTreeSet, HashSet};

use greenroom::domain::{Account, Amount, AssetType, ContentDigest, Entry, EventId, Outcome, Part, Posting, UserId};
use greenroom::ports::cache::Settled;
use greenroom::ports::db::{Error, KnownEvent, Ledger, PostResult, RecordCursor};

pub const COIN: AssetType = AssetType(1);
pub const POINTS: AssetType = AssetType(3);

pub fn account(user: i64, asset_type: AssetType) -> Account {
    Account { user_id: UserId(user), asset_type }
}

pub fn event_id(text: impl ToString) -> EventId {
    EventId::new(&text.to_string()).unwrap()
}

pub fn entry(user: i64, asset_type: AssetType, part: Part, delta: i64) -> Entry {
    Entry { account: account(user, asset_type), part, delta: Amount(delta) }
}

/// A gift of coins.
pub fn gift(event: impl ToString, from: i64, to: i64, amount: i64) -> Posting {
    let entries = vec![entry(from, COIN, Part::Payer, -amount), entry(to, COIN, Part::Receiver, amount)];
    posting(event, from, entries)
}

/// Any books.
pub fn posting(event: impl ToString, payer: i64, entries: Vec<Entry>) -> Posting {
    let posting = Posting {
        event_id: event_id(event),
        payer: UserId(payer),
        digest: ContentDigest([7; 16]),
        outcome: Some(Outcome { amount: Amount(100), balance: Amount(-3), counters: vec![1, i64::MIN] }),
        entries,
        biz_id: "1001".into(),
        biz_type: 1,
        obj_id: "rose".into(),
        event_type: "interactGift".into(),
        record_json: r#"{"count":3}"#.into(),
        at_ms: 1_750_000_000_123,
    };
    assert_eq!(posting.check(), Ok(()));
    posting
}

fn with_digest(mut posting: Posting, digest: u8) -> Posting {
    posting.digest = ContentDigest([digest; 16]);
    posting
}

fn settled(balance: i64, version: i64) -> Settled {
    Settled { balance: Amount(balance), version }
}

async fn balance(db: &dyn Ledger, user: i64, asset: AssetType) -> Option<Settled> {
    db.account(account(user, asset)).await.unwrap()
}

async fn adds_up(db: &dyn Ledger) {
    let below_zero =
        |d: &greenroom::ports::db::Difference| matches!(d, greenroom::ports::db::Difference::BelowZero { .. });
    let found: Vec<_> = db.differences().await.unwrap().into_iter().filter(|d| !below_zero(d)).collect();
    assert_eq!(found, vec![]);
}

pub async fn a_posting_changes_every_account_and_is_known_afterwards(db: &dyn Ledger) {
    let books = posting(
        "e1",
        5,
        vec![
            entry(5, COIN, Part::Payer, -100),
            entry(9, COIN, Part::Receiver, 60),
            entry(-2, COIN, Part::System, 40),
            entry(5, POINTS, Part::Receiver, 10),
            entry(-1, POINTS, Part::System, -10),
        ],
    );
    let posted = db.post(std::slice::from_ref(&books)).await.unwrap();
    assert_eq!(posted.results, [PostResult::Posted]);
    let expected = [
        (account(-2, COIN), settled(40, 1)),
        (account(-1, POINTS), settled(-10, 1)),
        (account(5, COIN), settled(-100, 1)),
        (account(5, POINTS), settled(10, 1)),
        (account(9, COIN), settled(60, 1)),
    ];
    assert_eq!(posted.accounts, {
        let mut sorted = expected.to_vec();
        sorted.sort_by_key(|(account, _)| *account);
        sorted
    });
    for (account, settled) in expected {
        assert_eq!(db.account(account).await.unwrap(), Some(settled));
    }
    assert_eq!(db.accounts_of(UserId(5)).await.unwrap(), [(COIN, settled(-100, 1)), (POINTS, settled(10, 1))]);
    let known = db.event(UserId(5), &books.event_id).await.unwrap().unwrap();
    assert_eq!((known.digest, known.outcome, known.voided), (books.digest, books.outcome.clone(), false));
    assert_eq!(db.event(UserId(9), &books.event_id).await.unwrap(), None);
    let asked = [(UserId(5), event_id("e1")), (UserId(5), event_id("e2")), (UserId(5), event_id("e1"))];
    let posted = Some(KnownEvent { digest: books.digest, voided: false });
    assert_eq!(db.known(&asked).await.unwrap(), [posted, None, posted]);
    let (records, next) = db.records(UserId(9), None, None, 10).await.unwrap();
    assert_eq!(next, None);
    let record = &records[0];
    assert_eq!((record.part, record.delta, record.payer), (Part::Receiver, Amount(60), UserId(5)));
    assert_eq!((record.account, &record.event_id), (account(9, COIN), &books.event_id));
    assert_eq!((record.biz_id.as_str(), record.biz_type, record.obj_id.as_str()), ("1001", 1, "rose"));
    assert_eq!((record.event_type.as_str(), record.at_ms), ("interactGift", 1_750_000_000_123));
    assert_eq!(record.record_json, r#"{"count":3}"#);
    adds_up(db).await;
}

pub async fn an_event_is_posted_once_and_its_reuse_is_refused(db: &dyn Ledger) {
    assert_eq!(db.post(&[gift("e1", 1, 2, 10)]).await.unwrap().results, [PostResult::Posted]);
    let again = db.post(&[gift("e1", 1, 2, 10)]).await.unwrap();
    assert_eq!(again.results, [PostResult::Duplicate]);
    assert_eq!(again.accounts, [(account(1, COIN), settled(-10, 1)), (account(2, COIN), settled(10, 1))]);
    let other = db.post(&[with_digest(gift("e1", 1, 3, 99), 8), gift("e2", 1, 2, 1)]).await.unwrap();
    assert_eq!(other.results, [PostResult::Conflict, PostResult::Posted]);
    assert_eq!(other.accounts, [(account(1, COIN), settled(-11, 2)), (account(2, COIN), settled(11, 2))]);
    assert_eq!(balance(db, 3, COIN).await, None);
    adds_up(db).await;
}

pub async fn an_event_twice_in_a_batch_is_posted_once(db: &dyn Ledger) {
    let batch = [gift("e1", 1, 2, 10), gift("e1", 1, 2, 10), with_digest(gift("e1", 1, 2, 5), 9)];
    let posted = db.post(&batch).await.unwrap();
    assert_eq!(posted.results, [PostResult::Posted, PostResult::Duplicate, PostResult::Conflict]);
    assert_eq!(balance(db, 2, COIN).await, Some(settled(10, 1)));
    adds_up(db).await;
}

pub async fn two_payers_may_use_one_event_id(db: &dyn Ledger) {
    let posted = db.post(&[gift("e1", 1, 9, 10), gift("e1", 2, 9, 20)]).await.unwrap();
    assert_eq!(posted.results, [PostResult::Posted, PostResult::Posted]);
    assert_eq!(balance(db, 9, COIN).await, Some(settled(30, 1)));
    adds_up(db).await;
}

pub async fn an_account_touched_often_in_a_batch_gets_one_version(db: &dyn Ledger) {
    let batch: Vec<Posting> = (0..50).map(|n| gift(format!("e{n}"), 1 + n % 5, 9, 2)).collect();
    let posted = db.post(&batch).await.unwrap();
    assert_eq!(posted.accounts.len(), 6);
    assert_eq!(balance(db, 9, COIN).await, Some(settled(100, 1)));
    db.post(&[gift("later", 1, 9, 2)]).await.unwrap();
    assert_eq!(balance(db, 9, COIN).await, Some(settled(102, 2)));
    assert_eq!(balance(db, 2, COIN).await, Some(settled(-20, 1)));
}

pub async fn a_batch_of_a_thousand_events_is_posted_whole(db: &dyn Ledger) {
    let batch: Vec<Posting> = (0..1_000)
        .map(|n| {
            let payer = 1_000 + n;
            let entries = vec![
                entry(payer, COIN, Part::Payer, -10),
                entry(n % 7 + 1, COIN, Part::Receiver, 6),
                entry(-2, COIN, Part::System, 4),
                entry(payer, POINTS, Part::Receiver, 1),
                entry(-1, POINTS, Part::System, -1),
            ];
            posting(format!("e{n}"), payer, entries)
        })
        .collect();
    let posted = db.post(&batch).await.unwrap();
    assert!(posted.results.iter().all(|result| *result == PostResult::Posted));
    assert_eq!(posted.accounts.len(), 2 * 1_000 + 7 + 2);
    assert!(posted.accounts.is_sorted_by_key(|(account, _)| *account));
    assert_eq!(balance(db, -2, COIN).await, Some(settled(4_000, 1)));
    assert_eq!(db.records(UserId(-2), None, None, 1_000).await.unwrap().0.len(), 1_000);
    let again = db.post(&batch).await.unwrap();
    assert!(again.results.iter().all(|result| *result == PostResult::Duplicate));
    assert_eq!(again.accounts, posted.accounts);
    adds_up(db).await;
}

pub async fn a_balance_that_does_not_fit_refuses_only_its_event(db: &dyn Ledger) {
    let batch = [
        gift("e1", 1, 9, i64::MAX),
        gift("e2", 2, 9, 1),
        gift("e3", 3, 4, 1),
        gift("e4", 9, 5, 1),
        gift("e5", 6, 9, 1),
    ];
    let posted = db.post(&batch).await.unwrap();
    use PostResult::{Overflow, Posted};
    assert_eq!(posted.results, [Posted, Overflow, Posted, Posted, Posted]);
    assert_eq!(balance(db, 9, COIN).await, Some(settled(i64::MAX, 1)));
    assert_eq!(balance(db, 2, COIN).await, None);
    assert!(posted.accounts.iter().all(|(account, _)| account.user_id != UserId(2)));
    assert_eq!(db.event(UserId(2), &event_id("e2")).await.unwrap(), None);
    adds_up(db).await;
}

pub async fn post_and_void_exclude_each_other(db: &dyn Ledger) {
    let digest = ContentDigest([7; 16]);
    let outcome = Outcome { amount: Amount(5), balance: Amount(1), counters: vec![] };
    let payer = account(1, COIN);
    let void = async |event: &str, digest| db.void(payer, &event_id(event), digest, Some(&outcome), 17).await.unwrap();
    assert_eq!(void("e1", digest).await, (PostResult::Posted, None));
    assert_eq!(void("e1", digest).await, (PostResult::Voided, None));
    assert_eq!(void("e1", ContentDigest([1; 16])).await.0, PostResult::Conflict);
    let known = db.event(UserId(1), &event_id("e1")).await.unwrap().unwrap();
    assert_eq!((known.digest, known.outcome, known.voided), (digest, Some(outcome.clone()), true));

    let posted =
        db.post(&[gift("e1", 1, 2, 5), gift("e2", 1, 2, 5), with_digest(gift("e1", 1, 2, 5), 1)]).await.unwrap();
    assert_eq!(posted.results, [PostResult::Voided, PostResult::Posted, PostResult::Conflict]);
    assert_eq!(void("e2", digest).await, (PostResult::Duplicate, Some(settled(-5, 1))));
    assert_eq!(balance(db, 2, COIN).await, Some(settled(5, 1)));
    adds_up(db).await;
}

pub async fn a_payer_may_pay_in_two_assets(db: &dyn Ledger) {
    let books = posting(
        "e1",
        1,
        vec![
            entry(1, COIN, Part::Payer, -5),
            entry(1, POINTS, Part::Payer, -7),
            entry(2, COIN, Part::Receiver, 5),
            entry(2, POINTS, Part::Receiver, 7),
        ],
    );
    assert_eq!(db.post(std::slice::from_ref(&books)).await.unwrap().results, [PostResult::Posted]);
    assert_eq!(db.post(&[books]).await.unwrap().results, [PostResult::Duplicate]);
    assert_eq!(balance(db, 1, POINTS).await, Some(settled(-7, 1)));
    assert_eq!(db.records(UserId(1), None, None, 10).await.unwrap().0.len(), 2);
    adds_up(db).await;
}

pub async fn overlapping_batches_at_once_post_each_event_once(db: &dyn Ledger) {
    let batch = |from: i64| (from..from + 60).map(|n| gift(format!("e{n}"), n % 10 + 1, 99, 1)).collect::<Vec<_>>();
    let (one, two, three) = (batch(0), batch(30), batch(15));
    let (one, two, three) = tokio::join!(db.post(&one), db.post(&two), db.post(&three));
    let posted = [one, two, three].into_iter().flat_map(|posted| posted.unwrap().results);
    assert_eq!(posted.filter(|result| *result == PostResult::Posted).count(), 90);
    assert_eq!(balance(db, 99, COIN).await.unwrap().balance, Amount(90));
    adds_up(db).await;
}

pub async fn batches_that_pay_each_other_at_once_all_get_through(db: &dyn Ledger) {
    let forth = async |round: i64| {
        let batch: Vec<_> = (0..20).map(|n| gift(format!("f{round}-{n}"), 1, 2, 3)).collect();
        db.post(&batch).await.unwrap()
    };
    let back = async |round: i64| {
        let batch: Vec<_> = (0..20).map(|n| gift(format!("b{round}-{n}"), 2, 1, 3)).collect();
        db.post(&batch).await.unwrap()
    };
    for round in 0..10 {
        tokio::join!(forth(round), back(round));
    }
    assert_eq!(balance(db, 1, COIN).await, Some(settled(0, 20)));
    assert_eq!(balance(db, 2, COIN).await, Some(settled(0, 20)));
    adds_up(db).await;
}

pub async fn records_are_paged_without_gaps_while_new_ones_arrive(db: &dyn Ledger) {
    let add = async |from: usize, count: usize| {
        let batch: Vec<_> = (from..from + count).map(|n| gift(format!("e{n:05}"), 1 + n as i64 % 3, 9, 1)).collect();
        db.post(&batch).await.unwrap();
    };
    add(0, 53).await;
    let mut seen: Vec<String> = Vec::new();
    let mut after: Option<RecordCursor> = None;
    let mut added = 53;
    loop {
        let (records, next) = db.records(UserId(9), None, after.as_ref(), 7).await.unwrap();
        seen.extend(records.iter().map(|record| record.event_id.to_string()));
        add(added, 5).await;
        added += 5;
        after = next;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<String> = (0..53).rev().map(|n| format!("e{n:05}")).collect();
    assert_eq!(seen, expected);
}

pub async fn records_are_of_one_asset_when_asked(db: &dyn Ledger) {
    let mut all = BTreeSet::new();
    for n in 0..6 {
        let asset = if n % 2 == 0 { COIN } else { POINTS };
        let entries = vec![entry(1, asset, Part::Payer, -1), entry(2, asset, Part::Receiver, 1)];
        db.post(&[posting(format!("e{n}"), 1, entries)]).await.unwrap();
        all.insert(format!("e{n}"));
    }
    let (first, next) = db.records(UserId(2), Some(POINTS), None, 2).await.unwrap();
    let (second, end) = db.records(UserId(2), Some(POINTS), next.as_ref(), 2).await.unwrap();
    let ids: Vec<_> = first.iter().chain(&second).map(|record| record.event_id.to_string()).collect();
    assert_eq!(ids, ["e5", "e3", "e1"]);
    assert_eq!(end, None);
    let everything: HashSet<_> =
        db.records(UserId(2), None, None, 100).await.unwrap().0.iter().map(|r| r.event_id.to_string()).collect();
    assert_eq!(everything, all.into_iter().collect());
}

pub async fn a_void_leaves_no_record(db: &dyn Ledger) {
    db.post(&[gift("e1", 1, 2, 1)]).await.unwrap();
    db.void(account(1, COIN), &event_id("e2"), ContentDigest([7; 16]), None, 17).await.unwrap();
    let (records, next) = db.records(UserId(1), None, None, 1).await.unwrap();
    assert_eq!((records.len(), records[0].event_id.as_str(), next), (1, "e1", None));
    assert_eq!(db.event(UserId(1), &event_id("e2")).await.unwrap().unwrap().outcome, None);
    let voided = Some(KnownEvent { digest: ContentDigest([7; 16]), voided: true });
    assert_eq!(db.known(&[(UserId(1), event_id("e2"))]).await.unwrap(), [voided]);
}

pub async fn a_strange_cursor_is_refused(db: &dyn Ledger) {
    for text in ["", "x", "1.2", "1.2.3.4", "1.2.99999999999999999999"] {
        let answer = db.records(UserId(1), None, Some(&RecordCursor(text.into())), 5).await;
        assert!(matches!(answer, Err(Error::Refused(_))), "{text:?}");
    }
}

pub async fn an_unknown_account_is_none(db: &dyn Ledger) {
    assert_eq!(balance(db, 1, COIN).await, None);
    assert_eq!(db.accounts_of(UserId(1)).await.unwrap(), []);
    assert_eq!(db.records(UserId(1), None, None, 5).await.unwrap(), (vec![], None));
    assert_eq!(db.post(&[]).await.unwrap().results, []);
    assert_eq!(db.differences().await.unwrap(), []);
}

pub async fn a_post_that_is_given_up_is_whole_or_not_at_all(db: &dyn Ledger) {
    for round in 0..25_u64 {
        let batch: Vec<_> = (0..200).map(|n| gift(format!("e{round}-{n}"), n % 9 + 1, 99, 1)).collect();
        let patience = std::time::Duration::from_micros(round * 400);
        let given_up = tokio::time::timeout(patience, db.post(&batch)).await.is_err();
        let again = db.post(&batch).await.unwrap().results;
        assert!(again.iter().all(|result| *result == again[0]), "round {round}");
        assert!(given_up || again[0] == PostResult::Duplicate, "round {round}");
    }
    assert_eq!(balance(db, 99, COIN).await.unwrap().balance, Amount(25 * 200));
    adds_up(db).await;
}
